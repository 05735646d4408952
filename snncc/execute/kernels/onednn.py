"""Products of unsigned 8-bit activations and 8-bit weights, by oneDNN through torch.

With unit scales the sums are 32-bit integers, returned as float32: exact below 2**24. Machines
without VNNI add two products in 16 bits, which holds up to inputs of 128. Whether the kernels are
there and right is tried once a process, on a small layer.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, cast

import numpy as np

from snncc.execute.kernels.layer import Layer, Run, channels_last, tensor
from snncc.ir.graph import Array, Shape
from snncc.ir.ops import Conv

_EXACT_BELOW = 2**24
_LARGEST_INPUT = 128


def takes(layer: Layer) -> bool:
    """Whether a layer has small enough numbers, and this machine the kernels."""
    if layer.span is None or layer.bound is None or layer.weight.dtype != np.int8:
        return False
    if layer.span[0] < 0 or layer.span[1] > _LARGEST_INPUT or layer.bound >= _EXACT_BELOW:
        return False
    planar = isinstance(layer.op, Conv) and layer.weight.ndim <= 4
    return (layer.pointwise or planar) and _works()


def prepare(layer: Layer) -> Run:
    """Pack the weights of a layer."""
    if not layer.pointwise:
        return _conv(layer)
    rows = _linear(layer.weight.reshape(len(layer.weight), -1))
    return channels_last(rows) if isinstance(layer.op, Conv) else rows


@cache
def _works() -> bool:
    """Whether the kernels exist here and give the integers."""
    import torch  # noqa: PLC0415 - seconds

    if not cast(Any, torch.backends.mkldnn).is_available():
        return False
    rng = np.random.default_rng(0)
    weight = rng.integers(-127, 128, (20, 36)).astype(np.int8)
    x = rng.integers(0, _LARGEST_INPUT + 1, (5, 36)).astype(np.uint8)
    try:
        got = _linear(weight)(x)
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    return bool((got == x.astype(np.int64) @ weight.T.astype(np.int64)).all())


def _linear(weight: Array) -> Run:
    import torch  # noqa: PLC0415 - seconds

    ops: Any = torch.ops.onednn
    packed = ops.qlinear_prepack(tensor(np.ascontiguousarray(weight)), None)
    units, zeros = torch.ones(len(weight)), torch.zeros(len(weight), dtype=torch.int32)

    def run(x: Array) -> Array:
        rows = tensor(_bytes(x).reshape(-1, x.shape[-1]))
        y = ops.qlinear_pointwise(
            rows, 1.0, 0, packed, units, zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return np.asarray(y.numpy().reshape(*x.shape[:-1], -1))

    return run


def _conv(layer: Layer) -> Run:
    import torch  # noqa: PLC0415 - seconds

    ops: Any = torch.ops.onednn
    op, flat = cast(Conv, layer.op), layer.weight.ndim == 3
    weight = tensor(np.ascontiguousarray(layer.weight[:, :, None] if flat else layer.weight))
    geometry = [
        [fill, *given] if flat else list(given)
        for given, fill in ((op.stride, 1), (op.padding, 0), (op.dilation, 1))
    ]
    units, zeros = torch.ones(len(weight)), torch.zeros(len(weight), dtype=torch.int32)

    @lru_cache(maxsize=4)
    def packed(shape: Shape) -> Any:
        """Pack for planes of this shape: told nothing, oneDNN may choose a slow layout."""
        return ops.qconv_prepack(weight, units, 1.0, 0, *geometry, op.groups, list(shape))

    def run(x: Array) -> Array:
        image = tensor(_bytes(x)[:, :, None] if flat else _bytes(x))
        y = ops.qconv_pointwise(
            image.contiguous(memory_format=torch.channels_last),
            1.0, 0, packed(tuple(image.shape)), units, zeros, None, *geometry, op.groups,
            1.0, 0, torch.float32, "none", [], "",
        ).numpy()  # fmt: skip
        return np.asarray(y[:, :, 0] if flat else y)

    return run


def _bytes(x: Array) -> Array:
    """Return counts of 0 to 255 as unsigned bytes; spikes are seen as such, not copied."""
    return x.view(np.uint8) if x.dtype == np.int8 else x.astype(np.uint8, copy=False)
