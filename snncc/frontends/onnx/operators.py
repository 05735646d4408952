"""ONNX operators that compute, each as operators of torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch

from snncc.frontends.build import Dynamic, Static, Value
from snncc.frontends.onnx import masks
from snncc.frontends.onnx.einsum import einsum
from snncc.frontends.onnx.importer import Importer
from snncc.frontends.onnx.proto import Node
from snncc.frontends.onnx.tensors import element_type
from snncc.frontends.onnx.views import VIEWS, Inputs, Operator, axes_of, optional
from snncc.ir import ops
from snncc.ir.graph import Shape


def decimal(stored: float) -> float:
    """Return the shortest decimal that an attribute's float32 stands for: 1e-05 is written so."""
    return float(str(np.float32(stored)))


def _plain(name: str) -> Operator:
    """An operator that torch has, too, with the same inputs."""

    def convert(c: Importer, node: Node, x: Inputs) -> Any:
        return c.aten(name, *x)

    return convert


def _add(c: Importer, node: Node, x: Inputs) -> Any:
    """``MatMul`` and ``Add`` are how a linear layer is exported: it gets its bias back."""
    product, bias = x if isinstance(x[0], Dynamic) else reversed(x)
    last = c.build.ops[-1] if c.build.ops else None
    if (
        isinstance(last, ops.Linear) and isinstance(product, Dynamic)
        and isinstance(bias, Static) and product.name == last.name and last.bias is None
        and bias.shape == product.shape[-1:] and c.uses[node.inputs[x.index(product)]] == 1
    ):  # fmt: skip
        stored = c.build.weight(bias, f"{last.name}.bias")
        c.build.ops[-1] = dataclasses.replace(last, bias=stored)
        return product
    return c.aten("add.Tensor", *x)


def _div(c: Importer, node: Node, x: Inputs) -> Any:
    static = [each.tensor for each in x if isinstance(each, Static)]
    if len(static) == 2 and not any(each.is_floating_point() for each in static):
        return c.aten("div.Tensor_mode", *x, rounding_mode="trunc")
    return c.aten("div.Tensor", *x)


def _mod(c: Importer, node: Node, x: Inputs) -> Any:
    return c.aten("fmod.Tensor" if node.attributes.get("fmod") else "remainder.Tensor", *x)


def _total(c: Importer, node: Node, x: Inputs) -> Any:
    made = x[0]
    for each in x[1:]:
        made = c.aten("add.Tensor", made, each)
    return made


def _cast(c: Importer, node: Node, x: Inputs) -> Any:
    to = node.attributes.get("to", 0)
    if to not in _TYPES:
        c.refuse(f"it casts to element type {element_type(to)}")
    return c.aten("_to_copy", x[0], dtype=_TYPES[to])


def _spatial(pads: list[int], n: int, c: Importer, x: Value) -> tuple[Value, list[int]]:
    """Return the input and the padding, the same at both ends of an axis; else it is padded."""
    before, after = pads[:n], pads[n:]
    if before == after:
        return x, before
    listed = [p for pair in reversed(list(zip(before, after, strict=True))) for p in pair]
    return c.aten("constant_pad_nd", x, listed, 0.0), [0] * n


def _pads(c: Importer, node: Node, size: Shape, kernel: list[int]) -> list[int]:
    """Return the pads before and behind each axis, which may be said by a name."""
    a, n = node.attributes, len(kernel)
    how = a.get("auto_pad", "NOTSET")
    if how in ("NOTSET", "VALID"):
        return list(a.get("pads") or [0] * 2 * n) if how == "NOTSET" else [0] * 2 * n
    if how not in ("SAME_UPPER", "SAME_LOWER"):
        raise c.fault_of_file(f"it pads by `{how}`")
    strides, dilations = a.get("strides") or [1] * n, a.get("dilations") or [1] * n
    totals = [
        max(0, (math.ceil(m / s) - 1) * s + d * (k - 1) + 1 - m)
        for m, k, s, d in zip(size, kernel, strides, dilations, strict=True)
    ]
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return small + large if how == "SAME_UPPER" else large + small


