"""Neurons against the recurrence written out for one scalar, in float64."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from snncc.models.neuron import IF, LIF, ParametricLIAF, ParametricLIF, SpikingNeuron

STEPS = 12


def recurrence(currents: list[float], neuron: SpikingNeuron) -> list[float]:
    """Spikes of one neuron, from the equations of the papers."""
    rest = 0.0 if neuron.v_reset is None else neuron.v_reset
    v, spikes = rest, []
    for x in currents:
        if neuron.tau is None:
            h = v + x
        elif neuron.decay_input:
            h = v + (x - (v - rest)) / neuron.tau
        else:
            h = v - (v - rest) / neuron.tau + x
        spike = h > neuron.v_threshold if neuron.strict else h >= neuron.v_threshold
        if neuron.v_reset is None:
            v = h - neuron.v_threshold * spike
        else:
            v = neuron.v_reset if spike else h
        spikes.append(float(spike))
    return spikes


NEURONS = [
    *(
        LIF(tau=tau, decay_input=decay_input, v_threshold=threshold, v_reset=reset)
        for tau, decay_input, threshold, reset in itertools.product(
            (2.0, 1.5, 1.75, 4.0), (True, False), (1.0, 0.5), (0.0, None, -0.25, 0.1)
        )
    ),
    *(IF(v_threshold=t, v_reset=r) for t, r in itertools.product((1.0, 0.5), (0.0, None, -0.25))),
    LIF(tau=4 / 3, decay_input=False, v_threshold=0.5, strict=True),
    IF(v_threshold=0.5, strict=True),
    *(ParametricLIF(init_tau=t, v_reset=r) for t, r in ((2.0, 0.0), (1.5, None), (3.0, -0.25))),
]


@pytest.mark.parametrize("neuron", NEURONS, ids=repr)
def test_spikes_equal_the_recurrence(neuron: SpikingNeuron) -> None:
    generator = torch.Generator().manual_seed(3)
    x = 2 * torch.randn(STEPS, 64, generator=generator, dtype=torch.float64) + 0.5
    spikes = neuron(x)
    expected = [recurrence(column.tolist(), neuron) for column in x.T]
    assert torch.equal(spikes, torch.tensor(expected, dtype=torch.float64).T)
    assert 0.05 < spikes.mean() < 0.95


def test_a_potential_on_the_threshold_fires() -> None:
    x = torch.tensor([1.0, 1.0]).reshape(2, 1)
    assert IF()(x).tolist() == [[1.0], [1.0]]
    assert LIF(tau=2.0)(2 * x).tolist() == [[1.0], [1.0]]


def test_a_strict_neuron_stays_silent_on_the_threshold() -> None:
    x = torch.tensor([0.5, 0.375, 0.5]).reshape(3, 1)
    # H = 0.5, 0.375 + 0.5 / 4 = 0.5, 0.5 + 0.5 / 4 = 0.625
    ms = LIF(tau=4 / 3, decay_input=False, v_threshold=0.5, strict=True)
    assert ms(x).flatten().tolist() == [0.0, 0.0, 1.0]
    assert IF(strict=True)(torch.ones(2, 1)).flatten().tolist() == [0.0, 1.0]
    assert "strict=True" in repr(ms)


def test_a_learnt_leak_is_a_parameter_by_its_official_name() -> None:
    neuron = ParametricLIF(init_tau=1.5)
    assert list(neuron.state_dict()) == ["w"]
    assert neuron.w.item() == pytest.approx(-math.log(0.5))
    assert neuron.tau == pytest.approx(1.5)
    neuron.load_state_dict({"w": torch.tensor(0.0)})
    assert neuron.tau == 2
    x = 3 * torch.rand(STEPS, 64, dtype=torch.float64)
    assert torch.equal(neuron(x), LIF(tau=2.0)(x))
    assert repr(neuron).startswith("ParametricLIF(init_tau=1.5, ")
    with pytest.raises(ValueError, match=r"init_tau must be above 1, got 1\.0"):
        ParametricLIF(init_tau=1.0)


def test_analog_fire_lets_out_the_positive_part_of_the_potential() -> None:
    x = torch.tensor([1.0, 3.0, -4.0, 1.0]).reshape(4, 1)
    # H = 0.5, 1.75 (fires, and resets), -2, -0.5
    assert ParametricLIAF()(x).flatten().tolist() == [0.5, 1.75, 0.0, 0.0]


def test_the_gradient_reaches_the_learnt_leak() -> None:
    neuron = ParametricLIF()
    neuron(2 * torch.rand(4, 16)).sum().backward()
    assert neuron.w.grad is not None
    assert neuron.w.grad != 0


def test_soft_reset_keeps_the_rest() -> None:
    x = torch.tensor([1.75, 0.25, 0.0]).reshape(3, 1)
    assert IF(v_reset=None)(x).flatten().tolist() == [1.0, 1.0, 0.0]
    assert IF(v_reset=0.0)(x).flatten().tolist() == [1.0, 0.0, 0.0]


def test_a_potential_below_the_threshold_rests_at_v_reset() -> None:
    silent = torch.zeros(STEPS, 2)
    assert LIF(v_reset=0.75)(silent).sum() == 0
    assert IF(v_reset=0.75)(silent + 0.25).mean() == 1


def test_nothing_is_kept_between_calls() -> None:
    neuron = LIF()
    x = torch.full((1, 5), 1.5)
    assert torch.equal(neuron(x), neuron(x))
    assert neuron(x).sum() == 0
    assert neuron(x.repeat(3, 1)).sum() > 0
    assert not neuron.state_dict()


def test_shape_and_type_are_the_inputs() -> None:
    x = torch.rand(4, 2, 3, 5, 5, dtype=torch.float16)
    spikes = LIF()(x)
    assert spikes.shape == x.shape
    assert spikes.dtype == x.dtype
    assert spikes.unique().tolist() in ([0.0], [0.0, 1.0])


def test_the_frontend_can_read_the_parameters() -> None:
    lif = LIF(tau=1.5, decay_input=False, v_threshold=0.5, v_reset=None)
    assert (lif.tau, lif.decay_input, lif.v_threshold, lif.v_reset) == (1.5, False, 0.5, None)
    assert (IF().tau, IF().decay_input, IF().v_threshold, IF().v_reset) == (None, False, 1.0, 0.0)
    assert repr(lif) == "LIF(tau=1.5, decay_input=False, v_threshold=0.5, v_reset=None)"


def test_tau_must_be_above_one() -> None:
    with pytest.raises(ValueError, match=r"tau must be above 1, got 1\.0"):
        LIF(tau=1.0)


def test_the_surrogate_is_the_slope_of_a_sigmoid() -> None:
    x = torch.tensor([[0.5, 1.0, 1.5]], requires_grad=True)
    IF()(x).sum().backward()
    s = torch.sigmoid(4 * (x.detach() - 1))
    assert x.grad is not None
    torch.testing.assert_close(x.grad, 4 * s * (1 - s))


def test_the_gradient_flows_through_time_but_not_through_the_reset() -> None:
    x = torch.tensor([[0.5], [0.25]], requires_grad=True)
    IF()(x)[1].sum().backward()
    assert x.grad is not None
    assert x.grad[0] == x.grad[1] > 0

    fired = torch.tensor([[2.0], [0.25]], requires_grad=True)
    IF()(fired)[1].sum().backward()
    assert fired.grad is not None
    assert fired.grad[0] == 0


def test_training_moves_the_rate() -> None:
    torch.manual_seed(0)
    scale = torch.nn.Parameter(torch.tensor(0.3))
    x = torch.rand(4, 256)
    optimizer = torch.optim.SGD([scale], lr=1.0)
    before = LIF()(scale * x).mean().item()
    for _ in range(50):
        optimizer.zero_grad()
        (LIF()(scale * x).mean() - 0.4).square().backward()
        optimizer.step()
    after = LIF()(scale * x).mean().item()
    assert before < 0.01
    assert after == pytest.approx(0.4, abs=0.1)


def test_the_base_class_has_no_charge() -> None:
    neuron = SpikingNeuron(tau=None, decay_input=False, v_threshold=1.0, v_reset=0.0)
    with pytest.raises(NotImplementedError):
        neuron(torch.zeros(1, 1))
