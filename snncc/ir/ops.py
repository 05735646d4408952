"""The ops, each with its equation and the proof of its result's type.

Unless it says otherwise an op means the same on both levels: on the tensor level convolutions and
pools have a batch axis in front, on the step level they have none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal

from snncc.ir import domain as dom
from snncc.ir.compare import Compare, Count
from snncc.ir.delay import Delay
from snncc.ir.domain import REAL, Domain
from snncc.ir.graph import Absent, IRError, Op, Shape, Type, Weights
from snncc.ir.inference import broadcast_shape, require_broadcast, weighted, window_positions
from snncc.ir.pad import Pad
from snncc.ir.substeps import Thermometer
from snncc.ir.synaptic_current import DECAY_BITS, IntegerCurrent, SynapticCurrent


@dataclass(frozen=True, kw_only=True)
class Input(Op):
    """What the network is shown.

    ``varies`` says whether each time step has an input of its own (an event stream) or all see
    the same one (an image). An integer graph reads ``round(x / scale)``, clipped to the domain.
    """

    kind = "input"
    shape: Shape
    domain: Domain = REAL
    varies: bool = False
    scale: float | None = None

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """Declared, not derived: this is where values come from."""
        return Type(self.shape, self.domain)


@dataclass(frozen=True, kw_only=True)
class Output(Op):
    """What the network answers; with ``scale`` (one a channel of the last axis), ``scale * x``."""

    kind = "output"
    weight_fields: ClassVar[tuple[str, ...]] = ("scale",)
    scale: str | None = None

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """The type of what is returned, before the scale."""
        return inputs[0]


@dataclass(frozen=True, kw_only=True)
class Constant(Op):
    """A stored tensor that is no weight of another op: a position embedding, say."""

    kind = "constant"
    weight_fields: ClassVar[tuple[str, ...]] = ("value",)
    value: str

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """Integers are bounded by what is stored; floats are real."""
        value = weights[self.value]
        if isinstance(value, Absent) or value.dtype.kind not in "iub" or value.size == 0:
            return Type(tuple(value.shape), REAL)
        return Type(tuple(value.shape), dom.integers(int(value.min()), int(value.max())))


@dataclass(frozen=True, kw_only=True)
class Conv(Op):
    """``y = ((w * x) << shift) + b``, a cross-correlation in one or more dimensions.

    Weight ``(C_out, C_in / groups, *kernel)``, input ``([B,] C_in, *positions)``, zero padding.
    """

    kind = "conv"
    weight_fields: ClassVar[tuple[str, ...]] = ("weight", "bias")
    weight: str
    bias: str | None = None
    stride: Shape
    padding: Shape
    dilation: Shape
    groups: int = 1
    shift: int = 0

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """Positions as in PyTorch; an integer weight bounds the sum exactly."""
        shape, weight = inputs[0].shape, weights[self.weight]
        spatial = len(weight.shape) - 2
        lead, channels = shape[: -spatial - 1], shape[-spatial - 1]
        if len(lead) > 1 or channels != weight.shape[1] * self.groups:
            raise IRError(f"input {shape} does not meet weight {tuple(weight.shape)}")
        kernel = tuple(weight.shape[2:])
        positions = window_positions(
            shape[-spatial:], kernel, self.stride, self.padding, self.dilation
        )
        domain = inputs[0].domain
        padded = dom.with_zero(domain) if any(self.padding) else domain
        bias = weights[self.bias] if self.bias else None
        return Type(
            (*lead, weight.shape[0], *positions), weighted(padded, weight, bias, self.shift)
        )


@dataclass(frozen=True, kw_only=True)
class Linear(Op):
    """``y = ((W x) << shift) + b`` over the last axis; weight ``(C_out, C_in)``."""

    kind = "linear"
    weight_fields: ClassVar[tuple[str, ...]] = ("weight", "bias")
    weight: str
    bias: str | None = None
    shift: int = 0

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """An integer weight bounds the sum exactly."""
        shape, weight = inputs[0].shape, weights[self.weight]
        if not shape or shape[-1] != weight.shape[1]:
            raise IRError(f"input {shape} does not meet weight {tuple(weight.shape)}")
        bias = weights[self.bias] if self.bias else None
        domain = weighted(inputs[0].domain, weight, bias, self.shift)
        return Type((*shape[:-1], weight.shape[0]), domain)


@dataclass(frozen=True, kw_only=True)
class BatchNorm(Op):
    """``y = gamma (x - mean) / sqrt(var + eps) + beta``, one of each for a channel of ``axis``."""

    kind = "batch_norm"
    weight_fields: ClassVar[tuple[str, ...]] = ("gamma", "beta", "mean", "var")
    gamma: str | None
    beta: str | None
    mean: str
    var: str
    eps: float
    axis: int

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """Real: nothing is proved of an affine map with float coefficients."""
        channels, found = weights[self.mean].shape, inputs[0].shape[self.axis]
        if channels != (found,):
            raise IRError(f"{found} channels meet statistics of shape {channels}")
        return Type(inputs[0].shape, REAL)


@dataclass(frozen=True, kw_only=True)
class Neuron(Op):
    """A layer of spiking neurons.

    ``H = V + (X - (V - r)) / tau`` where ``decay_input``, else ``H = V - (V - r) / tau + X``, with
    ``r`` = ``v_reset`` or 0; integrate-and-fire (``tau`` None) is ``H = V + X``.
    ``S = H >= v_threshold`` (``>`` where ``strict``). Then ``V = v_reset`` where S, or with
    ``v_reset`` None (soft) ``V = H - v_subtract S``, the threshold where that is None. V starts at
    ``r``.
    With ``levels`` L > 1 (integer firing) ``S = round(clip(H / v_threshold, 0, L))``, rounded
    ``half_even`` or ``half_up``, and the result is ``S / norm``.
    With ``grain`` potentials lie on its multiples, as in a chip's integers: what the leak leaves,
    ``V - V / tau``, is rounded toward zero to one. It is an array that broadcasts to a step;
    ``2**places`` of it are a count of the current that the neurons were made for.
    On the tensor level axis 0 is time.
    """

    kind = "neuron"
    weight_fields: ClassVar[tuple[str, ...]] = ("grain",)
    tau: float | None = 2.0
    decay_input: bool = True
    v_threshold: float = 1.0
    v_reset: float | None = 0.0
    strict: bool = False
    levels: int = 1
    rounding: Literal["half_even", "half_up"] = "half_even"
    norm: float = 1.0
    v_subtract: float | None = None
    grain: str | None = None
    places: int = 0

    @property
    def kept(self) -> Fraction:
        """The share of its potential that a step leaves; decays are fractions of 4096 at most."""
        if self.tau is None:
            return Fraction(1)
        return 1 - Fraction(1 / self.tau).limit_denominator(1 << DECAY_BITS)

    @property
    def taken(self) -> float:
        """What a soft reset takes off the potential for each spike."""
        return self.v_threshold if self.v_subtract is None else self.v_subtract

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """Spikes, whatever comes in; with levels, their count on a grid."""
        if self.grain is not None:
            if self.decay_input or self.v_reset not in (0, None) or self.levels > 1:
                raise IRError("a grain is for neurons of one spike that rest at 0, as X comes in")
            require_broadcast(tuple(weights[self.grain].shape), inputs[0].shape)
        return Type(inputs[0].shape, dom.scale(dom.integers(0, self.levels), 1 / self.norm))


@dataclass(frozen=True, kw_only=True)
class IntegerNeuron(Op):
    """A layer of spiking neurons in the chip's integers; state U starts at 0.

    ``U' = rz(U (4096 - decay) / 4096) + (X << shift)`` with ``rz`` rounding toward zero,
    ``S = U' >= threshold``; then ``U = 0`` where S (hard reset) or ``U = U' - threshold S`` (soft).
    ``threshold`` is an integer array that broadcasts to the shape of a step. With ``levels`` L > 1
    it has one more axis in front, of L rising thresholds; S counts those that are reached. With
    ``unit`` a soft reset takes off ``unit S``.
    """

    kind = "integer_neuron"
    weight_fields: ClassVar[tuple[str, ...]] = ("threshold", "unit")
    threshold: str
    unit: str | None = None
    decay: int
    shift: int
    reset: Literal["hard", "soft"] = "hard"
    levels: int = 1

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """Spikes, or their count; the current must be integer."""
        if not dom.is_integer(inputs[0].domain):
            raise IRError(f"current is {inputs[0].domain}, not an integer")
        shape = tuple(weights[self.threshold].shape)
        if self.levels > 1 and shape[:1] != (self.levels,):
            raise IRError(f"thresholds of shape {shape} are not {self.levels} levels")
        require_broadcast(shape if self.levels == 1 else shape[1:], inputs[0].shape)
        return Type(inputs[0].shape, dom.integers(0, self.levels))


@dataclass(frozen=True, kw_only=True)
class Add(Op):
    """Elementwise sum of two values, broadcast as in numpy; the residual connection."""

    kind = "add"

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """Two spikes sum to 0..2, which is no longer a spike."""
        a, b = inputs
        return Type(broadcast_shape(a.shape, b.shape), dom.add(a.domain, b.domain))


@dataclass(frozen=True, kw_only=True)
class Scale(Op):
    """``y = factor x`` for a constant factor."""

    kind = "scale"
    factor: float

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """The grid's step is scaled."""
        return Type(inputs[0].shape, dom.scale(inputs[0].domain, self.factor))


