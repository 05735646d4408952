"""The last proof before arithmetic becomes a neuron: both are run, on numbers without rounding.

The arithmetic is evaluated op by op, not from the polynomials that the neuron was found by. A third
of all potentials lies exactly on the threshold.
"""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Any

from snncc.passes.answers import Affine, Firing, factor_of, fired
from snncc.passes.equation import Currents, Equation
from snncc.passes.near_miss import NearMissError
from snncc.passes.recurrence import FIRES, Arithmetic, Chain
from snncc.passes.rounding import is_same

_SAMPLES = 24
_ARITHMETIC = ("add", "mask", "scale", *FIRES)


def prove(arithmetic: Arithmetic, chain: Chain, neuron: Equation) -> None:
    """Run both sides on random currents. Raises ``NearMissError`` where a spike differs."""
    compared = _comparisons(arithmetic, chain)
    for seed in range(_SAMPLES):
        _Trial(arithmetic, neuron, Random(seed)).run(chain, compared)  # noqa: S311


def _comparisons(arithmetic: Arithmetic, chain: Chain) -> list[list[str]]:
    """Return the comparisons of each step."""
    compare, made = arithmetic.comparisons, arithmetic.made_of_spike
    return [[name for name in made[f] if name in compare] for f in chain.firings]


class _Trial:
    """One run; ``values`` holds what is known of the graph so far."""

    def __init__(self, arithmetic: Arithmetic, neuron: Equation, dice: Random) -> None:
        self.arithmetic = arithmetic
        self.neuron = neuron
        self.dice = dice
        self.values: dict[str, Fraction] = {}

    def run(self, chain: Chain, compared: list[list[str]]) -> None:
        """Go through all steps."""
        state, neuron = self.neuron.rest, self.neuron
        steps = zip(chain.firings, neuron.currents, compared, strict=True)
        for step, (firing, currents, names) in enumerate(steps):
            still = neuron.charge(state, neuron.bias)
            current = self._draw(currents, self._edge() - still, entry=step == 0)
            potential = still + neuron.gain * current
            fires = neuron.fires(potential)
            size = abs(state) + abs(still) + self._size(currents) + abs(neuron.threshold)
            made = self._meets(firing, potential, size, entry=step == 0)
            answers = self.arithmetic.comparisons
            if not made or any(self._value(name) != answers[name].at(fires) for name in names):
                message = f"the spike of step {step} is not that of the neuron found for it"
                raise NearMissError(message, firing.potential)
            state = neuron.after(potential)

    def _meets(self, firing: Firing, potential: Fraction, size: Fraction, *, entry: bool) -> bool:
        """Whether the arithmetic has the neuron's potential, but for rounding of its factors.

        From there on it has exactly that, so that each step is held to one rounding, and what fires
        at the threshold to none.
        """
        _, factor, offset = self.neuron.start if entry else Affine("", Fraction(1), Fraction(0))
        if not entry and self.neuron.threshold:
            factor = self.neuron.threshold / firing.threshold
        found = self._value(firing.potential) * factor + offset
        if found == potential:
            return True
        for name, _ in self.neuron.currents[0] if entry else ():
            del self.values[name]
        self.values[firing.potential] = (potential - offset) / factor
        return is_same(found, potential, size)

    def _size(self, currents: Currents) -> Fraction:
        return sum((abs(self.neuron.gain * f * self.values[n]) for n, f in currents), Fraction(0))

    def _edge(self) -> Fraction:
        """Return a potential at which one spike more begins."""
        if self.neuron.levels == 1:
            return self.neuron.threshold
        return self.neuron.threshold * (self.dice.randint(1, self.neuron.levels) - Fraction(1, 2))

    def _draw(self, currents: Currents, to_threshold: Fraction, *, entry: bool) -> Fraction:
        """Choose the currents of a step that no earlier step has chosen; return their sum."""
        hits = self.dice.random() < 1 / 3
        wanted = to_threshold / self.neuron.gain if hits else self._random()
        free = [name for name, _ in currents if name not in self.values]
        for name, factor in currents:
            if name in free[:-1]:
                self.values[name] = self._random()
            elif name in free:
                self._set(name, (wanted - self._sum(currents)) / factor, entry=entry)
        return self._sum(currents)

    def _sum(self, currents: Currents) -> Fraction:
        """Return the sum of the currents that are known."""
        known = (f * self.values[n] for n, f in currents if n in self.values)
        return sum(known, Fraction(0))

    def _set(self, name: str, value: Fraction, *, entry: bool) -> None:
        """Give a current its value; the first step's by what it is made of."""
        self.values[name] = value
        if entry:
            bottom = self.arithmetic.affine_path(name)[-1]
            self.values[bottom.name] = (value - bottom.offset) / bottom.factor

    def _random(self) -> Fraction:
        unit, most = abs(self.neuron.threshold or Fraction(1)), 128 + 64 * self.neuron.levels
        return Fraction(self.dice.randint(-64, most), 64) * unit

    def _value(self, name: str) -> Fraction:
        waiting = [name]
        while waiting:
            each = waiting[-1]
            known = each in self.values or self.arithmetic.number(each) is not None
            missing = [] if known else self._missing(each)
            waiting += missing
            if not missing:
                waiting.pop()
                if each not in self.values:
                    self.values[each] = self._computed(each)
        return self.values[name]

    def _missing(self, name: str) -> list[str]:
        """Return the inputs of arithmetic whose values are not known yet."""
        op = self.arithmetic.ops[name]
        inputs = op.inputs if op.kind in _ARITHMETIC else ()
        return [each for each in inputs if each not in self.values]

    def _computed(self, name: str) -> Fraction:
        number = self.arithmetic.number(name)
        if number is not None:
            return number
        op: Any = self.arithmetic.ops[name]
        if op.kind not in _ARITHMETIC:
            raise NearMissError(f"`{name}` enters the potential by another way", name)
        x, *others = (self.values[each] for each in op.inputs)
        if op.kind == "add":
            return x + others[0]
        if op.kind == "mask":
            return x * others[0]
        if op.kind == "scale":
            return x * factor_of(op)
        return Fraction(fired(op, x))
