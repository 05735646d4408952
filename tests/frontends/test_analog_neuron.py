"""Analog-firing neurons are judged: what they let out is real, and the findings name them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import snncc
from snncc.diagnostics.core import Severity, SnnccError
from snncc.frontends.analog_neuron import TARGET, is_analog
from snncc.frontends.torch_export import trace
from snncc.ir import domain as dom
from snncc.models.neuron import LIF, ParametricLIAF, ParametricLIF
from snncc.models.zoo import FORMS


class Base(nn.Module):
    """Stands for SpikingJelly's neuron, which cannot be relied on to be installed."""

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


Base.__module__, Base.__qualname__ = "spikingjelly.clock_driven.neuron", "ParametricLIFNode"


class MultiStepParametricLIAFNode(Base):
    """The official class has this name, and a forward of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("is not called in a trace")


class Network(nn.Module):
    def __init__(self, neurons: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.fc, self.fc1, self.head = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 3)
        self.first, self.last = neurons, last

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.fc(x.expand(4, -1, -1)))
        return self.head(self.last(self.fc1(x)).mean(0))


@pytest.mark.parametrize("neurons", [ParametricLIAF, MultiStepParametricLIAFNode])
def test_the_next_layer_reads_real_numbers_and_the_cause_is_named(neurons: Any) -> None:
    network = Network(neurons(), LIF())
    checked = snncc.check(network, torch.zeros(1, 8))
    assert checked.graph.level == "step"
    found = {(d.rule.code, d.source.module): d for d in checked.diagnostics if not d.allowed_by}
    assert found.keys() == {("SNN202", "fc1"), ("SNN205", "first")}
    assert found["SNN202", "fc1"].domain == dom.REAL
    assert "is an analog-firing neuron: real" in found["SNN202", "fc1"].because[0]
    text = found["SNN205", "first"].message
    assert "is an analog-firing neuron, which has no spiking form" in text
    assert not checked.clean


def test_the_module_is_left_as_it_was() -> None:
    network = Network(ParametricLIAF(), LIF()).eval()
    x = torch.rand(1, 8)
    before = network(x)
    trace(network, x)
    assert torch.equal(network(x), before)
    assert "forward" not in vars(network.first)


def test_which_neurons_are_analog() -> None:
    assert is_analog(ParametricLIAF())
    assert is_analog(MultiStepParametricLIAFNode())
    assert not any(map(is_analog, (ParametricLIF(), LIF(), nn.ReLU(), Base())))
    stranger = type("MultiStepLIAFNode", (nn.Module,), {})
    assert not is_analog(stranger())


def test_alone_they_make_no_spiking_network_and_nothing_compiles() -> None:
    network = Network(ParametricLIAF(), ParametricLIAF())
    checked = snncc.check(network, torch.zeros(1, 8))
    assert "SNN152" in {d.rule.code for d in checked.diagnostics}
    with pytest.raises(SnnccError):
        snncc.compile(network, torch.zeros(1, 8), target="loihi2")


def test_the_spikeformer_for_images_is_judged() -> None:
    small = {"depth": 1, "heads": 2, "img_size": 16, "classes": 5, "T": 3}
    arch = FORMS["spikeformer"].configure(**small, widths=(8, 8, 8, 8, 16, 16, 16, 16))
    checked = snncc.check(arch.build(), torch.zeros(1, *arch.input_shape))
    errors = [d for d in checked.diagnostics if d.severity is Severity.ERROR and not d.allowed_by]
    assert "SNN123" not in {d.rule.code for d in checked.diagnostics}
    foreign = [d.message for d in errors if d.rule.code == "SNN205"]
    neurons = [m for m in arch.build().modules() if isinstance(m, ParametricLIAF)]
    assert sum(TARGET in message for message in foreign) == len(neurons)
    assert any("softmax" in message for message in foreign)
    assert any("layer_norm" in message for message in foreign)
    weighted = [v for v in checked.verdicts if v.kind in ("conv", "linear")]
    assert all(v.verdict == "real" for v in weighted)
