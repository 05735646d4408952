"""The number of samples with which the shapes in a file agree.

A file may leave its batch open and hold the batch of the export in its nodes all the same: torch's
TorchScript exporter writes sizes that Python code has computed as constants. Such a file runs with
that one number. The shapes that do not meet with another tell which it is.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import product, zip_longest
from typing import TypeVar

from snncc.diagnostics.core import Diagnostic, SnnccError
from snncc.frontends.build import Dynamic, Static, Value
from snncc.ir.graph import Shape

_MOST_TRIES = 5
_LARGEST = 2**12
T = TypeVar("T")


class ShapesDisagreeError(SnnccError):
    """A node whose operands do not meet; ``ratios`` are by what factor samples might be wrong."""

    def __init__(self, found: Diagnostic, ratios: Iterable[Fraction]) -> None:
        super().__init__(found)
        self.ratios = tuple(dict.fromkeys(ratios))

    def others(self, samples: int) -> Iterator[int]:
        """Yield the numbers of samples with which it might have met."""
        for ratio in self.ratios:
            other = samples * ratio
            if other.denominator == 1 and 1 <= other <= _LARGEST:
                yield int(other)


def that_agrees(samples: int, read: Callable[[int], T]) -> tuple[int, T]:
    """Return the number of samples with which a file can be read, and what is read.

    ``samples`` is tried first, then what the shapes that did not meet tell, then one. Raises the
    ``SnnccError`` of the first try, with what was tried, where none fits.
    """
    tried: list[int] = []
    waiting = [samples]
    first: ShapesDisagreeError | None = None
    while waiting and len(tried) < _MOST_TRIES:
        number = waiting.pop(0)
        tried.append(number)
        try:
            return number, read(number)
        except ShapesDisagreeError as fault:
            first = first or fault
            likely, *others = [*fault.others(number), 1]
            new = [likely, 1, *others, *waiting]
            waiting = [n for n in dict.fromkeys(new) if n not in tried]
        except SnnccError:
            if first is None:
                raise
    if first is None:
        raise AssertionError(samples)  # what else is raised above ends the search at once
    numbers = ", ".join(map(str, tried))
    hint = f"its batch is open, and none of {numbers} samples fits: export it without dynamic axes"
    raise ShapesDisagreeError(dataclasses.replace(first.diagnostics[0], hint=hint), ())


def ratios_of(operator: str, read: Iterable[Value | None]) -> Iterator[Fraction]:
    """Yield what the operands of a node would have to be multiplied by to meet, as far as seen."""
    values = [each for each in read if each is not None]
    computed = [each.shape for each in values if isinstance(each, Dynamic)]
    stated = [shape for each in values for shape in _stated(each, operator)]
    for shape, wanted in product(computed, stated):
        if operator == "Reshape":
            yield from _of_sizes(shape, wanted)
        else:
            yield from _of_axes(shape, wanted, joined=operator in ("Gemm", "MatMul"))
    for shape, other in product(computed, computed):
        yield from _of_axes(shape, other)


def _stated(value: Value, operator: str) -> Iterator[Shape]:
    """Yield the shapes that a stored operand states: its own, or the numbers in it."""
    if not isinstance(value, Static):
        return
    tensor = value.tensor
    if tensor.ndim == 1 and not tensor.is_floating_point() and tensor.numel() <= _MOST_NUMBERS:
        yield tuple(int(n) for n in tensor.tolist())
    elif operator != "Reshape":
        yield tuple(tensor.shape)


_MOST_NUMBERS = 16


def _of_sizes(shape: Shape, wanted: Shape) -> Iterator[Fraction]:
    """A reshape keeps the number of values; 0 keeps an axis, -1 is what is left."""
    numbers = [shape[i] if n == 0 and i < len(shape) else n for i, n in enumerate(wanted)]
    known, whole = math.prod(n for n in numbers if n > 0), math.prod(shape)
    if known and whole and -1 not in numbers:
        yield Fraction(known, whole)


def _of_axes(shape: Shape, other: Shape, *, joined: bool = False) -> Iterator[Fraction]:
    """Axes that broadcast stand below each other; where ``joined`` the last meets any of them."""
    below = list(zip_longest(reversed(shape), reversed(other), fillvalue=1))
    last = [(shape[-1], n) for n in other] if shape and joined else []
    for ours, theirs in (*last, *below):
        if ours > 1 and theirs > 0 and ours != theirs:
            yield Fraction(theirs, ours)
