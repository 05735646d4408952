"""Operators that move values about: reshapes, permutations, slices, expansions, concatenations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any

import torch

from snncc.frontends.build import Builder, Dynamic, Static, Value
from snncc.ir import ops
from snncc.ir.graph import Shape

Arguments = Mapping[str, Any]


def reshaped(b: Builder, x: Value, shape: Shape) -> Value:
    """Return ``x`` under another shape; no op where it has that shape."""
    if isinstance(x, Static):
        return Static(x.tensor.reshape(shape))
    return x if x.shape == tuple(shape) else b.emit(ops.Reshape, x, shape=tuple(shape))


def permuted(b: Builder, x: Value, order: Shape) -> Value:
    """Return ``x`` with its axes in another order; no op where that is the order."""
    if isinstance(x, Static):
        return Static(x.tensor.permute(order))
    return x if order == tuple(range(len(order))) else b.emit(ops.Permute, x, order=order)


def swapped(b: Builder, x: Value, one: int, other: int) -> Value:
    """Return ``x`` with two axes exchanged."""
    order = list(range(len(x.shape)))
    order[one], order[other] = order[other], order[one]
    return permuted(b, x, tuple(order))


def sliced(b: Builder, x: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
    """Return some places of one axis; no op where they are all of them."""
    if (start, stop, step) == (0, x.shape[axis], 1):
        return x
    if isinstance(x, Static):
        return Static(x.tensor.transpose(0, axis)[start:stop:step].transpose(0, axis))
    return b.emit(ops.Slice, x, axis=axis, start=start, stop=stop, step=step)


def _reshape(b: Builder, a: Arguments, out: Shape) -> Value:
    return reshaped(b, a["self"], out)


def _view(b: Builder, a: Arguments, out: Shape) -> Any:
    return NotImplemented if "size" not in a else reshaped(b, a["self"], out)


def _permute(b: Builder, a: Arguments, out: Shape) -> Value:
    return permuted(b, a["self"], tuple(d % len(out) for d in a["dims"]))


def _transpose(b: Builder, a: Arguments, out: Shape) -> Value:
    return swapped(b, a["self"], a["dim0"], a["dim1"])


def _t(b: Builder, a: Arguments, out: Shape) -> Value:
    return swapped(b, a["self"], 0, 1) if len(out) == 2 else a["self"]


def expanded(b: Builder, x: Value, shape: Shape) -> Value:
    """Return ``x`` broadcast to a shape; no op where it has that shape."""
    return x if x.shape == shape else b.emit(ops.Expand, x, shape=shape)


def _expand(b: Builder, a: Arguments, out: Shape) -> Value:
    return expanded(b, a["self"], out)


def _repeat(b: Builder, a: Arguments, out: Shape) -> Value:
    """Each axis that is repeated gets one in front of it, which is expanded, then merged."""
    times = tuple(a["repeats"])
    shape = (1,) * (len(times) - len(a["self"].shape)) + a["self"].shape
    split, wide = [], []
    for t, n in zip(times, shape, strict=True):
        split += [n] if 1 in (t, n) else [1, n]
        wide += [t * n] if 1 in (t, n) else [t, n]
    x = a["self"] if tuple(split) == shape else reshaped(b, a["self"], tuple(split))
    expanded = x if tuple(wide) == x.shape else b.emit(ops.Expand, x, shape=tuple(wide))
    return reshaped(b, expanded, out)


def _slice(b: Builder, a: Arguments, out: Shape) -> Value:
    axis = a["dim"] % len(a["self"].shape)
    places = a["self"].shape[axis]
    start, stop, _ = slice(a["start"], a["end"]).indices(places)
    return sliced(b, a["self"], axis, start, max(start, stop), a["step"])


def _select(b: Builder, a: Arguments, out: Shape) -> Value:
    axis = a["dim"] % len(a["self"].shape)
    place = a["index"] % a["self"].shape[axis]
    return reshaped(b, sliced(b, a["self"], axis, place, place + 1), out)


def _pieces(b: Builder, x: Value, axis: int, widths: list[int]) -> list[Value]:
    starts = [0, *accumulate(widths)][:-1]
    return [sliced(b, x, axis, start, start + n) for start, n in zip(starts, widths, strict=True)]


def _split(b: Builder, a: Arguments, out: Shape) -> list[Value]:
    x = a["self"]
    axis = a["dim"] % len(x.shape)
    places, width = x.shape[axis], a.get("split_size", a.get("split_sizes"))
    if isinstance(width, int):
        width = [min(width, places - start) for start in range(0, places, width)]
    return _pieces(b, x, axis, list(width))


def _chunk(b: Builder, a: Arguments, out: Shape) -> list[Value]:
    places = a["self"].shape[a["dim"]]
    return _split(b, {**a, "split_size": -(-places // a["chunks"])}, out)


def _unbind(b: Builder, a: Arguments, out: Shape) -> list[Value]:
    x = a["self"]
    axis = a["dim"] % len(x.shape)
    rest = x.shape[:axis] + x.shape[axis + 1 :]
    return [reshaped(b, p, rest) for p in _pieces(b, x, axis, [1] * x.shape[axis])]


def _cat(b: Builder, a: Arguments, out: Shape) -> Value:
    parts = [p for p in a["tensors"] if p.shape != (0,)]
    return b.emit(ops.Concat, *parts, axis=a["dim"] % len(out))


def _stack(b: Builder, a: Arguments, out: Shape) -> Value:
    axis = a["dim"] % len(out)
    parts = [reshaped(b, p, (*p.shape[:axis], 1, *p.shape[axis:])) for p in a["tensors"]]
    return b.emit(ops.Concat, *parts, axis=axis)


def _filled(fill: float) -> Callable[[Builder, Arguments, Shape], Value]:
    def convert(b: Builder, a: Arguments, out: Shape) -> Value:
        value = a.get("fill_value", fill)
        return NotImplemented if isinstance(value, Dynamic) else _constant(value, out)

    return convert


def _constant(value: float, shape: Shape) -> Static:
    return Static(torch.full((), float(value), dtype=torch.float64).expand(shape))


FILLED = frozenset(
    f"aten.{name}"
    for name in ("zeros", "ones", "full", "zeros_like", "ones_like", "full_like", "new_zeros",
                 "new_ones", "new_full")
)  # fmt: skip
"""Operators that give one number in many places: none of them is stored more than once."""

CONVERTERS: Mapping[str, Callable[[Builder, Arguments, Shape], Any]] = {
    "aten.view": _view,
    "aten._unsafe_view": _reshape,
    "aten.reshape": _reshape,
    "aten._reshape_copy": _reshape,
    "aten.flatten": _reshape,
    "aten.unflatten": _reshape,
    "aten.unsqueeze": _reshape,
    "aten.squeeze": _reshape,
    "aten.squeeze_copy": _reshape,
    "aten.unsqueeze_copy": _reshape,
    "aten.view_copy": _view,
    "aten.permute": _permute,
    "aten.permute_copy": _permute,
    "aten.transpose": _transpose,
    "aten.transpose_copy": _transpose,
    "aten.t": _t,
    "aten.t_copy": _t,
    "aten.expand": _expand,
    "aten.expand_copy": _expand,
    "aten.expand_as": _expand,
    "aten.repeat": _repeat,
    "aten.slice": _slice,
    "aten.slice_copy": _slice,
    "aten.select": _select,
    "aten.select_copy": _select,
    "aten.split": _split,
    "aten.split_with_sizes": _split,
    "aten.split_copy": _split,
    "aten.split_with_sizes_copy": _split,
    "aten.chunk": _chunk,
    "aten.unbind": _unbind,
    "aten.unbind_copy": _unbind,
    "aten.cat": _cat,
    "aten.stack": _stack,
    "aten.zeros": _filled(0.0),
    "aten.ones": _filled(1.0),
    "aten.full": _filled(0.0),
    "aten.zeros_like": _filled(0.0),
    "aten.ones_like": _filled(1.0),
    "aten.full_like": _filled(0.0),
    "aten.new_zeros": _filled(0.0),
    "aten.new_ones": _filled(1.0),
    "aten.new_full": _filled(0.0),
}
