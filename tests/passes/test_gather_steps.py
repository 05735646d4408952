"""Loops over time: T equal calls on T slices are one call, and nothing else is touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snncc.frontends.torch_export import trace
from snncc.ir.graph import Graph
from snncc.ir.interpret import interpret
from snncc.models.neuron import LIF
from snncc.passes import FRONT
from snncc.passes.base import run_passes
from snncc.passes.canonicalise import Canonicalise
from snncc.passes.gather_steps import GatherSteps
from snncc.passes.join_pieces import JoinPieces

T = 3


class Loop(nn.Module):
    """Layers called once a time step, between neurons that take all steps at once."""

    def __init__(self, function: Callable[[Loop, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.other = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.fc, self.head, self.head2 = nn.Linear(6, 6), nn.Linear(6, 3), nn.Linear(6, 3)
        self.lif, self.lif2 = LIF(), LIF()
        self.bias = nn.Parameter(torch.rand(6))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def spikes(m: Loop, x: Tensor) -> Tensor:
    """`[T, B, 2, 6, 6]`, 0 or 1."""
    fired: Tensor = m.lif(2 * x.transpose(0, 1))
    return fired


def stacked(each: Callable[[Loop, Tensor], Tensor]) -> Callable[[Loop, Tensor], Tensor]:
    """A loop whose results are the currents of a second layer of neurons."""

    def function(m: Loop, x: Tensor) -> Tensor:
        s = spikes(m, x)
        return m.lif2(torch.stack([each(m, s[t]) for t in range(T)])).sum(0)

    return function


def heads(m: Loop, x: Tensor) -> Tensor:
    total: Any = 0
    s = spikes(m, x)
    for t in range(T):
        total = total + m.head(s[t].mean((1, 2)))
    return total / T


def three_heads(m: Loop, x: Tensor) -> Tensor:
    """Each step adds two answers to one layer's spikes, and one to another's."""
    total: Any = 0
    s, other = spikes(m, x), m.lif2(3 * x.transpose(0, 1))
    for t in range(T):
        seen = s[t].mean((1, 2))
        total = total + m.head(seen) + m.head2(seen) + m.head(other[t].mean((1, 2)))
    return total / T


def along_the_batch(m: Loop, x: Tensor) -> Tensor:
    s = spikes(m, x)
    joined = torch.cat([m.conv(each) for each in s.unbind(0)])
    return m.lif2(joined.reshape(T, -1, 4, 6, 6)).mean(0)


def assigned(m: Loop, x: Tensor) -> Tensor:
    """As in the official code of MS-ResNet, currents made from the membranes before too."""
    out = torch.zeros(T, x.shape[0], 4, 6, 6, dtype=x.dtype)
    shown = torch.zeros(T, x.shape[0], 2, 6, 6, dtype=x.dtype)
    for t in range(T):
        shown[t] = x[:, 0]
    for t in range(T):
        out[t] = m.conv(shown[t])
    return m.lif2(out).sum(0)


def attention(m: Loop, s: Tensor) -> Tensor:
    tokens = m.fc(s.flatten(1, 2))
    return (tokens @ tokens.transpose(-1, -2)).sum(-1) + m.bias[:1]


CASES: dict[str, tuple[Callable[[Loop, Tensor], Tensor], dict[str, int]]] = {
    "conv": (stacked(lambda m, s: m.conv(s)), {"conv": 1}),
    "conv and norm": (stacked(lambda m, s: m.norm(m.conv(s))), {"conv": 1, "batch_norm": 1}),
    "pools": (stacked(lambda m, s: F.max_pool2d(F.avg_pool2d(s, 2), 3)), {"max_pool": 1}),
    "residual": (stacked(lambda m, s: s + m.fc(0.5 * s)), {"add": 1, "linear": 1, "scale": 2}),
    "a parameter": (stacked(lambda m, s: m.bias * (s + m.bias[:, None])), {"add": 1}),
    "padded": (stacked(lambda m, s: F.pad(s, (1, 0, 0, 1))), {"pad": 1}),
    "products": (stacked(attention), {"linear": 1, "matmul": 1, "permute": 2, "sum": 2}),
    "parts": (stacked(lambda m, s: torch.cat([s[:, 1:], m.fc(s)], 1)), {"concat": 1, "slice": 1}),
    "foreign": (stacked(lambda m, s: s.softmax(-1)), {"foreign": 1}),
    "sums": (heads, {"linear": 1, "add": 0}),
    "sums of several": (three_heads, {"linear": 3, "add": 2}),
    "along the batch": (along_the_batch, {"conv": 1, "concat": 0}),
    "assigned": (assigned, {"conv": 1, "concat": 0, "expand": 1}),
}


@pytest.mark.parametrize("name", CASES)
def test_steps_become_one(name: str) -> None:
    function, wanted = CASES[name]
    network, x = Loop(function).eval(), torch.rand(2, T, 2, 6, 6)
    graph = run_passes(trace(network, x), FRONT[:-2]).graph
    kinds = Counter(op.kind for op in graph.ops)
    assert {kind: kinds[kind] for kind in wanted} == wanted
    if "foreign" not in wanted:
        with torch.no_grad():
            expected = network.double()(x.double()).numpy()
        np.testing.assert_allclose(interpret(graph, x.numpy())["output"], expected, atol=1e-9)
    assert not any("steps" in op.name for op in graph.ops if op.kind in wanted)
    run_passes(graph, FRONT[-2:])


UNLIKE: dict[str, Callable[[Loop, Tensor], Tensor]] = {
    "two layers": lambda m, x: m.lif2(
        torch.stack([m.conv(spikes(m, x)[0]), m.other(spikes(m, x)[1])])
    ),
    "another order": lambda m, x: m.lif2(torch.stack([m.conv(spikes(m, x)[t]) for t in (2, 0, 1)])),
    "channels": lambda m, x: torch.cat(
        [F.max_pool2d(spikes(m, x).flatten(0, 1)[:, c : c + 1], 2) for c in range(2)], 1
    ),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_what_is_not_alike_stays(name: str) -> None:
    network, x = Loop(UNLIKE[name]).eval(), torch.rand(2, T, 2, 6, 6)
    clean = run_passes(trace(network, x), [JoinPieces(), Canonicalise()]).graph
    assert run_passes(clean, [GatherSteps()]).graph == clean


@pytest.mark.parametrize("seed", range(8))
def test_networks_without_loops_stay(seed: int, random_network: Callable[[int], Graph]) -> None:
    graph = run_passes(random_network(seed), [Canonicalise()]).graph
    assert run_passes(graph, [GatherSteps()]).graph == graph
