"""Spiking neurons written out in Python, in every style, and the same with one thing wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
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
class Style:
    """A neuron, and how its code is written."""

    T: int = 4
    tau: float | None = 2.0
    decay_input: bool = True
    threshold: float = 1.0
    reset: float | None = 0.0
    taken: float = 1.0
    strict: bool = False
    fire: str = "compare"
    clear: str = "product"
    carry: str = "after"
    collect: str = "stack"
    read: str = "first axis"
    first: str = "zeros"
    faults: dict[int, str] = field(default_factory=dict)


FIRE = ("compare", "excess", "turned", "where", "heaviside", "not below", "relative", "surrogate")
CLEAR = ("product", "where", "masked_fill", "taken off", "index", "gate")
CARRY = ("after", "before")
COLLECT = ("stack", "assign", "cat", "total", "back")
READ = ("first axis", "second axis", "unbind", "static")
FIRST = ("zeros", "like", "number", "case")


def style(seed: int) -> Style:
    """A neuron and a way to write it, at random."""
    dice = Random(seed)  # noqa: S311
    tau = dice.choice((None, 2.0, 1.5, 4 / 3))
    reset = dice.choice((0.0, 0.0, -0.25, None))
    threshold = dice.choice((1.0, 0.5))
    return Style(
        T=dice.choice((2, 3, 4)),
        tau=tau,
        decay_input=dice.random() < 0.5,
        threshold=threshold,
        reset=reset,
        taken=threshold if dice.random() < 0.7 else 0.75,
        strict=dice.random() < 0.5,
        fire=dice.choice(FIRE),
        clear=dice.choice(CLEAR),
        carry=dice.choice(CARRY),
        collect=dice.choice(COLLECT),
        read=dice.choice(READ),
        first=dice.choice(FIRST if reset in (0.0, None) else FIRST[:3]),
    )


def faulty(base: Style, step: int, fault: str) -> Style:
    """The same code with something else in one step."""
    return replace(base, faults={step: fault})


FAULTS = {
    "leak": "the share of the potential that is kept differs from step to step",
    "threshold": "what leak and current sum up to fires at",
    "strict": "some steps fire at the threshold, others above it alone",
    "offset": "what leak and current sum up to fires at",
    "no reset": "",
    "half reset": "what a spike takes of the potential differs from step to step",
    "own spikes": "the current of step 2 is made of the layer's own spikes",
    "read": "the potential of step 2 is read by more than the next step",
}
"""What makes step 2 another than the others, or no neuron's at all, and what is said of it."""


