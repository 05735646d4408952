"""Integer neurons against the recurrence in exact fractions."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.ir.domain import Grid
from snncc.ir.memory import integer_neuron_step, neuron_step
from snncc.ir.ops import IntegerNeuron, Neuron
from snncc.passes.neuron_integers import NeuronPlan, plan_neuron
from snncc.targets.load import load_target

ARITHMETIC = load_target("loihi2").arithmetic


def grid(lo: int, hi: int) -> Grid:
    return Grid(Fraction(1), lo, hi)


def integer_spikes(neuron: Neuron, plan: NeuronPlan, currents: np.ndarray) -> np.ndarray:
    op = IntegerNeuron(
        name="n", threshold="t", decay=plan.decay, shift=plan.shift,
        reset="soft" if neuron.v_reset is None else "hard",
    )  # fmt: skip
    state, spikes = None, []
    for x in currents:
        fired, potential, state = integer_neuron_step(op, plan.threshold, x, state)
        assert np.abs(potential).max() <= plan.bound
        spikes.append(fired)
    return np.stack(spikes)


def exact_spikes(neuron: Neuron, unit: float, currents: np.ndarray) -> np.ndarray:
    """The recurrence of ``ops.Neuron`` in fractions, one neuron after the other."""
    out = np.zeros(currents.shape, np.int8)
    rest = Fraction(neuron.v_reset or 0.0)
    for i in range(currents.shape[1]):
        v = rest
        for t, count in enumerate(currents[:, i]):
            x = Fraction(unit) * int(count)
            keep = Fraction(0) if neuron.tau is None else (v - rest) / Fraction(neuron.tau)
            gain = 1 if neuron.tau is None or not neuron.decay_input else Fraction(neuron.tau)
            h = v - keep + x / gain
            threshold = Fraction(neuron.v_threshold)
            fired = h > threshold if neuron.strict else h >= threshold
            out[t, i] = fired
            v = (rest if fired else h) if neuron.v_reset is not None else h - threshold * fired
    return out


@settings(max_examples=150, deadline=None)
@given(
    tau=st.sampled_from([None, 2.0, 4.0]),
    decay_input=st.booleans(),
    strict=st.booleans(),
    v_reset=st.sampled_from([0.0, -0.5]),
    steps=st.integers(1, 7),
    unit=st.sampled_from([1.0, 0.125, 0.0123, 2**-7]),
    seed=st.integers(0, 2**20),
)
def test_exact_plans_fire_as_the_recurrence_in_fractions(
    tau: float | None,
    decay_input: bool,
    strict: bool,
    v_reset: float,
    steps: int,
    unit: float,
    seed: int,
) -> None:
    neuron = Neuron(
        name="n", tau=tau, decay_input=decay_input, strict=strict, v_threshold=1.0, v_reset=v_reset
    )
    reach = max(2, round(4 / unit))
    plan = plan_neuron(neuron, np.array([unit]), grid(-reach, reach), steps, ARITHMETIC)
    currents = np.random.default_rng(seed).integers(-reach, reach + 1, (steps, 64))
    if plan.exact:
        want = exact_spikes(neuron, unit, currents)
        assert np.array_equal(integer_spikes(neuron, plan, currents), want)


@pytest.mark.parametrize("steps", [1, 2, 4, 7])
def test_the_lif_of_the_papers_is_exact(steps: int) -> None:
    plan = plan_neuron(Neuron(name="n"), np.array([0.01]), grid(-900, 900), steps, ARITHMETIC)
    assert plan.exact
    assert plan.proved
    assert plan.decay == 2048
    assert plan.shift == 6 + steps - 1


def test_the_threshold_is_one_the_register_can_hold() -> None:
    plan = plan_neuron(Neuron(name="n"), np.array([0.01, 0.3]), grid(-90, 90), 4, ARITHMETIC)
    assert ((plan.threshold - 1) % 64 == 0).all()


def test_attention_counts_need_no_quantization() -> None:
    """0.125 q(kv) against 0.5 fires from a count of 8 at the first step: H = X / 2."""
    neuron = Neuron(name="n", v_threshold=0.5 / 0.125)
    plan = plan_neuron(neuron, np.array([1.0]), grid(0, 512), 4, ARITHMETIC)
    spikes = integer_spikes(neuron, plan, np.array([[7, 8, 9]]))
    assert spikes.tolist() == [[0, 1, 1]]


def test_a_wide_current_gives_up_exactness_before_width() -> None:
    plan = plan_neuron(Neuron(name="n"), np.array([0.001]), grid(0, 60_000), 4, ARITHMETIC)
    assert plan.proved
    assert not plan.exact
    assert 6 <= plan.shift < 9


def test_a_current_beyond_the_width_is_not_proved() -> None:
    plan = plan_neuron(Neuron(name="n"), np.array([0.001]), grid(-(10**6), 10**6), 4, ARITHMETIC)
    assert not plan.proved
    assert plan.shift == 6
    assert plan.bound > plan.limit == 2**23 - 1


def test_a_leak_that_is_no_power_of_two_is_not_exact() -> None:
    plan = plan_neuron(Neuron(name="n", tau=1.5), np.array([0.01]), grid(-90, 90), 4, ARITHMETIC)
    assert plan.decay == round(4096 / 1.5)
    assert not plan.exact


@settings(max_examples=60, deadline=None)
@given(
    rounding=st.sampled_from(["half_even", "half_up"]),
    levels=st.integers(2, 8),
    unit=st.sampled_from([1.0, 0.5, 0.125, 0.0123]),
    seed=st.integers(0, 2**20),
)
def test_levels_without_memory_round_as_the_float_network(
    rounding: Literal["half_even", "half_up"], levels: int, unit: float, seed: int
) -> None:
    neuron = Neuron(
        name="n", tau=1.0, v_reset=None, decay_input=False, levels=levels, rounding=rounding
    )
    reach = round((levels + 1) / unit)
    plan = plan_neuron(neuron, np.array([unit]), grid(-reach, reach), 3, ARITHMETIC)
    assert plan.exact
    currents = np.random.default_rng(seed).integers(-reach, reach + 1, (3, 64))
    op = IntegerNeuron(
        name="n", threshold="t", decay=plan.decay, shift=plan.shift, reset="soft", levels=levels
    )
    state, real_state = None, None
    for x in currents:
        fired, _, state = integer_neuron_step(op, plan.threshold, x, state, plan.unit)
        wanted, _, real_state = neuron_step(neuron, x * unit, real_state)
        assert np.array_equal(fired, wanted)


def test_levels_with_memory_take_their_spikes_off_and_decay() -> None:
    """v = (v - s) / 4 + x, s = round(clip(v, 0, 4)): SpikeYOLO's neuron."""
    neuron = Neuron(name="n", tau=4 / 3, v_reset=None, decay_input=False, levels=4)
    plan = plan_neuron(neuron, np.array([0.25]), grid(-64, 64), 3, ARITHMETIC)
    assert plan.decay == 3072
    op = IntegerNeuron(
        name="n", threshold="t", decay=plan.decay, shift=plan.shift, reset="soft", levels=4
    )
    state, out = None, []
    for x in ([9, 20, -3], [4, 0, 2], [1, 1, 1]):
        fired, _, state = integer_neuron_step(op, plan.threshold, np.array(x), state, plan.unit)
        out.append(fired.tolist())
    assert out == [[2, 4, 0], [1, 0, 0], [0, 0, 0]]