def _conv(c: Importer, node: Node, x: Inputs) -> Any:
    a, weight, bias = node.attributes, x[1], optional(x, 2)
    if not isinstance(weight, Static) or isinstance(bias, Dynamic):
        c.refuse("its weights are computed by the network")
    n = len(weight.shape) - 2
    pads = _pads(c, node, x[0].shape[2:], list(weight.shape[2:]))
    y, padding = _spatial(pads, n, c, x[0])
    return c.aten(
        "convolution", y, weight, bias, a.get("strides") or [1] * n, padding,
        a.get("dilations") or [1] * n, False, [0] * n, a.get("group", 1),
    )  # fmt: skip


def _gemm(c: Importer, node: Node, x: Inputs) -> Any:
    a, bias = node.attributes, optional(x, 2)
    left, right = (
        c.aten("permute", x[i], [1, 0]) if a.get(f"trans{'AB'[i]}") else x[i] for i in range(2)
    )
    whole = a.get("alpha", 1.0) == 1 and a.get("beta", 1.0) == 1
    if whole and isinstance(left, Dynamic) and isinstance(right, Static):
        plain = bias is None or (isinstance(bias, Static) and len(bias.shape) == 1)
        if plain:
            weight = x[1] if a.get("transB") else Static(right.tensor.mT)
            return c.aten("linear", left, weight, bias)
    product = c.aten("mm", left, right)
    product = _times(c, product, decimal(a.get("alpha", 1.0)))
    if bias is None:
        return product
    return c.aten("add.Tensor", product, _times(c, bias, decimal(a.get("beta", 1.0))))


def _times(c: Importer, x: Value, factor: float) -> Any:
    return x if factor == 1 else c.aten("mul.Scalar", x, factor)


def _batch_norm(c: Importer, node: Node, x: Inputs) -> Any:
    if node.attributes.get("training_mode"):
        c.refuse("the batch norm is in training mode", "export with the network in eval mode")
    eps = decimal(node.attributes.get("epsilon", 1e-5))
    return c.aten("batch_norm", x[0], x[1], x[2], x[3], x[4], False, 0.0, eps, False)


def _max_pool(c: Importer, node: Node, x: Inputs) -> Any:
    a, kernel = node.attributes, node.attributes["kernel_shape"]
    n = len(kernel)
    pads = _pads(c, node, x[0].shape[2:], kernel)
    if pads[:n] != pads[n:]:
        c.refuse(f"it pads by {pads[:n]} before and {pads[n:]} behind")
    if len(node.outputs) > 1 and node.outputs[1]:
        c.refuse("the places of the largest values are asked for")
    return c.aten(
        f"max_pool{n}d", x[0], kernel, a.get("strides") or [1] * n, pads[:n],
        a.get("dilations") or [1] * n, bool(a.get("ceil_mode", 0)),
    )  # fmt: skip


def _average_pool(c: Importer, node: Node, x: Inputs) -> Any:
    a, kernel = node.attributes, node.attributes["kernel_shape"]
    n, counted = len(kernel), bool(a.get("count_include_pad", 0))
    pads = _pads(c, node, x[0].shape[2:], kernel)
    if any(d != 1 for d in a.get("dilations") or []) or (pads[:n] != pads[n:] and not counted):
        c.refuse(f"it pads by {pads}, with dilations {a.get('dilations')}")
    y, padding = _spatial(pads, n, c, x[0])
    return c.aten(
        f"avg_pool{n}d", y, kernel, a.get("strides") or [1] * n, padding,
        bool(a.get("ceil_mode", 0)), counted,
    )  # fmt: skip


def _global_average_pool(c: Importer, node: Node, x: Inputs) -> Any:
    return c.aten("mean.dim", x[0], list(range(2, len(x[0].shape))), True)


def _reduction(name: str) -> Operator:
    def convert(c: Importer, node: Node, x: Inputs) -> Any:
        a, axes = node.attributes, axes_of(c, node, x, 1)
        if not axes and a.get("noop_with_empty_axes"):
            return x[0]
        axes = axes or list(range(len(x[0].shape)))
        return c.aten(name, x[0], axes, bool(a.get("keepdims", 1)))

    return convert


def _along(name: str) -> Operator:
    """Softmax and its like: an operator along one axis."""

    def convert(c: Importer, node: Node, x: Inputs) -> Any:
        return c.aten(name, x[0], node.attributes.get("axis", -1))

    return convert


def _layer_norm(c: Importer, node: Node, x: Inputs) -> Any:
    axis = node.attributes.get("axis", -1)
    return c.aten("layer_norm", x[0], list(x[0].shape[axis:]), x[1], optional(x, 2))


