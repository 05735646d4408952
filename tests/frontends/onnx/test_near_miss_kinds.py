"""Kinds of layers that researchers write and that are no neurons here: what is said of each.

Each stands behind a layer that is one, so that its currents differ from step to step, and comes
once through ONNX and once as a module.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from snncc.compiler import Checked, check_model
from snncc.frontends.load import from_module, load_model

T = 4


class State(NamedTuple):
    """What a layer knows in a step: its potential, and what it fired in the two steps before."""

    v: Tensor
    x: Tensor
    last: Tensor
    before: Tensor
    kept: Tensor


def usual(h: Tensor) -> Tensor:
    return (h >= 1).to(h)


def sums(state: State) -> Tensor:
    return 0.5 * state.v + state.x


def hard(h: Tensor, s: Tensor, state: State) -> Tensor:
    return h * (1 - s)


class Kind(NamedTuple):
    """A layer but for its loop: how it charges, fires, resets, and what else it keeps."""

    said: str
    charge: Callable[[State], Tensor] = sums
    fire: Callable[[Tensor, State], Tensor] = lambda h, _: usual(h)
    reset: Callable[[Tensor, Tensor, State], Tensor] = hard
    keeps: Callable[[Tensor, State], Tensor] = lambda _, state: state.kept


EACH = torch.tensor([0.5, 1.0, 1.0, 0.5, 1.0])
torch.manual_seed(0)
RECURRENT = nn.Linear(5, 5).requires_grad_(requires_grad=False)

KINDS = {
    "a threshold a neuron": Kind(
        "the threshold is a tensor [5] of numbers that differ, a neuron has one for a layer",
        fire=lambda h, _: (h >= EACH).to(h),
    ),
    "an adaptive threshold": Kind(
        "the threshold moves with the layer's own spikes: it is adaptive",
        fire=lambda h, state: (h >= 1 + state.kept).to(h),
        keeps=lambda s, state: 0.9 * state.kept + 0.2 * s,
    ),
    "a threshold that the input moves": Kind(
        "it is compared with a value that the network computes, a neuron with a number",
        fire=lambda h, state: (h >= state.x * state.x).to(h),
    ),
    "ternary spikes": Kind(
        "what is fired is -1, 0 or 1, by thresholds of -1 and 1: a neuron fires 0 or 1 by one",
        fire=lambda h, _: usual(h) - (h <= -1).to(h),
    ),
    "graded spikes": Kind(
        "what is fired grows with the potential, a neuron fires 0 or 1",
        fire=lambda h, _: h * usual(h),
    ),
    "half a spike at the threshold": Kind(
        "at a potential of 1 it fires 0.5, above it 1: a neuron fires 0 or 1",
        fire=lambda h, _: (torch.sign(h - 1) + 1) / 2,
    ),
    "a window": Kind(
        "it fires 1 at potentials from 1 to 2 alone, a neuron at all above one",
        fire=lambda h, _: ((h >= 1) & (h < 2)).to(h),
    ),
    "a sigmoid": Kind(
        "`aten.sigmoid` makes of the potential what is fired, wanted a comparison with a number",
        fire=lambda h, _: torch.sigmoid(4 * (h - 1)),
    ),
    "a lower bound": Kind(
        "the potential goes through `aten.clamp`, which bounds it by numbers: no neuron has that",
        charge=lambda state: (0.5 * state.v + state.x).clamp(min=-1.0),
    ),
    "an upper bound": Kind(
        "the potential goes through `aten.clamp`, which bounds it by numbers: no neuron has that",
        reset=lambda h, s, _: h.clamp(max=2.0) * (1 - s),
    ),
    "only what is above 0 leaks": Kind(
        "the potential goes through `aten.relu`, which bounds it at 0: no neuron has that",
        charge=lambda state: 0.5 * torch.relu(state.v) + state.x,
    ),
    "a refractory step": Kind(
        "earlier spikes hold back the spike of a step, as in a refractory period",
        fire=lambda h, state: usual(h) * (1 - state.last),
    ),
    "a refractory counter": Kind(
        "what is compared counts the steps since a spike, as a refractory period does",
        charge=lambda state: 0.5 * state.v + state.x * (state.kept <= 0).to(state.x),
        keeps=lambda s, state: torch.relu(state.kept - 1) + 2 * s,
    ),
    "a counter beside the threshold": Kind(
        "what is compared counts the steps since a spike, as a refractory period does",
        fire=lambda h, state: usual(h) * (state.kept <= 0).to(h),
        keeps=lambda s, state: torch.relu(state.kept - 1) + 2 * s,
    ),
    "a counter that is ahead of the threshold": Kind(
        "what is compared counts the steps since a spike, as a refractory period does",
        fire=lambda h, state: usual(h) * (torch.relu(state.kept - 1) + 2 * state.last <= 0).to(h),
        keeps=lambda _, state: torch.relu(state.kept - 1) + 2 * state.last,
    ),
    "a reset two steps late": Kind(
        "the spike of step 0 enters the potential of step 2:"
        " a neuron's acts on the next step alone",
        charge=lambda state: 0.5 * state.v + state.x - state.before,
        reset=lambda h, _, __: h,
    ),
    "a reset by the spike before": Kind(
        "the spike of step 0 enters the potential of step 2:"
        " a neuron's acts on the next step alone",
        reset=lambda h, _, state: h * (1 - state.last),
    ),
    "a reset of all by one": Kind(
        "its own spikes come back to it through `aten.amax`, where places meet or move",
        reset=lambda h, s, _: h * (1 - s.amax(dim=-1, keepdim=True)),
    ),
    "a reset by a share": Kind(
        "a spike leaves 0.3 of the potential, wanted 0 or 1",
        reset=lambda h, s, _: h * (1 - 0.7 * s),
    ),
    "a reset to below the start": Kind(
        "the potential starts at 0, a neuron at -0.6, to which a spike resets it",
        charge=lambda state: 0.5 * state.v + state.x - 0.3 * state.last,
    ),
    "spikes that are fed back": Kind(
        "its own spikes come back to it through `lif` (linear): it is recurrent",
        charge=lambda state: 0.5 * state.v + state.x + RECURRENT(state.last),
    ),
    "a spike that gates the input": Kind(
        "the spike of the step before gates `fc` (linear), which is no potential",
        charge=lambda state: 0.5 * state.v + state.x * (1 - state.last),
    ),
    "a quadratic potential": Kind(
        "the potential is multiplied by itself",
        charge=lambda state: state.v + 0.1 * state.v * state.v + state.x,
    ),
    "a leak that the input sets": Kind(
        "the potential is multiplied by `aten.sigmoid`, which is not one number",
        charge=lambda state: torch.sigmoid(state.x) * state.v + state.x,
    ),
    "a leak a neuron": Kind(
        "the potential is multiplied by a stored tensor, which is not one number",
        charge=lambda state: EACH * state.v + state.x,
    ),
}


class Layer(nn.Module):
    """The loop over time of a kind."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        state, out = State(*(torch.zeros_like(x[0]) for _ in State._fields)), []
        for current in x:
            state = state._replace(x=current)
            h = self.kind.charge(state)
            s = self.kind.fire(h, state)
            v, kept = self.kind.reset(h, s, state), self.kind.keeps(s, state)
            state = State(v, current, s, state.last, kept)
            out.append(s)
        return torch.stack(out)


