"""Every domain rule holds for every value, and the lattice is one."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc.ir import domain as dom
from snncc.ir.domain import REAL, SPIKE, Domain, Grid
from snncc.ir.text import parse_domain

STEPS = [Fraction(text) for text in ("1", "2", "3", "1/2", "3/4", "1/3", "1/9")]


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    lo = draw(st.integers(-4, 4))
    return Grid(draw(st.sampled_from(STEPS)), lo, lo + draw(st.integers(0, 5)))


domains = st.one_of(st.just(REAL), grids())
factors = st.sampled_from((0, 1, -1, 2, Fraction(1, 8), Fraction(-1, 3), 0.5, -0.1))


def values(grid: Grid) -> list[Fraction]:
    return [grid.step * k for k in range(grid.lo, grid.hi + 1)]


def holds(domain: Domain, value: Fraction) -> bool:
    if not isinstance(domain, Grid):
        return True
    count = value / domain.step
    return count.denominator == 1 and domain.lo <= count <= domain.hi


@given(grids(), grids())
def test_add_and_multiply_are_sound(a: Grid, b: Grid) -> None:
    total, product = dom.add(a, b), dom.multiply(a, b)
    for x in values(a):
        for y in values(b):
            assert holds(total, x + y)
            assert holds(product, x * y)


@given(grids(), grids())
def test_bounds_of_sums_and_products_are_reached(a: Grid, b: Grid) -> None:
    total, product = dom.add(a, b), dom.multiply(a, b)
    assert isinstance(total, Grid)
    assert isinstance(product, Grid)
    sums = [x + y for x in values(a) for y in values(b)]
    products = [x * y for x in values(a) for y in values(b)]
    assert (total.minimum, total.maximum) == (min(sums), max(sums))
    assert (product.minimum, product.maximum) == (min(products), max(products))


@given(grids(), factors)
def test_scale_is_sound(a: Grid, factor: Fraction) -> None:
    scaled = dom.scale(a, factor)
    assert all(holds(scaled, Fraction(factor) * x) for x in values(a))


@given(grids(), st.integers(1, 4), st.data())
def test_sum_of_is_sound(a: Grid, terms: int, data: st.DataObject) -> None:
    drawn = [data.draw(st.sampled_from(values(a))) for _ in range(terms)]
    assert holds(dom.sum_of(a, terms), sum(drawn, Fraction(0)))


@given(grids(), st.lists(st.integers(-3, 3), min_size=1, max_size=4), st.data())
def test_weighted_sum_is_sound(a: Grid, weights: list[int], data: st.DataObject) -> None:
    step = data.draw(st.sampled_from(STEPS))
    positive = sum(w for w in weights if w > 0)
    negative = sum(w for w in weights if w < 0)
    bound = dom.weighted_sum(a, step, positive, negative)
    drawn = [data.draw(st.sampled_from(values(a))) for _ in weights]
    total = sum((step * w * x for w, x in zip(weights, drawn, strict=True)), Fraction(0))
    assert holds(bound, total)


@given(grids())
def test_with_zero_is_sound(a: Grid) -> None:
    padded = dom.with_zero(a)
    assert all(holds(padded, x) for x in (*values(a), Fraction(0)))


@given(domains)
def test_the_integers_between_hold_every_value(a: Domain) -> None:
    found = dom.whole(a)
    assert (found is not None) == dom.is_integer(a)
    if found is not None and isinstance(a, Grid):
        assert (found.step, found.minimum, found.maximum) == (Fraction(1), a.minimum, a.maximum)
        assert dom.includes(found, a)


@given(grids(), grids())
def test_includes_is_inclusion_of_the_values(a: Grid, b: Grid) -> None:
    assert dom.includes(a, b) == all(holds(a, x) for x in values(b))


@given(domains, domains)
def test_join_is_an_upper_bound(a: Domain, b: Domain) -> None:
    joined = dom.join(a, b)
    assert dom.includes(joined, a)
    assert dom.includes(joined, b)
    assert dom.join(b, a) == joined


@given(domains, domains, domains)
def test_join_is_associative(a: Domain, b: Domain, c: Domain) -> None:
    assert dom.join(dom.join(a, b), c) == dom.join(a, dom.join(b, c))


@given(domains)
def test_join_and_inclusion_of_itself(a: Domain) -> None:
    assert dom.join(a, a) == a
    assert dom.includes(a, a)
    assert dom.includes(REAL, a)
    assert dom.includes(a, REAL) == (a == REAL)


@given(domains, domains, domains)
def test_inclusion_is_transitive_and_join_is_monotone(a: Domain, b: Domain, c: Domain) -> None:
    if dom.includes(a, b):
        assert not dom.includes(b, c) or dom.includes(a, c)
        assert dom.includes(dom.join(a, c), dom.join(b, c))


@given(domains, domains, domains)
def test_wider_inputs_never_give_narrower_results(a: Domain, b: Domain, c: Domain) -> None:
    if dom.includes(a, b):
        assert dom.includes(dom.add(a, c), dom.add(b, c))
        assert dom.includes(dom.multiply(a, c), dom.multiply(b, c))
        assert dom.includes(dom.sum_of(a, 3), dom.sum_of(b, 3))


def test_one_value_lies_on_every_grid_of_it() -> None:
    two, coarse, zero = dom.integers(2, 2), dom.grid(2, 1, 1), dom.integers(0, 0)
    assert dom.includes(two, coarse)
    assert dom.includes(coarse, two)
    evens = dom.grid(2, 0, 3)
    assert dom.join(two, evens) == dom.join(coarse, evens) == evens
    assert dom.join(zero, evens) == dom.add(zero, evens) == evens
    assert dom.add(two, evens) == dom.grid(2, 1, 4)
    assert dom.multiply(two, SPIKE) == dom.grid(2, 0, 1)


@given(domains)
def test_text_reads_back(a: Domain) -> None:
    assert parse_domain(str(a)) == a


def test_text() -> None:
    assert str(SPIKE) == "spike"
    assert str(dom.integers(0, 2)) == "int[0..2]"
    assert str(dom.grid(Fraction(1, 9), 0, 9)) == "grid(1/9, 0..9)"
    assert str(REAL) == "real"


def test_a_spike_and_what_is_none() -> None:
    assert dom.is_spike(SPIKE)
    assert dom.is_spike(dom.grid(0.25, 0, 1))
    assert dom.is_spike(dom.integers(0, 0))
    assert not dom.is_spike(dom.integers(0, 2))
    assert not dom.is_spike(dom.integers(-1, 0))
    assert not dom.is_spike(REAL)


def test_counts_beyond_62_bits_prove_nothing() -> None:
    wide = dom.integers(0, 2**62)
    assert dom.add(wide, wide) == REAL
    assert dom.multiply(wide, wide) == REAL
    assert dom.sum_of(wide, 2) == REAL


def test_a_factor_that_is_no_number_proves_nothing() -> None:
    assert dom.scale(SPIKE, math.inf) == REAL
    assert dom.scale(SPIKE, math.nan) == REAL
    assert dom.scale(SPIKE, 0) == dom.integers(0, 0)


@pytest.mark.parametrize(("step", "lo", "hi"), [(0, 0, 1), (-1, 0, 1), (1, 2, 1)])
def test_what_is_no_grid(step: int, lo: int, hi: int) -> None:
    with pytest.raises(ValueError, match="not a grid"):
        Grid(Fraction(step), lo, hi)


def test_measures_of_a_grid() -> None:
    grid = Grid(Fraction(1, 2), -3, 2)
    assert (grid.minimum, grid.maximum, grid.magnitude) == (Fraction(-3, 2), Fraction(1), 3)
    assert dom.is_integer(dom.integers(-3, 2))
    assert not dom.is_integer(grid)
    assert not dom.is_integer(REAL)
