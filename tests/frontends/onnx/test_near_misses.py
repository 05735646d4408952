"""What is nearly a neuron, through ONNX: it stays arithmetic, and SNN155 says why."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from snncc.compiler import Checked, check_model
from snncc.frontends.load import load_model

T = 4


class Nearly(nn.Module):
    """A layer of ``v = 0.5 v + x; s = v >= 1; v = v (1 - s)``, but for one thing."""

    kept: Tensor
    each: Tensor

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.register_buffer("kept", torch.tensor([0.0, 0.25, 0.5, 0.0, 0.25]))
        self.register_buffer("each", torch.tensor([0.5, 1.0, 1.0, 0.5, 1.0]))

    def forward(self, x: Tensor) -> Tensor:
        """Turn ``[T, B, 5]`` currents into spikes."""
        v, out = self.start(x[0]), []
        for t, current in enumerate(x):
            h = self.charge(v, current, t)
            s = (h >= self.threshold(x, t)).to(h)
            v = self.after(h, s, t)
            out.append(s + h if self.fault == "a potential that is read" and t == 1 else s)
        return torch.stack(out)

    def start(self, x: Tensor) -> Tensor:
        if self.fault == "a start of its own":
            return torch.zeros_like(x) + 0.25
        return self.kept.expand(x.shape) if self.fault == "a stored state" else torch.zeros_like(x)

    def charge(self, v: Tensor, x: Tensor, t: int) -> Tensor:
        keep = 0.5 - 0.125 * (t == 2 and self.fault == "a leak that changes")
        if self.fault == "a leak that grows":
            keep = 1.5
        if self.fault == "samples that go on":
            v = torch.cat([torch.zeros_like(v[:1]), v[:-1]])
        return keep * v + x

    def threshold(self, x: Tensor, t: int) -> float | Tensor:
        if self.fault == "a threshold that changes":
            return 1 + 0.25 * t
        if self.fault == "a threshold of one step":
            return 1.5 if t == 2 else 1
        if self.fault == "another value":
            return x[t] * x[t]
        return self.each if self.fault == "many thresholds" else 1.0

    def after(self, h: Tensor, s: Tensor, t: int) -> Tensor:
        if self.fault == "a half reset":
            return h * (1 - 0.5 * s)
        if self.fault == "a reset that adds":
            return h + 0.25 * s
        if self.fault == "a reset left out" and t == 1:
            return h
        if self.fault == "another spike":
            return h * (1 - (h >= 2).to(h))
        return h * (1 - s)


SAID = {
    "a leak that changes": "the share of the potential that is kept differs from step to step:"
    " 0.375, then 0.5",
    "a leak that grows": "each step multiplies the potential by 1.5, which is no leak",
    "a threshold that changes": "what leak and current sum up to fires at 1.5 in step 2,"
    " at 1.25 in step 1",
    "a threshold of one step": "what leak and current sum up to fires at 1.5 in step 2,"
    " at 1 in step 1",
    "a half reset": "a spike leaves 0.5 of the potential, wanted 0 or 1",
    "a reset that adds": "a spike adds 0.25 to the potential, a reset takes off",
    "a reset left out": "what a spike takes of the potential differs from step to step:"
    " 0, then -0.5",
    "a start of its own": "the potential starts at 0.25, a neuron at 0",
    "a stored state": "the potential starts at a number of its own in each place, a neuron at 0",
    "a potential that is read": "the potential of step 1 is read by more than the next step",
    "another spike": "its potential is compared at 1 and at 2, a neuron's with one threshold",
    "another value": "it is compared with a value that the network computes,"
    " a neuron with a number",
    "many thresholds": "the threshold is a tensor [5] of numbers that differ,"
    " a neuron has one for a layer",
    "samples that go on": "its own spikes come back to it through `lif` (concat),"
    " where places meet or move",
}
"""What is said once, of all four steps."""


def checked(fault: str, path: Path, *, dynamo: bool) -> Checked:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = nn.Linear(6, 5), Nearly(fault)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.lif(self.fc(x).unsqueeze(0).repeat(T, 1, 1)).mean(0)
            return y

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Net().eval(), (torch.zeros(2, 6),), str(path), dynamo=dynamo)
    return check_model(load_model(str(path)))


@pytest.mark.parametrize("dynamo", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("fault", SAID)
def test_what_is_in_the_way_is_said(fault: str, dynamo: bool, tmp_path: Path) -> None:
    found = checked(fault, tmp_path / "net.onnx", dynamo=dynamo)
    assert not found.clean
    assert not found.graph.of_kind("neuron")
    told = [d for d in found.diagnostics if d.rule.code == "SNN155"]
    assert [d.message for d in told] == [
        f"arithmetic over 4 time steps is not a spiking neuron: {SAID[fault]}"
    ]
    assert {d.source.module for d in told} == {"lif"}


def test_without_a_fault_it_is_a_neuron(tmp_path: Path) -> None:
    found = checked("", tmp_path / "net.onnx", dynamo=False)
    assert [op.source.module for op in found.graph.of_kind("neuron")] == ["lif"]
