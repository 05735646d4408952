"""The comparison: what is left of a spiking neuron that was written out as plain arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from snncc.ir.domain import SPIKE
from snncc.ir.graph import Op, Type, Weights


@dataclass(frozen=True, kw_only=True)
class Compare(Op):
    """Tensor level: ``S = x >= threshold``, ``x > threshold`` where ``strict``; 1 or 0.

    ``raise_neurons`` turns the comparisons of a recurrence over time into a neuron; none is left
    on the step level.
    """

    kind = "compare"
    threshold: float = 0.0
    strict: bool = False

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """A spike, whatever is compared."""
        return Type(inputs[0].shape, SPIKE)
