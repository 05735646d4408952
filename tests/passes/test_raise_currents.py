"""Synaptic currents written out in Python, in every style, and the same with one thing wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.diagnostics.core import SnnccError
from snncc.frontends.neuron_op import NeuronLayer
from snncc.frontends.torch_export import trace
from snncc.ir import ops
from snncc.ir.graph import Graph
from snncc.ir.interpret import interpret
from snncc.passes import FRONT
from snncc.passes.base import run_passes
from snncc.passes.raise_currents import RaiseCurrents

WIDTH = 6


@dataclass(frozen=True)
class Style:
    """A current in front of a neuron, and how its code is written."""

    T: int = 4
    keep: float = 0.75
    beta: float = 0.5
    update: str = "sum"
    read: str = "static"
    first: str = "zeros"
    reset: str = "hard"
    behind: str = "nothing"


def turned(x: Tensor) -> Tensor:
    return torch.cat([x[:, 2:], x[:, :2]], 1)


def between(i: Any, x: Tensor, keep: float) -> Any:
    """Interpolate as exporters write it where more than half of the way is gone."""
    return x - keep * (x - i)


UPDATE: dict[str, Callable[[Any, Tensor, float], Any]] = {
    "sum": lambda i, x, keep: keep * i + x,
    "turned": lambda i, x, keep: x + i * keep,
    "in place": lambda i, x, keep: i.mul(keep).add_(x) if isinstance(i, Tensor) else x + i,
    "difference": lambda i, x, keep: i - i * (1 - keep) + x,
    "quotient": lambda i, x, keep: i - i / (1 / (1 - keep)) + x,
    "weighed": lambda i, x, keep: keep * i + (1 - keep) * x,
    "toward": lambda i, x, keep: i + (1 - keep) * (4 * x - i),
    "from the input": lambda i, x, keep: between(i, 4 * x, keep),
    "two inputs": lambda i, x, keep: keep * i + x + 0.25 * turned(x),
    "biased": lambda i, x, keep: keep * i + x + 0.125,
}
READ = ("static", "hoisted", "steps")
FIRST = ("zeros", "like", "number")
BEHIND: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "nothing": lambda i, _: i,
    "gain": lambda i, _: i / 2,
    "bias": lambda i, _: i + 0.25,
    "both": lambda i, _: 0.5 * i + 0.25,
    "its own bias": lambda i, bias: i + bias,
}


def style(seed: int) -> Style:
    """A current and a way to write it, at random."""
    dice = Random(seed)  # noqa: S311
    steps = dice.choice((2, 3, 5))
    return Style(
        T=steps,
        keep=dice.choice((0.5, 0.75, 0.875)),
        beta=dice.choice((0.5, 0.75)),
        update=dice.choice(tuple(UPDATE)),
        read=dice.choice(READ),
        first=dice.choice(FIRST),
        reset=dice.choice(("hard", "soft")),
        behind=dice.choice(tuple(BEHIND) if steps > 2 else ("nothing", "gain")),
    )


class WrittenOut(nn.Module):
    """One layer of neurons over time, on currents that last, of a linear layer."""

    def __init__(self, style: Style) -> None:
        super().__init__()
        self.style = style
        self.fc = nn.Linear(WIDTH, WIDTH)
        self.bias = nn.Parameter(torch.arange(WIDTH) / 16)
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for each in self.fc.parameters():
                each.copy_(torch.randint(-8, 12, each.shape, generator=generator) / 8)

    def forward(self, x: Tensor) -> Tensor:
        """Return the spikes of all steps, or what takes the neurons' place in a subclass."""
        v, spikes = self.start(x), []
        for current in self.currents(x):
            v = self.style.beta * v + BEHIND[self.style.behind](current, self.bias)
            s = (v > 0.5).float()
            v = v * (1 - s) if self.style.reset == "hard" else v - 0.5 * s
            spikes.append(s)
        return torch.stack(spikes)

    def currents(self, x: Tensor) -> list[Tensor]:
        """Return the current of each step."""
        i, found = self.start(x), []
        for t in range(self.style.T):
            i = UPDATE[self.style.update](i, self.received(x, t), self.style.keep)
            found.append(i)
        return found

    def received(self, x: Tensor, t: int) -> Tensor:
        if self.style.read == "steps":
            return torch.as_tensor(self.fc(x[:, t]))
        return torch.as_tensor(self.fc(x))

    def start(self, x: Tensor) -> Any:
        if self.style.first == "number":
            return 0.0
        shape = (x.shape[0], WIDTH)
        return torch.zeros(shape) if self.style.first == "zeros" else x.new_zeros(shape)


class Hoisted(WrittenOut):
    """What enters is computed once."""

    known: Tensor

    def received(self, x: Tensor, t: int) -> Tensor:
        self.known = self.fc(x) if t == 0 else self.known
        return torch.as_tensor(self.known)


