"""When two numbers that code writes are one number: the only tolerance in recognising neurons.

Code computes its factors in float32, an exporter folds some of them, and both may do it in another
order in each time step: ``1 - 1 / tau`` is then two numbers that differ in their last bit. Two
numbers for one term are one where they differ by four roundings of float32 at most. The neuron has
that of the later step, which no exporter folds into the start.

A step's potential moves by less than a millionth of its threshold for that, which is how near to
the threshold ``execute.agreement`` lets a spike fall on either side. All else is exact: which value
is compared, whether at the threshold or above it, and what a spike resets. Integers are computed
from the neuron, from the one number that it has, and never meet this.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

ROUNDINGS = 4
"""What ``1 - dt / (R C)`` takes, and one for the product that it stands in."""

TOLERANCE = Fraction(ROUNDINGS, 2**24)
"""In parts of the larger number: each rounding of float32 is half a unit in its last place."""


def is_same(a: Fraction, b: Fraction, size: Fraction | int = 0) -> bool:
    """Whether two numbers are one. ``size`` is that of what they were computed from, if larger."""
    return a == b or abs(a - b) <= TOLERANCE * max(abs(a), abs(b), abs(Fraction(size)))


def are_same(a: Sequence[Fraction], b: Sequence[Fraction]) -> bool:
    """Whether numbers are the same, each."""
    return len(a) == len(b) and all(map(is_same, a, b))


def one_of(factor: Fraction) -> Fraction:
    """Return a factor, 1 where it is no other number."""
    return Fraction(1) if is_same(factor, Fraction(1)) else factor


def at_most_one(share: Fraction) -> Fraction:
    """Return a share, 1 where rounding alone makes it more."""
    return min(share, one_of(share))
