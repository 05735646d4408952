"""Products in ONNX, exact by proof; what onnxruntime's CPU kernels compute without loss.

======================  ====================================================================
``ConvInteger``         activations of 0..255 and weights of 8 bits, which are stored with 128
                        added: older versions of onnxruntime know no signed weights here
``MatMulInteger``       activations of 0..128 and signed weights of 8 bits: processors without
                        VNNI add two products in 16 bits, with saturation (onnxruntime pull
                        request 12088), and -2 * 128 * 128 = -2**15 just fits
``Conv``, ``MatMul``    in float32 where every partial sum stays below 2**24
``MatMul``              in int32 or int64, for wider sums
``Conv`` in parts       for wider sums: the input is cut into digits, each of which stays below
======================  ====================================================================

Bounds are those of the executor's kernels: ``max over outputs of sum |w| max |x|``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from snncc.backends.onnx.draft import EXACT_FLOAT, Draft, refused, width_of
from snncc.backends.onnx.sheet import FLOAT, INT8, INT32, INT64, UINT8, Tensor
from snncc.execute.kernels.layer import Layer
from snncc.execute.kernels.products import integer_layer
from snncc.ir.graph import Array, Op, Shape
from snncc.ir.ops import Conv, Linear, MatMul

_LARGEST_BESIDE_SIGNED = 128
ZERO_POINT = 128
"""What is added to the weights of ``ConvInteger``: its zero point."""
_MOST_AXES = 3


def write_weighted(draft: Draft, op: Conv | Linear) -> None:
    """Write a conv or a linear: product, shift, bias."""
    layer = _layer(draft, op)
    raw = _conv(draft, op, layer) if isinstance(op, Conv) else _linear(draft, op, layer)
    bias = None if op.bias is None else draft.weight(op.bias).astype(np.int64)
    offset = 0 if bias is None else int(np.abs(bias).max(initial=0))
    bound = layer.bound or 0
    kind = width_of((bound << op.shift) + offset, op)
    total = draft.sheet.cast(raw, kind).name
    if op.shift:
        factor = draft.store.number(1 << op.shift, kind)
        total = draft.sheet.node("Mul", [total, factor], f"{op.name}/shifted")
    if bias is not None:
        axes = len(draft.weight(op.weight).shape) - 2
        column = bias.reshape(-1, *(1,) * axes)
        stored = column.astype(np.int32 if kind == INT32 else np.int64)
        row = draft.store.put(f"{op.name}.bias", stored)
        total = draft.sheet.node("Add", [total, row], f"{op.name}/biased")
    draft.put(op, total, kind)


def write_matmul(draft: Draft, op: MatMul) -> None:
    """Write a product of two computed values."""
    left, right = (draft.span(name) for name in op.inputs)
    inner = draft.shape(op.inputs[0])[-1]
    bound = inner * draft.largest(op.inputs[0]) * draft.largest(op.inputs[1])
    bytes_ = _is_byte(left) and right[0] >= -128 and right[1] <= 127 and bound < 2**31
    if bytes_:
        kinds, kernel, made = (UINT8, INT8), "MatMulInteger", INT32
    elif bound < EXACT_FLOAT:
        kinds, kernel, made = (FLOAT, FLOAT), "MatMul", FLOAT
    else:
        made = width_of(bound, op)
        kinds, kernel = (made, made), "MatMul"
    operands = [draft.whole(op, i, kind) for i, kind in enumerate(kinds)]
    rows = draft.aligned(op, operands)
    name = draft.sheet.node(kernel, rows, f"{op.name}/product", _paths(op))
    draft.used(_label(kernel, made), op)
    product = _settled(draft, op, Tensor(name, made, draft.sheet))
    draft.put(op, product.name, product.kind)


def sums_of_windows(draft: Draft, op: Op, x: Tensor, kernel: Shape, **geometry: Any) -> Tensor:
    """Return the sums of the windows of planes ``[M, 1, *positions]``, in float32."""
    ones = draft.sheet.stored(f"ones{list(kernel)}", np.ones((1, 1, *kernel), np.float32))
    image = draft.sheet.cast(x, FLOAT)
    made = draft.sheet.node("Conv", [image.name, ones.name], f"{op.name}/sums", **geometry)
    return Tensor(made, FLOAT, draft.sheet, x.batched)


def _layer(draft: Draft, op: Conv | Linear) -> Layer:
    """Return the layer as a kernel sees it, its bounds proved once for all time steps."""
    if op.name not in draft.layers:
        draft.layers[op.name] = _proved(draft, op)
    return draft.layers[op.name]


def _proved(draft: Draft, op: Conv | Linear) -> Layer:
    weight = draft.weight(op.weight)
    if weight.dtype.kind != "i":
        raise refused(op, f"has weights of {weight.dtype}, wanted integers", "compile the model")
    draft.largest(op.inputs[0])
    return integer_layer(op, draft.graph)


def _linear(draft: Draft, op: Linear, layer: Layer) -> Tensor:
    bound = layer.bound or 0
    if _linear_in_bytes(layer):
        kind, kernel, made = UINT8, "MatMulInteger", INT32
    elif bound < EXACT_FLOAT:
        kind, kernel, made = FLOAT, "MatMul", FLOAT
    else:
        made = width_of(bound, op)
        kind, kernel = made, "MatMul"
    columns = draft.root.stored(f"{op.weight}.transposed", layer.weight.T)
    if kernel == "MatMul":
        columns = draft.root.cast(columns, kind)
    x = draft.whole(op, 0, kind)
    inputs = [x.name, columns.name]
    name = draft.sheet.node(kernel, inputs, f"{op.name}/product", _paths(op))
    draft.used(_label(kernel, made), op)
    return _settled(draft, op, Tensor(name, made, draft.sheet, x.batched))


def _conv(draft: Draft, op: Conv, layer: Layer) -> Tensor:
    shape, axes = draft.shape(op.inputs[0]), len(op.stride)
    if axes > _MOST_AXES:
        raise refused(op, f"has windows over {axes} axes, onnxruntime computes {_MOST_AXES}")
    flat = draft.value(op)
    if len(shape) > axes + 1:
        image = (-1, *shape[-axes - 1 :])
        flat = draft.sheet.reshaped(flat, image, f"{op.name}/flat")
    raw = _flat_conv(draft, op, layer, flat)
    if len(shape) > axes + 1:
        raw = draft.sheet.reshaped(raw, (-1, *draft.shape(op.name)), f"{op.name}/unflat")
    return raw


def _flat_conv(draft: Draft, op: Conv, layer: Layer, x: Tensor) -> Tensor:
    geometry = {
        "strides": list(op.stride), "pads": [*op.padding, *op.padding],
        "dilations": list(op.dilation), "group": op.groups,
        "kernel_shape": list(layer.weight.shape[2:]),
    }  # fmt: skip
    if _conv_in_bytes(layer):
        weight = draft.store.once(f"{op.weight}+{ZERO_POINT}", lambda: _raised(layer.weight))
        zeros = [draft.store.number(n, UINT8) for n in (0, ZERO_POINT)]
        inputs = [draft.sheet.cast(x, UINT8).name, weight, *zeros]
        name = f"{op.name}/product"
        made = draft.sheet.node("ConvInteger", inputs, name, _paths(op), **geometry)
        draft.used("ConvInteger", op)
        return Tensor(made, INT32, draft.sheet, x.batched)
    columns = draft.root.cast(draft.root.stored(op.weight, layer.weight), FLOAT)
    if (layer.bound or 0) < EXACT_FLOAT:
        image = draft.sheet.cast(x, FLOAT)
        inputs = [image.name, columns.name]
        made = draft.sheet.node("Conv", inputs, f"{op.name}/product", _paths(op), **geometry)
        draft.used("Conv in float32", op)
        return _settled(draft, op, Tensor(made, FLOAT, draft.sheet, x.batched))
    return _conv_in_digits(draft, op, layer, x, columns, geometry)


def _conv_in_digits(
    draft: Draft, op: Conv, layer: Layer, x: Tensor, columns: Tensor, geometry: dict[str, Any]
) -> Tensor:
    """``w * x`` as a sum over digits of x in a base so small that each product is exact."""
    width_of(layer.bound or 0, op)
    taps, sheet, store = _taps(layer.weight), draft.sheet, draft.store
    bits = ((EXACT_FLOAT - 1) // max(taps, 1)).bit_length() - 1
    if bits < 1:
        raise refused(op, f"adds weights up to {taps}, wanted less than 2**23 for exact floats")
    base, rest = store.number(1 << bits, INT64), sheet.cast(x, INT64).name
    largest = draft.largest(op.inputs[0])
    total, digit = "", 0
    while True:
        last = taps * largest < EXACT_FLOAT
        low = rest if last else sheet.node("Mod", [rest, base], f"{op.name}/digit{digit}")
        image = sheet.node("Cast", [low], f"{op.name}/digit{digit}/float", to=FLOAT)
        sums = sheet.node("Conv", [image, columns.name], f"{op.name}/sums{digit}", **geometry)
        whole = sheet.node("Cast", [sums], f"{op.name}/sums{digit}/int64", to=INT64)
        place = store.number(1 << (bits * digit), INT64)
        part = sheet.node("Mul", [whole, place], f"{op.name}/part{digit}")
        total = sheet.node("Add", [total, part], f"{op.name}/total{digit}") if total else part
        if last:
            draft.used("Conv in float32, by digits", op)
            return Tensor(total, INT64, sheet, x.batched)
        high = sheet.node("Sub", [rest, low], f"{op.name}/high{digit}")
        rest = sheet.node("Div", [high, base], f"{op.name}/rest{digit}")
        # Rounding down moves a negative number away from 0 by less than 1.
        largest, digit = (largest >> bits) + 1, digit + 1


def _settled(draft: Draft, op: Op, product: Tensor) -> Tensor:
    """Return a product as integers: a float32 is one by proof."""
    if product.kind != FLOAT:
        return product
    whole = draft.sheet.node("Cast", [product.name], f"{op.name}/whole", to=INT32)
    return Tensor(whole, INT32, draft.sheet, product.batched)


def _conv_in_bytes(layer: Layer) -> bool:
    """Whether ``ConvInteger`` takes a layer, its sums before the zero point is taken off too."""
    if layer.span is None or layer.weight.dtype != np.int8:
        return False
    places = math.prod(layer.weight.shape[1:])
    return _is_byte(layer.span, 255) and layer.span[1] * 255 * places < 2**31


def _linear_in_bytes(layer: Layer) -> bool:
    """Whether ``MatMulInteger`` takes a layer."""
    fits = layer.span is not None and _is_byte(layer.span) and (layer.bound or 0) < 2**31
    return fits and layer.weight.dtype == np.int8


def _is_byte(span: tuple[int, int], largest: int = _LARGEST_BESIDE_SIGNED) -> bool:
    return span[0] >= 0 and span[1] <= largest


def _raised(weight: Array) -> Array:
    return (weight.astype(np.int16) + ZERO_POINT).astype(np.uint8)


def _taps(weight: Array) -> int:
    rows = np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(axis=1)
    return int(rows.max(initial=0))


def _label(kernel: str, made: int) -> str:
    if kernel != "MatMul":
        return kernel
    return {FLOAT: "MatMul in float32", INT32: "MatMul in int32"}.get(made, "MatMul in int64")


def _paths(op: Op) -> str:
    return " + ".join(p for p in (op.source.module, *op.source.merged) if p)
