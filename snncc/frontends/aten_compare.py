"""Operators that compare and choose: what spiking neurons fire with when they are written out.

A comparison is 1 or 0, as it is in PyTorch once it has been cast; a choice between two values is
``c a + (1 - c) b``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from snncc.frontends.aten_signs import Arguments, Operand, as_number, compared, note, signed
from snncc.frontends.build import Builder, Dynamic, Static, Value, number
from snncc.ir import ops
from snncc.ir.graph import Shape

_COPIES = ("reshape", "permute", "expand", "slice", "mask")
"""What is 1 or 0 after these was 1 or 0 before."""


def is_truth(b: Builder, x: Operand) -> bool:
    """Whether a value is 1 or 0 because it is a comparison, or made of comparisons."""
    if not isinstance(x, Dynamic):
        return False
    made = b.made(x)
    if made.kind in _COPIES:
        shape = x.shape
        return all(is_truth(b, Dynamic(name, shape)) for name in made.inputs)
    return made.kind == "compare"


def truth(b: Builder, x: Value, out: Shape) -> Value:
    """Return 1 where ``x`` is not 0, else 0."""
    known = b.signs.get(x.name) if isinstance(x, Dynamic) and x.shape == out else None
    if known is not None and not is_truth(b, x):
        below, at, above = (float(each != 0) for each in known.values)
        return signed(b, known.x, known.mark, (below, at, above))
    return x if is_truth(b, x) else _inverse(b, _equal(b, {"self": x, "other": 0.0}, out))


def _above(b: Builder, x: Operand, y: Operand, strict: bool, out: Shape) -> Value:
    """Return ``x >= y``, or ``x > y`` where ``strict``; one of them is computed."""
    high, low = as_number(y), as_number(x)
    if high is not None and isinstance(x, Dynamic):
        return _compared(b, x, high, strict, out)
    if low is not None and isinstance(y, Dynamic):
        return _compared(b, _negated(b, y), -low, strict, out)
    return _compared(b, b.emit(ops.Add, _value(x), _negated(b, _value(y))), 0.0, strict, out)


def _compared(b: Builder, x: Value, threshold: float, strict: bool, out: Shape) -> Value:
    x = b.dynamic(x)
    wide = x if x.shape == out else b.emit(ops.Expand, x, shape=out)
    return compared(b, wide, threshold, strict)


def _value(x: Operand) -> Value:
    return number(x) if isinstance(x, int | float) else x


def _negated(b: Builder, x: Value) -> Value:
    return Static(-x.tensor) if isinstance(x, Static) else b.emit(ops.Scale, x, factor=-1.0)


def _inverse(b: Builder, x: Value) -> Value:
    return b.emit(ops.Add, _negated(b, x), number(1))


def _comparison(*, turned: bool, strict: bool) -> Callable[[Builder, Arguments, Shape], Value]:
    def convert(b: Builder, a: Arguments, out: Shape) -> Value:
        x, y = (a["other"], a["self"]) if turned else (a["self"], a["other"])
        return _above(b, x, y, strict, out)

    return convert


def _equal(b: Builder, a: Arguments, out: Shape) -> Value:
    x, y = a["self"], a["other"]
    made = b.emit(ops.Mask, _above(b, x, y, False, out), _above(b, y, x, False, out))
    mark = as_number(y)
    if isinstance(x, Dynamic) and x.shape == out and mark is not None:
        note(b, made, x, mark, (0.0, 1.0, 0.0))
    return made


def _unequal(b: Builder, a: Arguments, out: Shape) -> Value:
    return _inverse(b, _equal(b, a, out))


def _not(b: Builder, a: Arguments, out: Shape) -> Value:
    x = a["self"]
    return _inverse(b, x) if is_truth(b, x) else _equal(b, {"self": x, "other": 0.0}, out)


def _bitwise_not(b: Builder, a: Arguments, out: Shape) -> Any:
    return _not(b, a, out) if is_truth(b, a["self"]) else NotImplemented


def _and(b: Builder, a: Arguments, out: Shape) -> Any:
    x, y = a["self"], a["other"]
    return b.emit(ops.Mask, x, y) if is_truth(b, x) and is_truth(b, y) else NotImplemented


def sign(b: Builder, a: Arguments, out: Shape) -> Value:
    """Return 1 above zero less 1 below it."""
    above, below = _above(b, a["self"], 0.0, True, out), _above(b, 0.0, a["self"], True, out)
    made = b.emit(ops.Add, above, _negated(b, below))
    note(b, made, b.dynamic(a["self"]), 0.0, (-1.0, 0.0, 1.0))
    return made


def _heaviside(b: Builder, a: Arguments, out: Shape) -> Any:
    at_zero, x = as_number(a["values"]), a["self"]
    if at_zero is None or not math.isfinite(at_zero) or not isinstance(x, Dynamic):
        return NotImplemented
    wide = x if x.shape == out else b.emit(ops.Expand, x, shape=out)
    return signed(b, wide, 0.0, (0.0, at_zero, 1.0))


def _where(b: Builder, a: Arguments, out: Shape) -> Any:
    condition, x, y = a["condition"], a.get("self"), a.get("other")
    if not isinstance(condition, Dynamic):
        fixed = as_number(condition)
        chosen = x if fixed else y
        whole = isinstance(chosen, Dynamic) and chosen.shape == out
        return chosen if fixed is not None and whole else NotImplemented
    chooser = truth(b, condition, condition.shape)
    return _chosen(b, chooser, x, y, out)


def _chosen(b: Builder, chooser: Value, x: Any, y: Any, out: Shape) -> Any:
    """Return ``chooser x + (1 - chooser) y``."""
    if any(n is not None and not math.isfinite(n) for n in (as_number(x), as_number(y))):
        return NotImplemented
    parts = [_product(b, chooser, x), _product(b, _inverse(b, chooser), y)]
    kept = [part for part in parts if part is not None]
    if not kept:
        return NotImplemented
    total = kept[0] if len(kept) == 1 else b.emit(ops.Add, *kept)
    return total if total.shape == out else b.emit(ops.Expand, total, shape=out)


def _product(b: Builder, chooser: Value, x: Operand) -> Value | None:
    factor = as_number(x)
    if factor is None:
        return b.emit(ops.Mask, _value(x), chooser)
    if factor == 1:
        return chooser
    return None if factor == 0 else b.emit(ops.Scale, chooser, factor=factor)


def _masked_fill(b: Builder, a: Arguments, out: Shape) -> Any:
    return _where(b, {"condition": a["mask"], "self": a["value"], "other": a["self"]}, out)


def index_put(b: Builder, a: Arguments, out: Shape) -> Any:
    """``x[x > 1] = 0``: one mask for all places, one number for all that it holds."""
    masks, value = a["indices"], a["values"]
    if len(masks) != 1 or a.get("accumulate") or as_number(value) is None:
        return NotImplemented
    if not is_truth(b, masks[0]) or masks[0].shape != out:
        return NotImplemented
    return _masked_fill(b, {"self": a["self"], "mask": masks[0], "value": value}, out)


def cast(b: Builder, x: Value, dtype: torch.dtype | None, out: Shape) -> Any:
    """Return a value in another type; to integers only a count, or what is 1 or 0."""
    if dtype is None or dtype.is_floating_point or is_truth(b, x):
        return x
    if dtype is not torch.bool and isinstance(x, Dynamic) and b.made(x).kind == "count":
        return x
    known = b.signs.get(x.name) if isinstance(x, Dynamic) else None
    if dtype is not torch.bool and known and all(_holds(dtype, each) for each in known.values):
        return x
    return truth(b, x, out) if dtype is torch.bool else NotImplemented


def _holds(dtype: torch.dtype, number: float) -> bool:
    """Whether an integer type has a number: one without a sign turns -1 into its largest."""
    limits = torch.iinfo(dtype)
    return number.is_integer() and limits.min <= number <= limits.max


_ABOVE = {"gt": True, "ge": False, "greater": True, "greater_equal": False}
_BELOW = {"lt": True, "le": False, "less": True, "less_equal": False}

CONVERTERS: Mapping[str, Callable[[Builder, Arguments, Shape], Any]] = {
    **{f"aten.{n}": _comparison(turned=False, strict=strict) for n, strict in _ABOVE.items()},
    **{f"aten.{n}": _comparison(turned=True, strict=strict) for n, strict in _BELOW.items()},
    "aten.eq": _equal,
    "aten.ne": _unequal,
    "aten.logical_not": _not,
    "aten.bitwise_not": _bitwise_not,
    "aten.logical_and": _and,
    "aten.bitwise_and": _and,
    "aten.__and__": _and,
    "aten.heaviside": _heaviside,
    "aten.where": _where,
    "aten.masked_fill": _masked_fill,
}
