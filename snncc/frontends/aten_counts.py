"""Operators that bound and round: what integer-firing neurons count their spikes with.

A value that is bounded and rounded to a whole number of spikes is a ``Count``, in whichever order
code does it; half of it alone has no meaning in the IR. ``round`` takes halves to the even number,
``floor(x + 0.5)`` to the larger. One spike that is cut off rather than rounded is a comparison.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from snncc.frontends import aten_compare as compare
from snncc.frontends.aten_signs import as_number, compared
from snncc.frontends.build import Bounded, Builder, Cut, Dynamic, Value, number
from snncc.ir import ops
from snncc.ir.compare import Count
from snncc.ir.graph import Shape

Arguments: TypeAlias = Mapping[str, Any]
Converter: TypeAlias = Callable[[Builder, Arguments, Shape], Any]


def _of(b: Builder, x: Dynamic) -> Bounded:
    return b.bounded.get(x.name, Bounded(x))


def _is_whole(b: Builder, x: Value, least: float = 0, most: float = 1) -> bool:
    """Whether a value is a number of spikes, and stays it between two bounds."""
    made: Any = b.made(x) if isinstance(x, Dynamic) else None
    if made is not None and made.kind == "count":
        return least <= 0 and most >= made.levels
    return compare.is_truth(b, x) and least <= 0 and most >= 1


def _made(b: Builder, target: str, x: Dynamic, what: Bounded | None, out: Shape) -> Value:
    """Return a count where a value is one, else what has no meaning alone, and note what it is."""
    if what is not None and what.levels is not None:
        return _counted(b, what.x, what.levels, what.rounding)
    made = b.emit(ops.Foreign, x, target=target, shape=out)
    if what is not None:
        b.bounded[made.name] = what
    return made


def _counted(b: Builder, x: Dynamic, levels: int, rounding: Cut | None) -> Value:
    """Return how many spikes are fired; one at most is a comparison where none is rounded to."""
    if levels == 1 and rounding in ("up", "down"):
        return compared(b, x, 0.0 if rounding == "up" else 1.0, strict=rounding == "up")
    if rounding == "down":
        return b.emit(Count, b.emit(ops.Add, x, number(-0.5)), levels=levels, rounding="half_up")
    return b.emit(Count, x, levels=levels, rounding=rounding)


def _bounds(target: str, low: float | str, high: float | str) -> Converter:
    """An operator that bounds its input, by numbers or by arguments of these names."""

    def bound(a: Arguments, which: float | str, otherwise: float) -> float | None:
        given = a.get(which) if isinstance(which, str) else which
        return otherwise if given is None else as_number(given)

    def convert(b: Builder, a: Arguments, out: Shape) -> Any:
        least, most = bound(a, low, -math.inf), bound(a, high, math.inf)
        x = a["self"]
        if least is None or most is None or not isinstance(x, Dynamic) or x.shape != out:
            return NotImplemented
        if _is_whole(b, x, least, most):
            return x
        return _made(b, target, x, _of(b, x).within(least, most), out)

    return convert


def _with_number(target: str, *, least: bool) -> Converter:
    """``maximum`` and ``minimum`` of a value and a number are bounds."""
    low, high = ("other", math.inf) if least else (-math.inf, "other")
    bounds = _bounds(target, low, high)

    def convert(b: Builder, a: Arguments, out: Shape) -> Any:
        x, y = a["self"], a.get("other")
        if y is None:
            return NotImplemented
        x, y = (x, y) if isinstance(x, Dynamic) else (y, x)
        return bounds(b, {"self": x, "other": y}, out)

    return convert


def _round(b: Builder, a: Arguments, out: Shape) -> Any:
    x = a["self"]
    if a.get("decimals") or not isinstance(x, Dynamic):
        return NotImplemented
    if _is_whole(b, x, most=math.inf):
        return x
    return _made(b, "aten.round", x, _of(b, x).rounded("half_even"), out)


def _floor(b: Builder, a: Arguments, out: Shape) -> Any:
    """A whole number stays; else one half has been added, before the bounds or behind them."""
    x = a["self"]
    if not isinstance(x, Dynamic):
        return NotImplemented
    if _is_whole(b, x, most=math.inf):
        return x
    bounds = _of(b, x)
    what = bounds
    if bounds.rounding is None:
        below = _half_below(b, bounds.x)
        inner = below and _of(b, below).rounded("half_up")
        whole = inner and bounds.rounded("half_up")
        what = inner.within(bounds.low, bounds.high) if inner and whole else bounds
    return _made(b, "aten.floor", x, what.rounded("down"), out)


def _cut(target: str, how: Cut) -> Converter:
    """An operator that takes the next whole number; toward 0 is down once 0 is the least."""

    def convert(b: Builder, a: Arguments, out: Shape) -> Any:
        x = a["self"]
        if not isinstance(x, Dynamic) or _is_whole(b, x, most=math.inf):
            return x if isinstance(x, Dynamic) else NotImplemented
        return _made(b, target, x, _of(b, x).rounded(how), out)

    return convert


def _half_below(b: Builder, x: Dynamic) -> Dynamic | None:
    """Return what a value is one half more than, None where it is no such sum."""
    made = b.made(x)
    if made.kind != "add":
        return None
    for name, other in (made.inputs, made.inputs[::-1]):
        op: Any = b.made(Dynamic(other, ()))
        weight = b.weights[op.value] if op.kind == "constant" else None
        if isinstance(weight, np.ndarray) and weight.size and (weight == 0.5).all():
            found = b.emitted.get(name, Dynamic(name, x.shape))
            return found if found.shape == x.shape else None
    return None


def _sign(b: Builder, a: Arguments, out: Shape) -> Any:
    """The sign of what is not negative is a comparison with zero."""
    x = a["self"]
    what = _of(b, x) if isinstance(x, Dynamic) else None
    if what and what.low == 0 and what.high > 0 and what.rounding is None:
        return compared(b, what.x, 0.0, strict=True)
    return compare.sign(b, a, out)


CONVERTERS: Mapping[str, Converter] = {
    "aten.round": _round,
    "aten.floor": _floor,
    "aten.ceil": _cut("aten.ceil", "up"),
    "aten.trunc": _cut("aten.trunc", "down"),
    "aten.sign": _sign,
    "aten.clamp": _bounds("aten.clamp", "min", "max"),
    "aten.clip": _bounds("aten.clip", "min", "max"),
    "aten.clamp_min": _bounds("aten.clamp_min", "min", math.inf),
    "aten.clamp_max": _bounds("aten.clamp_max", -math.inf, "max"),
    "aten.hardtanh": _bounds("aten.hardtanh", "min_val", "max_val"),
    "aten.relu": _bounds("aten.relu", 0.0, math.inf),
    "aten.relu6": _bounds("aten.relu6", 0.0, 6.0),
    "aten.max": _with_number("aten.max", least=True),
    "aten.min": _with_number("aten.min", least=False),
    "aten.maximum": _with_number("aten.maximum", least=True),
    "aten.minimum": _with_number("aten.minimum", least=False),
}
