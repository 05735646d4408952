"""A cause stands before what follows from it, and the text counts that; documents hold it all."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

Snncc = Callable[..., Any]
T = 5


class Adaptive(nn.Module):
    """Everything in one module: no layer has a name of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        v, threshold, total = torch.zeros(2, 4), torch.ones(2, 4), torch.zeros(2, 2)
        for _ in range(T):
            v = 0.5 * v + self.fc(x)
            spikes = (v >= threshold).to(v)
            v, threshold = v * (1 - spikes), 0.9 * threshold + 0.2 * spikes
            total = total + self.head(spikes)
        return total / T


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = str(tmp_path / "adaptive.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Adaptive().eval(), (torch.zeros(2, 4),), path, dynamo=False)
    return path


def test_the_cause_stands_first_and_is_explained_next(snncc: Snncc, file: str) -> None:
    done = snncc("check", file)
    assert done.code == 1
    first, *_ = done.err.split("\n\n")
    headline, place, following, _ = first.splitlines()
    assert headline == (
        "error[SNN155]: arithmetic over 5 time steps is not a spiking neuron:"
        " the threshold moves with the layer's own spikes: it is adaptive"
    )
    assert place == "  --> node `/GreaterOrEqual`"
    assert following.endswith("findings follow from it: snncc check --all")
    assert done.err.count("error[") == 1
    assert done.err.splitlines()[-1] == "next: snncc explain SNN155"


def test_all_are_printed_on_demand(snncc: Snncc, file: str) -> None:
    few, every = snncc("check", file), snncc("check", file, "--all")
    assert (few.code, few.out) == (every.code, every.out)
    count = int(few.err.partition("  and ")[2].partition(" ")[0])
    assert every.err.count("error[") == 1 + count
    assert every.err.startswith("error[SNN155]")
    assert "follow from it" not in every.err


def test_documents_hold_all_with_what_each_follows_from(snncc: Snncc, file: str) -> None:
    document = json.loads(snncc("check", file, "--format", "json").out)
    found = [f for f in (*document["findings"], *document["notes"]) if f["severity"] == "error"]
    cause = next(f for f in found if f["code"] == "SNN155")
    assert cause["source"]["node"] == "node `/GreaterOrEqual`"
    assert [f["follows"] for f in found if f is not cause] == ["SNN155"] * (len(found) - 1)
    assert cause["follows"] is None
    results = json.loads(snncc("check", file, "--format", "sarif").out)["runs"][0]["results"]
    assert len([r for r in results if r["level"] == "error"]) == len(found)


def test_a_refused_compile_says_the_cause(snncc: Snncc, file: str) -> None:
    done = snncc("compile", file, "--target", "loihi2", "-o", "out")
    assert done.code == 2
    assert done.err.startswith("error[SNN155]")
    assert done.err.count("error[") == 2
    assert "--allow" not in done.err


def test_what_stands_apart_is_told_apart(snncc: Snncc, tmp_path: Path) -> None:
    class Both(Adaptive):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(torch.softmax(x, -1))

    path = str(tmp_path / "both.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Both().eval(), (torch.zeros(2, 4),), path, dynamo=False)
    told = [line for line in snncc("check", path).err.splitlines() if line.startswith("error[")]
    assert [line[:13] for line in told] == ["error[SNN155]", "error[SNN205]"]
