"""Neurons of an integer graph, held to the equation and to the registers of the target's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from snncc.diagnostics.core import Diagnostic
from snncc.ir.domain import Grid, whole, width_bits
from snncc.ir.graph import Array, Op
from snncc.ir.latency import Pipeline
from snncc.ir.ops import WEIGHTED, IntegerNeuron
from snncc.ir.synaptic_current import DECAY_BITS
from snncc.passes.rules_of_neurons import DECAY_OFF_GRID, FIXED_NEURON, WIDE_BIAS, WIDE_CURRENT
from snncc.passes.rules_of_targets import WIDE_THRESHOLD
from snncc.targets.load import Arithmetic, Target

_KEEP = ("integer_neuron", "integer_current")
"""Kinds behind which a bias is no longer what was added."""


@dataclass(frozen=True)
class NeuronLimits:
    """The limits of a target's neurons, held against those of a pipeline."""

    target: Target
    pipeline: Pipeline

    def of(self, op: Op) -> Iterator[Diagnostic]:
        """Yield what a layer of neurons breaks; nothing for other ops."""
        if isinstance(op, IntegerNeuron):
            yield from self._threshold(op)
            yield from self._decay(op)
            yield from self._current(op)
            if not self.target.features.programmable_neurons.value:
                yield from self._equation(op)
            in_state = self.target.features.bias_in_state
            if in_state is None or not in_state.value:
                yield from self._bias(op)

    def _threshold(self, op: IntegerNeuron) -> Iterator[Diagnostic]:
        thresholds = cast(Array, self.pipeline.graph.weights[op.threshold])
        shift = self.target.arithmetic.threshold_shift.value
        most = (1 << self.target.arithmetic.threshold_bits.value) - 1
        for needed in (int(thresholds.max()) >> shift, (int(thresholds.min()) - 1) >> shift):
            if not 0 <= needed <= most:
                yield WIDE_THRESHOLD.at(
                    op.source,
                    f"`{op.name}` needs a threshold of {needed}, "
                    f"the register of {self.target.name} holds {most}",
                    op=op.kind,
                    hint="compile with fewer weight bits",
                )
                return

    def _decay(self, op: IntegerNeuron) -> Iterator[Diagnostic]:
        bits, name = self.target.arithmetic.decay_bits.value, self.target.name
        if bits != DECAY_BITS and op.decay:
            broken = f"`{op.name}` leaks in {DECAY_BITS}-bit shares, those of {name} have {bits}"
        elif op.decay >= 1 << DECAY_BITS and not self.target.features.programmable_neurons.value:
            most = (1 << DECAY_BITS) - 1
            broken = f"`{op.name}` needs a decay of {op.decay}, the register of {name} holds {most}"
        else:
            return
        yield DECAY_OFF_GRID.at(op.source, broken, op=op.kind)

    def _current(self, op: IntegerNeuron) -> Iterator[Diagnostic]:
        """Yield a current that, shifted to the potential's unit, may leave a narrower register.

        A potential holds the current: where its register is no wider, its own proof covers both.
        One that lasts is held to the register where it is put into integers.
        """
        arithmetic = self.target.arithmetic
        bits = arithmetic.current_bits.value
        domain = whole(self.pipeline.graph.type_of(op.inputs[0]).domain)
        lasts = self.pipeline.graph[op.inputs[0]].kind == "integer_current"
        if domain is None or lasts or bits >= arithmetic.potential_bits.value:
            return
        shifted = Grid(domain.step, min(domain.lo << op.shift, -1), domain.hi << op.shift)
        needed = width_bits(shifted) or 0
        if needed > bits:
            yield WIDE_CURRENT.at(
                op.source,
                f"`{op.name}` gets currents of {domain}, {needed} bits when shifted by {op.shift}; "
                f"the register of {self.target.name} has {bits}",
                op=op.kind,
                hint="compile with fewer weight bits, or for fewer time steps",
            )

    def _equation(self, op: IntegerNeuron) -> Iterator[Diagnostic]:
        """Yield what a neuron of one fixed equation does not do."""
        arithmetic, found = self.target.arithmetic, []
        thresholds = cast(Array, self.pipeline.graph.weights[op.threshold]).astype(np.int64)
        if op.reset != "hard":
            found.append("resets softly, {} reset to zero")
        if op.levels > 1:
            found.append(f"fires up to {op.levels} spikes at once, {{}} fire one")
        if op.reset == "hard" and op.levels == 1 and _off_register(thresholds, arithmetic):
            unit = 1 << arithmetic.threshold_shift.value
            found.append(f"has thresholds between multiples of {unit}, {{}} have none")
        for what in found:
            yield FIXED_NEURON.at(
                op.source,
                f"`{op.name}` {what.format(f'the neurons of {self.target.name}')}",
                hint="train with a hard reset to 0 and binary spikes, "
                "or choose a target with programmable neurons",
                op=op.kind,
            )

    def _bias(self, op: IntegerNeuron) -> Iterator[Diagnostic]:
        """Yield biases that no mantissa and exponent of the field make; those that meet, added."""
        biases = list(biases_of(self.pipeline, op))
        if len({bias.size for _, bias in biases}) == 1:
            total = np.sum([bias.reshape(-1) for _, bias in biases], axis=0)
            yield from self._wide(op, total, [maker for maker, _ in biases])
            return
        for maker, bias in biases:
            yield from self._wide(op, bias, [maker])

    def _wide(self, op: IntegerNeuron, bias: Array, makers: Sequence[Op]) -> Iterator[Diagnostic]:
        arithmetic = self.target.arithmetic
        wide = bias[~fits_bias_field(bias << op.shift, arithmetic)]
        if wide.size:
            largest = int(wide[np.abs(wide).argmax()]) << op.shift
            yield WIDE_BIAS.at(
                makers[0].source,
                f"`{op.name}` gets a bias of {largest} "
                f"from {' and '.join(f'`{maker.name}`' for maker in makers)}, "
                f"the field of {self.target.name} holds {_field(arithmetic)}; "
                f"{wide.size} of {bias.size} biases do not fit",
                op=makers[0].kind,
                hint="compile with fewer weight bits, or for fewer time steps",
            )