class Net(nn.Module):
    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.encoder, self.first = nn.Linear(6, 5), Layer(Kind(""))
        self.fc, self.lif = nn.Linear(5, 5), Layer(kind)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.first(self.encoder(x).unsqueeze(0).repeat(T, 1, 1))
        y: Tensor = self.lif(self.fc(steps)).mean(0)
        return y


def exported(kind: Kind, path: Path, *, dynamo: bool) -> Checked:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Net(kind).eval(), (torch.zeros(2, 6),), str(path), dynamo=dynamo)
    return check_model(load_model(str(path)))


def held(found: Checked, said: str) -> None:
    """Hold that the layer is told once, as the cause of all that is wrong but itself."""
    assert not found.clean
    assert len(found.graph.of_kind("neuron")) == 1
    (cause,) = (d for d in found.diagnostics if d.rule.code == "SNN155")
    start = f"arithmetic over {T} time steps is not a spiking neuron: "
    assert cause.message == f"{start}{said}"
    assert cause.source.module == "lif"
    left = [d for d in found.diagnostics if d.severity and d is not cause and not d.follows]
    assert [d.message for d in left] == []
    assert {d.follows for d in found.diagnostics if d.follows} == {cause}


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_is_told_in_onnx(name: str, tmp_path: Path) -> None:
    held(exported(KINDS[name], tmp_path / "net.onnx", dynamo=False), KINDS[name].said)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_kind_is_told_in_onnx_of_the_other_exporter(name: str, tmp_path: Path) -> None:
    held(exported(KINDS[name], tmp_path / "net.onnx", dynamo=True), KINDS[name].said)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if n % 4 else ()) for n, name in enumerate(KINDS)],
)
def test_a_kind_is_told_in_a_module(name: str) -> None:
    torch.manual_seed(0)
    found = check_model(from_module(Net(KINDS[name]).eval(), torch.zeros(2, 6)))
    held(found, KINDS[name].said)


