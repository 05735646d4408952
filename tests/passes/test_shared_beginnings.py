"""Layers that begin alike and whose first step is written once: each is a neuron of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.frontends.torch_export import trace
from snncc.ir.graph import Graph, Op, reading, without_dead
from snncc.ir.interpret import interpret
from snncc.passes import FRONT
from snncc.passes.base import run_passes
from snncc.passes.shared_beginnings import begun_apart


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a layer keeps of its potential in a step, and whether its reset is soft."""

    keep: float
    soft: bool = True

    @property
    def fields(self) -> tuple[float | None, float | None]:
        """Time constant and reset of the neuron."""
        return None if self.keep == 1 else 1 / (1 - self.keep), None if self.soft else 0.0


def step(kind: Kind, v: Any, current: Tensor) -> tuple[Tensor, Tensor]:
    """Return spike and potential after it."""
    h = kind.keep * v + current
    s = (h >= 1).to(h)
    return s, h - s if kind.soft else h * (1 - s)


Fired = list[list[Tensor]]
"""Spikes of each layer in each step."""


def stacked(net: Layers, fired: Fired) -> Tensor:
    sums = [head(torch.stack(steps)) for head, steps in zip(net.heads, fired, strict=True)]
    return torch.stack(sums).sum((0, 1))


def joined(net: Layers, fired: Fired) -> Tensor:
    """One weight for the sum of all layers' spikes."""
    both = [torch.stack(steps) for steps in fired]
    total = both[0]
    for each in both[1:]:
        total = total + 2 * each
    return net.heads[0](total).sum(0)


def each_step(net: Layers, fired: Fired) -> Tensor:
    """A weight for each layer, step by step."""
    total: Any = 0
    for step in zip(*fired, strict=True):
        for head, spikes in zip(net.heads, step, strict=True):
            total = total + head(spikes)
    return total


def one_weight(net: Layers, fired: Fired) -> Tensor:
    """The same weight for all layers, step by step."""
    total: Any = 0
    for step in zip(*fired, strict=True):
        for i, spikes in enumerate(step):
            total = total + (i + 1) * net.heads[0](spikes)
    return total


WAYS: dict[str, Callable[[Layers, Fired], Tensor]] = {
    "stacked": stacked, "joined": joined, "each step": each_step, "one weight": one_weight,
}  # fmt: skip


class Layers(nn.Module):
    """Layers of one current, at rest before it; all in one function."""

    def __init__(self, kinds: tuple[Kind, ...], steps: int, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.heads = nn.Linear(5, 8), nn.ModuleList(nn.Linear(8, 3) for _ in kinds)
        self.kinds, self.steps, self.way = kinds, steps, way

    def forward(self, x: Tensor) -> Tensor:
        current = self.fc(x)
        potentials: list[Any] = [torch.zeros_like(current) for _ in self.kinds]
        fired: Fired = [[] for _ in self.kinds]
        for _ in range(self.steps):
            for i, kind in enumerate(self.kinds):
                spike, potentials[i] = step(kind, potentials[i], current)
                fired[i].append(spike)
        return WAYS[self.way](self, fired)


def written_once(graph: Graph) -> Graph:
    """The graph as exporters write it that compute nothing twice."""
    seen: dict[Any, str] = {}
    names: dict[str, str] = {}
    kept: list[Op] = []
    for op in graph.ops:
        now = reading(op, names)
        stored = tuple(np.asarray(graph.weights[n]).tobytes() for n in op.weight_names)
        own = {k: v for k, v in op.attributes().items() if k not in op.weight_fields}
        first = seen.setdefault((op.kind, now.inputs, stored, str(own)), op.name)
        names[op.name] = first
        if first == op.name:
            kept.append(now)
    return graph.replace(kept)


def until_neurons(network: nn.Module) -> Graph:
    """The graph in front of the pass that raises neurons, nothing in it twice."""
    graph = run_passes(trace(network.eval(), torch.zeros(2, 5)), FRONT[:3]).graph
    return without_dead(written_once(graph))


PAIRS = {
    "leaks": (Kind(0.5), Kind(0.25)),
    "resets": (Kind(0.5), Kind(0.5, soft=False)),
    "both": (Kind(1.0, soft=False), Kind(0.75)),
    "three": (Kind(0.5), Kind(0.25, soft=False), Kind(1.0)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("steps", [2, 4])
@pytest.mark.parametrize("pair", PAIRS)
def test_each_layer_is_a_neuron(pair: str, steps: int, way: str) -> None:
    network = Layers(PAIRS[pair], steps, way)
    graph = until_neurons(network)
    x = torch.rand(6, 5, generator=torch.Generator().manual_seed(1)).double() * 4
    apart, _ = begun_apart(graph)
    before, between = (interpret(each, x[:2].numpy())["output"] for each in (graph, apart))
    assert np.array_equal(before, between)
    result = run_passes(graph, FRONT[3:])
    assert result.diagnostics == ()
    assert (result.graph.level, result.graph.steps) == ("step", steps)
    neurons = [op.attributes() for op in result.graph.of_kind("neuron")]
    found = {(n["tau"] and round(n["tau"], 9), n["v_reset"]) for n in neurons}
    assert found == {(t and round(t, 9), r) for t, r in (k.fields for k in PAIRS[pair])}
    with torch.no_grad():
        wanted = network.double()(x).numpy()
    assert np.unique(wanted).size > wanted.shape[1]
    np.testing.assert_allclose(interpret(result.graph, x.numpy())["output"], wanted, atol=1e-9)


def test_what_begins_apart_stays_as_it_is() -> None:
    network = Layers((Kind(0.5),), 3, "stacked")
    graph = until_neurons(network)
    assert begun_apart(graph)[0] is graph


def test_a_layer_that_reads_potential_and_spike_of_another_is_no_second_one() -> None:
    """Its current is made of both, so that the firing before it is no first step of it."""

    class Gated(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            v, w, out = torch.zeros_like(x), torch.zeros_like(x), []
            for _ in range(3):
                h = 0.5 * v + x
                s = (h >= 1).to(h)
                v = h - s
                s2, w = step(Kind(0.25), w, 0.25 * h + s)
                out.append(s2)
            return torch.stack(out).sum(0)

    graph = until_neurons(Gated())
    assert begun_apart(graph)[0] is graph


def test_what_is_shared_behind_a_first_spike_is_walked_once() -> None:
    """There are two ways through each sum of a residual network, a trillion through forty."""

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.fc = nn.Linear(4, 4)

        def behind(self, x: Tensor) -> Tensor:
            for _ in range(40):
                x = x + self.fc(x)
            return x

        def forward(self, x: Tensor) -> Tensor:
            s = (x >= 1).to(x)
            first, out = self.behind(s), []
            for kind in (Kind(0.5), Kind(0.75)):
                v, total = x - s, first
                for _ in range(2):
                    fired, v = step(kind, v, x)
                    total = total + self.behind(fired)
                out.append(total)
            return torch.stack(out).sum(0)

    graph = run_passes(trace(Residual(), torch.zeros(2, 4)), FRONT).graph
    assert len(graph.of_kind("neuron")) == 2
