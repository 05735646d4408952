"""What is left of a spiking neuron that was written out as arithmetic: a comparison, or a count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from snncc.ir.domain import SPIKE, integers
from snncc.ir.graph import Array, Op, Type, Weights


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


@dataclass(frozen=True, kw_only=True)
class Count(Op):
    """Tensor level: ``S = round(clip(x, 0, levels))``, rounded ``half_even`` or ``half_up``.

    What integer-firing neurons fire; ``raise_neurons`` turns all of them into neurons.
    """

    kind = "count"
    levels: int
    rounding: Literal["half_even", "half_up"] = "half_even"

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """A number of spikes, whatever is counted."""
        return Type(inputs[0].shape, integers(0, self.levels))


def rounded(h: Array, levels: int, rounding: str) -> Array:
    """Return how many spikes, 0 to ``levels``, are fired at a potential in thresholds."""
    clipped = np.clip(h, 0, levels)
    counts: Array = np.rint(clipped) if rounding == "half_even" else np.floor(clipped + 0.5)
    return counts
