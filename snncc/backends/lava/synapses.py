"""Convolutions and linear layers as Lava's stock ``Conv`` and ``Dense``, and what they are fed.

Stock layout is (position, position, channel), a true convolution, so kernels are flipped. Which of
the two spatial axes Lava calls x is of no consequence: here the first is the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from snncc.backends.lava.currents import Term, Window, is_binary
from snncc.ir.graph import Array, Graph
from snncc.ir.ops import Conv
from snncc.ir.timing import Timing, timings

GRADED_BITS = 8
_INT8 = (-128, 127)


@dataclass(frozen=True)
class StockSynapses:
    """The parameters of one stock process and its input, one frame a step."""

    process: Literal["Conv", "Dense"]
    weight: Array
    exp: int
    frames: Array
    binary: bool
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def __str__(self) -> str:
        shape = "x".join(map(str, self.weight.shape))
        extras = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        said = [
            f"{k} {v[0]}" for k, v in extras.items() if v != ((0, 0) if k == "padding" else (1, 1))
        ]
        said += [f"groups {self.groups}"] if self.groups > 1 else []
        return " ".join([self.process, shape, *said, *([] if self.binary else ["graded"])])


def stock_synapses(
    graph: Graph, term: Term, window: Window, k: int, values: Mapping[str, Array], samples: int
) -> StockSynapses:
    """Return the stock process that computes a window of a term, shifted left by k."""
    frames = recorded(graph, values, term.op.inputs[0], samples)
    binary, shift = is_binary(graph, term), k + term.op.shift
    if isinstance(term.op, Conv):
        return _conv(term, term.op, window, shift, frames, binary)
    rows = term.weight[window.channels].astype(np.int64)
    if frames.ndim == 2 and rows.min() >= _INT8[0] and rows.max() <= _INT8[1]:
        return StockSynapses("Dense", 2 * rows, shift - 1, frames, binary)
    tokens = frames.reshape(len(frames), -1, frames.shape[-1])[:, window.positions]
    weight = (rows << shift)[:, None, None, :]
    return StockSynapses("Conv", weight, 0, tokens[:, :, None, :], binary)


def recorded(graph: Graph, values: Mapping[str, Array], name: str, samples: int) -> Array:
    """Return a value one frame a step, sample after sample: ``[samples * T, *shape]``."""
    value, shape = values[name], graph.type_of(name).shape
    if timings(graph)[name] is not Timing.STEP:
        value = np.broadcast_to(value[None], (graph.steps, *value.shape))
    return value[:, :samples].swapaxes(0, 1).reshape(-1, *shape)


def _conv(
    term: Term, op: Conv, window: Window, shift: int, frames: Array, binary: bool
) -> StockSynapses:
    weight, groups, read = grouped(term.weight.astype(np.int64), op.groups, window.channels)
    frames = frames[:, read]
    if window.box is None or (term.pointwise and len(op.stride) != 2):
        tokens = frames.reshape(*frames.shape[:2], -1)[:, :, window.positions]
        lava = weight.reshape(*weight.shape[:2], 1, 1) << shift
        moved = tokens.transpose(0, 2, 1)[:, :, None, :]
        return StockSynapses("Conv", lava.transpose(0, 2, 3, 1), 0, moved, binary, groups=groups)
    frames, padding = _cropped(frames, op, term, window.box)
    flat = len(op.stride) == 1
    if flat:
        frames, weight = frames[..., None], weight[..., None]
    return StockSynapses(
        "Conv",
        (weight << shift)[:, :, ::-1, ::-1].transpose(0, 2, 3, 1),
        0,
        frames.transpose(0, 2, 3, 1),
        binary,
        _pair(op.stride, 1),
        _pair(padding, 0),
        _pair(op.dilation, 1),
        groups,
    )


def _pair(values: tuple[int, ...], missing: int) -> tuple[int, int]:
    return cast("tuple[int, int]", (*values, missing)[:2])


def _cropped(
    frames: Array, op: Conv, term: Term, box: tuple[tuple[int, int], ...]
) -> tuple[Array, tuple[int, ...]]:
    """Return what the box reads, and the padding left to the stock process.

    It pads by itself where the box is everything; else zeros from beyond the border come along.
    """
    if box == tuple((0, n) for n in term.positions):
        return frames, op.padding
    padded = np.pad(frames, ((0, 0), (0, 0), *((p, p) for p in op.padding)))
    geometry = zip(box, op.stride, op.dilation, term.kernel, strict=True)
    read = [slice(a * s, (b - 1) * s + d * (k - 1) + 1) for (a, b), s, d, k in geometry]
    return padded[(slice(None), slice(None), *read)], (0,) * len(box)


def grouped(weight: Array, groups: int, channels: Array) -> tuple[Array, int, Array]:
    """Return the weight for some output channels, its groups, and the input channels it reads.

    Where the channels do not fill whole groups, absent synapses are written out as zeros.
    """
    per_out, per_in = weight.shape[0] // groups, weight.shape[1]
    group = channels // per_out
    used = np.unique(group)
    read = (used[:, None] * per_in + np.arange(per_in)).reshape(-1)
    whole = (used[:, None] * per_out + np.arange(per_out)).reshape(-1)
    if groups == 1 or np.array_equal(channels, whole):
        return weight[channels], len(used), read
    dense = np.zeros((len(channels), len(read), *weight.shape[2:]), weight.dtype)
    for row, channel in enumerate(channels):
        start = int(np.searchsorted(used, group[row])) * per_in
        dense[row, start : start + per_in] = weight[channel]
    return dense, 1, read