@dataclass(frozen=True, kw_only=True)
class RoundShift(Op):
    """``y = (x + 2**(bits - 1)) >> bits``: an integer in fewer bits, halves rounded up."""

    kind = "round_shift"
    bits: int

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """The bounds are rounded as the values are."""
        domain = dom.whole(inputs[0].domain)
        if domain is None or self.bits < 1:
            raise IRError(f"shifts {inputs[0].domain} by {self.bits} bits")
        half = 1 << (self.bits - 1)
        bounds = ((domain.lo + half) >> self.bits, (domain.hi + half) >> self.bits)
        return Type(inputs[0].shape, dom.integers(*bounds))


@dataclass(frozen=True, kw_only=True)
class MaxPool(Op):
    """The largest value of each window; borders are padded with minus infinity."""

    kind = "max_pool"
    kernel: Shape
    stride: Shape
    padding: Shape
    dilation: Shape
    ceil_mode: bool = False

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """A maximum is one of the inputs."""
        shape, n = inputs[0].shape, len(self.kernel)
        positions = window_positions(
            shape[-n:], self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode
        )
        return Type((*shape[:-n], *positions), inputs[0].domain)


@dataclass(frozen=True, kw_only=True)
class AvgPool(Op):
    """The mean of each window; with ``count_include_pad`` padded zeros count as values."""

    kind = "avg_pool"
    kernel: Shape
    stride: Shape
    padding: Shape
    ceil_mode: bool = False
    count_include_pad: bool = True

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """k values on a grid average to a grid k times as fine; REAL where window sizes differ."""
        shape, n, k = inputs[0].shape, len(self.kernel), math.prod(self.kernel)
        ones = (1,) * n
        positions = window_positions(
            shape[-n:], self.kernel, self.stride, self.padding, ones, self.ceil_mode
        )
        even = not self.ceil_mode and (self.count_include_pad or not any(self.padding))
        padded = dom.with_zero(inputs[0].domain) if any(self.padding) else inputs[0].domain
        domain = dom.scale(dom.sum_of(padded, k), Fraction(1, k)) if even else REAL
        return Type((*shape[:-n], *positions), domain)


