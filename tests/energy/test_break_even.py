"""The rate of break-even: where both cost the same, and what papers say."""

from __future__ import annotations

import pytest

from snncc.energy.break_even import (
    break_even,
    break_even_document,
    mean_rate,
    mean_rate_of,
    thresholds,
)
from snncc.energy.load import load_energy_model
from snncc.energy.price import MJ_PER_PJ, Load, document, estimate, price

PAPER = load_energy_model("paper-45nm")


def loads(rate: float) -> tuple[Load, ...]:
    """An encoder, two layers that read spikes and a product of two values, T = 4."""
    return (
        estimate("encoder", "encoder", "conv", 1000, None),
        estimate("a", "a", "conv", 4000, rate),
        estimate("b", "b", "linear", 12_000, 2 * rate),
        estimate("m", "m", "matmul", 10**6, 0.0),
    )


TWIN_MJ = (1000 + 4000 + 12_000) / 4 * 4.6 * MJ_PER_PJ


def standing(rate: float) -> float | None:
    energy = price(loads(rate), PAPER)
    spiking = energy.ac * 0.9 * MJ_PER_PJ
    return break_even(mean_rate(loads(rate)), energy.energy_mj, spiking, TWIN_MJ).rate


def test_the_mean_rate_is_weighted_by_dense_operations() -> None:
    assert mean_rate(loads(0.1)) == pytest.approx((4000 * 0.1 + 12_000 * 0.2) / 16_000)
    assert mean_rate(()) == 0
    assert mean_rate_of(document("n", loads(0.1), PAPER)["layers"]) == mean_rate(loads(0.1))


def test_at_the_rate_of_break_even_both_cost_the_same() -> None:
    even = standing(0.1)
    assert even is not None
    at_even = price(loads(0.1 * even / mean_rate(loads(0.1))), PAPER)
    assert at_even.energy_mj == pytest.approx(TWIN_MJ)
    assert standing(0.3) == pytest.approx(even)


def test_nothing_that_spikes_has_no_break_even_and_what_is_dear_a_negative_one() -> None:
    assert break_even(0.0, 2.0, 0.0, 3.0).rate is None
    found = break_even(0.1, 5.0, 1.0, 3.0)
    assert found.fixed_mj == 4.0
    assert found.rate == pytest.approx(-0.1)


def test_published_thresholds_stand_beside_it_with_their_source() -> None:
    found = {(t.rate, t.from_steps, t.to_steps) for t in thresholds()}
    assert found == {(0.057, 5, 5), (0.064, 5, 10)}
    assert all("2409.08290" in t.source for t in thresholds())
    said = break_even_document(break_even(0.1, 5.0, 1.0, 7.0), 4)
    assert (said["twin_bits"], said["rate"]) == (3, pytest.approx(0.3))
    assert [each["rate"] for each in said["published"]] == [0.057, 0.064]
