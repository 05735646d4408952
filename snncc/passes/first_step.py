"""Tells a neuron's first potential from its first current, where one value is both.

A neuron and its synaptic current both start at 0, so that the first step computes one value for
both. What the second step makes of it belongs to either: ``0.5 V (1 - S) + (0.9 I + X)``. All that
tells is that the sum in parentheses is what later steps make of their currents alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

from snncc.passes import polynomial as poly
from snncc.passes.equation import Equation
from snncc.passes.near_miss import NearMissError
from snncc.passes.neuron_equation import equation_of
from snncc.passes.recurrence import Arithmetic, Chain


def neuron_of(arithmetic: Arithmetic, chain: Chain) -> Equation:
    """Return the neuron that a chain of two steps or more is. Raises ``NearMissError``."""
    try:
        return equation_of(arithmetic, chain)
    except NearMissError:
        for name in _sums_of_first(arithmetic, chain):
            told = copy.copy(arithmetic)
            told.current = name
            try:
                second = told.polynomial(chain.firings[1].potential, chain.firings[0])
                return equation_of(told, replace(chain, updates=(second, *chain.updates[1:])))
            except (NearMissError, poly.TooLargeError):
                continue
        raise


def _sums_of_first(arithmetic: Arithmetic, chain: Chain) -> Iterator[str]:
    """Return what enters the second potential that is made of the first, and of no spike."""
    first = {(chain.firings[0], "potential")}
    for name in arithmetic.made_of(chain.firings[1].potential):
        is_made = arithmetic.ops[name].kind in ("add", "scale")
        if is_made and name not in arithmetic.firings and first == set(arithmetic.reach(name)):
            yield name