@dataclass(frozen=True, kw_only=True)
class MatMul(Op):
    """``A @ B`` of two computed values over their last two axes; the others broadcast."""

    kind = "matmul"

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """A sum of K products of the two domains."""
        a, b = inputs[0].shape, inputs[1].shape
        if len(a) < 2 or len(b) < 2 or a[-1] != b[-2]:
            raise IRError(f"{a} does not multiply {b}")
        product = dom.multiply(inputs[0].domain, inputs[1].domain)
        shape = (*broadcast_shape(a[:-2], b[:-2]), a[-2], b[-1])
        return Type(shape, dom.sum_of(product, a[-1]))


@dataclass(frozen=True, kw_only=True)
class Mask(Op):
    """Elementwise product of two computed values: one of them should be a spike."""

    kind = "mask"

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """A product of the two domains; of two spikes, a spike."""
        a, b = inputs
        return Type(broadcast_shape(a.shape, b.shape), dom.multiply(a.domain, b.domain))


@dataclass(frozen=True, kw_only=True)
class Sum(Op):
    """The sum over ``axes``."""

    kind = "sum"
    axes: Shape
    keepdims: bool = False

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """As many terms as the axes have places."""
        shape = inputs[0].shape
        if any(not 0 <= a < len(shape) for a in self.axes):
            raise IRError(f"axes {self.axes} are not all axes of {shape}")
        terms = math.prod(shape[a] for a in self.axes)
        kept = ((1 if a in self.axes else n, a) for a, n in enumerate(shape))
        left = tuple(n for n, a in kept if self.keepdims or a not in self.axes)
        return Type(left, dom.sum_of(inputs[0].domain, terms))