def _clip(c: Importer, node: Node, x: Inputs) -> Any:
    low, high = (
        float(each.tensor) if isinstance(each := optional(x, i), Static) else each for i in (1, 2)
    )
    if isinstance(low, Dynamic) or isinstance(high, Dynamic):
        c.refuse("its bounds are computed by the network")
    return x[0] if low is None and high is None else c.aten("clamp", x[0], low, high)


def _of_bounds(name: str) -> Operator:
    def convert(c: Importer, node: Node, x: Inputs) -> Any:
        made = x[0]
        for each in x[1:]:
            made = c.aten(name, made, each)
        return made

    return convert


def _dropout(c: Importer, node: Node, x: Inputs) -> Any:
    training = optional(x, 2)
    if isinstance(training, Static) and bool(training.tensor.any()):
        c.refuse("the dropout is in training mode", "export with the network in eval mode")
    return [x[0], None]


def _refused(reason: str) -> Operator:
    def convert(c: Importer, node: Node, x: Inputs) -> Any:
        c.refuse(reason)

    return convert


_TYPES: Mapping[int, torch.dtype] = {
    onnx.TensorProto.FLOAT: torch.float32,
    onnx.TensorProto.DOUBLE: torch.float64,
    onnx.TensorProto.FLOAT16: torch.float16,
    onnx.TensorProto.BFLOAT16: torch.bfloat16,
    onnx.TensorProto.INT8: torch.int8,
    onnx.TensorProto.UINT8: torch.uint8,
    onnx.TensorProto.INT16: torch.int16,
    onnx.TensorProto.INT32: torch.int32,
    onnx.TensorProto.INT64: torch.int64,
    onnx.TensorProto.BOOL: torch.bool,
}

_SAME_IN_TORCH = {
    "Abs": "abs", "And": "logical_and", "Ceil": "ceil", "Cos": "cos", "Elu": "elu",
    "Equal": "eq.Tensor", "Erf": "erf", "Exp": "exp", "Floor": "floor", "Gelu": "gelu",
    "Greater": "gt.Tensor", "GreaterOrEqual": "ge.Tensor", "HardSwish": "hardswish",
    "LeakyRelu": "leaky_relu", "Less": "lt.Tensor", "LessOrEqual": "le.Tensor", "Log": "log",
    "MatMul": "matmul", "Mish": "mish", "Mul": "mul.Tensor", "Neg": "neg", "Not": "logical_not",
    "Or": "logical_or", "Pow": "pow.Tensor_Tensor", "Reciprocal": "reciprocal",
    "Relu": "relu", "Round": "round", "Sigmoid": "sigmoid", "Sign": "sign", "Sin": "sin",
    "Softplus": "softplus", "Sqrt": "sqrt", "Sub": "sub.Tensor", "Tanh": "tanh",
    "Xor": "logical_xor",
}  # fmt: skip

_OF_CHANCE = (
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike",
)  # fmt: skip
_LOOPS = "a loop over time inside the file is not read: export with the loop unrolled"
_RANDOM = "it gives random numbers, and a network has to answer the same each time"
_UPSAMPLING = "an upsampling has no meaning on a chip of spikes"

OPERATORS: Mapping[str, Operator] = {
    **VIEWS,
    **{name: _plain(torchs) for name, torchs in _SAME_IN_TORCH.items()},
    **dict.fromkeys(_OF_CHANCE, _refused(_RANDOM)),
    "Add": _add,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "CastLike": lambda c, node, x: x[0],
    "Clip": _clip,
    "Conv": _conv,
    "ConvTranspose": _refused(_UPSAMPLING),
    "Div": _div,
    "Dropout": _dropout,
    "Einsum": einsum,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "LayerNormalization": _layer_norm,
    "LogSoftmax": _along("log_softmax.int"),
    "Max": _of_bounds("maximum"),
    "MaxPool": _max_pool,
    "Min": _of_bounds("minimum"),
    "Mod": _mod,
    "ReduceMax": _reduction("amax"),
    "ReduceMean": _reduction("mean.dim"),
    "ReduceSum": _reduction("sum.dim_IntList"),
    "Scan": _refused(_LOOPS),
    "Softmax": _along("softmax.int"),
    "Sum": _total,
    "Where": _plain("where.self"),
    masks.WRITTEN: masks.written,
}
"""By the operator's name in the standard domain."""
