"""Currents that outlast a time step, held to what the target's neurons keep of a current.

A neuron with a fixed equation keeps its own: what synapses bring is filtered, its bias is added
behind the filter, and nothing else stands between the current and the potential.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from snncc.diagnostics.core import Diagnostic
from snncc.ir.graph import Op
from snncc.ir.latency import Pipeline
from snncc.ir.ops import VIEWS
from snncc.ir.synaptic_current import DECAY_BITS, IntegerCurrent
from snncc.passes.check_neurons import biases_of
from snncc.passes.rules_of_neurons import DECAY_OFF_GRID, FIXED_NEURON
from snncc.targets.load import Target


@dataclass(frozen=True)
class CurrentLimits:
    """The limits of what a target's neurons keep of a current, held against a pipeline."""

    target: Target
    pipeline: Pipeline

    def of(self, op: Op) -> Iterator[Diagnostic]:
        """Yield what a lasting current breaks; nothing for other ops."""
        if isinstance(op, IntegerCurrent):
            yield from self._decay(op)
            if not self.target.features.programmable_neurons.value:
                yield from self._equation(op)

    def _decay(self, op: IntegerCurrent) -> Iterator[Diagnostic]:
        """Yield a decay that the field does not hold: it holds one less than is lost in a step."""
        bits, name = self.target.arithmetic.decay_bits.value, self.target.name
        if bits != DECAY_BITS:
            broken = f"loses its current in {DECAY_BITS}-bit shares, those of {name} have {bits}"
        elif op.decay == 0 and not self.target.features.programmable_neurons.value:
            least = f"1 of {1 << DECAY_BITS} in a step"
            broken = f"loses nothing of its current, neurons of {name} lose at least {least}"
        else:
            return
        yield DECAY_OFF_GRID.at(op.source, f"`{op.name}` {broken}", op=op.kind)

    def _equation(self, op: IntegerCurrent) -> Iterator[Diagnostic]:
        """Yield what stands before a current or behind it that a fixed equation has no place for.

        A shift other than the neurons' own belongs to a current that was kept before.
        """
        biases = biases_of(self.pipeline, op)
        for name in dict.fromkeys(maker.name for maker, bias in biases if np.any(bias)):
            yield self._fixed(
                op, f"keeps the bias of `{name}` from step to step, {{}} add it anew in each",
                "train without a bias before such neurons",
            )  # fmt: skip
        if op.shift != self.target.arithmetic.current_shift.value:
            yield self._fixed(op, "keeps what was kept before, {} keep one current")
        readers = list(self._readers(op))
        if [reader.kind for reader in readers] != ["integer_neuron"]:
            found = " and ".join(f"`{reader.name}` ({reader.kind})" for reader in readers)
            yield self._fixed(op, f"is read by {found or 'nothing'}, {{}} read their own current")

    def _fixed(self, op: Op, what: str, hint: str = "") -> Diagnostic:
        neurons = f"the neurons of {self.target.name}"
        hint = hint or "choose a target with programmable neurons"
        message = f"`{op.name}` {what.format(neurons)}"
        return FIXED_NEURON.at(op.source, message, hint=hint, op=op.kind)

    def _readers(self, op: Op) -> Iterator[Op]:
        """Yield what reads a current, or its sum with what never changes, through views."""
        waiting = [(op.name, user) for user in self._users(op)]
        while waiting:
            read, user = waiting.pop()
            others = [name for name in user.inputs if name != read]
            still = all(self.pipeline.latency_of[name] is None for name in others)
            if user.kind in VIEWS or (user.kind == "add" and others and still):
                waiting += [(user.name, each) for each in self._users(user)]
            else:
                yield user

    def _users(self, op: Op) -> Iterator[Op]:
        """Yield what reads a value, the last first."""
        return reversed(self.pipeline.graph.users[op.name])
