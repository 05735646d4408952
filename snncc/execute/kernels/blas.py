"""Products in floating point, by torch: exact for integers up to where a float has no gaps."""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import numpy as np

from snncc.execute.kernels.layer import Layer, Run, channels_last, tensor
from snncc.ir.graph import Array
from snncc.ir.ops import Conv

_Float: TypeAlias = type[np.float32 | np.float64]


def takes_float32(layer: Layer) -> bool:
    """Whether all sums of a layer stay below 2**24."""
    return _takes(layer, 2**24)


def takes_float64(layer: Layer) -> bool:
    """Whether all sums of a layer stay below 2**53."""
    return _takes(layer, 2**53)


def prepare_float32(layer: Layer) -> Run:
    """Bring the weights of a layer into float32."""
    return prepare(layer, np.float32)


def prepare_float64(layer: Layer) -> Run:
    """Bring the weights of a layer into float64."""
    return prepare(layer, np.float64)


def _takes(layer: Layer, exact_below: int) -> bool:
    small = layer.bound is not None and layer.bound < exact_below
    return small and (layer.pointwise or layer.weight.ndim <= 5)


def prepare(layer: Layer, kind: _Float) -> Run:
    """Bring the weights of a layer into floats of one kind; products run in it."""
    if not layer.pointwise:
        return _conv(layer, kind)
    rows = _linear(layer.weight.reshape(len(layer.weight), -1), kind)
    return channels_last(rows) if isinstance(layer.op, Conv) else rows


def _linear(weight: Array, kind: _Float) -> Run:
    columns = tensor(weight.astype(kind)).T

    def run(x: Array) -> Array:
        rows = tensor(np.ascontiguousarray(x, kind).reshape(-1, x.shape[-1]))
        return np.asarray((rows @ columns).numpy().reshape(*x.shape[:-1], -1))

    return run


def _conv(layer: Layer, kind: _Float) -> Run:
    import torch  # noqa: PLC0415 - seconds

    op = cast(Conv, layer.op)
    convolve: Any = (
        torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.conv3d
    )[layer.weight.ndim - 3]  # fmt: skip
    planar = {"memory_format": torch.channels_last} if layer.weight.ndim == 4 else {}
    weight = tensor(layer.weight.astype(kind)).contiguous(**planar)

    def run(x: Array) -> Array:
        image = tensor(x.astype(kind, copy=False)).contiguous(**planar)
        y = convolve(image, weight, None, op.stride, op.padding, op.dilation, op.groups)
        return np.asarray(y.numpy())

    return run
