"""A neuron in exact numbers: what a chain of comparisons is held against."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from snncc.passes.answers import Affine, Rounding, counted

Currents = tuple[tuple[str, Fraction], ...]
"""Values, each with its factor."""

_AS_IT_IS = Affine("", Fraction(1), Fraction(0))


@dataclass(frozen=True)
class Equation:
    """A neuron in exact numbers; ``reset`` is None where a spike takes ``taken`` off instead.

    Its current in step t is ``gain sum(factor x) + bias`` over ``currents[t]``. With ``levels`` it
    fires as many spikes as its potential has thresholds, rounded. ``start`` is what the potential
    of the first step is in units of the others.
    """

    keep: Fraction
    gain: Fraction
    bias: Fraction
    threshold: Fraction
    reset: Fraction | None
    taken: Fraction
    strict: bool
    currents: tuple[Currents, ...]
    levels: int = 1
    rounding: Rounding = "half_even"
    start: Affine = _AS_IT_IS

    @property
    def rest(self) -> Fraction:
        """Where the potential starts and leaks to."""
        return self.reset or Fraction(0)

    def charge(self, before: Fraction, current: Fraction) -> Fraction:
        """Return the potential at the compare; ``current`` has gain and bias in it."""
        return self.keep * before + (1 - self.keep) * self.rest + current

    def fires(self, potential: Fraction) -> int:
        """Return how many spikes a potential gives."""
        if self.levels > 1:
            return counted(potential / self.threshold, self.levels, self.rounding)
        above = potential > self.threshold
        return int(above or (potential == self.threshold and not self.strict))

    def after(self, potential: Fraction) -> Fraction:
        """Return the potential after the reset."""
        spikes = self.fires(potential)
        if self.reset is None:
            return potential - spikes * self.taken
        return self.reset if spikes else potential
