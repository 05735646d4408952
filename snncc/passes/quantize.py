"""Floats to the chip's integers: weights, thresholds, input and output.

The result computes on counts; ``real = scale * count``. Scales live in thresholds, in the input's
and the output's scale and nowhere else, so the integers need no multiplication that the float
network did not have.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import numpy as np

from snncc.diagnostics.core import Diagnostic
from snncc.ir import domain as dom
from snncc.ir.domain import Grid
from snncc.ir.graph import Array, Graph, Op, Type
from snncc.ir.ops import (
    AvgPool,
    Constant,
    Conv,
    Input,
    IntegerNeuron,
    Linear,
    Neuron,
    Output,
    RoundShift,
    Scale,
)
from snncc.ir.pad import Pad
from snncc.ir.synaptic_current import DECAY_BITS, IntegerCurrent, SynapticCurrent
from snncc.passes.base import Pass, Result, well_formed
from snncc.passes.exact_units import Kept, unlike_given
from snncc.passes.grids import input_grid
from snncc.passes.neuron_integers import NeuronPlan, plan_neuron
from snncc.passes.rules_of_neurons import UNPROVED_WIDTH
from snncc.passes.rules_of_quantizing import ROUNDED_INTEGERS
from snncc.passes.scales import (
    Current,
    Fixed,
    Scaled,
    ScaleGroups,
    made_to_last,
    scale_groups,
)
from snncc.passes.units import Units
from snncc.targets.load import Arithmetic, Features


@dataclass(frozen=True)
class Calibration:
    """What data say of a float step graph.

    ``input_sample`` holds input values; ``mean_inputs`` the mean of what each weighted op reads,
    one a channel of its input.
    """

    input_sample: Array
    mean_inputs: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class LayerScales:
    """How one neuron layer went into integers."""

    name: str
    path: str
    plan: NeuronPlan
    scale_low: float
    scale_high: float


@dataclass(frozen=True)
class LayerWeights:
    """How one weighted layer went into integers: its weights as they are, or rounded.

    ``exact``: the integers are the weights, times one scale a channel. ``exact_bias``: the bias as
    well, None where there is none. ``reason`` says why weights were rounded.
    """

    name: str
    path: str
    exact: bool
    exact_bias: bool | None
    reason: str = ""


@dataclass(frozen=True)
class Quantized:
    """An integer graph, what was found, and how each layer of neurons and of weights came in."""

    graph: Graph
    found: tuple[Diagnostic, ...]
    layers: tuple[LayerScales, ...] = ()
    weights: tuple[LayerWeights, ...] = ()


@dataclass(frozen=True)
class Quantize(Pass):
    """Replace every float by integers of the target's arithmetic.

    Weights ``round(W / (scale 2**shift))`` in ``weight_bits`` signed bits, one scale a channel
    where the target has a threshold for each neuron, else one a layer. Weights that are whole
    multiples of a step already are taken as they are, and so are biases and thresholds that are
    then whole. Thresholds ``tau (v_threshold - v_reset) / scale`` in potential units.
    ``coarser``: how many times larger the units of neurons have to be; see ``fit_widths``.
    """

    name: ClassVar[str] = "quantize"
    requires = (well_formed,)
    ensures = (well_formed,)

    arithmetic: Arithmetic
    features: Features
    calibration: Calibration
    weight_bits: int = 8
    input_bits: int = 8
    coarser: Mapping[str, Array] = field(default_factory=dict)

    def run(self, graph: Graph) -> Result:
        """Return the integer graph; diagnostics for what has no integer form."""
        result = self.quantize(graph)
        return Result(result.graph, result.found)

    def quantize(self, graph: Graph) -> Quantized:
        """Return the integer graph, the findings and how each layer was scaled."""
        pixels, scale = self._pixels(graph)
        groups, found = scale_groups(graph, scale, self.arithmetic.current_shift.value)
        if found:
            return Quantized(graph, found)
        builder = _Builder(self, graph, groups, pixels, scale)
        for op in graph.ops:
            builder.add(op)
        return builder.quantized()

    def _pixels(self, graph: Graph) -> tuple[Grid, float]:
        """Return the counts that the input is read as, and the scale of one."""
        entry = cast(Input, graph.of_kind("input")[0])
        if entry.scale is not None and isinstance(entry.domain, Grid):
            return entry.domain, entry.scale
        scale, hi, lo = input_grid(self.calibration.input_sample, self.input_bits)
        return Grid(dom.SPIKE.step, lo, hi), scale


class _Builder:
    """Walks the float graph once and writes the integer one."""

    def __init__(
        self, options: Quantize, graph: Graph, groups: ScaleGroups, pixels: Grid, scale: float
    ) -> None:
        self.options, self.source, self.groups = options, graph, groups
        self.pixels, self.input_scale = pixels, scale
        self.peak = 2 ** (options.weight_bits - 1) - 1
        by_channel = options.features.per_neuron_threshold.value
        self.units = Units(
            graph, groups, options.arithmetic, by_channel, self.peak, options.coarser
        )
        self.lasting = made_to_last(graph)
        self.ops: list[Op] = []
        self.weights: dict[str, Array] = {}
        self.types: dict[str, Type] = {}
        self.renamed: dict[str, str] = {}
        self.found: list[Diagnostic] = []
        self.layers: list[LayerScales] = []
        self.taken: list[LayerWeights] = []

    def quantized(self) -> Quantized:
        """Return what was written."""
        graph = Graph(tuple(self.ops), self.weights, "step", self.source.steps)
        return Quantized(graph, tuple(self.found), tuple(self.layers), tuple(self.taken))

    def add(self, op: Op) -> None:
        """Write the integer form of one op."""
        write = self._WRITERS.get(op.kind, _Builder._copy)
        write(self, op)
        domain = self.types[self.renamed.get(op.name, op.name)].domain
        if isinstance(domain, Grid):
            self.units.widths[op.name] = int(domain.largest).bit_length()

    def _emit(self, op: Op, **weights: Array) -> None:
        inputs = tuple(self.renamed.get(name, name) for name in op.inputs)
        op = dataclasses.replace(op, inputs=inputs)
        self.weights.update({f"{op.name}.{key}": value for key, value in weights.items()})
        self.ops.append(op)
        self.types[op.name] = op.infer(tuple(self.types[n] for n in inputs), self.weights)

    def _copy(self, op: Op) -> None:
        self._emit(op)

    def _scale(self, op: Op) -> None:
        """A factor moves into the scale; only its sign stays."""
        scale = cast(Scale, op)
        if scale.factor < 0:
            self._emit(dataclasses.replace(scale, factor=-1))
            return
        self.renamed[op.name] = self.renamed.get(op.inputs[0], op.inputs[0])

    def _input(self, op: Op) -> None:
        self._emit(dataclasses.replace(cast(Input, op), domain=self.pixels, scale=self.input_scale))

    def _output(self, op: Op) -> None:
        output = cast(Output, op)
        unit = self.units.of(self.groups.resolved(op.inputs[0]))
        if output.scale is not None:
            unit = unit * cast(Array, self.source.weights[output.scale])
        self._emit(dataclasses.replace(output, scale=f"{op.name}.scale"), scale=unit)

    def _constant(self, op: Op) -> None:
        constant, scaled = cast(Constant, op), self.groups.resolved(op.name)
        value = cast(Array, self.source.weights[constant.value])
        axis = scaled.axis if isinstance(scaled, Current) else None
        counts = np.rint(value / _along(self.units.of(scaled), axis, value.ndim)).astype(np.int32)
        self._emit(dataclasses.replace(constant, value=f"{op.name}.value"), value=counts)

    def _pad(self, op: Op) -> None:
        pad = cast(Pad, op)
        if pad.value is None:
            self._emit(pad)
            return
        unit = self.units.of(self.groups.resolved(op.name))
        counts = np.rint(cast(Array, self.source.weights[pad.value]) / unit).astype(np.int32)
        border = counts if counts.size > 1 else counts.reshape(())
        self._emit(dataclasses.replace(pad, value=f"{op.name}.value"), value=border)

    def _weighted(self, op: Op) -> None:
        weighted = cast(Conv | Linear, op)
        unit = self.units.of(self.groups.resolved(op.name))
        shift = self.units.shifts[op.name]
        self.taken.append(self._how_taken(op))
        weighted = dataclasses.replace(weighted, inputs=(self._payload(op),), shift=max(shift, 0))
        if shift >= 0:
            self._emit_weighted(weighted, op, unit)
            return
        fine = dataclasses.replace(weighted, name=f"{op.name}.fine")
        self._emit_weighted(fine, op, unit * 2.0**shift)
        self._emit(RoundShift(name=op.name, inputs=(fine.name,), source=op.source, bits=-shift))

    def _how_taken(self, op: Op) -> LayerWeights:
        kept, has_bias = self._kept(op.name), cast(Conv | Linear, op).bias is not None
        if isinstance(kept, Kept):
            bias = kept.biases if has_bias else None
            return LayerWeights(op.name, op.source.module, True, bias)
        bias = False if has_bias else None
        return LayerWeights(op.name, op.source.module, False, bias, kept)

    def _kept(self, name: str) -> Kept | str:
        """Return in which units the weights of a current's group are kept, or why they are not."""
        return self.units.kept[cast(Current, self.groups.resolved(name)).group]

    def _emit_weighted(self, form: Conv | Linear, op: Op, unit: Array) -> None:
        """Write a weighted op whose result counts ``unit``; ``op`` is its float form."""
        exact = self.units.effective_weight(op)
        column = unit.reshape(-1, *(1,) * (exact.ndim - 1)) * 2.0**form.shift
        counts = np.clip(np.rint(exact / column), -self.peak, self.peak)
        bias = self._bias(cast(Conv | Linear, op), exact - counts * column, unit)
        weights = {"weight": counts.astype(np.int8 if self.peak < 128 else np.int16)}
        if bias is not None:
            weights["bias"] = bias
        fields: dict[str, Any] = {key: f"{form.name}.{key}" for key in weights}
        self._emit(dataclasses.replace(form, bias=fields.pop("bias", None), **fields), **weights)

    def _payload(self, op: Op) -> str:
        """Return the name of what a weighted op reads: a current is cut to a payload first."""
        bits = self.units.payload_shift(op)
        if bits == 0:
            return op.inputs[0]
        cut = RoundShift(name=f"{op.name}.payload", inputs=op.inputs, source=op.source, bits=bits)
        self._emit(cut)
        return cut.name

    def _bias(self, op: Conv | Linear, lost: Array, unit: Array) -> Array | None:
        """Return the bias in counts; it makes up for what rounding took from the mean current.

        Where the current lasts, an op that has no bias gets none: the chip's stock neurons add
        biases behind what they keep of a current.
        """
        bias = np.zeros(lost.shape[0])
        if op.bias is not None:
            bias = bias + cast(Array, self.source.weights[op.bias])
        if not bias.any() and op.name in self.lasting:
            return None
        means = self.options.calibration.mean_inputs.get(op.name)
        kept = isinstance(self._kept(op.name), Kept)
        if means is not None and not kept:
            bias = bias + _mean_loss(op, lost, means, self.groups.resolved(op.inputs[0]))
        counts = np.rint(bias / unit).astype(np.int32)
        return counts if counts.any() or (op.bias is not None and not kept) else None

    def _current(self, op: Op) -> None:
        """The leak in 4096ths; what comes in is shifted by as much as the chip's neurons do."""
        current = cast(SynapticCurrent, op)
        whole, arithmetic = 1 << DECAY_BITS, self.options.arithmetic
        lasting = self.groups.resolved(op.inputs[0]).lasting
        self._emit(IntegerCurrent(
            name=op.name, inputs=op.inputs, source=op.source,
            decay=round((1 - current.keep) * whole), steps=self.source.steps,
            shift=0 if lasting else arithmetic.current_shift.value,
        ))  # fmt: skip
        domain = self.types[op.name].domain
        limit = (1 << (arithmetic.current_bits.value - 1)) - 1
        bound = domain.magnitude if isinstance(domain, Grid) else None
        if bound is None or bound > limit:
            self._unproved(op, f"current of {bound or 'any size'}", limit)

    def _unproved(self, op: Op, what: str, limit: int) -> None:
        self.found.append(UNPROVED_WIDTH.at(
            op.source,
            f"`{op.name}` could reach a {what}, beyond the {limit} of the target's width",
            op=op.kind,
            hint="verify it on data, or compile with --fit-widths",
        ))  # fmt: skip

    def _avg_pool(self, op: Op) -> None:
        """The sum of each window: the division is in the scale."""
        pool = cast(AvgPool, op)
        channels = self.types[self.renamed.get(op.inputs[0], op.inputs[0])].shape[0]
        conv = Conv(
            name=op.name, inputs=op.inputs, source=op.source, weight=f"{op.name}.ones",
            stride=pool.stride, padding=pool.padding, dilation=(1,) * len(pool.kernel),
            groups=channels,
        )  # fmt: skip
        self._emit(conv, ones=np.ones((channels, 1, *pool.kernel), np.int8))

    def _grain(self, neuron: Neuron) -> Array | None:
        grain = neuron.grain
        return None if grain is None else cast(Array, self.source.weights[grain]).reshape(-1)

    def _neuron(self, op: Op) -> None:
        neuron = cast(Neuron, op)
        value = self.groups.resolved(op.inputs[0])
        type_ = self.types[self.renamed.get(op.inputs[0], op.inputs[0])]
        unit = self.units.of(value)
        current, steps = cast(Grid, dom.whole(type_.domain)), self.source.steps
        plan = plan_neuron(
            neuron, unit, current, steps, self.options.arithmetic, lasting=value.lasting,
            grain=self._grain(neuron),
        )  # fmt: skip
        if not plan.proved:
            self._unproved(op, f"potential of {plan.bound}", plan.limit)
        self._check_integers(neuron, value, plan)
        layer = LayerScales(op.name, op.source.module, plan, float(unit.min()), float(unit.max()))
        self.layers.append(layer)
        integer = IntegerNeuron(
            name=op.name, inputs=op.inputs, source=op.source, threshold=f"{op.name}.threshold",
            unit=None if plan.unit is None else f"{op.name}.unit", levels=neuron.levels,
            decay=plan.decay, shift=plan.shift, reset="soft" if neuron.v_reset is None else "hard",
        )  # fmt: skip
        axis = value.axis if isinstance(value, Current) else None
        weights = {"threshold": _along(plan.threshold, axis, len(type_.shape)).astype(np.int32)}
        if plan.unit is not None:
            weights["unit"] = _along(plan.unit, axis, len(type_.shape)).astype(np.int32)
        self._emit(integer, **weights)

    def _check_integers(self, neuron: Neuron, value: Scaled, plan: NeuronPlan) -> None:
        """Say where the integers of a file do not stay what they are."""
        if neuron.grain is None or not isinstance(value, Current):
            return
        reason = unlike_given(self.units.kept[value.group], plan.exact or value.lasting)
        if not reason:
            return
        self.found.append(ROUNDED_INTEGERS.at(
            neuron.source, f"`{neuron.name}` is not compiled to the integers of the file: {reason}",
            op=neuron.kind,
        ))  # fmt: skip

    _WRITERS: ClassVar = {
        "input": _input,
        "output": _output,
        "constant": _constant,
        "pad": _pad,
        "conv": _weighted,
        "linear": _weighted,
        "avg_pool": _avg_pool,
        "neuron": _neuron,
        "scale": _scale,
        "synaptic_current": _current,
    }


def _along(numbers: Array, axis: int | None, rank: int) -> Array:
    """Lay numbers, one a channel on the last axis, along one axis of a shape of that rank."""
    if axis is None or numbers.shape[-1] == 1:
        return numbers
    return numbers.reshape(*numbers.shape, *(1,) * (rank - axis - 1))


def _mean_loss(op: Conv | Linear, lost: Array, means: Array, value: Scaled) -> Array:
    """Return the mean of ``lost`` weights times the mean input: what rounding takes away."""
    counts = means / (value.scale if isinstance(value, Fixed) else 1.0)
    if isinstance(value, Current):
        return np.zeros(lost.shape[0])
    groups = op.groups if isinstance(op, Conv) else 1
    taps = lost.reshape(groups, -1, lost.shape[1], int(np.prod(lost.shape[2:]))).sum(axis=-1)
    return np.einsum("goi,gi->go", taps, counts.reshape(groups, -1)).reshape(-1)
