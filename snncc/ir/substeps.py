"""Counts of spikes as binary sub-steps: one op, the thermometer code."""

from __future__ import annotations

from dataclasses import dataclass

from snncc.ir.domain import SPIKE, Grid
from snncc.ir.graph import IRError, Op, Type, Weights


@dataclass(frozen=True, kw_only=True)
class Thermometer(Op):
    """``y[j] = x > j`` for ``j`` = 0 .. levels - 1 on a new first axis: ``sum(y) = x``.

    A count of spikes becomes that many spikes in as many sub-steps of one time step.
    """

    kind = "thermometer"
    levels: int

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """Spikes; the input must be a count that the levels can hold."""
        domain = inputs[0].domain
        if not isinstance(domain, Grid) or domain.step != 1 or domain.lo < 0:
            raise IRError(f"reads {domain}, not a count of spikes")
        if domain.hi > self.levels:
            raise IRError(f"reads {domain} in {self.levels} levels")
        return Type((self.levels, *inputs[0].shape), SPIKE)