@settings(max_examples=80, deadline=None)
@given(
    tau=st.sampled_from([None, 4 / 3, 2.0, 10.0]),
    decay_input=st.booleans(),
    taken=st.sampled_from([0.0, 0.5, 1.0, 1.25, 2.0]),
    seed=st.integers(0, 2**20),
)
def test_what_a_soft_reset_takes_off_need_not_be_the_threshold(
    tau: float | None, decay_input: bool, taken: float, seed: int
) -> None:
    """Potentials follow those in floats as closely as the rounding of the leak allows."""
    neuron = Neuron(
        name="n", tau=tau, decay_input=decay_input, v_reset=None, v_subtract=taken, strict=True
    )
    plan = plan_neuron(neuron, np.array([1 / 64]), grid(-200, 200), 6, ARITHMETIC)
    assert plan.proved
    assert plan.unit is not None
    op = IntegerNeuron(
        name="n", threshold="t", unit="u", decay=plan.decay, shift=plan.shift, reset="soft"
    )
    currents = np.random.default_rng(seed).integers(-100, 200, (6, 300))
    gain = tau if tau is not None and decay_input else 1.0
    exact: np.ndarray | None = None
    state: np.ndarray | None = None
    for x in currents:
        expected, h, exact = neuron_step(neuron, x / 64, exact)
        spikes, potential, state = integer_neuron_step(op, plan.threshold, x, state, plan.unit)
        assert np.abs(potential).max() <= plan.bound
        error = np.abs(potential / 2.0**plan.shift / 64 / gain - h)
        assert error.max() < 0.02
        differ = spikes != expected
        assert np.abs(h[differ] - neuron.v_threshold).max(initial=0) < 0.02
        state = np.where(differ, 0, state)
        exact = np.where(differ, 0.0, exact)
