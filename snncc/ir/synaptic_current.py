"""Synaptic currents that outlast a time step: what a current-based (CUBA) neuron integrates."""

from __future__ import annotations

from dataclasses import dataclass

from snncc.ir import domain as dom
from snncc.ir.domain import REAL, Domain, Grid
from snncc.ir.graph import IRError, Op, Type, Weights

DECAY_BITS = 12
"""Decays are fractions of 2**12; Loihi's 12-bit field (Davies et al. 2018)."""

CURRENTS = ("synaptic_current", "integer_current")
"""Kinds that hold a synaptic current from one time step to the next."""


@dataclass(frozen=True, kw_only=True)
class SynapticCurrent(Op):
    """``I = keep I + X``, from 0 on; the result is I. On the tensor level axis 0 is time.

    ``keep`` is the share that is left after a time step: ``1 - dt / tau_syn`` or
    ``exp(-dt / tau_syn)``.
    """

    kind = "synaptic_current"
    keep: float

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """Real: nothing is proved of sums with powers of a float."""
        if not 0 <= self.keep <= 1:
            raise IRError(f"keeps {self.keep} of its current, wanted 0 to 1")
        return Type(inputs[0].shape, REAL)


@dataclass(frozen=True, kw_only=True)
class IntegerCurrent(Op):
    """``I = rz(I (4096 - decay) / 4096) + (X << shift)``, from 0 on, ``rz`` rounding toward zero.

    The current ``u`` of Loihi's neurons, ``steps`` time steps for each sample. The width is proved
    or reported where the target is known; nothing wraps here.
    """

    kind = "integer_current"
    decay: int
    shift: int
    steps: int

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """The bounds of the input, filtered as the values are: the leak is monotone."""
        domain = dom.whole(inputs[0].domain)
        if domain is None:
            raise IRError(f"current is {inputs[0].domain}, not an integer")
        if not 0 <= self.decay <= 1 << DECAY_BITS or self.shift < 0 or self.steps < 1:
            raise IRError(
                f"decays by {self.decay} of 4096, shifts by {self.shift}, for {self.steps} steps"
            )
        return Type(inputs[0].shape, self._bounds(domain))

    def _bounds(self, domain: Grid) -> Domain:
        high, low = domain.hi << self.shift, domain.lo << self.shift
        if self.decay == 0:
            return dom.integers(min(low, low * self.steps), max(high, high * self.steps))
        upper, lower, u, v = high, low, high, low
        for _ in range(self.steps - 1):
            before = u, v
            u, v = self._kept(u) + high, self._kept(v) + low
            upper, lower = max(upper, u), min(lower, v)
            if (u, v) == before:
                break
        return dom.integers(lower, upper)

    def _kept(self, current: int) -> int:
        """Return what a time step leaves of a current."""
        size = abs(current) * ((1 << DECAY_BITS) - self.decay) >> DECAY_BITS
        return size if current >= 0 else -size