@dataclass(frozen=True, kw_only=True)
class Reshape(Op):
    """The same values in the same order under another shape."""

    kind = "reshape"
    shape: Shape

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """Values stay."""
        if math.prod(self.shape) != math.prod(inputs[0].shape):
            raise IRError(f"{inputs[0].shape} does not reshape to {self.shape}")
        return Type(self.shape, inputs[0].domain)


@dataclass(frozen=True, kw_only=True)
class Permute(Op):
    """Axes in another order: axis ``i`` of the result is axis ``order[i]`` of the input."""

    kind = "permute"
    order: Shape

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """Values stay."""
        shape = inputs[0].shape
        if sorted(self.order) != list(range(len(shape))):
            raise IRError(f"{self.order} does not permute {shape}")
        return Type(tuple(shape[a] for a in self.order), inputs[0].domain)


@dataclass(frozen=True, kw_only=True)
class Expand(Op):
    """The value broadcast to ``shape``, new axes in front, as in numpy."""

    kind = "expand"
    shape: Shape

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """Values stay."""
        require_broadcast(inputs[0].shape, self.shape)
        return Type(self.shape, inputs[0].domain)


@dataclass(frozen=True, kw_only=True)
class Slice(Op):
    """The places ``start, start + step, ... < stop`` of one axis."""

    kind = "slice"
    axis: int
    start: int
    stop: int
    step: int = 1

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """Values stay."""
        shape = inputs[0].shape
        if not 0 <= self.start <= self.stop <= shape[self.axis] or self.step < 1:
            raise IRError(f"places {self.start}:{self.stop} are not all in {shape}")
        places = len(range(self.start, self.stop, self.step))
        return Type((*shape[: self.axis], places, *shape[self.axis + 1 :]), inputs[0].domain)


@dataclass(frozen=True, kw_only=True)
class Concat(Op):
    """The inputs one after the other along ``axis``."""

    kind = "concat"
    axis: int

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """The domain that holds those of all inputs."""
        first, domain = inputs[0].shape, inputs[0].domain
        for other in inputs[1:]:
            domain = dom.join(domain, other.domain)
        places = sum(t.shape[self.axis] for t in inputs)
        return Type((*first[: self.axis], places, *first[self.axis + 1 :]), domain)


@dataclass(frozen=True, kw_only=True)
class Repeat(Op):
    """Step level: a value made once and shown at every time step."""

    kind = "repeat"

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """Values stay."""
        return inputs[0]


@dataclass(frozen=True, kw_only=True)
class Readout(Op):
    """Step level: the sum over all time steps; from here on there is one value a sample."""

    kind = "readout"
    steps: int

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """As many terms as there are time steps."""
        return Type(inputs[0].shape, dom.sum_of(inputs[0].domain, self.steps))


@dataclass(frozen=True, kw_only=True)
class Foreign(Op):
    """An operation that no spiking network needs: softmax, LayerNorm, GELU and friends.

    It keeps its shape so that a model can be checked; it can be neither run nor compiled.
    """

    kind = "foreign"
    target: str
    shape: Shape

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """Real."""
        return Type(self.shape, REAL)


OPS: tuple[type[Op], ...] = (
    Input, Output, Constant, Conv, Linear, BatchNorm, Neuron, IntegerNeuron, SynapticCurrent,
    IntegerCurrent, Add, Scale, RoundShift, MaxPool, AvgPool, MatMul, Mask, Sum, Pad, Compare,
    Count, Thermometer, Reshape, Permute, Expand, Slice, Concat, Repeat, Delay, Readout, Foreign,
)  # fmt: skip

VIEWS = ("reshape", "permute", "expand", "slice", "repeat")
"""Kinds that move values about and change none."""

WEIGHTED = ("conv", "linear")
"""Kinds that multiply by stored weights."""
