"""What each op computes, in numpy: one function an op, for floats and for exact integers.

Arrays carry ``lead`` extra axes in front of the shape that the graph states: none on the tensor
level, the batch on the step level, time and batch where all steps are computed at once. Integer
arrays give exact integers: products run in floating point only below the bound up to which its
integers have no gaps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from snncc.ir.compare import Compare, Count, rounded
from snncc.ir.graph import Array, IRError, Op, Shape, Weights
from snncc.ir.inference import window_positions
from snncc.ir.memory import count_type
from snncc.ir.ops import (
    AvgPool,
    BatchNorm,
    Concat,
    Constant,
    Conv,
    Expand,
    Linear,
    MaxPool,
    Permute,
    Reshape,
    RoundShift,
    Scale,
    Slice,
    Sum,
)
from snncc.ir.pad import Pad
from snncc.ir.substeps import Thermometer


def is_integral(array: Array) -> bool:
    """Whether the array holds integers by type."""
    return array.dtype.kind in "iub"


def exact_matmul(a: Array, b: Array) -> Array:
    """Return ``a @ b``; exact for integers, in float64 for floats.

    Integers run through floating-point BLAS where ``K max|a| max|b|`` stays below 2**24 (float32)
    or 2**53 (float64), so that every partial sum is an exact integer; else in 64-bit integers.
    """
    if not (is_integral(a) and is_integral(b)):
        return np.matmul(a.astype(np.float64), b.astype(np.float64))
    bound = a.shape[-1] * _magnitude(a) * _magnitude(b)
    if bound < 2**24:
        return np.matmul(a.astype(np.float32), b.astype(np.float32)).astype(np.int64)
    if bound < 2**53:
        return np.matmul(a.astype(np.float64), b.astype(np.float64)).astype(np.int64)
    return np.matmul(a.astype(np.int64), b.astype(np.int64))


def _magnitude(array: Array) -> int:
    return max(abs(int(array.max())), abs(int(array.min()))) if array.size else 0


def apply(op: Op, inputs: tuple[Array, ...], weights: Weights, lead: int) -> Array:
    """Return the op's result; what has a state, inputs and the axis of time are the caller's.

    Raises ``IRError`` for an op that cannot be computed.
    """
    if op.kind not in _TABLE:
        raise IRError(f"`{op.name}`: {op.kind} cannot be computed ({op.source.module})")
    arrays: Mapping[str, Array] = weights  # type: ignore[assignment]
    return _TABLE[op.kind](op, inputs, arrays, lead)


def _conv(op: Conv, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int) -> Array:
    weight = weights[op.weight]
    n = weight.ndim - 2
    x = inputs[0]
    outer = x.shape[: -n - 1]
    columns = _windows(
        x.reshape(-1, *x.shape[-n - 1 :]), weight.shape[2:], op.stride, op.padding, op.dilation
    )
    positions = columns.shape[2 : 2 + n]
    y = _grouped_product(columns, weight, op.groups)
    y = _shift_and_bias(y, weights[op.bias] if op.bias else None, op.shift, axis=1)
    return y.reshape(*outer, weight.shape[0], *positions)


def _grouped_product(columns: Array, weight: Array, groups: int) -> Array:
    """Contract windows ``(M, C, *positions, *kernel)`` with the weight: ``(M, C_out, P)``."""
    n = weight.ndim - 2
    samples, taps = columns.shape[0], math.prod(weight.shape[1:])
    order = (0, 1, *range(2 + n, 2 + 2 * n), *range(2, 2 + n))
    split = columns.transpose(order).reshape(samples, groups, taps, -1)
    rows = weight.reshape(groups, -1, taps)
    return exact_matmul(rows, split).reshape(samples, weight.shape[0], -1)


def _windows(
    x: Array, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, fill: float = 0
) -> Array:
    """Return all windows of ``(M, C, *positions)`` as a view ``(M, C, *positions', *kernel)``."""
    n = len(kernel)
    if any(padding):
        pads = ((0, 0), (0, 0), *((p, p) for p in padding))
        x = np.pad(x, pads, constant_values=fill)
    span = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(x, span, axis=tuple(range(2, 2 + n)))
    steps = tuple(slice(None, None, s) for s in stride)
    taps = tuple(slice(None, None, d) for d in dilation)
    return view[(slice(None), slice(None), *steps, *taps)]


def _shift_and_bias(y: Array, bias: Array | None, shift: int, axis: int) -> Array:
    y = y << shift if shift else y
    if bias is None:
        return y
    shape = [1] * y.ndim
    shape[axis] = -1
    return y + bias.reshape(shape)


def _linear(
    op: Linear, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int
) -> Array:
    y = exact_matmul(inputs[0], weights[op.weight].T)
    return _shift_and_bias(y, weights[op.bias] if op.bias else None, op.shift, axis=-1)


def _batch_norm(
    op: BatchNorm, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int
) -> Array:
    scale, offset = batch_norm_affine(op, weights)
    shape = [1] * inputs[0].ndim
    shape[op.axis + lead] = -1
    return inputs[0] * scale.reshape(shape) + offset.reshape(shape)


def batch_norm_affine(op: BatchNorm, weights: Mapping[str, Array]) -> tuple[Array, Array]:
    """Return ``s, o`` with ``BN(x) = s x + o``, in float64, one of each a channel."""
    mean, var = weights[op.mean].astype(np.float64), weights[op.var].astype(np.float64)
    scale = 1 / np.sqrt(var + op.eps)
    if op.gamma:
        scale = scale * weights[op.gamma]
    offset = -mean * scale
    return scale, offset + weights[op.beta] if op.beta else offset


def _align(inputs: tuple[Array, ...], lead: int) -> list[Array]:
    """Give all arrays the same rank, with new axes behind the leading ones."""
    rank = max(x.ndim for x in inputs)
    return [x.reshape(*x.shape[:lead], *(1,) * (rank - x.ndim), *x.shape[lead:]) for x in inputs]


def _add(op: Op, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int) -> Array:
    a, b = _align(inputs, lead)
    narrow = is_integral(a) and is_integral(b)
    return a.astype(np.int64) + b if narrow else a + b


def _mask(op: Op, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int) -> Array:
    a, b = _align(inputs, lead)
    return a.astype(np.int64) * b if is_integral(a) and is_integral(b) else a * b


def _matmul(op: Op, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int) -> Array:
    a, b = _align(inputs, lead)
    return exact_matmul(a, b)


def _max_pool(
    op: MaxPool, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int
) -> Array:
    x = inputs[0]
    lowest = np.iinfo(x.dtype).min if is_integral(x) else -np.inf
    windows = _pool_windows(x, op.kernel, op.stride, op.padding, op.dilation, op.ceil_mode, lowest)
    n = len(op.kernel)
    pooled = windows.max(axis=tuple(range(-n, 0)))
    return pooled.reshape(*x.shape[:-n], *pooled.shape[2:])


def _avg_pool(
    op: AvgPool, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int
) -> Array:
    n, ones = len(op.kernel), (1,) * len(op.kernel)
    x = inputs[0].astype(np.float64)
    if op.ceil_mode:
        raise IRError(f"`{op.name}`: an average pool with ceil_mode cannot be computed")
    windows = _pool_windows(x, op.kernel, op.stride, op.padding, ones, False, 0)
    sums = windows.sum(axis=tuple(range(-n, 0)))
    full = math.prod(op.kernel)
    if not op.count_include_pad and any(op.padding):
        inside = np.ones((1, 1, *x.shape[-n:]))
        places = _pool_windows(inside, op.kernel, op.stride, op.padding, ones, False, 0)
        return (sums / places.sum(axis=tuple(range(-n, 0)))).reshape(*x.shape[:-n], *sums.shape[2:])
    return (sums / full).reshape(*x.shape[:-n], *sums.shape[2:])


def _pool_windows(
    x: Array,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
    ceil_mode: bool,
    fill: float,
) -> Array:
    """Return the windows of a pool; with ``ceil_mode`` the last ones reach over the border."""
    n = len(kernel)
    flat = x.reshape(-1, 1, *x.shape[-n:])
    counts = window_positions(x.shape[-n:], kernel, stride, padding, dilation, ceil_mode)
    geometry = zip(counts, kernel, stride, padding, dilation, x.shape[-n:], strict=True)
    over = [max(0, (c - 1) * s + d * (k - 1) + 1 - m - 2 * p) for c, k, s, p, d, m in geometry]
    if any(over):
        pads = ((0, 0), (0, 0), *((p, p + o) for p, o in zip(padding, over, strict=True)))
        flat, padding = np.pad(flat, pads, constant_values=fill), (0,) * n
    return _windows(flat, kernel, stride, padding, dilation, fill)


def _constant(
    op: Constant, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int
) -> Array:
    value = weights[op.value]
    exact = value if is_integral(value) else value.astype(np.float64)
    return exact.reshape((1,) * lead + value.shape)


def _scale(op: Scale, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int) -> Array:
    return inputs[0] * op.factor


def _round_shift(
    op: RoundShift, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int
) -> Array:
    return (inputs[0].astype(np.int64) + (1 << (op.bits - 1))) >> op.bits


def _compare(
    op: Compare, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int
) -> Array:
    return (inputs[0] > op.threshold if op.strict else inputs[0] >= op.threshold).astype(np.int8)


def _count(op: Count, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int) -> Array:
    return rounded(inputs[0], op.levels, op.rounding).astype(count_type(op.levels))


def _sum(op: Sum, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int) -> Array:
    x = inputs[0].astype(np.int64) if is_integral(inputs[0]) else inputs[0]
    return np.asarray(x.sum(axis=tuple(a + lead for a in op.axes), keepdims=op.keepdims))


def _reshape(
    op: Reshape, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int
) -> Array:
    return inputs[0].reshape(*inputs[0].shape[:lead], *op.shape)


def _permute(
    op: Permute, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int
) -> Array:
    return inputs[0].transpose(*range(lead), *(a + lead for a in op.order))


def _expand(
    op: Expand, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int
) -> Array:
    x = inputs[0]
    new = (1,) * (len(op.shape) - (x.ndim - lead))
    aligned = x.reshape(*x.shape[:lead], *new, *x.shape[lead:])
    return np.broadcast_to(aligned, (*x.shape[:lead], *op.shape))


def _slice(op: Slice, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int) -> Array:
    places = (slice(None),) * (op.axis + lead)
    return inputs[0][(*places, slice(op.start, op.stop, op.step))]


def _pad(op: Pad, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int) -> Array:
    x, n = inputs[0], len(op.before)
    value = weights[op.value] if op.value else np.zeros((), np.int8)
    sides = zip(x.shape[x.ndim - n :], op.before, op.after, strict=True)
    shape = (*x.shape[: x.ndim - n], *(p + front + back for p, front, back in sides))
    column = value.reshape(*value.shape, *(1,) * n) if value.ndim else value
    y = np.array(np.broadcast_to(column, shape), np.result_type(x, value))
    inner = zip(x.shape[x.ndim - n :], op.before, strict=True)
    inside: Any = (..., *(slice(front, front + places) for places, front in inner))
    y[inside] = x
    return y


def _thermometer(
    op: Thermometer, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int
) -> Array:
    x = inputs[0]
    levels = np.arange(op.levels).reshape(-1, *(1,) * (x.ndim - lead))
    column = x.reshape(*x.shape[:lead], 1, *x.shape[lead:])
    return (column > levels).astype(np.int8)


def _concat(
    op: Concat, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int
) -> Array:
    # A constant has one sample, whatever the batch.
    axes = np.broadcast_shapes(*(x.shape[:lead] for x in inputs))
    every = [np.broadcast_to(x, (*axes, *x.shape[lead:])) for x in inputs]
    return np.concatenate(every, axis=op.axis + lead)


def _same(op: Op, inputs: tuple[Array, ...], weights: Mapping[str, Array], lead: int) -> Array:
    return inputs[0]


_TABLE: dict[str, Callable[..., Array]] = {
    "constant": _constant,
    "conv": _conv,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "add": _add,
    "scale": _scale,
    "compare": _compare,
    "count": _count,
    "round_shift": _round_shift,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "matmul": _matmul,
    "mask": _mask,
    "sum": _sum,
    "pad": _pad,
    "thermometer": _thermometer,
    "reshape": _reshape,
    "permute": _permute,
    "expand": _expand,
    "slice": _slice,
    "concat": _concat,
    "repeat": _same,
    "delay": _same,
    "output": _same,
}
