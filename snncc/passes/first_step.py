"""Tells a neuron's first potential from its first current, where one value is both.

A neuron and its synaptic current both start at 0, so that the first step computes one value for
both. What the second step makes of it belongs to either: ``0.5 V (1 - S) + (0.9 I + X)``. All that
tells is that the sum in parentheses is what later steps make of their currents alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from snncc.passes import polynomial as poly
from snncc.passes.neuron_equation import Equation, NearMissError, equation_of
from snncc.passes.polynomial import Polynomial
from snncc.passes.recurrence import Affine, Arithmetic, Chain, Firing


def neuron_of(arithmetic: Arithmetic, chain: Chain) -> Equation:
    """Return the neuron that a chain of two steps or more is. Raises ``NearMissError``."""
    try:
        return equation_of(arithmetic, chain)
    except NearMissError:
        for name in _sums_of_first(arithmetic, chain):
            told = _Told(arithmetic, name, chain.firings[0])
            try:
                second = told.polynomial(chain.firings[1].potential, chain.firings[0])
                return equation_of(told, replace(chain, updates=(second, *chain.updates[1:])))
            except (NearMissError, poly.TooLargeError):
                continue
        raise


def _sums_of_first(arithmetic: Arithmetic, chain: Chain) -> Iterator[str]:
    """Return the sums in the second potential that are made of the first, and of no spike."""
    first = {(firing, "potential") for firing in (chain.firings[0],)}
    for name in arithmetic.made_of(chain.firings[1].potential):
        is_sum = arithmetic.ops[name].kind == "add"
        if is_sum and name not in arithmetic.firings and first == set(arithmetic.reach(name)):
            yield name


class _Told(Arithmetic):
    """Arithmetic that does not look behind one sum: it is a current, not a potential."""

    def __init__(self, arithmetic: Arithmetic, current: str, first: Firing) -> None:
        super().__init__(arithmetic.ops, arithmetic.weights)
        self.__dict__.update(arithmetic.__dict__)
        self._current, self._first = current, first

    def affine_path(self, name: str) -> list[Affine]:
        """Return of what a value is made; the current, like what enters it."""
        path = super().affine_path(name)
        if name != self._current:
            return path
        new = [i for i in self.ops[name].inputs if not self.reach(i)]
        return super().affine_path(new[0]) if len(new) == 1 else path

    def _atom(self, name: str, before: Firing) -> Polynomial | None:
        if name == self._current and before == self._first:
            return poly.atom(name)
        return super()._atom(name, before)
