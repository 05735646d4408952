"""What a step graph in a file may claim: held before anything of its size is made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from snncc.ir.domain import Grid
from snncc.ir.graph import Graph, IRError, Type
from snncc.ir.ops import Input

MOST_OPS = 50_000
MOST_STEPS = 4096
"""Time steps that a network may be asked for: every one of them is held in memory."""
_MOST_AXES = 10
_LONGEST_TEXT, _LONGEST_LINE = 16 << 20, 256 << 10
_LONGEST_REASON = 300
_LARGEST_NUMBER = 2**31
"""Of an attribute: a size, a place, a step."""
_MOST_BITS = 62
"""Of a shift: values have 64."""
_LARGEST_WINDOW = 2**16
"""Of a window along one axis, its padding included; and of counts in sub-steps."""
_LARGEST_VALUE = 2**27
"""Numbers of a value, for one sample and one time step."""
_LONGEST_FRACTION = 2**256
MEANINGLESS = (
    ValueError, LookupError, TypeError, ArithmeticError, MemoryError, RecursionError,
)  # fmt: skip
"""What ops raise in a graph that nobody checked, ``IRError`` among it; all else is our own bug."""
_WINDOWS = ("kernel", "stride", "padding", "dilation", "levels")


def is_too_long(text: str) -> bool:
    """Whether no step graph is as long as a text, or has as long a line."""
    return len(text) > _LONGEST_TEXT or max(map(len, text.split("\n"))) > _LONGEST_LINE


def hold_attributes(graph: Graph, most_steps: int) -> None:
    """Raise ``IRError`` for a step graph that no network has, before any type is derived."""
    if graph.level != "step":
        raise IRError("it is of the level tensor")
    if not 1 <= graph.steps <= most_steps:
        raise IRError(f"{graph.steps:,} time steps, wanted 1 to {most_steps:,}")
    if len(graph.ops) > MOST_OPS:
        raise IRError(f"{len(graph.ops):,} ops, wanted at most {MOST_OPS:,}")
    if len(graph.by_name) != len(graph.ops):
        raise IRError("two values have one name")
    for op in graph.ops:
        for key, value in op.attributes().items():
            for number in _numbers(value):
                if not _is_sane(key, number):
                    raise IRError(f"`{key}` of `{op.name}` is {number!r}"[:_LONGEST_REASON])
        if isinstance(op, Input) and op.scale is not None and op.scale <= 0:
            raise IRError(f"`{op.name}` has the scale {op.scale}")


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, tuple):
        for each in value:
            yield from _numbers(each)
    elif isinstance(value, Grid):
        _hold_step(value)
    elif isinstance(value, (int, float)):
        yield value


def _is_sane(key: str, number: float) -> bool:
    if key in ("shift", "bits"):
        return 0 <= number <= _MOST_BITS
    return abs(number) <= (_LARGEST_WINDOW if key in _WINDOWS else _LARGEST_NUMBER)


def hold_types(graph: Graph, stated: Mapping[str, str]) -> None:
    """Raise ``IRError`` where types are not as stated, or larger than any network's."""
    types: dict[str, Type] = {}
    for op in graph.ops:
        lost = [name for name in op.inputs if name not in types]
        if lost:
            raise IRError(f"`{op.name}` reads `{lost[0]}`, which is not made before it")
        found = op.infer(tuple(types[name] for name in op.inputs), graph.weights)
        _hold(op.name, found)
        if str(found) != stated[op.name]:
            raise IRError(f"`{op.name}` is {found}, the text claims {stated[op.name]}")
        types[op.name] = found


def _hold(name: str, found: Type) -> None:
    if any(n < 0 for n in found.shape) or len(found.shape) > _MOST_AXES:
        raise IRError(f"`{name}` has the shape {found.shape}")
    if math.prod(found.shape) > _LARGEST_VALUE:
        raise IRError(f"`{name}` has the shape {found.shape}: more than {_LARGEST_VALUE:,} numbers")
    if isinstance(found.domain, Grid):
        _hold_step(found.domain)


def _hold_step(grid: Grid) -> None:
    if max(grid.step.numerator, grid.step.denominator) > _LONGEST_FRACTION:
        raise IRError("numbers on a grid whose step has more than 256 bits")
