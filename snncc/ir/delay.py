"""The delay of a value, which only a clock sees.

Within a time step nothing takes time, and a delay is the value itself. On a chip connections take
a step each, and a delay makes the short side of a join wait; see ``latency``.
"""

from __future__ import annotations

from dataclasses import dataclass

from snncc.ir.graph import IRError, Op, Type, Weights


@dataclass(frozen=True, kw_only=True)
class Delay(Op):
    """The same value, ``steps`` clock steps later: ``y[k] = x[k - steps]``.

    A ``relay`` is sent on by neurons of its own: what waits longer than the synapses of a chip can
    make it wait goes from relay to relay.
    """

    kind = "delay"
    steps: int
    relay: bool = False

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """Values stay."""
        if self.steps < 1:
            raise IRError(f"a delay of {self.steps} steps, wanted one or more")
        return inputs[0]
