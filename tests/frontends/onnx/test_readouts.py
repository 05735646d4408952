"""Potentials that never fire and are summed over time, by every way in."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.compiler import Checked, check_model
from snncc.execute.executor import Executor
from snncc.frontends.load import from_module, load_model

WAYS = ("module", "torchscript", "dynamo", "exported")
ANSWERS: dict[str, Callable[[list[Tensor]], Tensor]] = {
    "sum": lambda every: sum(every, torch.zeros_like(every[0])),
    "total / T": lambda every: sum(every, torch.zeros_like(every[0])) / len(every),
    "mean": lambda every: torch.stack(every).mean(0),
    "last": lambda every: every[-1],
    "maximum": lambda every: torch.stack(every).max(0)[0],
}


class Net(nn.Module):
    """Neurons by hand, and a readout that charges toward its input."""

    def __init__(self, answer: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.fc2 = nn.Linear(6, 16), nn.Linear(16, 5)
        for each in (self.fc1, self.fc2):
            nn.init.normal_(each.weight)
        self.answer = answer

    def forward(self, x: Tensor) -> Tensor:
        """Return what is read of the potentials of 5 time steps."""
        v, read, every = torch.zeros(x.shape[0], 16), torch.zeros(x.shape[0], 5), []
        for _ in range(5):
            v = 0.5 * v + self.fc1(x)
            spikes = (v > 1).float()
            v = v * (1 - spikes)
            read = read + 0.1 * (self.fc2(spikes) - read)
            every.append(read)
        return ANSWERS[self.answer](every)


def taken(network: nn.Module, way: str, folder: Path) -> Checked:
    """Check a network as it comes in by a way."""
    example, path = torch.zeros(1, 6), folder / ("net.pt2" if way == "exported" else "net.onnx")
    if way == "module":
        return check_model(from_module(network, example))
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        if way == "exported":
            program = torch.export.export(network, (torch.zeros(2, 6),), strict=False)
            torch.export.save(program, path)
        else:
            torch.onnx.export(network, (example,), str(path), dynamo=way == "dynamo")
    return check_model(load_model(str(path), trust_pickle=way == "exported"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("answer", ["sum", "total / T", "mean"])
def test_sums_over_time_are_currents(answer: str, way: str, tmp_path: Path) -> None:
    network = Net(answer).eval()
    found = taken(network, way, tmp_path)
    assert found.clean
    (current,) = found.graph.of_kind("synaptic_current")
    assert current.attributes()["keep"] == pytest.approx(0.9, abs=1e-7)
    x = torch.rand(20, 6)
    wanted = network(x).detach().numpy()
    assert np.abs(Executor(found.graph).run(x.double().numpy()).output - wanted).max() < 1e-5


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("answer", "said"),
    [("last", "the last value is read of a potential that never"), ("maximum", "`aten.")],
)
def test_what_is_no_such_sum_is_told_once(answer: str, said: str, way: str, tmp_path: Path) -> None:
    found = taken(Net(answer).eval(), way, tmp_path)
    (cause,) = (d for d in found.diagnostics if d.rule.code == "SNN148")
    assert cause.message.startswith(said)
    assert {d.rule.code for d in found.diagnostics if not d.follows} == {"SNN148", "SNN202"}