NEURONS = {
    "a decay behind the reset": Kind("", reset=lambda h, s, _: 0.5 * h * (1 - s)),
    "a reset one step late": Kind(
        "", lambda state: 0.5 * state.v + state.x - state.last, reset=lambda h, _, __: h
    ),
}


@pytest.mark.parametrize("name", NEURONS)
def test_what_looks_odd_and_is_a_neuron(name: str, tmp_path: Path) -> None:
    found = exported(NEURONS[name], tmp_path / "net.onnx", dynamo=False)
    assert found.clean
    assert len(found.graph.of_kind("neuron")) == 2


class Late(nn.Module):
    """A potential that reads the current of the step before."""

    def __init__(self, keep: float) -> None:
        super().__init__()
        self.keep = keep

    def forward(self, x: Tensor) -> Tensor:
        v, current, out = torch.zeros_like(x[0]), torch.zeros_like(x[0]), []
        for each in x:
            h = 0.5 * v + current
            current = self.keep * current + each
            s = usual(h)
            v = h * (1 - s)
            out.append(s)
        return torch.stack(out)


@pytest.mark.parametrize("keep", [0.0, 0.75])
@pytest.mark.parametrize("in_onnx", [False, True])
def test_a_current_that_comes_late(keep: float, in_onnx: bool, tmp_path: Path) -> None:
    network = Net(Kind(""))
    network.lif = Late(keep)  # type: ignore[assignment]
    model = from_module(network.eval(), torch.zeros(2, 6))
    if in_onnx:
        path = str(tmp_path / "net.onnx")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(network.eval(), (torch.zeros(2, 6),), path, dynamo=False)
        model = load_model(path)
    found = check_model(model)
    (cause,) = (d for d in found.diagnostics if d.rule.code == "SNN159")
    assert cause.message == (
        "what `lif` reads is no synaptic current: it comes a time step late,"
        " and nothing comes before it"
    )
    assert {d.rule.code for d in found.diagnostics if d.follows == cause} >= {"SNN150"}
    assert all(d.follows or d is cause for d in found.diagnostics if d.severity)


def test_layers_of_their_own_in_time_are_named() -> None:
    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.each = nn.ModuleList(nn.Linear(6, 5) for _ in range(T))
            self.lif = Layer(Kind(""))

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.lif(torch.stack([each(x) for each in self.each])).mean(0)
            return y

    found = check_model(from_module(Steps().eval(), torch.zeros(2, 6)))
    (mixed,) = (d for d in found.diagnostics if d.rule.code == "SNN150")
    assert mixed.because == ("each time step has a layer of its own: `each.0`, `each.1` and so on",)
