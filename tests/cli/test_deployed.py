"""Linear layers in a row: judged as written or as deployed, compiled as deployed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Snncc = Callable[..., Any]

NETWORK = """
import torch
from torch import Tensor, nn
from snncc.models.neuron import LIF
from snncc.models.rep_conv import RepConv


class Net(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.lif = LIF()
        self.inner = inner
        self.lif1 = LIF()
        self.head = nn.Linear(4, 3)
        for name, tensor in self.inner.state_dict().items():
            if tensor.ndim == 1:
                tensor.uniform_(0.5, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).expand(2, *(-1,) * 4)
        x = self.inner(self.lif(4 * x).flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.head(self.lif1(x).mean((3, 4))).mean(0)


def seeded(make):
    torch.manual_seed(0)
    return Net(make()).eval(), torch.zeros(1, 1, 6, 6)


def rep():
    return seeded(lambda: nn.Sequential(RepConv(4, 4), nn.BatchNorm2d(4)))


def stacked():
    conv = lambda: nn.Conv2d(4, 4, 3, padding=1)
    return seeded(lambda: nn.Sequential(conv(), conv()))
"""


@pytest.fixture
def network(snncc: Snncc, tmp_path: Path) -> str:
    """A module with two networks of its own; each test gets one of another name."""
    name = f"net_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(NETWORK)
    return name


def test_both_forms_are_counted(snncc: Snncc, network: str) -> None:
    written = snncc("check", f"{network}:rep")
    assert written.code == 1
    assert written.out.splitlines()[-1] == (
        "rep: not clean, 4 findings as written (2 errors, 2 notes), 2 as deployed"
    )
    deployed = snncc("check", f"{network}:rep", "--deployed")
    assert deployed.code == 0
    assert deployed.out.splitlines()[-1] == (
        "rep: clean, 2 findings as deployed (2 notes), 4 as written, beside 1 note"
    )
    assert "1 linear chain became one layer: " in deployed.err
    assert "inner.0.body.2.1" not in deployed.out


@pytest.mark.parametrize("deployed", [False, True])
def test_json_says_which_form(snncc: Snncc, network: str, deployed: bool) -> None:
    options = ("--deployed",) if deployed else ()
    document = json.loads(snncc("check", f"{network}:rep", *options, "--format", "json").out)
    assert document["form"] == ("deployed" if deployed else "as-written")
    assert document["clean"] is deployed
    assert document["findings_by_form"] == {"as-written": 4, "deployed": 2}
    assert document["linear_chains"] == {
        "merged": 1, "left": 0, "parameters": 147, "merged_parameters": 203,
    }  # fmt: skip


def test_a_chain_that_stays_says_why(snncc: Snncc, network: str) -> None:
    done = snncc("check", f"{network}:stacked", "--deployed")
    assert done.code == 1
    assert "2 layers in a row, `inner.0` first, do not become one" in done.err
    assert "`inner.1` (conv) pads places at which the chain before it still reads" in done.err


def test_what_is_compiled_is_the_deployed_form(snncc: Snncc, network: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((4, 1, 6, 6)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    done = snncc("compile", f"{network}:rep", "--target", "loihi2", "--data", "x.npz", "-o", "out")
    assert done.code == 0, done.err
    assert "1 linear chain became one layer: " in done.err
    text = (tmp_path / "out" / "graph.txt").read_text()
    assert text.count(" = conv(") == 2
    assert "pad(" not in text
    refused = snncc("compile", f"{network}:stacked", "--target", "loihi2", "--data", "x.npz")
    assert refused.code == 1
    assert "error[SNN202]" in refused.err
    assert "note[SNN211]" in refused.err
