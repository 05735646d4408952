"""A model gives a graph and its own answer, whether it is a module or a graph from a file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from snncc.compiler import check_model, compile_checked
from snncc.frontends import rules
from snncc.frontends.load import from_module
from snncc.frontends.model import Model, ReadGraph, Traced, read_model
from snncc.ir.graph import Graph, Source
from snncc.models.neuron import LIF
from snncc.passes import FRONT
from snncc.passes.base import run_passes
from snncc.targets.load import load_target


class Net(nn.Module):
    """Two layers of neurons, three steps of one image."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.lif1, self.fc2 = nn.Linear(8, 16), LIF(), nn.Linear(16, 12)
        self.lif2, self.head = LIF(), nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.lif1(self.fc1(x * 4).unsqueeze(0).repeat(3, 1, 1))
        y: torch.Tensor = self.head(self.lif2(self.fc2(x))).mean(0)
        return y


@pytest.fixture(scope="module")
def traced() -> Model:
    return from_module(Net(), torch.zeros(1, 8))


def graph_of(model: Model, level: str) -> Graph:
    tensor = model.origin.graph()
    return tensor if level == "tensor" else run_passes(tensor, FRONT).graph


@pytest.mark.parametrize("level", ["tensor", "step"])
@pytest.mark.parametrize("samples", [1, 2, 5])
def test_a_graph_answers_as_the_module_it_is_of(level: str, samples: int, traced: Model) -> None:
    read = read_model(graph_of(traced, level), "net", "the file")
    x = np.random.default_rng(0).random((samples, 8))
    ours, theirs = read.origin.record(x), traced.origin.record(x)
    assert np.abs(ours.output - theirs.output).max() < 1e-12
    assert ours.spikes.keys() == theirs.spikes.keys() == {"lif1", "lif2"}
    for path, (spikes,) in ours.spikes.items():
        (others,) = theirs.spikes[path]
        assert np.array_equal(spikes.reshape(others.shape), others)


@pytest.mark.parametrize("level", ["tensor", "step"])
def test_a_graph_is_checked_and_compiled_as_a_module_is(level: str, traced: Model) -> None:
    read = read_model(graph_of(traced, level), "net", "the file")
    assert read.input_shape == traced.input_shape == (8,)
    checked = check_model(read)
    assert checked.graph == check_model(traced).graph
    compiled = compile_checked(checked, target=load_target("loihi2"))
    assert compiled.agreement.equal
    assert compiled.agreement.spikes_compared == 8 * 3 * 28


def test_notes_of_a_reader_are_shown(traced: Model) -> None:
    note = rules.OUTPUT_LEFT_OUT.at(Source(), "something is left out")
    read = read_model(graph_of(traced, "step"), "net", "the file", notes=(note,))
    assert note in check_model(read).diagnostics


def test_only_a_module_is_one(traced: Model) -> None:
    assert isinstance(traced.origin, Traced)
    read = Model(ReadGraph(graph_of(traced, "tensor"), "the file"), (8,), "net")
    with pytest.raises(TypeError, match="`net` is the file, no module"):
        _ = read.module
