"""Integer neurons against the recurrence written out for one scalar, in float64."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch

from snncc.models.neuron_multilevel import MultiLevel, Rounding

STEPS = 9


def recurrence(currents: list[float], neuron: MultiLevel) -> list[float]:
    """Counts over the norm of one neuron, from the equations of the papers."""
    h, count, out = 0.0, 0.0, []
    for x in currents:
        h = x if neuron.decay is None else neuron.decay * (h - count) + x
        clamped = min(max(h, 0.0), float(neuron.levels))
        if neuron.rounding == "half_up":
            count = float(math.floor(clamped + 0.5))
        else:
            count = float(round(clamped))
        out.append(count / neuron.norm)
    return out


ROUNDINGS: tuple[Rounding, ...] = ("half_even", "half_up")
NEURONS = [
    MultiLevel(levels=levels, norm=norm, rounding=rounding, decay=decay)
    for levels, norm, rounding, decay in itertools.product(
        (1, 4), (None, 1), ROUNDINGS, (None, 0.25, 1.0)
    )
]


@pytest.mark.parametrize("neuron", NEURONS, ids=repr)
def test_counts_equal_the_recurrence(neuron: MultiLevel) -> None:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(STEPS, 64, generator=generator, dtype=torch.float64) * 3
    x[:, :16] = (x[:, :16] * 2).round() / 2
    counts = neuron(x)
    expected = [recurrence(column.tolist(), neuron) for column in x.T]
    assert torch.equal(counts, torch.tensor(expected, dtype=torch.float64).T)
    levels = {k / neuron.norm for k in range(neuron.levels + 1)}
    assert set(counts.flatten().tolist()) == levels


def test_halves_go_to_the_even_count_or_up() -> None:
    x = torch.tensor([-0.5, 0.5, 1.5, 2.5, 3.5, 4.5])
    assert MultiLevel(norm=1)(x).tolist() == [0, 0, 2, 2, 4, 4]
    assert MultiLevel(norm=1, rounding="half_up")(x).tolist() == [0, 1, 2, 3, 4, 4]


def test_without_decay_any_shape_will_do_and_nothing_is_kept() -> None:
    neuron = MultiLevel()
    x = 4 * torch.rand(5, 3, 2)
    assert torch.equal(neuron(x)[1:], neuron(x[1:]))
    assert neuron(torch.tensor(2.2)).item() == 0.5


def test_with_decay_what_is_left_stays() -> None:
    x = torch.tensor([2.4, 0.0, 0.0]).reshape(3, 1)
    assert MultiLevel(norm=1, decay=1.0)(x).flatten().tolist() == [2, 0, 0]
    assert MultiLevel(norm=1, decay=1.0)(2 * x).flatten().tolist() == [4, 1, 0]
    neuron = MultiLevel(norm=1, decay=0.25)
    assert torch.equal(neuron(x), neuron(x))


def test_counts_are_binary_sub_steps() -> None:
    """D integrate-and-fire steps with soft reset give as many spikes as the count says."""
    h = torch.linspace(-1, 6, 97, dtype=torch.float64)
    v, spikes = h.clone() + 0.5, torch.zeros_like(h)
    for _ in range(4):
        fired = (v >= 1).double()
        v, spikes = v - fired, spikes + fired
    assert torch.equal(MultiLevel(norm=1, rounding="half_up")(h), spikes)


def test_the_gradient_is_one_between_the_bounds() -> None:
    x = torch.tensor([-0.1, 0.0, 0.4, 2.5, 4.0, 4.1], requires_grad=True)
    MultiLevel()(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0.25, 0.25, 0.25, 0.25, 0]


def test_the_gradient_flows_through_time_but_not_through_the_reset() -> None:
    x = torch.tensor([[1.2], [1.2]], requires_grad=True)
    MultiLevel(norm=1, decay=0.25)(x)[1].sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [0.25, 1]


def test_the_frontend_can_read_the_parameters() -> None:
    neuron = MultiLevel(levels=8, norm=2, rounding="half_up", decay=0.25)
    assert (neuron.levels, neuron.norm, neuron.rounding, neuron.decay) == (8, 2.0, "half_up", 0.25)
    assert repr(MultiLevel()) == "MultiLevel(levels=4, norm=4.0, rounding=half_even, decay=None)"
    assert not neuron.state_dict()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": 0}, "levels must be at least 1, got 0"),
        ({"rounding": "up"}, r"rounding must be one of \('half_even', 'half_up'\), got 'up'"),
    ],
)
def test_what_cannot_be_built_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiLevel(**options)
