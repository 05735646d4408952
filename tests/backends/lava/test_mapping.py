"""Neurons as stock ones, against the stock equations written out in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snncc.backends.lava.mapping import (
    StockBias,
    StockNeuron,
    decay_places,
    exceeded,
    kept_bias,
    stock_bias,
    stock_neuron,
)
from snncc.ir.graph import Array
from snncc.ir.memory import integer_neuron_step
from snncc.ir.ops import IntegerNeuron
from snncc.ir.synaptic_current import IntegerCurrent


def neuron(decay: int = 2048, shift: int = 3, **fields: Any) -> IntegerNeuron:
    return IntegerNeuron(name="n", threshold="t", decay=decay, shift=shift, **fields)


def stock_spikes(stock: StockNeuron, bias: StockBias, currents: Array) -> Array:
    """LIFReset of one sample, as its model computes it, without any width."""
    v, spikes = np.zeros(currents.shape[1:], np.int64), []
    for x in currents:
        kept = v * (4096 - stock.dv)
        added = x << stock.k
        if bias.current is not None:
            added = added + bias.current
        v = np.sign(kept) * (np.abs(kept) >> 12) + (added << 6) + (bias.mant << bias.exp)
        spikes.append(v > stock.vth << 6)
        v = np.where(spikes[-1], 0, v)
    return np.stack(spikes)


def our_spikes(op: IntegerNeuron, theta: Array, currents: Array) -> tuple[Array, int]:
    """Ours, and how often a potential hit its threshold exactly."""
    u, spikes, hits = None, [], 0
    for x in currents:
        fired, potential, u = integer_neuron_step(op, theta, x, u)
        spikes.append(fired.astype(bool))
        hits += int((potential == theta).sum())
    return np.stack(spikes), hits


@pytest.mark.parametrize("steps", range(1, 8))
@pytest.mark.parametrize("decay", [2048, 0, 4096, 3072, 1024])
@pytest.mark.parametrize("spare", [0, 1, 5])
def test_exact_where_nothing_is_rounded(steps: int, decay: int, spare: int) -> None:
    shift = (steps - 1) * decay_places(decay) + spare
    dice = np.random.default_rng(steps)
    theta = dice.integers(1, 60 << shift, 400)
    theta[::2] = theta[::2] >> shift << shift
    currents = dice.integers(-30, 60, (steps, 400))
    bias = dice.integers(-5, 5, 400)
    op = neuron(decay, shift)
    stock = stock_neuron(op, theta, steps)
    assert isinstance(stock, StockNeuron)
    expected, hits = our_spikes(op, theta, currents + bias)
    assert hits > 0
    found = stock_spikes(stock, stock_bias(bias, stock.k), currents)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("decay", [1365, 2048, 100])
def test_exact_with_rounding_where_potentials_are_the_same_number(decay: int) -> None:
    dice = np.random.default_rng(decay)
    theta = (dice.integers(0, 60, 400) << 6) + 1
    currents = dice.integers(-30, 60, (12, 400))
    op = neuron(decay, 8)
    stock = stock_neuron(op, theta, 12)
    assert isinstance(stock, StockNeuron)
    assert stock.k == 2
    expected, _ = our_spikes(op, theta, currents)
    found = stock_spikes(stock, stock_bias(np.zeros(400, int), stock.k), currents)
    assert np.array_equal(found, expected)


def test_the_mapping_of_tau_two_and_four_steps() -> None:
    stock = stock_neuron(neuron(), np.array([297 * 8, 297 * 8 + 1]), 4)
    assert isinstance(stock, StockNeuron)
    assert (stock.k, stock.dv, stock.vth.tolist()) == (3, 2048, [2375, 2376])


@pytest.mark.parametrize(
    ("op", "theta", "reason"),
    [
        (neuron(reset="soft"), 64, "soft reset"),
        (neuron(levels=4), 64, "up to 4 spikes at once"),
        (neuron(decay=1365), 65, "rounds after 3 binary places"),
        (neuron(decay=1365, shift=6), 64, "not one above a multiple of 64"),
    ],
)
def test_neurons_without_a_stock_form(op: IntegerNeuron, theta: int, reason: str) -> None:
    found = stock_neuron(op, np.array([theta]), 4)
    assert isinstance(found, str)
    assert reason in found


@pytest.mark.parametrize(("decay", "places"), [(0, 0), (4096, 0), (2048, 1), (3072, 2), (4095, 12)])
def test_binary_places_of_a_decay(decay: int, places: int) -> None:
    assert decay_places(decay) == places


@pytest.mark.parametrize("k", [0, 1, 3, 6])
@pytest.mark.parametrize("largest", [0, 7, 1023, 4095, 30000, 40000])
def test_a_bias_adds_what_it_should_in_every_form(k: int, largest: int) -> None:
    bias = np.array([largest, -largest, 1])
    found = stock_bias(bias, k)
    current = 0 if found.current is None else found.current
    assert np.array_equal((found.mant << found.exp) + (current << 6), bias << (6 + k))
    assert np.abs(found.mant).max() <= 2**15 - 1
    if not found.limits:
        assert np.abs(found.mant).max() < 4096
        assert found.exp <= 7


def test_widths_of_a_bias_are_told() -> None:
    assert stock_bias(np.array([1023]), 3).limits == ()
    assert stock_bias(np.array([1024]), 3).limits == (
        "bias needs 14 bits at exponent 7, the field has 13",
    )
    assert "bias sent as a current" in stock_bias(np.array([40000]), 3).limits


@pytest.mark.parametrize(
    ("bias", "exp", "limit"),
    [
        ([4095, -3], 0, ""),
        ([64 * 4095, -192], 6, ""),
        ([1 << 18, 0], 7, ""),
        ([0, 0], 0, ""),
        ([4097, 0], 0, "bias needs 14 bits at exponent 0, the field has 13"),
    ],
)
def test_a_bias_behind_what_is_kept_uses_its_exponent(
    bias: list[int], exp: int, limit: str
) -> None:
    found = kept_bias(np.array(bias))
    assert isinstance(found, StockBias)
    assert (found.mant << found.exp).tolist() == bias
    assert found.exp == exp
    assert found.limits == ((limit,) if limit else ())


def test_widths_of_currents_potentials_and_thresholds_are_told() -> None:
    op, theta = neuron(), np.array([100 << 3])
    stock = stock_neuron(op, theta, 4)
    assert isinstance(stock, StockNeuron)
    fine = np.array([2**14 - 1])
    assert exceeded(stock, op, fine, fine << 3) == ()
    (current,) = exceeded(stock, op, -fine - 1, fine << 3)
    assert current == "a current reaches 8388608, it wraps at 2**23"
    (potential,) = exceeded(stock, op, fine, (fine + 1) << 3)
    assert potential == "a potential reaches 8388608, it saturates at 2**23"
    large = stock_neuron(op, np.array([131073, 1]), 4)
    assert isinstance(large, StockNeuron)
    (vth,) = exceeded(large, op, fine, fine)
    assert vth == "thresholds 0..131072 are not all in 0..131071"


def keeps(decay: int = 1000, shift: int = 6) -> IntegerCurrent:
    return IntegerCurrent(name="i", decay=decay, shift=shift, steps=4)


def test_a_current_that_lasts_has_the_decay_less_one() -> None:
    found = stock_neuron(neuron(shift=0), np.array([65, 129]), 4, keeps(shift=8))
    assert isinstance(found, StockNeuron)
    assert (found.k, found.dv, found.du, found.vth.tolist()) == (2, 2048, 999, [1, 2])


@pytest.mark.parametrize(
    ("op", "current", "theta", "reason"),
    [
        (neuron(shift=0), keeps(decay=0), 65, "loses nothing of its current"),
        (neuron(shift=1), keeps(), 65, "shifts its current by 6 and by 1 once more"),
        (neuron(shift=0), keeps(shift=5), 65, "stock neurons shift it once, by 6 at least"),
        (neuron(shift=0), keeps(), 64, "not one above a multiple of 64"),
    ],
)
def test_currents_without_a_stock_form(
    op: IntegerNeuron, current: IntegerCurrent, theta: int, reason: str
) -> None:
    found = stock_neuron(op, np.array([theta]), 4, current)
    assert isinstance(found, str)
    assert reason in found


def test_what_is_kept_has_the_width_of_a_potential() -> None:
    stock = stock_neuron(neuron(shift=0), np.array([65]), 4, keeps())
    assert isinstance(stock, StockNeuron)
    most = np.array([(1 << 23) - 1])
    assert exceeded(stock, neuron(shift=0), most, most, kept=True) == ()
    current, potential = exceeded(stock, neuron(shift=0), most + 1, most + 1, kept=True)
    assert current == "a current reaches 8388608, it wraps at 2**23"
    assert potential == "a potential reaches 8388608, it saturates at 2**23"
