"""What a module computes is recorded in float64, whatever its code asks for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.frontends.record import record


class Loop(nn.Module):
    """Four steps of a leaky neuron, spikes made in one of several ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.fc, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

    def fired(self, v: Tensor) -> Tensor:
        if self.way == "float":
            return (v > 1).float()
        if self.way == "where":
            return torch.where(v > 1, torch.tensor(1.0), torch.tensor(0.0))
        if self.way == "zeros":
            return torch.zeros(v.shape) + (v > 1)
        return (v > 1).to(v.dtype)

    def forward(self, x: Tensor) -> Tensor:
        current = self.fc(x)
        v, y = torch.zeros_like(current), torch.zeros(len(x), 3)
        for _ in range(4):
            v = 0.8 * v + current
            s = self.fired(v)
            v = v * (1 - s)
            y = y + self.head(s)
        return y / 4


@pytest.mark.parametrize("way", ["float", "where", "zeros"])
def test_code_that_asks_for_float32_runs_in_float64(way: str) -> None:
    torch.manual_seed(0)
    plain = Loop("plain")
    other = Loop(way)
    other.load_state_dict(plain.state_dict())
    x = np.random.default_rng(0).normal(size=(5, 6))
    found, wanted = record(other, x).output, record(plain, x).output
    assert found.dtype == np.float64
    assert np.array_equal(found, wanted)
