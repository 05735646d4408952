"""Integer-firing neurons written out in Python: the neuron that each is, or what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.frontends.torch_export import trace
from snncc.ir.graph import Graph
from snncc.ir.interpret import interpret
from snncc.passes import FRONT
from snncc.passes.base import Result, run_passes


@dataclass(frozen=True)
class Neuron:
    """``H = keep V + gain X``; up to ``levels`` spikes, each worth ``1 / norm``."""

    levels: int = 4
    half_up: bool = False
    keep: float = 0.25
    gain: float = 1.0
    threshold: float = 1.0
    taken: float | None = None
    reset: float | None = None
    norm: float = 1.0
    bounds: str = "first"
    divide: str = "behind"
    T: int = 3
    fault: str = ""

    @property
    def off(self) -> float:
        return self.threshold if self.taken is None else self.taken


class Counting(nn.Module):
    """``[T, B, 6]`` currents to counts."""

    def __init__(self, neuron: Neuron) -> None:
        super().__init__()
        self.neuron = neuron

    def forward(self, x: Tensor) -> Tensor:
        n, v, counts = self.neuron, torch.zeros_like(x[0]), []
        if n.reset is not None:
            v = v + n.reset
        for t, current in enumerate(x):
            rest = n.reset or 0.0
            h = n.keep * (v - rest) + rest + n.gain * current
            if n.fault == "leak" and t == 2:
                h = h - 0.125 * v
            s = self.counts(h, t)
            v = self.after(h, s)
            given = s + h if n.fault == "read" else s
            counts.append(given / n.norm if n.divide == "at once" else given)
        every = torch.stack(counts)
        return every / n.norm if n.divide == "behind" else every

    def counts(self, h: Tensor, t: int) -> Tensor:
        n = self.neuron
        levels = n.levels - (n.fault == "levels" and t == 2)
        h = h / (2 * n.threshold if n.fault == "threshold" and t == 2 else n.threshold)
        if n.fault == "offset":
            h = h + 0.25
        if n.fault == "falls":
            h = -h
        if n.bounds == "first":
            h = h.clamp(0, levels)
        half_up = n.half_up != (n.fault == "rounding" and t == 2)
        s = torch.floor(h + 0.5) if half_up else torch.round(h)
        return s if n.bounds == "first" else s.clamp(0, levels)

    def after(self, h: Tensor, s: Tensor) -> Tensor:
        n = self.neuron
        others: dict[str, Callable[[], Tensor]] = {
            "adds": lambda: h + s,
            "gates": lambda: h * (1 - 0.25 * s),
            "squares": lambda: h - s * s,
            "both": lambda: h * (s < 0.5) - s,
            "half": lambda: h * (1 - 0.5 * (s > 0).float()),
        }
        if n.fault in others:
            return others[n.fault]()
        if n.reset is None:
            return h - n.off * s
        fired = s > 0 if n.bounds == "first" else s >= 1
        return torch.where(fired, torch.full_like(h, n.reset), h)


def currents(neuron: Neuron) -> Tensor:
    """Numbers of few bits, so that potentials meet the edges between counts."""
    dice = torch.Generator().manual_seed(1)
    most = int(16 * neuron.levels * neuron.threshold)
    x = torch.randint(-24, most + 24, (neuron.T, 2, 6), generator=dice, dtype=torch.float64)
    return x / 16


def raised(neuron: Neuron) -> Result:
    x = currents(neuron).float()
    return run_passes(trace(Counting(neuron), x, batch_axis=1), FRONT[:-2])


def held(neuron: Neuron, graph: Graph) -> None:
    x = currents(neuron)
    found = interpret(graph, x.numpy())["output"]
    np.testing.assert_allclose(found, Counting(neuron)(x).numpy(), atol=1e-12)
    assert len(np.unique(found)) > 1


def drawn(seed: int) -> Neuron:
    dice = Random(seed)  # noqa: S311
    return Neuron(
        levels=dice.choice((2, 4, 8)),
        half_up=dice.random() < 0.5,
        keep=dice.choice((0.25, 0.5, 1.0)),
        gain=dice.choice((1.0, 1.0, 0.5)),
        threshold=dice.choice((1.0, 1.0, 0.5, 2.0)),
        taken=dice.choice((None, None, 0.75)),
        reset=dice.choice((None, None, 0.0, -0.25)),
        norm=dice.choice((1.0, 4.0, 3.0)),
        bounds=dice.choice(("first", "behind")),
        divide=dice.choice(("behind", "at once")),
        T=dice.choice((2, 3, 5)),
    )


@pytest.mark.parametrize(
    "seed", [*range(12), *(pytest.param(n, marks=pytest.mark.slow) for n in range(12, 150))]
)
def test_every_neuron_is_raised(seed: int) -> None:
    neuron = drawn(seed)
    result = raised(neuron)
    assert result.diagnostics == ()
    assert {op.kind for op in result.graph.ops} <= {"input", "scale", "neuron", "output"}
    (op,) = result.graph.of_kind("neuron")
    found = op.attributes()
    wanted: dict[str, Any] = {
        "levels": neuron.levels,
        "rounding": "half_up" if neuron.half_up else "half_even",
        "v_threshold": neuron.threshold,
        "v_reset": neuron.reset,
        "norm": neuron.norm,
        "tau": None if neuron.keep == 1 else 1 / (1 - neuron.keep),
        "decay_input": False,
    }
    assert {name: found[name] for name in wanted} == wanted
    if neuron.reset is None:
        assert found["v_subtract"] == (None if neuron.off == neuron.threshold else neuron.off)
    held(neuron, result.graph)


def test_one_level_is_a_neuron_of_spikes_that_takes_off_more_than_half() -> None:
    neuron = Neuron(levels=1, keep=0.5)
    (op,) = raised(neuron).graph.of_kind("neuron")
    found = op.attributes()
    assert (found["v_threshold"], found["v_subtract"], found["strict"]) == (0.5, 1.0, True)


@pytest.mark.parametrize("T", [1, 3])
def test_what_keeps_nothing_is_a_neuron_without_memory(T: int) -> None:
    class Still(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([each.clamp(0, 4).round() for each in x]) / 4

    x = currents(Neuron(T=T))
    graph = run_passes(trace(Still(), x.float(), batch_axis=1), FRONT[:-2]).graph
    neurons = graph.of_kind("neuron")
    assert {(op.attributes()["tau"], op.attributes()["levels"]) for op in neurons} == {(1.0, 4)}
    np.testing.assert_array_equal(interpret(graph, x.numpy())["output"], Still()(x).numpy())


FAULTS = {
    "leak": "the share of the potential that is kept differs from step to step: 0.25, then 0.125",
    "levels": "some steps fire up to 3, others up to 4 spikes",
    "rounding": "some steps round a half to the even count, others to the larger",
    "threshold": "what leak and current sum up to fires at 2 in step 2, at 1 in step 1",
    "offset": "its spikes are counted from a potential of -0.25 on, a neuron's from 0",
    "falls": "it counts how far the potential falls, a neuron how far it rises",
    "adds": "a spike adds 1 to the potential, a reset takes off",
    "gates": "the potential is multiplied by the count of spikes",
    "squares": "the count of spikes is multiplied by the count of spikes",
    "both": "a count of spikes does more than to reset the potential, or to take off of it",
    "half": "a spike leaves 0.5 of the potential, wanted 0 or 1",
    "read": "the potential of step 2 is read by more than the next step",
}


@pytest.mark.parametrize(("fault", "said"), FAULTS.items())
def test_what_is_nearly_one_stays_and_is_told(fault: str, said: str) -> None:
    result = raised(replace(Neuron(fault=fault), norm=1.0))
    assert [d.message for d in result.diagnostics] == [
        f"arithmetic over 3 time steps is not a spiking neuron: {said}"
    ]
    assert {(d.rule.code, d.op) for d in result.diagnostics} == {("SNN155", "count")}
    assert result.diagnostics[0].source.file.endswith("test_raise_counts.py")
    assert not result.graph.of_kind("neuron", "count")
    assert "count" in {op.attributes()["target"] for op in result.graph.of_kind("foreign")}


def test_a_potential_that_goes_on_into_two_is_told() -> None:
    class Split(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            s = x[0].clamp(0, 4).round()
            v = 0.25 * (x[0] - s)
            return torch.stack([s, *((v + each).clamp(0, 4).round() for each in x[1:])])

    result = run_passes(trace(Split(), currents(Neuron()).float(), batch_axis=1), FRONT[:-2])
    (said,) = {d.message.partition(": ")[2] for d in result.diagnostics}
    assert said == "its potential goes on from, or into, another in a way that no neuron's does"


class Layer(nn.Module):
    """Adds up to a threshold of its own, softly reset."""

    def __init__(self, keep: float) -> None:
        super().__init__()
        self.keep = keep

    def forward(self, x: Tensor) -> Tensor:
        v, out = torch.zeros_like(x[0]), []
        for current in x:
            h = self.keep * v + current
            out.append((h >= 1).to(h))
            v = h - out[-1]
        return torch.stack(out)


def test_layers_that_begin_alike_are_told_apart() -> None:
    class Twins(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = Layer(0.5), Layer(0.25)

        def forward(self, x: Tensor) -> Tensor:
            a: Tensor = self.a(x) + 2 * self.b(x)
            return a

    x = currents(Neuron())
    result = run_passes(trace(Twins(), x.float(), batch_axis=1), FRONT[:-2])
    assert result.diagnostics == ()
    found = {op.name: op.attributes()["tau"] for op in result.graph.of_kind("neuron")}
    assert found == {"a": 2.0, "b": 4 / 3}
    np.testing.assert_array_equal(interpret(result.graph, x.numpy())["output"], Twins()(x).numpy())