def network(style: Style) -> WrittenOut:
    made = Hoisted(style) if style.read == "hoisted" else WrittenOut(style)
    return made.eval()


def images(style: Style) -> Tensor:
    shape = (9, style.T, WIDTH) if style.read == "steps" else (9, WIDTH)
    return torch.randint(0, 9, shape, generator=torch.Generator().manual_seed(3)) / 2


def step_graph(module: nn.Module, x: Tensor) -> Graph:
    return run_passes(trace(module, x[:1]), FRONT).graph


def assert_same(module: WrittenOut, graph: Graph, x: Tensor) -> None:
    shown = x.double().numpy()
    values = interpret(graph, shown.swapaxes(0, 1) if module.style.read == "steps" else shown)
    with torch.no_grad():
        wanted = module.double()(x.double()).numpy()
    (layer,) = graph.of_kind("neuron")
    assert 0.02 < wanted.mean() < 0.98
    np.testing.assert_array_equal(values[layer.name], wanted)


def assert_raised(of: Style) -> None:
    module, x = network(of), images(of)
    graph = step_graph(module, x)
    (current,) = graph.of_kind("synaptic_current")
    assert current.attributes()["keep"] == of.keep
    assert_same(module, graph, x)


@pytest.mark.parametrize("update", UPDATE)
def test_every_way_to_write_a_current(update: str) -> None:
    for read in READ if update in ("sum", "weighed", "from the input") else ("steps",):
        assert_raised(Style(update=update, read=read))


@pytest.mark.parametrize("behind", BEHIND)
def test_what_stands_between_current_and_neuron(behind: str) -> None:
    of = Style(behind=behind, read="steps", T=3)
    assert_raised(of)
    graph = step_graph(network(of), images(of))
    (layer,) = graph.of_kind("neuron")
    if behind in ("nothing", "gain"):
        assert graph[layer.inputs[0]].kind == "synaptic_current"


@pytest.mark.parametrize("keep", [0.5, 1.0])
@pytest.mark.parametrize("T", [2, 3])
def test_shares_of_a_part_and_of_all(keep: float, T: int) -> None:
    of = Style(keep=keep, T=T, read="steps")
    module, x = network(of), images(of)
    graph = step_graph(module, x)
    found = [op.attributes()["keep"] for op in graph.of_kind("synaptic_current")]
    assert found == [keep]
    assert_same(module, graph, x)


@pytest.mark.parametrize("seed", range(6))
def test_some_styles(seed: int) -> None:
    check_style(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6, 300))
def test_many_styles(seed: int) -> None:
    check_style(seed)


def check_style(seed: int) -> None:
    """Spikes are the same; over two steps a soft reset may hide the current in the potential."""
    of = style(seed)
    module, x = network(of), images(of)
    try:
        graph = step_graph(module, x)
    except SnnccError as error:
        raise AssertionError(f"{of}: {error}") from error
    assert graph.of_kind("synaptic_current") or (of.T, of.reset) == (2, "soft"), of
    assert_same(module, graph, x)


class Faulty(WrittenOut):
    """The same with one thing wrong."""

    def __init__(self, fault: str) -> None:
        super().__init__(Style(read="steps", T=3 if fault == "once" else 4))
        self.fault = fault
        self.shares = nn.Parameter(torch.linspace(0.25, 0.75, WIDTH))

    def currents(self, x: Tensor) -> list[Tensor]:
        i: Any = torch.ones(x.shape[0], WIDTH) if self.fault == "start" else 0.0
        found = []
        for t in range(self.style.T):
            i = FAULTS[self.fault][0](self, i, self.received(x, t), t)
            found.append(i)
        return found


