"""What fires: a comparison or a count of one potential, and the values made of that alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from snncc.ir.graph import Op

Rounding: TypeAlias = Literal["half_even", "half_up"]

_HALF = Fraction(1, 2)
_NONE = Fraction(0)


class Affine(NamedTuple):
    """``name * factor + offset``."""

    name: str
    factor: Fraction
    offset: Fraction


def collected(
    value: Affine, ops: Mapping[str, Op], affine: Callable[[str], Affine]
) -> Iterator[Affine]:
    """Yield what a sum of one value and a share of it is made of: ``x - 0.5 (x - 0)`` of ``x``.

    Exporters write so what the first step interpolates.
    """
    while ops[value.name].kind == "add":
        a, b = map(affine, ops[value.name].inputs)
        factor = value.factor * (a.factor + b.factor)
        if a.name != b.name or not factor:
            return
        value = Affine(a.name, factor, value.offset + value.factor * (a.offset + b.offset))
        yield value


@dataclass(frozen=True)
class Firing:
    """A spike: 1 where the value ``potential`` is at or (``strict``) above the threshold.

    With ``levels`` L > 1 a count of spikes, ``round(clip(h, 0, L))`` of ``h`` thresholds: ``h`` is
    1 at the threshold and grows by 1 with each ``unit`` of the potential. Layers that fire alike at
    one potential are told apart by their ``module``, or another name, where they have to be.
    """

    potential: str
    threshold: Fraction
    strict: bool
    levels: int = 1
    rounding: Rounding = "half_even"
    unit: Fraction = _NONE
    module: str = ""

    @property
    def rank(self) -> tuple[str, Fraction, bool, int, str]:
        """A place in an order of firings that is always the same."""
        return self.potential, self.threshold, self.strict, self.levels, self.module


class Answer(NamedTuple):
    """What a value is that is made of one firing alone.

    ``offset + factor * count``, and ``fired`` where the count is not 0; a spike counts itself.
    """

    firing: Firing
    factor: Fraction
    offset: Fraction
    fired: Fraction = _NONE

    @property
    def is_spike(self) -> bool:
        """Whether it is the spike itself, or the count."""
        return self.factor == 1 and self.offset == 0 and self.fired == 0

    def at(self, count: int) -> Fraction:
        """Return the value where so many spikes are fired."""
        return self.offset + self.factor * count + self.fired * (count > 0)


Term: TypeAlias = "Answer | Fraction | None"


def factor_of(scale: Any) -> Fraction:
    """Return the factor of a scale; the quotient by a number of few digits is that, exactly.

    Division by 1.5 is stored as multiplication by the float that is nearest to 2/3.
    """
    factor = float(scale.factor)
    if not factor or not math.isfinite(1 / factor) or 1 / (1 / factor) != factor:
        return Fraction(factor)
    shorter = _digits(1 / factor) < _digits(factor)
    return 1 / Fraction(1 / factor) if shorter else Fraction(factor)


def _digits(x: float) -> int:
    """Return how many digits say a number: a float32 has no more than 9."""
    narrow = abs(x) < float(np.finfo(np.float32).max) and float(np.float32(x)) == x
    return min(len(f"{x!r}"), 9 if narrow else 99)


def counted(h: Fraction, levels: int, rounding: Rounding) -> int:
    """Return how many spikes are fired at ``h`` thresholds."""
    clipped = min(max(h, Fraction(0)), Fraction(levels))
    return round(clipped) if rounding == "half_even" else math.floor(clipped + _HALF)


def threshold_of(op: Any) -> tuple[Fraction, bool]:
    """Return where a comparison fires, or a count of one spike at most, and whether above alone."""
    if op.kind == "count":
        return Fraction(1, 2), op.rounding == "half_even"
    return Fraction(op.threshold), op.strict


def fired(op: Any, value: Fraction) -> int:
    """Return what a comparison or a count answers to a value."""
    if op.kind == "count":
        return counted(value, op.levels, op.rounding)
    threshold, strict = threshold_of(op)
    return int(value > threshold or (value == threshold and not strict))


def answer_of(firing: Firing, value: Callable[[int], Fraction]) -> Answer | None:
    """Return the answer that has these values by the count of spikes, None where none has."""
    offset, one = value(0), value(1)
    if firing.levels == 1:
        return Answer(firing, one - offset, offset)
    factor = value(2) - one
    found = Answer(firing, factor, offset, one - offset - factor)
    every = range(firing.levels + 1)
    return found if all(found.at(count) == value(count) for count in every) else None


def sum_of(x: Term, y: Term) -> Answer | None:
    """Return the sum of an answer and another of the same firing, or a number."""
    return _combined(x, y, lambda a, b: a + b)


def product_of(x: Term, y: Term) -> Answer | None:
    """Return the product of an answer and another of the same firing, or a number."""
    return _combined(x, y, lambda a, b: a * b)


def _combined(
    x: Term, y: Term, operation: Callable[[Fraction, Fraction], Fraction]
) -> Answer | None:
    if x is None or y is None:
        return None
    firings = {each.firing for each in (x, y) if isinstance(each, Answer)}
    if len(firings) != 1:
        return None

    def at(term: Answer | Fraction, count: int) -> Fraction:
        return term.at(count) if isinstance(term, Answer) else term

    return answer_of(firings.pop(), lambda n: operation(at(x, n), at(y, n)))