class Step(torch.autograd.Function):
    """1 above 0, or at it where not strict."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, strict: bool) -> Tensor:
        return (x > 0 if strict else x >= 0).to(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def stepped(x: Tensor, strict: bool) -> Tensor:
    fired: Tensor = Step.apply(x, strict)  # type: ignore[no-untyped-call]
    return fired


class WrittenOut(nn.Module):
    """One layer of neurons over time on the currents of a linear layer."""

    def __init__(self, style: Style) -> None:
        super().__init__()
        self.style = style
        self.fc = nn.Linear(6, 6)
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for each in self.fc.parameters():
                each.copy_(torch.randint(-8, 16, each.shape, generator=generator) / 8)

    def forward(self, x: Tensor) -> Tensor:
        """Turn ``[B, T, 6]`` (``[B, 6]`` where static) into spikes of all steps or their sum."""
        currents = self.currents(x)
        v, s = self.start(currents[0]), torch.zeros_like(currents[0])
        out = Collected(self.style.collect, currents)
        leaked: Tensor | float = 0.0
        for t, current in enumerate(currents):
            fault = self.style.faults.get(t, "")
            if fault == "own spikes":
                current = current + self.fc(s)  # noqa: PLW2901
            if isinstance(v, float) and v == 0.0 and self.style.first == "case":
                h = current / (self.style.tau or 1.0) if self.divides else current
            else:
                h = self.charge(v, s, current, fault)
            s = self.fire(h, fault)
            v = h if self.style.carry == "before" else self.clear(h, s, fault)
            out.add(t, s)
            leaked = leaked + h if fault == "read" else leaked
        return out.all() + leaked

    @property
    def divides(self) -> bool:
        return self.style.tau is not None and self.style.decay_input

    def currents(self, x: Tensor) -> list[Tensor]:
        read, T = self.style.read, self.style.T
        if read == "static":
            return [self.fc(x) for _ in range(T)]
        if read == "second axis":
            return [self.fc(x[:, t]) for t in range(T)]
        every = self.fc(x.transpose(0, 1))
        return list(every.unbind(0)) if read == "unbind" else [every[t] for t in range(T)]

    def start(self, like: Tensor) -> Any:
        rest = self.style.reset or 0.0
        if self.style.first == "zeros":
            return torch.zeros(like.shape, dtype=like.dtype) + rest
        return torch.full_like(like, rest) if self.style.first == "like" else rest

    def charge(self, v: Any, s: Tensor, x: Tensor, fault: str) -> Tensor:
        if self.style.carry == "before":
            v = v if isinstance(v, float) else self.clear(v, s, fault)
        rest, tau = self.style.reset or 0.0, self.style.tau
        keep = 0.75 if fault == "leak" else 1.0
        if tau is None:
            h = keep * v + x
        elif self.style.decay_input:
            h = keep * v + (x - (v - rest)) / tau
        elif rest == 0.0:
            h = v * (keep * (1 - 1 / tau)) + x
        else:
            h = keep * v - (v - rest) / tau + x
        return h + 0.125 if fault == "offset" else h

    def fire(self, h: Tensor, fault: str) -> Tensor:
        threshold = self.style.threshold + (0.125 if fault == "threshold" else 0)
        strict = self.style.strict != (fault == "strict")
        kind = self.style.fire
        if kind == "relative":
            return stepped(h / threshold - 1, strict)
        if kind == "where":
            reached = h > threshold if strict else h >= threshold
            return torch.where(reached, torch.ones_like(h), torch.zeros_like(h))
        if kind == "heaviside":
            at_zero = torch.tensor(0.0 if strict else 1.0, dtype=h.dtype)
            return torch.heaviside(h - threshold, at_zero)
        if kind == "not below":
            below = h <= threshold if strict else h < threshold
            return 1 - below.to(h)
        if kind == "turned":
            return (threshold < h if strict else threshold <= h).to(h)
        if kind == "compare":
            return (h.gt(threshold) if strict else h.ge(threshold)).to(h)
        hard = stepped(h - threshold, strict)
        if kind == "surrogate":
            soft = torch.sigmoid(4 * (h - threshold))
            return (hard - soft).detach() + soft
        return hard

    def clear(self, h: Tensor, s: Tensor, fault: str) -> Tensor:
        if fault == "no reset":
            return h
        if fault == "half reset":
            return h * (1 - 0.5 * s)
        rest = self.style.reset
        if rest is None:
            return h - self.style.taken * s
        kind = self.style.clear
        if kind == "index":
            h = h.clone()
            h[s == 1] = rest
            return h
        ways: dict[str, Callable[[], Tensor]] = {
            "where": lambda: torch.where(s.bool(), torch.full_like(h, rest), h),
            "masked_fill": lambda: h.masked_fill(s > 0.5, rest),
            "taken off": lambda: h - s * (h - rest),
            "gate": lambda: h * (s < 1) + rest * s,
            "product": lambda: h * (1 - s) + rest * s,
        }
        return ways[kind]()


class Collected:
    """The spikes of all steps, kept as code keeps them."""

    def __init__(self, how: str, currents: list[Tensor]) -> None:
        self.how = how
        self.spikes: list[Tensor] = []
        self.buffer = torch.zeros(len(currents), *currents[0].shape, dtype=currents[0].dtype)

    def add(self, t: int, s: Tensor) -> None:
        if self.how == "assign":
            self.buffer[t] = s
        self.spikes.append(s)

    def all(self) -> Tensor:
        if self.how == "assign":
            return self.buffer.transpose(0, 1)
        if self.how == "cat":
            return torch.cat([s.unsqueeze(1) for s in self.spikes], 1)
        if self.how == "total":
            total: Any = 0
            for s in self.spikes:
                total = total + s
            return total / len(self.spikes)
        stacked = torch.stack(self.spikes)
        return stacked.mean(0) if self.how == "back" else stacked.transpose(0, 1)


def example(style: Style) -> Tensor:
    """Numbers with few bits, so that potentials meet thresholds exactly."""
    shape = (2, 6) if style.read == "static" else (2, style.T, 6)
    generator = torch.Generator().manual_seed(3)
    return torch.randint(-8, 16, shape, generator=generator, dtype=torch.float64) / 8


def raised(style: Style) -> Result:
    """The tensor graph of a network, its steps gathered."""
    network = WrittenOut(style).eval()
    return run_passes(trace(network, example(style).float()[:1]), FRONT[:-2])


def answers(style: Style, graph: Graph) -> tuple[Any, Any]:
    """What the network computes itself, and what the graph does."""
    network, x = WrittenOut(style).double().eval(), example(style)
    with torch.no_grad():
        return network(x).numpy(), interpret(graph, x.numpy())["output"]


@pytest.mark.parametrize("seed", range(28))
def test_every_style_is_raised(seed: int) -> None:
    chosen = style(seed)
    result = raised(chosen)
    graph = result.graph
    assert result.diagnostics == ()
    assert {op.kind for op in graph.ops} <= {
        "input", "permute", "linear", "neuron", "output", "reshape", "expand", "scale", "sum",
    }  # fmt: skip
    (neuron,) = graph.of_kind("neuron")
    assert graph.type_of(neuron.name).shape == (chosen.T, 2, 6)
    found = neuron.attributes()
    assert found["v_threshold"] == chosen.threshold
    assert found["v_reset"] == chosen.reset
    assert found["strict"] == chosen.strict
    assert found["tau"] == (chosen.tau and pytest.approx(chosen.tau))
    wanted, got = answers(chosen, graph)
    np.testing.assert_allclose(got, wanted, atol=1e-12)
    run_passes(graph, FRONT[-2:])


@pytest.mark.parametrize(("fault", "said"), FAULTS.items())
@pytest.mark.parametrize("seed", range(2))
def test_one_step_that_differs_is_not_raised(fault: str, said: str, seed: int) -> None:
    base = replace(style(seed), T=4, tau=2.0, carry="after", collect="total", first="like")
    base = replace(base, read="first axis")
    result = raised(faulty(base, 2, fault))
    assert {d.rule.code for d in result.diagnostics} == {"SNN155"}
    assert any(said in d.message for d in result.diagnostics)
    assert any(d.source.file.endswith("test_raise_styles.py") for d in result.diagnostics)
    assert not result.graph.of_kind("neuron", "compare")


class FromInput(WrittenOut):
    """A leak as exporters write ``torch.lerp``: from the input back, by the share that is kept."""

    gain = 1.0

    def charge(self, v: Any, s: Tensor, x: Tensor, fault: str) -> Tensor:
        return self.gain * x - 0.75 * (self.gain * x - v)


@pytest.mark.parametrize("read", ["static", "first axis"])
@pytest.mark.parametrize("gain", [1.0, 4.0])
@pytest.mark.parametrize("reset", [0.0, None])
def test_a_leak_from_the_input_back(read: str, gain: float, reset: float | None) -> None:
    """The first step, from 0, is made of its current in another way than the others."""
    chosen = Style(T=4, tau=4.0, reset=reset, threshold=0.5, taken=0.5, read=read)
    network, x = FromInput(chosen).eval(), example(chosen)
    network.gain = gain
    graph = run_passes(trace(network, x.float()[:1]), FRONT[:-2]).graph
    (neuron,) = graph.of_kind("neuron")
    found = neuron.attributes()
    assert (found["tau"], found["v_reset"], found["v_threshold"]) == (4.0, reset, 0.5)
    run_passes(graph, FRONT[-2:])
    with torch.no_grad():
        wanted = network.double()(x).numpy()
    assert 0.02 < wanted.mean() < 0.98
    np.testing.assert_array_equal(interpret(graph, x.numpy())["output"], wanted)