FAULTS: dict[str, tuple[Callable[[Faulty, Any, Tensor, int], Any], str]] = {
    "start": (lambda net, i, x, t: 0.5 * i + x, "the current starts at 1, wanted 0"),
    "grows": (
        lambda net, i, x, t: 1.5 * i + x,
        "each step multiplies the current by 1.5, which is no leak",
    ),
    "turns": (
        lambda net, i, x, t: x - 0.5 * i,
        "each step multiplies the current by -0.5, which is no leak",
    ),
    "differs": (
        lambda net, i, x, t: (0.5 if t < 3 else 0.25) * i + x,
        "the share of the current that is kept differs from step to step: 0.5, then 0.25 in step 3",
    ),
    "apart": (
        lambda net, i, x, t: net.shares * i + x,
        "the current is multiplied by a stored tensor, which is not one number",
    ),
    "gated": (
        lambda net, i, x, t: 0.5 * i * net.fc(x) + x,
        "the current is multiplied by `fc_3`, which is not one number",
    ),
    "once": (
        lambda net, i, x, t: 0.5 * i + (x if t < 2 else 0.0),
        "no input enters the current in this time step",
    ),
    "first": (
        lambda net, i, x, t: 0.5 * i + (2 * x if t == 0 else x),
        "the first step receives 2 times what the others do, 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_nearly_a_current_is_told(fault: str) -> None:
    module = Faulty(fault).eval()
    with pytest.raises(SnnccError) as caught:
        step_graph(module, images(module.style))
    told = [d for d in caught.value.diagnostics if d.rule.code == "SNN159"]
    assert [d.message for d in told] == [
        f"what `neuron` reads is no synaptic current: {FAULTS[fault][1]}"
    ]


class TwoCurrents(WrittenOut):
    """Fast and slow synapses: their currents add up."""

    def currents(self, x: Tensor) -> list[Tensor]:
        fast, slow = self.start(x), self.start(x)
        found = []
        for t in range(self.style.T):
            received = self.received(x, t)
            fast, slow = 0.25 * fast + received, 0.875 * slow - 0.125 * turned(received)
            found.append(torch.as_tensor(fast + slow))
        return found


def test_two_currents_add_up() -> None:
    of = Style(read="steps", T=5)
    module, x = TwoCurrents(of).eval(), images(of)
    graph = step_graph(module, x)
    assert [op.attributes()["keep"] for op in graph.of_kind("synaptic_current")] == [0.25, 0.875]
    assert_same(module, graph, x)


class Stacked(WrittenOut):
    """Currents written out, in front of a layer of neurons that takes all steps."""

    def __init__(self, style: Style) -> None:
        super().__init__(style)
        self.lif = NeuronLayer(tau=2.0, decay_input=False, v_threshold=0.5, strict=True)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.lif(torch.stack(self.currents(x))))


@pytest.mark.parametrize("update", ["sum", "weighed", "biased"])
def test_currents_in_front_of_a_layer(update: str) -> None:
    of = Style(read="steps", update=update)
    module, x = Stacked(of).eval(), images(of)
    graph = step_graph(module, x)
    (current,) = graph.of_kind("synaptic_current")
    assert (current.name, current.attributes()) == ("lif.synaptic_current", {"keep": 0.75})
    assert_same(module, graph, x)


class Frames(Stacked):
    """Differences of frames are no currents, and time is mixed."""

    def currents(self, x: Tensor) -> list[Tensor]:
        found = [self.received(x, t) for t in range(self.style.T)]
        return [found[0], *(b - a for a, b in pairwise(found))]


def test_differences_of_frames_are_no_currents() -> None:
    of = Style(read="steps")
    with pytest.raises(SnnccError) as caught:
        step_graph(Frames(of).eval(), images(of))
    assert {d.rule.code for d in caught.value.diagnostics} == {"SNN150"}


def test_a_graph_without_currents_stays_as_it_is() -> None:
    made = (
        ops.Input(name="x", shape=(2, 4, 3)),
        ops.Permute(name="p", inputs=("x",), order=(1, 0, 2)),
        ops.Neuron(name="s", inputs=("p",)),
        ops.Output(name="y", inputs=("s",)),
    )
    graph = Graph(made)
    assert RaiseCurrents().run(graph).graph is graph


def test_golden_text() -> None:
    """Graph in, graph out."""
    from snncc.ir.text import dump, parse

    before = """graph tensor T1 {
  %x = input(shape=(2, 3)) : <2x3; real>
  %a = linear(%x, weight='w') : <2x3; real>
  %b = linear(%x, weight='v') : <2x3; real>
  %half = scale(%a, factor=0.5) : <2x3; real>
  %i = add(%half, %b) : <2x3; real>
  %a.t = reshape(%a, shape=(1, 2, 3)) : <1x2x3; real>
  %i.t = reshape(%i, shape=(1, 2, 3)) : <1x2x3; real>
  %all = concat(%a.t, %i.t, axis=0) : <2x2x3; real>
  %s = neuron(%all) : <2x2x3; spike>
  %y = output(%s) : <2x2x3; spike>
}
"""
    after = """graph tensor T1 {
  %x = input(shape=(2, 3)) : <2x3; real>
  %a = linear(%x, weight='w') : <2x3; real>
  %b = linear(%x, weight='v') : <2x3; real>
  %s.reshape = reshape(%a, shape=(1, 2, 3)) : <1x2x3; real>
  %s.reshape_1 = reshape(%b, shape=(1, 2, 3)) : <1x2x3; real>
  %s.concat = concat(%s.reshape, %s.reshape_1, axis=0) : <2x2x3; real>
  %s.synaptic_current = synaptic_current(%s.concat, keep=0.5) : <2x2x3; real>
  %s = neuron(%s.synaptic_current) : <2x2x3; spike>
  %y = output(%s) : <2x2x3; spike>
}
"""
    weights = {"w": np.eye(3), "v": np.eye(3)}
    assert dump(RaiseCurrents().run(parse(before, weights)).graph) == after
