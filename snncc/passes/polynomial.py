"""Polynomials with exact coefficients in the values of a graph: what a recurrence is compared in.

A monomial is a sorted tuple of names; a name may stand in it twice, unless it is that of a spike,
whose square is itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fractions import Fraction
from typing import TypeAlias

Monomial: TypeAlias = tuple[str, ...]
Polynomial: TypeAlias = Mapping[Monomial, Fraction]

ONE: Monomial = ()

MOST_TERMS = 1024
"""Terms of a polynomial; a neuron's update has a few, and one for each of its currents."""

MOST_FACTORS = 16
"""Names in a term; a neuron's update has two."""


class TooLargeError(ArithmeticError):
    """A polynomial has more terms than that of any neuron."""


def constant(value: Fraction) -> Polynomial:
    """Return a number as a polynomial."""
    return {ONE: value} if value else {}


def atom(name: str) -> Polynomial:
    """Return a value as a polynomial."""
    return {(name,): Fraction(1)}


def plus(a: Polynomial, b: Polynomial) -> Polynomial:
    """Return ``a + b``. Raises ``TooLargeError``."""
    total = dict(a)
    for monomial, factor in b.items():
        total[monomial] = total.get(monomial, Fraction(0)) + factor
    return _held({monomial: factor for monomial, factor in total.items() if factor})


def scaled(a: Polynomial, factor: Fraction) -> Polynomial:
    """Return ``factor a``."""
    return {monomial: factor * f for monomial, f in a.items()} if factor else {}


def times(a: Polynomial, b: Polynomial, spikes: Collection[str]) -> Polynomial:
    """Return ``a b``, where the names in ``spikes`` are 0 or 1. Raises ``TooLargeError``."""
    if len(a) * len(b) > MOST_TERMS:
        raise TooLargeError
    total: Polynomial = {}
    for left, x in a.items():
        for right, y in b.items():
            total = plus(total, {_product(left, right, spikes): x * y})
    return total


def with_counts(a: Polynomial, count: str, fired: str) -> Polynomial:
    """Return ``a``, where ``fired`` says whether a count is not 0: ``count fired`` is the count."""
    total: Polynomial = {}
    for monomial, factor in a.items():
        both = count in monomial and fired in monomial
        kept = tuple(name for name in monomial if not both or name != fired)
        total = plus(total, {kept: factor})
    return total


def _held(a: Polynomial) -> Polynomial:
    if len(a) > MOST_TERMS or max(map(len, a), default=0) > MOST_FACTORS:
        raise TooLargeError
    return a


def _product(left: Monomial, right: Monomial, spikes: Collection[str]) -> Monomial:
    once = {name for name in (*left, *right) if name in spikes}
    rest = [name for name in (*left, *right) if name not in spikes]
    return tuple(sorted([*once, *rest]))
