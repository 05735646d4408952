"""Ops in a row that are linear together: what they compute, and whether borders agree.

With zeros around the input, a chain is ``y~[o, r] = sum_ik W[o, i, k] x[i, reach(r, k)] + b[o]``
for every place ``r``, also beyond the borders. A border that an op of the chain adds holds one
constant a channel. It is as if it had been computed if ``y~`` there reads zeros alone, so that
``y~ = b``, and if the constant is ``b``. A pool that sums is a convolution with equal weights,
channel by channel; a linear layer that reads all places of it is one whose windows are the image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

import numpy as np

from snncc.ir.graph import Absent, Array, Graph, Op, Shape, Weight, Weights
from snncc.ir.ops import WEIGHTED, BatchNorm
from snncc.ir.semantics import batch_norm_affine
from snncc.passes.linear_reach import Reach

POOLS = ("avg_pool", "sum")
"""Kinds that sum windows, or all places."""

LINEAR = (*WEIGHTED, *POOLS, "batch_norm", "scale", "pad", "reshape")
"""Kinds that a chain is made of."""

Offset: TypeAlias = "Array | Absent | None"
"""One number a channel; None is exactly 0."""


class Apart(Exception):  # noqa: N818 - says why, and is caught at once
    """The next op does not join the chain; the text says why."""


@dataclass(frozen=True)
class Chain:
    """Ops that compose; ``groups`` is the number of blocks on the diagonal of ``W``.

    ``offset`` is ``b``; ``largest`` bounds the numbers that were summed into it. ``size`` are the
    places of the input, of which the reach may leave out the last ones. ``flat``: channels and
    places stand in one row, and one linear layer reads them all.
    """

    ops: tuple[Op, ...]
    reach: Reach
    fan_in: int
    fan_out: int
    groups: int
    size: Shape = ()
    flat: bool = False
    offset: Offset = None
    largest: float = 0.0

    @property
    def weighted(self) -> tuple[Op, ...]:
        """The convolutions or linear layers of the chain."""
        return tuple(op for op in self.ops if op.kind in WEIGHTED)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The shape of ``W`` as a convolution has it, or the linear layer that a flat chain is."""
        if self.flat:
            return (self.fan_out, self.fan_in * math.prod(self.size))
        return (self.fan_out, self.fan_in // self.groups, *self.reach.kernel)

    @property
    def is_pooled(self) -> bool:
        """Whether the chain sums windows."""
        return any(op.kind in POOLS for op in self.ops)

    @property
    def is_one(self) -> bool:
        """Whether one op computes this: a linear layer, or a convolution with such a reach."""
        return bool(self.weighted) if self.flat else self.reach.is_window


def is_linear(op: Op, weights: Weights) -> bool:
    """Whether an op can be in a chain; integer weights are not composed."""
    if op.kind not in WEIGHTED:
        return op.kind in LINEAR
    weight = weights[op.weight_names[0]]
    return str(weight.dtype).startswith("float") and not getattr(op, "shift", 0)


def start(graph: Graph, first: Op, axes: int) -> Chain:
    """Return the empty chain before ``first``, for windows over so many axes."""
    shape = graph.type_of(first.inputs[0]).shape
    if len(shape) <= axes:
        raise Apart(f"{_called(first)} has no channels")
    channels, size = shape[len(shape) - axes - 1], shape[len(shape) - axes :]
    return Chain((), Reach.itself(size), channels, channels, channels, size)


def extended(chain: Chain, op: Op, graph: Graph) -> Chain:
    """Return the chain with one more op. Raises ``Apart``."""
    after = _JOIN[op.kind](chain, op, graph)
    return replace(after, ops=(*chain.ops, op))


def _join_conv(chain: Chain, op: Any, graph: Graph) -> Chain:
    if chain.flat or len(op.stride) != len(chain.reach.places):
        raise Apart(f"{_called(op)} slides along other axes")
    chain = _bordered(chain, op, op.padding, op.padding, None)
    kernel = tuple(graph.weights[op.weight].shape[2:])
    reach = chain.reach.through(kernel, op.stride, op.padding, op.dilation)
    return _joined_weight(replace(chain, reach=reach), op, graph, op.groups)


def _join_linear(chain: Chain, op: Any, graph: Graph) -> Chain:
    reach = chain.reach
    if reach.places and not chain.flat:
        raise Apart(f"{_called(op)} reads another axis")
    ones, none = (1,) * len(reach.places), (0,) * len(reach.places)
    reach = reach.through(reach.places, ones, none, ones)
    return _joined_weight(replace(chain, reach=reach), op, graph, 1)


def _join_avg_pool(chain: Chain, op: Any, graph: Graph) -> Chain:
    if chain.flat or len(op.kernel) != len(chain.reach.places):
        raise Apart(f"{_called(op)} slides along other axes")
    if op.ceil_mode or (any(op.padding) and not op.count_include_pad):
        raise Apart(f"{_called(op)} divides windows at the border by fewer places")
    chain = _bordered(chain, op, op.padding, op.padding, None)
    ones = (1,) * len(op.kernel)
    return replace(chain, reach=chain.reach.through(op.kernel, op.stride, op.padding, ones))


def _join_sum(chain: Chain, op: Any, graph: Graph) -> Chain:
    places = chain.reach.places
    rank = len(graph.type_of(op.inputs[0]).shape)
    if chain.flat or sorted(op.axes) != list(range(rank - len(places), rank)):
        raise Apart(f"{_called(op)} sums along other axes")
    ones, none = (1,) * len(places), (0,) * len(places)
    reach = chain.reach.through(places, ones, none, ones)
    return _times(replace(chain, reach=reach, flat=not op.keepdims), math.prod(places))


def _join_reshape(chain: Chain, op: Any, graph: Graph) -> Chain:
    before = graph.type_of(op.inputs[0]).shape
    if chain.flat or len(before) != len(chain.reach.places) + 1 or len(op.shape) != 1:
        raise Apart(f"{_called(op)} puts places into other axes")
    return replace(chain, flat=True)


def _joined_weight(chain: Chain, op: Any, graph: Graph, groups: int) -> Chain:
    weight: Any = graph.weights[op.weight]
    bias: Any = graph.weights[op.bias] if op.bias else None
    offset, largest = _through(chain, weight, bias, groups)
    return replace(
        chain, fan_out=weight.shape[0], groups=math.gcd(chain.groups, groups),
        offset=offset, largest=largest,
    )  # fmt: skip


def _through(chain: Chain, weight: Any, bias: Any, groups: int) -> tuple[Offset, float]:
    """``b' = (sum_k W'[k]) b + bias``."""
    before = chain.offset
    if isinstance(before, Absent) or isinstance(bias, Absent):
        return Absent(weight.shape[:1]), 0.0
    largest = float(np.abs(bias).max(initial=0)) if bias is not None else 0.0
    if before is None:
        return (None if bias is None else bias.astype(np.float64)), largest
    if isinstance(weight, Absent):
        return Absent(weight.shape[:1]), 0.0
    taps = weight.reshape(len(weight), len(before) // groups, -1).astype(np.float64)
    rows = taps.sum(axis=2).reshape(groups, -1, taps.shape[1])
    offset = (rows @ before.reshape(groups, -1, 1)).reshape(-1)
    reached = chain.largest * float(np.abs(taps).sum(axis=(1, 2)).max(initial=0))
    return offset + (0 if bias is None else bias), max(largest, reached)


def _join_batch_norm(chain: Chain, op: Any, graph: Graph) -> Chain:
    shape, before = graph.type_of(op.name).shape, chain.offset
    axes = 0 if chain.flat else len(chain.reach.places)
    if op.axis != len(shape) - axes - 1 or shape[op.axis] != chain.fan_out:
        raise Apart(f"{_called(op)} normalises another axis")
    if not _is_known(op, graph.weights) or isinstance(before, Absent):
        zero = before is None and _has_no_offset(op, graph.weights)
        return replace(chain, offset=None if zero else Absent((chain.fan_out,)), largest=0.0)
    scale, shift = batch_norm_affine(op, cast(Mapping[str, Array], graph.weights))
    if before is None and not shift.any():
        return chain
    mean = cast(Array, graph.weights[op.mean])
    terms = (scale * chain.largest, scale * mean, shift + scale * mean)
    largest = max(float(np.abs(term).max(initial=0)) for term in terms)
    offset = shift if before is None else scale * before + shift
    return replace(chain, offset=offset, largest=largest)


def _join_scale(chain: Chain, op: Any, graph: Graph) -> Chain:
    if not math.isfinite(op.factor):
        raise Apart(f"{_called(op)} scales by {op.factor}")
    return _times(chain, op.factor)


def _times(chain: Chain, factor: float) -> Chain:
    before = chain.offset
    offset = before if before is None or isinstance(before, Absent) else factor * before
    return replace(chain, offset=offset, largest=abs(factor) * chain.largest)


def _join_pad(chain: Chain, op: Any, graph: Graph) -> Chain:
    axes = 0 if chain.flat else len(chain.reach.places)
    value = graph.weights[op.value] if op.value else None
    by_channel = value is not None and bool(value.shape)
    if len(op.before) > axes or (by_channel and len(op.before) < axes):
        raise Apart(f"{_called(op)} pads other axes")
    lead = (0,) * (axes - len(op.before))
    front, back = (*lead, *op.before), (*lead, *op.after)
    chain = _bordered(chain, op, front, back, value)
    return replace(chain, reach=chain.reach.padded(front, back))


def _bordered(chain: Chain, op: Op, front: Any, back: Any, value: Weight | None) -> Chain:
    """Return the chain in front of a border. Raises ``Apart`` where it would compute another."""
    if not any((*front, *back)):
        return chain
    chain = replace(chain, reach=chain.reach.cropped(back))
    if not chain.reach.is_blind(front, back):
        raise Apart(f"{_called(op)} pads places at which the chain before it still reads its input")
    if chain.offset is not None or value is not None:
        _require_constant(chain, op, value)
    return chain


def _require_constant(chain: Chain, op: Op, value: Weight | None) -> None:
    """Raise ``Apart`` where a border is not what the chain makes of zeros."""
    if isinstance(chain.offset, Absent) or isinstance(value, Absent):
        raise Apart(f"the border of {_called(op)} is not proved: its numbers are not known")
    wanted = np.zeros(chain.fan_out) if chain.offset is None else chain.offset
    found = np.zeros(()) if value is None else value
    eps = float(np.finfo(found.dtype if found.dtype.kind == "f" else np.float64).eps)
    error = float(np.abs(found - wanted).max(initial=0))
    if not error <= 4 * eps * max(chain.largest, float(np.abs(wanted).max(initial=0))):
        text = f"the border of {_called(op)} is off by up to {error:.3g} from what the chain before"
        raise Apart(f"{text} it makes of zeros")


def _is_known(op: Op, weights: Weights) -> bool:
    return not any(isinstance(weights[name], Absent) for name in op.weight_names)


def _has_no_offset(op: BatchNorm, weights: Weights) -> bool:
    mean = weights[op.mean]
    return op.beta is None and not isinstance(mean, Absent) and not mean.any()


def _called(op: Op) -> str:
    return f"`{op.source.module or op.name}` ({op.kind})"


_JOIN: dict[str, Callable[[Chain, Any, Graph], Chain]] = {
    "conv": _join_conv,
    "linear": _join_linear,
    "batch_norm": _join_batch_norm,
    "scale": _join_scale,
    "pad": _join_pad,
    "avg_pool": _join_avg_pool,
    "sum": _join_sum,
    "reshape": _join_reshape,
}