def biases_of(pipeline: Pipeline, op: Op) -> Iterator[tuple[Op, Array]]:
    """Yield what is added to what an op reads in every step on the chip, and the op that adds it.

    What stands in front of a layer's potential, or of a current that lasts, is not looked at.
    """
    graph, waiting = pipeline.graph, list(op.inputs)
    while waiting:
        maker = graph[waiting.pop(0)]
        if maker.name in pipeline.host:
            continue
        if maker.kind in (*WEIGHTED, "constant"):
            added = maker.weight_names[int(maker.kind in WEIGHTED) :]
            yield from ((maker, cast(Array, graph.weights[n]).astype(np.int64)) for n in added)
        elif not pipeline.steps[maker.name] and maker.kind not in _KEEP:
            waiting += maker.inputs


def fits_bias_field(bias: Array, arithmetic: Arithmetic) -> Array:
    """Return which biases, in units of the potential, are ``mantissa << exponent`` exactly."""
    most = 1 << (arithmetic.bias_mantissa_bits.value - 1)
    fits = np.zeros(bias.shape, bool)
    for exponent in range(1 << arithmetic.bias_exponent_bits.value):
        mantissa = bias >> exponent
        fits |= (mantissa << exponent == bias) & (-most <= mantissa) & (mantissa < most)
    return fits


def _field(arithmetic: Arithmetic) -> str:
    exponent = (1 << arithmetic.bias_exponent_bits.value) - 1
    return f"{arithmetic.bias_mantissa_bits.value} bits times 2**{exponent} at most"


def _off_register(thresholds: Array, arithmetic: Arithmetic) -> bool:
    """Whether a threshold lies between two that the register can hold."""
    strict = arithmetic.threshold_compare.value == "greater"
    unit = 1 << arithmetic.threshold_shift.value
    return bool(np.any((thresholds - strict) % unit))
