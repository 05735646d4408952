"""The ops that are neither products nor neurons: sums, pools, views, in ONNX's own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from snncc.backends.onnx.draft import EXACT_DOUBLE, EXACT_FLOAT, Draft, common, refused, width_of
from snncc.backends.onnx.products import sums_of_windows
from snncc.backends.onnx.sheet import DOUBLE, FLOAT, INT32, INT64, INTEGERS, UINT8, Tensor
from snncc.ir.graph import Array, Op, Shape
from snncc.ir.ops import (
    AvgPool,
    Concat,
    Constant,
    Expand,
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

_MOST_AXES = 3


def write_constant(draft: Draft, op: Constant) -> None:
    """A stored tensor with one sample."""
    value = draft.weight(op.value)
    kind = draft.width(op.name) if value.dtype.kind in "iub" else DOUBLE
    row = value.astype({INT32: np.int32, INT64: np.int64}.get(kind, np.float64))[None]
    name = draft.store.put(op.name, row)
    draft.values[op.name] = Tensor(name, kind, draft.root, batched=False)


def write_same(draft: Draft, op: Op) -> None:
    """The value itself under a second name; nothing is written."""
    draft.values[op.name] = draft.value(op)


def write_add(draft: Draft, op: Op) -> None:
    """``Add`` in integers that hold the sum, or in float64."""
    _elementwise(draft, op, "Add")


def write_mask(draft: Draft, op: Op) -> None:
    """``Mul`` in integers that hold the product, or in float64."""
    _elementwise(draft, op, "Mul")


def _elementwise(draft: Draft, op: Op, kind: str) -> None:
    values = [draft.values[name] for name in op.inputs]
    wide = DOUBLE if DOUBLE in {v.kind for v in values} else _operands_width(draft, op)
    operands = [draft.sheet.cast(value, wide) for value in values]
    made = draft.sheet.node(kind, draft.aligned(op, operands), f"{op.name}/made", op.source.module)
    draft.put(op, made, wide)


def _operands_width(draft: Draft, op: Op) -> int:
    return width_of(max(draft.largest(name) for name in (op.name, *op.inputs)), op)


def write_scale(draft: Draft, op: Scale) -> None:
    """An integer factor of integers stays integer; any other is a product in float64."""
    value, factor = draft.value(op), float(op.factor)
    whole = value.kind in INTEGERS and factor.is_integer() and draft.is_whole(op.name)
    kind = _operands_width(draft, op) if whole else DOUBLE
    number = draft.store.number(int(factor) if whole else factor, kind)
    operand = draft.sheet.cast(value, kind).name
    draft.put(op, draft.sheet.node("Mul", [operand, number], f"{op.name}/made"), kind)


def write_round_shift(draft: Draft, op: RoundShift) -> None:
    """``z >> bits`` with ``z = x + half``: ``(z - z mod 2**bits) / 2**bits``, of negatives too."""
    half, kind, sheet = 1 << (op.bits - 1), INT64, draft.sheet
    if draft.largest(op.inputs[0]) + 2 * half < 2**31:
        kind = INT32
    x, base = draft.whole(op, 0, kind), draft.store.number(1 << op.bits, kind)
    z = sheet.node("Add", [x.name, draft.store.number(half, kind)], f"{op.name}/raised")
    rest = sheet.node("Mod", [z, base], f"{op.name}/rest")
    floor = sheet.node("Sub", [z, rest], f"{op.name}/floor")
    draft.put(op, sheet.node("Div", [floor, base], f"{op.name}/made", op.source.module), kind)


def write_sum(draft: Draft, op: Sum) -> None:
    """``ReduceSum``."""
    value = draft.value(op)
    kind = DOUBLE if value.kind == DOUBLE else _operands_width(draft, op)
    operand = draft.sheet.cast(value, kind)
    axes = draft.store.vector([a + 1 for a in op.axes])
    made = draft.sheet.node(
        "ReduceSum", [operand.name, axes], f"{op.name}/made", op.source.module,
        keepdims=int(op.keepdims),
    )  # fmt: skip
    draft.put(op, made, operand.kind)


def write_max_pool(draft: Draft, op: MaxPool) -> None:
    """``MaxPool`` in uint8, or in floats that hold the integers; ONNX knows no others."""
    value, axes = draft.value(op), len(op.kernel)
    if axes > _MOST_AXES:
        raise refused(op, f"has windows over {axes} axes, onnxruntime computes {_MOST_AXES}")
    kind = _pooled_kind(draft, op, value)
    image, shape = _planes(draft, op, draft.sheet.cast(value, kind), axes)
    pads = _ends(op, shape[-axes:], draft.shape(op.name)[-axes:])
    made = draft.sheet.node(
        "MaxPool", [image.name], f"{op.name}/made", op.source.module, kernel_shape=list(op.kernel),
        strides=list(op.stride), dilations=list(op.dilation), pads=[*op.padding, *pads],
    )  # fmt: skip
    pooled = _unplaned(draft, op, Tensor(made, kind, draft.sheet, value.batched), axes)
    draft.put(op, draft.sheet.cast(pooled, value.kind).name, value.kind)


def _pooled_kind(draft: Draft, op: Op, value: Tensor) -> int:
    if value.kind in (UINT8, DOUBLE):
        return value.kind
    largest = draft.largest(op.inputs[0])
    if largest >= EXACT_DOUBLE:
        raise refused(op, f"compares integers up to {largest}, wanted less than 2**53")
    return FLOAT if largest < EXACT_FLOAT else DOUBLE


def _ends(op: MaxPool, size: Shape, counts: Shape) -> list[int]:
    """Return the padding behind each axis that leaves room for the last window."""
    spans = [d * (k - 1) + 1 for k, d in zip(op.kernel, op.dilation, strict=True)]
    each = zip(counts, op.stride, spans, size, op.padding, strict=True)
    return [max(p, (count - 1) * s + span - n - p) for count, s, span, n, p in each]


def write_avg_pool(draft: Draft, op: AvgPool) -> None:
    """The sum of each window in float32, exact, by its number of places in float64."""
    axes = len(op.kernel)
    if op.ceil_mode or axes > _MOST_AXES:
        raise refused(op, "has windows that onnxruntime does not place as PyTorch does")
    places = math.prod(op.kernel)
    if draft.largest(op.inputs[0]) * places >= EXACT_FLOAT:
        raise refused(op, "has sums beyond 2**24, the exact integers of float32")
    image, _ = _planes(draft, op, draft.whole(op), axes, channels=1)
    pads = [*op.padding, *op.padding]
    sums = sums_of_windows(draft, op, image, op.kernel, strides=list(op.stride), pads=pads)
    wide = draft.sheet.cast(_unplaned(draft, op, sums, axes, channels=1), DOUBLE)
    divisor = draft.store.put(f"{op.name}.places", _places(draft, op))
    made = draft.sheet.node("Div", [wide.name, divisor], f"{op.name}/made", op.source.module)
    draft.put(op, made, DOUBLE)


def _places(draft: Draft, op: AvgPool) -> Array:
    """How many places each window averages."""
    if op.count_include_pad or not any(op.padding):
        return np.array(float(math.prod(op.kernel)))
    size = draft.shape(op.inputs[0])[-len(op.kernel) :]
    places = np.ones(())
    for n, k, stride, padding in zip(size, op.kernel, op.stride, op.padding, strict=True):
        first = np.arange(0, n + 2 * padding - k + 1, stride) - padding
        inside = np.minimum(first + k, n) - np.maximum(first, 0)
        places = np.multiply.outer(places, inside.clip(0))
    return places


def _planes(
    draft: Draft, op: Op, value: Tensor, axes: int, channels: int | None = None
) -> tuple[Tensor, Shape]:
    """Return a value as ``[M, C, *positions]``, and the shape that it had."""
    shape = draft.shape(op.inputs[0])
    if len(shape) == axes + 1 and channels is None:
        return value, shape
    flat = (-1, 1, *shape[-axes:])
    return draft.sheet.reshaped(value, flat, f"{op.name}/planes"), shape


def _unplaned(
    draft: Draft, op: Op, value: Tensor, axes: int, channels: int | None = None
) -> Tensor:
    shape = draft.shape(op.name)
    if len(shape) == axes + 1 and channels is None:
        return value
    return draft.sheet.reshaped(value, (-1, *shape), f"{op.name}/made_of_planes")


def write_pad(draft: Draft, op: Pad) -> None:
    """``Pad`` with zeros; a border of other numbers is taken off first and added after."""
    rank, n = len(draft.shape(op.name)), len(op.before)
    lead = [0] * (rank + 1 - n)
    pads = draft.store.vector([*lead, *op.before, *lead, *op.after])
    value = draft.value(op)
    border = None if op.value is None else draft.weight(op.value)
    if border is None:
        made = draft.sheet.node("Pad", [value.name, pads], f"{op.name}/made", op.source.module)
        draft.put(op, made, value.kind)
        return
    if border.dtype.kind != "i":
        raise refused(op, f"has a border of {border.dtype}, wanted integers")
    largest = draft.largest(op.inputs[0]) + 2 * int(np.abs(border.astype(np.int64)).max(initial=0))
    kind = width_of(largest, op)
    column = border.reshape(*border.shape, *(1,) * n) if border.ndim else border
    row = draft.store.put(
        f"{op.name}.value", column.astype(np.int32 if kind == INT32 else np.int64)
    )
    inner = draft.sheet.node("Sub", [draft.whole(op, 0, kind).name, row], f"{op.name}/inner")
    zeros = draft.sheet.node("Pad", [inner, pads], f"{op.name}/padded", op.source.module)
    draft.put(op, draft.sheet.node("Add", [zeros, row], f"{op.name}/made"), kind)


def write_thermometer(draft: Draft, op: Thermometer) -> None:
    """``x > j`` for each level j on a new axis behind the batch."""
    x, rank = draft.whole(op), len(draft.shape(op.inputs[0]))
    levels = np.arange(op.levels).reshape(-1, *(1,) * rank)
    row = draft.store.put(
        f"{op.name}.levels", levels.astype(np.int32 if x.kind == INT32 else np.int64)
    )
    column = draft.sheet.node("Unsqueeze", [x.name, draft.store.vector([1])], f"{op.name}/column")
    above = draft.sheet.node("Greater", [column, row], f"{op.name}/above", op.source.module)
    draft.put(op, draft.sheet.node("Cast", [above], f"{op.name}/made", to=UINT8), UINT8)


def write_reshape(draft: Draft, op: Reshape) -> None:
    """``Reshape``; 0 keeps the batch."""
    _view(draft, op, "Reshape", draft.store.vector([0, *op.shape]))


def write_permute(draft: Draft, op: Permute) -> None:
    """``Transpose``."""
    _view(draft, op, "Transpose", perm=[0, *(a + 1 for a in op.order)])


def write_expand(draft: Draft, op: Expand) -> None:
    """``Expand``, new axes behind the batch."""
    missing = len(op.shape) - len(draft.shape(op.inputs[0]))
    value = draft.value(op)
    if missing:
        axes = draft.store.vector(range(1, missing + 1))
        name = draft.sheet.node("Unsqueeze", [value.name, axes], f"{op.name}/column")
    else:
        name = value.name
    shape = draft.store.vector([1, *op.shape])
    made = draft.sheet.node("Expand", [name, shape], f"{op.name}/made", op.source.module)
    draft.put(op, made, value.kind)


def write_slice(draft: Draft, op: Slice) -> None:
    """``Slice`` of one axis."""
    numbers = (op.start, op.stop, op.axis + 1, op.step)
    _view(draft, op, "Slice", *(draft.store.vector([n]) for n in numbers))


def write_concat(draft: Draft, op: Concat) -> None:
    """``Concat`` in one type; a constant has one sample, whatever the batch."""
    values = [draft.values[name] for name in op.inputs]
    kind = common(v.kind for v in values)
    same = len({v.batched for v in values}) == 1
    names = []
    for i, (name, value) in enumerate(zip(op.inputs, values, strict=True)):
        each = draft.sheet.cast(value, kind)
        if not same and not value.batched:
            shape = draft.batch_shape(draft.shape(name))
            spread = draft.sheet.node("Expand", [each.name, shape], f"{op.name}/operand{i}")
        else:
            spread = each.name
        names.append(spread)
    made = draft.sheet.node("Concat", names, f"{op.name}/made", op.source.module, axis=op.axis + 1)
    draft.put(op, made, kind)


def _view(draft: Draft, op: Op, kind: str, *numbers: str, **fields: Any) -> None:
    value = draft.value(op)
    inputs = [value.name, *numbers]
    made = draft.sheet.node(kind, inputs, f"{op.name}/made", op.source.module, **fields)
    draft.put(op, made, value.kind)
