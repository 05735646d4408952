"""The nodes of NIR that keep nothing: weights, pools and views."""

from __future__ import annotations

import math

import numpy as np

from snncc.frontends.nir.file import Node
from snncc.frontends.nir.write_steps import Writer
from snncc.frontends.rules_of_nir import NOT_NIR
from snncc.ir import ops
from snncc.ir.graph import Array, Shape


def conv(write: Writer, node: Node, x: str) -> str:
    """Return the result of ``Conv1d`` or ``Conv2d``."""
    axes = 1 if node.type == "Conv1d" else 2
    weight = write.array(node, "weight")
    if weight.ndim != axes + 2 or 0 in weight.shape:
        message = f"`weight` has shape {weight.shape}, wanted C_out, C_in and {axes} of the kernel"
        raise write.fault(NOT_NIR, node, message)
    if len(write.shape(x)) != axes + 1:
        message = f"it reads a value of shape {write.shape(x)}, wanted channels and {axes} axes"
        raise write.fault(NOT_NIR, node, message, "`--input-shape` gives the shape of a sample")
    dilation = write.integers(node, "dilation", axes, least=1)
    groups = write.integers(node, "groups", 1, least=1)[0]
    if weight.shape[0] % groups:
        raise write.fault(NOT_NIR, node, f"{weight.shape[0]} channels are no {groups} groups")
    return write.emit(
        node, ops.Conv, x, weight=_floats(weight), bias=_bias(write, node, weight.shape[0]),
        stride=write.integers(node, "stride", axes, least=1),
        padding=_padding(write, node, weight.shape[2:], dilation),
        dilation=dilation, groups=groups,
    )  # fmt: skip


def linear(write: Writer, node: Node, x: str) -> str:
    """Return the result of ``Linear`` or ``Affine``."""
    weight = write.array(node, "weight")
    if weight.ndim != 2 or 0 in weight.shape:
        message = f"`weight` has shape {weight.shape}, wanted outputs and inputs"
        raise write.fault(NOT_NIR, node, message)
    bias = _bias(write, node, weight.shape[0]) if node.type == "Affine" else None
    return write.emit(node, ops.Linear, x, weight=_floats(weight), bias=bias)


def scale(write: Writer, node: Node, x: str) -> str:
    """Return the result of ``Scale``: one factor for all, or one a channel."""
    factors, shape = write.array(node, "scale").astype(np.float64), write.shape(x)
    if factors.size and np.all(factors == factors.flat[0]):
        return write.emit(node, ops.Scale, x, factor=float(factors.flat[0]))
    rows = factors.reshape(shape[0], -1) if factors.shape in (shape, shape[:1]) else None
    if rows is None or np.any(rows != rows[:, :1]):
        raise write.beyond(node, "its factors differ within a channel, wanted one a channel")
    return write.scaled_by_channel(node, x, rows[:, 0])


def pool(write: Writer, node: Node, x: str) -> str:
    """Return the result of ``AvgPool2d`` or ``SumPool2d``; zeros at the border count."""
    kernel = write.integers(node, "kernel_size", 2, least=1)
    pooled = write.emit(
        node, ops.AvgPool, x, kernel=kernel, stride=write.integers(node, "stride", 2, least=1),
        padding=write.integers(node, "padding", 2, least=0),
    )  # fmt: skip
    return write.scaled(node, pooled, math.prod(kernel) if node.type == "SumPool2d" else 1)


def flatten(write: Writer, node: Node, x: str) -> str:
    """Return the result of ``Flatten``; dimensions count without the batch."""
    shape = write.shape(x)
    rank = len(shape)
    first, last = (_axis(write, node, name, rank) for name in ("start_dim", "end_dim"))
    if not 0 <= first <= last < rank:
        message = f"flattens dimensions {first} to {last} of the shape {shape}"
        hint = "dimensions count without the batch: 0 to -1 is all"
        raise write.fault(NOT_NIR, node, message, hint)
    flat = (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])
    return write.emit(node, ops.Reshape, x, shape=flat)


def delay(write: Writer, node: Node, x: str) -> str:
    """Return what a ``Delay`` of nothing hands on."""
    longest = float(np.abs(write.array(node, "delay")).max(initial=0))
    if longest:
        raise write.beyond(node, f"it delays by {longest:g} s")
    return x


def _axis(write: Writer, node: Node, name: str, rank: int) -> int:
    value = write.array(node, name).reshape(-1)
    if value.size != 1 or not -rank <= float(value[0]) < rank:
        raise write.fault(NOT_NIR, node, f"`{name}` is {value[:4]}, of {rank} dimensions")
    return int(value[0]) % rank


def _bias(write: Writer, node: Node, channels: int) -> Array | None:
    """Return the bias, None where it is zero: exporters write zeros where there is none."""
    bias = write.array(node, "bias")
    if bias.shape != (channels,):
        message = f"`bias` has shape {bias.shape}, wanted one for {channels} channels"
        raise write.fault(NOT_NIR, node, message)
    return _floats(bias) if np.any(bias) else None


def _floats(values: Array) -> Array:
    return values if values.dtype.kind == "f" else values.astype(np.float32)


def _padding(write: Writer, node: Node, kernel: Shape, dilation: Shape) -> Shape:
    asked = node.fields.get("padding")
    if not isinstance(asked, str):
        return write.integers(node, "padding", len(kernel), least=0)
    if asked == "valid":
        return (0,) * len(kernel)
    if asked != "same":
        raise write.fault(NOT_NIR, node, f"`padding` is `{asked[:40]}`, wanted same or valid")
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if any(n % 2 for n in total):
        raise write.beyond(node, "`same` pads one side more than the other, for an even kernel")
    return tuple(n // 2 for n in total)
