"""Value domains: which numbers a value can hold, proved and never sampled.

A domain is either a ``Grid``, the numbers ``step * k`` with integers ``lo <= k <= hi``, or
``REAL``, about which nothing is known. They are ordered by inclusion: a spike is
``Grid(1, 0, 1)``, a sum of two spikes ``Grid(1, 0, 2)``, and ``REAL`` lies above all.

Every function here takes domains and returns the smallest domain of this form that it can prove.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

WIDEST = 2**62
"""Counts beyond this are of no use to a 64-bit machine: the domain becomes ``REAL``."""


@dataclass(frozen=True)
class Grid:
    """The numbers ``step * k`` for integers ``lo <= k <= hi``.

    ``step`` is a positive exact fraction, so that sums of grids stay exact.
    """

    step: Fraction
    lo: int
    hi: int

    def __post_init__(self) -> None:
        """Refuse an empty grid or a step that is not positive."""
        if self.step <= 0 or self.lo > self.hi:
            raise ValueError(f"not a grid: step {self.step}, counts {self.lo}..{self.hi}")

    def __str__(self) -> str:
        if self == SPIKE:
            return "spike"
        if self.step == 1:
            return f"int[{self.lo}..{self.hi}]"
        return f"grid({self.step}, {self.lo}..{self.hi})"

    @property
    def minimum(self) -> Fraction:
        """The smallest value of the domain."""
        return self.step * self.lo

    @property
    def maximum(self) -> Fraction:
        """The largest value of the domain."""
        return self.step * self.hi

    @property
    def largest(self) -> Fraction:
        """The largest value of the domain without its sign."""
        return self.step * self.magnitude

    @property
    def magnitude(self) -> int:
        """The largest count without its sign: ``max(|lo|, |hi|)``."""
        return max(abs(self.lo), abs(self.hi))


@dataclass(frozen=True)
class Real:
    """Any real number: nothing is proved."""

    def __str__(self) -> str:
        return "real"


Domain: TypeAlias = Grid | Real

REAL = Real()
SPIKE = Grid(Fraction(1), 0, 1)


def grid(step: Fraction | float, lo: int, hi: int) -> Domain:
    """Return ``step * {lo..hi}``, or ``REAL`` where the counts outgrow 62 bits."""
    if max(abs(lo), abs(hi)) > WIDEST:
        return REAL
    return Grid(Fraction(step), int(lo), int(hi))


def integers(lo: int, hi: int) -> Domain:
    """Return the integers ``lo..hi``."""
    return grid(Fraction(1), lo, hi)


def is_spike(domain: Domain) -> bool:
    """Whether every value is in ``{0, s}`` for one positive ``s``: a possibly scaled spike."""
    return isinstance(domain, Grid) and domain.lo >= 0 and domain.hi <= 1


def is_integer(domain: Domain) -> bool:
    """Whether every value is an integer."""
    return isinstance(domain, Grid) and domain.step.denominator == 1


def whole(domain: Domain) -> Grid | None:
    """Return all integers from the least value to the largest; None where the step is none."""
    if not isinstance(domain, Grid) or not is_integer(domain):
        return None
    return Grid(Fraction(1), int(domain.minimum), int(domain.maximum))


def width_bits(domain: Domain) -> int | None:
    """Return the bits that an integer count of the domain takes; None of reals.

    One bit for a spike; a sign where counts are negative: ``-128..127`` takes 8.
    """
    if isinstance(domain, Real):
        return None
    if domain.lo >= 0:
        return max(1, domain.hi.bit_length())
    return max(domain.hi.bit_length(), (-domain.lo - 1).bit_length()) + 1


def includes(outer: Domain, inner: Domain) -> bool:
    """Whether every value of ``inner`` is a value of ``outer``."""
    if isinstance(outer, Real):
        return True
    if isinstance(inner, Real):
        return False
    if inner.lo == inner.hi == 0:
        return outer.lo <= 0 <= outer.hi
    on_grid = (inner.step / outer.step).denominator == 1
    single = inner.lo == inner.hi and (inner.minimum / outer.step).denominator == 1
    bounded = outer.minimum <= inner.minimum and inner.maximum <= outer.maximum
    return (on_grid or single) and bounded


def _common_step(a: Grid, b: Grid) -> Fraction:
    """Return the largest step of which both steps are multiples."""
    numerator = math.gcd(
        a.step.numerator * b.step.denominator, b.step.numerator * a.step.denominator
    )
    return Fraction(numerator, a.step.denominator * b.step.denominator)


def coarsest(a: Grid) -> Grid:
    """Return a domain of one value on the grid of its multiples, any other as it is."""
    if a.lo != a.hi:
        return a
    sign = (a.lo > 0) - (a.lo < 0)
    return Grid(abs(a.minimum) or Fraction(1), sign, sign)


def _is_zero(a: Grid) -> bool:
    return a.lo == a.hi == 0


def join(a: Domain, b: Domain) -> Domain:
    """Return the smallest domain that holds the values of both."""
    if isinstance(a, Real) or isinstance(b, Real):
        return REAL
    if a == b:
        return a
    a, b = coarsest(a), coarsest(b)
    if _is_zero(a) or _is_zero(b):
        return with_zero(b if _is_zero(a) else a)
    step = _common_step(a, b)
    lo, hi = min(a.minimum, b.minimum), max(a.maximum, b.maximum)
    return grid(step, int(lo / step), int(hi / step))


def with_zero(a: Domain) -> Domain:
    """Return the domain with 0 added to it, as by zero padding."""
    if isinstance(a, Real):
        return a
    a = coarsest(a)
    return grid(a.step, min(a.lo, 0), max(a.hi, 0))


def add(a: Domain, b: Domain) -> Domain:
    """Return the domain of ``x + y``: two spikes sum to 0..2, which is no spike."""
    if isinstance(a, Real) or isinstance(b, Real):
        return REAL
    a, b = coarsest(a), coarsest(b)
    if _is_zero(a) or _is_zero(b):
        return b if _is_zero(a) else a
    step = _common_step(a, b)
    return grid(step, int((a.minimum + b.minimum) / step), int((a.maximum + b.maximum) / step))


def multiply(a: Domain, b: Domain) -> Domain:
    """Return the domain of ``x * y``."""
    if isinstance(a, Real) or isinstance(b, Real):
        return REAL
    a, b = coarsest(a), coarsest(b)
    corners = [x * y for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
    return grid(a.step * b.step, min(corners), max(corners))


def scale(a: Domain, factor: Fraction | float) -> Domain:
    """Return the domain of ``factor * x`` for a constant factor."""
    if isinstance(a, Real) or not math.isfinite(factor):
        return REAL
    exact = Fraction(factor)
    if exact == 0:
        return integers(0, 0)
    if exact > 0:
        return grid(a.step * exact, a.lo, a.hi)
    return grid(a.step * -exact, -a.hi, -a.lo)


def sum_of(a: Domain, terms: int) -> Domain:
    """Return the domain of a sum of ``terms`` values, each from ``a``."""
    return a if isinstance(a, Real) else grid(a.step, a.lo * terms, a.hi * terms)


def weighted_sum(a: Domain, step: Fraction, positive: int, negative: int) -> Domain:
    """Return the domain of ``sum(w_i x_i)`` with ``w_i = step * k_i``.

    ``positive`` is the sum of the positive ``k_i``, ``negative`` that of the others (``<= 0``),
    each taken for the output that makes the domain widest.
    """
    if isinstance(a, Real):
        return REAL
    a = coarsest(a)
    hi = positive * a.hi + negative * a.lo
    lo = positive * a.lo + negative * a.hi
    return grid(a.step * step, min(lo, hi), max(lo, hi))
