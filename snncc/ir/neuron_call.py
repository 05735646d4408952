"""One time step of a neuron layer: what is left of a layer that code calls in a loop over time."""

from __future__ import annotations

from dataclasses import dataclass

from snncc.ir.ops import Neuron

POTENTIAL = "neuron.potential"
"""Target of the foreign op that stands for the potential of a call, its input, for any reader."""


@dataclass(frozen=True, kw_only=True)
class NeuronCall(Neuron):
    """Tensor level: the equation of ``Neuron`` for one step.

    The second input is the call of the step before, whose potential this one goes on from; without
    it the layer starts at rest. ``gather_calls`` turns all calls of a layer into one neuron; no
    graph has any behind it.
    """

    kind = "neuron_call"
