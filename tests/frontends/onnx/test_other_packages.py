"""Neurons of SpikingJelly and snnTorch, as torch's exporters write them out."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from snncc.compiler import check_model
from snncc.execute.executor import Executor
from snncc.frontends.load import from_module, load_model


def assert_comes_back(module: nn.Module, path: Path, *, dynamo: bool) -> list[dict[str, Any]]:
    """Export a network of ``fc1, n1, fc2, n2`` on 8 numbers; return the neurons that are found."""
    torch.manual_seed(0)
    for each in module.modules():
        if isinstance(each, nn.Linear):
            nn.init.normal_(each.weight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), (torch.zeros(1, 8),), str(path), dynamo=dynamo)
    checked = check_model(load_model(str(path)))
    assert checked.clean
    neurons = checked.graph.of_kind("neuron")
    assert [op.source.module for op in neurons] == ["n1", "n2"]
    x = torch.rand(6, 8)
    with torch.no_grad():
        answer = torch.cat([module(each[None]) for each in x]).numpy()
    assert np.abs(Executor(checked.graph).run(x.double().numpy()).output - answer).max() < 1e-5
    return [op.attributes() for op in neurons]


def test_snntorch(tmp_path: Path) -> None:
    snn = pytest.importorskip("snntorch")

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.n1 = nn.Linear(8, 16), snn.Leaky(beta=0.75, threshold=0.5)
            self.fc2, self.n2 = nn.Linear(16, 4), snn.Leaky(beta=0.5, reset_mechanism="zero")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            first, second, out = self.n1.init_leaky(), self.n2.init_leaky(), []
            for _ in range(4):
                spikes, first = self.n1(self.fc1(x), first)
                spikes, second = self.n2(self.fc2(spikes), second)
                out.append(spikes)
            return torch.stack(out).mean(0)

    soft, hard = assert_comes_back(Net(), tmp_path / "net.onnx", dynamo=False)
    assert (soft["tau"], soft["v_threshold"], soft["v_reset"], soft["strict"]) == (
        4,
        0.5,
        None,
        True,
    )
    assert (hard["tau"], hard["v_threshold"], hard["v_reset"], hard["strict"]) == (2, 1, 0, True)


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.filterwarnings("ignore:nirtorch.*:DeprecationWarning")
def test_currents_of_snntorch(dynamo: bool, tmp_path: Path) -> None:
    """What comes back is what a trace of the network itself gives."""
    snn = pytest.importorskip("snntorch")
    pytest.importorskip("onnxscript")

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.n1 = nn.Linear(8, 16), snn.Synaptic(alpha=0.9, beta=0.75)
            self.fc2, self.n2 = nn.Linear(16, 4), snn.Synaptic(alpha=0.5, beta=0.8, threshold=0.5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            (a, b), (c, d), out = self.n1.reset_mem(), self.n2.reset_mem(), []
            for _ in range(4):
                spikes, a, b = self.n1(self.fc1(x), a, b)
                spikes, c, d = self.n2(self.fc2(spikes), c, d)
                out.append(spikes)
            return torch.stack(out).mean(0)

    module = Net()
    neurons = assert_comes_back(module, tmp_path / "net.onnx", dynamo=dynamo)
    own = check_model(from_module(module, torch.zeros(1, 8))).graph
    assert neurons == [op.attributes() for op in own.of_kind("neuron")]
    read = check_model(load_model(str(tmp_path / "net.onnx"))).graph
    currents = [(op.name, op.attributes()) for op in read.of_kind("synaptic_current")]
    assert currents == [(op.name, op.attributes()) for op in own.of_kind("synaptic_current")]
    assert [name for name, _ in currents] == ["n1.synaptic_current", "n2.synaptic_current"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["s", "m"])
def test_spikingjelly(mode: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    functional = pytest.importorskip("spikingjelly.activation_based.functional")

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.n1 = nn.Linear(8, 16), neuron.ParametricLIFNode(step_mode=mode)
            self.fc2, self.n2 = nn.Linear(16, 4), neuron.IFNode(v_reset=None, step_mode=mode)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            functional.reset_net(self)
            if mode == "m":
                x = self.n1(self.fc1(x).unsqueeze(0).repeat(4, 1, 1))
                return self.n2(self.fc2(x)).mean(0)
            total = torch.zeros(x.shape[0], 4)
            for _ in range(4):
                total = total + self.n2(self.fc2(self.n1(self.fc1(x))))
            return total / 4

    learnt, plain = assert_comes_back(Net(), tmp_path / "net.onnx", dynamo=True)
    assert learnt["tau"] == pytest.approx(2)
    assert (plain["tau"], plain["v_reset"]) == (None, None)
