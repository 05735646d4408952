"""Values that depend on another's sign alone: all the roundabout ways to write a step function.

``sign``, ``heaviside``, comparisons with a number, and whatever arithmetic makes of them, are three
numbers: below a mark, at it and above it. One table says what each operator makes of three numbers.
Where two of the three are the same, the value is one comparison, however it was written; where all
differ, it is a sum of two, which is no spike. Every way in reads this table: what one knows, all
know.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch

from snncc.frontends.build import Builder, Dynamic, Signed, Static, Value, number
from snncc.ir import ops
from snncc.ir.compare import Compare
from snncc.ir.graph import IRError, Shape

Arguments: TypeAlias = Mapping[str, Any]
Converter: TypeAlias = Callable[[Builder, Arguments, Shape], Any]
Operand: TypeAlias = "Value | int | float"


def as_number(x: Operand) -> float | None:
    """Return the one number that a value holds, in however many places; None for any other."""
    if isinstance(x, int | float):
        return float(x)
    if isinstance(x, Dynamic) or not x.is_known or x.tensor.numel() == 0:
        return None
    first = x.tensor[(0,) * x.tensor.ndim]
    varied = any(stride and n > 1 for stride, n in zip(x.tensor.stride(), x.shape, strict=True))
    return None if varied and not bool((x.tensor == first).all()) else float(first)


def compared(b: Builder, x: Dynamic, mark: float, strict: bool) -> Dynamic:
    """Return whether a value is at a mark, or above it, and note what that is.

    Bounds beyond the mark on both sides change nothing of it. Raises ``IRError`` for no number.
    """
    if not math.isfinite(mark):
        raise IRError(f"it compares with {mark}, wanted a number")
    known = b.bounded.get(x.name)
    inside = known and (
        known.low <= mark < known.high if strict else known.low < mark <= known.high
    )
    if known and inside and known.rounding is None:
        x = known.x
    made = b.emit(Compare, x, threshold=mark, strict=strict)
    note(b, made, x, mark, (0.0, float(not strict), 1.0))
    return made


def note(b: Builder, made: Dynamic, x: Dynamic, mark: float, values: Any) -> None:
    """Keep what a value is below, at and above a mark; a value turned round is that value."""
    before: Any = b.made(x)
    if before.kind == "scale" and before.factor == -1:
        x, mark, values = Dynamic(before.inputs[0], x.shape), -mark, tuple(reversed(values))
    b.signs[made.name] = Signed(x, mark, values)


def signed(b: Builder, x: Dynamic, mark: float, values: tuple[float, float, float]) -> Value:
    """Return the value that is these numbers below, at and above a mark."""
    below, at, above = values
    if below == at == above:
        return Static(torch.full((), below, dtype=torch.float64).expand(x.shape))
    rises = [(at - below, False), (above - at, True)]
    parts = [_times(b, compared(b, x, mark, strict), f) for f, strict in rises if f]
    total = parts[0] if len(parts) == 1 else b.emit(ops.Add, *parts)
    made = b.emit(ops.Add, total, number(below)) if below else total
    note(b, made, x, mark, values)
    return made


def _times(b: Builder, x: Dynamic, factor: float) -> Dynamic:
    return x if factor == 1 else b.emit(ops.Scale, x, factor=factor)


def _known(b: Builder, a: Arguments, out: Shape) -> tuple[Dynamic, float, list[Arguments]] | None:
    """Return the value that all arguments depend on, its mark, and the arguments at each place."""
    given = [each for each in a.values() if isinstance(each, Dynamic)]
    found = [b.signs.get(each.name) for each in given]
    first = found[0] if found else None
    if first is None or any(
        each is None or (each.x, each.mark) != (first.x, first.mark) for each in found
    ):
        return None
    if first.x.shape != out or any(each.shape != out for each in given):
        return None
    numbers = {key: as_number(v) for key, v in a.items() if isinstance(v, Static)}
    if any(each is None for each in numbers.values()):
        return None

    def at(place: int) -> Arguments:
        own = {k: b.signs[v.name].values[place] for k, v in a.items() if isinstance(v, Dynamic)}
        return {**a, **numbers, **own}

    return first.x, first.mark, [at(place) for place in range(3)]


def _values(name: str, places: list[Arguments]) -> tuple[float, float, float] | None:
    """Return what an operator makes of three numbers; None where it is no number of them."""
    try:
        below, at, above = (float(FUNCTIONS[name](place)) for place in places)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return None
    return (below, at, above) if all(map(math.isfinite, (below, at, above))) else None


def known_or(name: str, convert: Converter | None) -> Converter:
    """Return the converter of an operator that looks for a step function first."""

    def converted(b: Builder, a: Arguments, out: Shape) -> Any:
        known = _known(b, a, out)
        values = _values(name, known[2]) if known else None
        if known is None or values is None:
            return convert(b, a, out) if convert else NotImplemented
        x, mark, _ = known
        for each in a.values():
            same = b.signs.get(each.name) if isinstance(each, Dynamic) else None
            if same is not None and same.values == values:
                return each
        made = convert(b, a, out) if convert and name in _AFFINE and _has_one(a) else None
        if not isinstance(made, Dynamic):
            return signed(b, x, mark, values)
        b.signs[made.name] = Signed(x, mark, values)
        return made

    return converted


def _has_one(a: Arguments) -> bool:
    return sum(isinstance(each, Dynamic) for each in a.values()) == 1


def _clip(x: float, low: float | None, high: float | None) -> float:
    return min(max(x, -math.inf if low is None else low), math.inf if high is None else high)


def _quotient(a: Arguments) -> float:
    if a.get("rounding_mode"):
        raise ArithmeticError
    return float(a["self"] / a["other"])


def _rounded(a: Arguments) -> float:
    if a.get("decimals"):
        raise ArithmeticError
    return round(a["self"])


_AFFINE = ("aten.add", "aten.sub", "aten.rsub", "aten.mul", "aten.div", "aten.neg")
"""What makes a factor and an offset of one value is written as that."""

FUNCTIONS: Mapping[str, Callable[[Arguments], float]] = {
    "aten.abs": lambda a: abs(a["self"]),
    "aten.add": lambda a: a["self"] + a.get("alpha", 1) * a["other"],
    "aten.ceil": lambda a: math.ceil(a["self"]),
    "aten.clamp": lambda a: _clip(a["self"], a["min"], a["max"]),
    "aten.clamp_max": lambda a: _clip(a["self"], None, a["max"]),
    "aten.clamp_min": lambda a: _clip(a["self"], a["min"], None),
    "aten.clip": lambda a: _clip(a["self"], a["min"], a["max"]),
    "aten.div": _quotient,
    "aten.eq": lambda a: a["self"] == a["other"],
    "aten.floor": lambda a: math.floor(a["self"]),
    "aten.ge": lambda a: a["self"] >= a["other"],
    "aten.greater": lambda a: a["self"] > a["other"],
    "aten.greater_equal": lambda a: a["self"] >= a["other"],
    "aten.gt": lambda a: a["self"] > a["other"],
    "aten.hardtanh": lambda a: _clip(a["self"], a["min_val"], a["max_val"]),
    "aten.le": lambda a: a["self"] <= a["other"],
    "aten.lerp": lambda a: a["self"] + a["weight"] * (a["end"] - a["self"]),
    "aten.less": lambda a: a["self"] < a["other"],
    "aten.less_equal": lambda a: a["self"] <= a["other"],
    "aten.logical_and": lambda a: bool(a["self"]) and bool(a["other"]),
    "aten.logical_not": lambda a: not a["self"],
    "aten.logical_or": lambda a: bool(a["self"]) or bool(a["other"]),
    "aten.logical_xor": lambda a: bool(a["self"]) != bool(a["other"]),
    "aten.lt": lambda a: a["self"] < a["other"],
    "aten.max": lambda a: max(a["self"], a["other"]),
    "aten.maximum": lambda a: max(a["self"], a["other"]),
    "aten.min": lambda a: min(a["self"], a["other"]),
    "aten.minimum": lambda a: min(a["self"], a["other"]),
    "aten.mul": lambda a: a["self"] * a["other"],
    "aten.ne": lambda a: a["self"] != a["other"],
    "aten.neg": lambda a: -a["self"],
    "aten.pow": lambda a: a["self"] ** a["exponent"],
    "aten.relu": lambda a: max(a["self"], 0.0),
    "aten.relu6": lambda a: _clip(a["self"], 0.0, 6.0),
    "aten.round": _rounded,
    "aten.rsub": lambda a: a["other"] - a.get("alpha", 1) * a["self"],
    "aten.sign": lambda a: (a["self"] > 0) - (a["self"] < 0),
    "aten.square": lambda a: a["self"] ** 2,
    "aten.sub": lambda a: a["self"] - a.get("alpha", 1) * a["other"],
    "aten.trunc": lambda a: math.trunc(a["self"]),
    "aten.where": lambda a: a["self"] if a["condition"] else a["other"],
}
"""What each operator makes of numbers, by the names of its arguments."""
