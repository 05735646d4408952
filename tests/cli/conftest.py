"""A small trained-looking checkpoint, its data, its artefact, and a way to call the command."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from snncc.cli.guard import guarded
from snncc.models.zoo import FORMS

SIZES = {"depth": 1, "dim": 16, "heads": 2, "img_size": 8, "classes": 3, "in_channels": 1}


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


Snncc = Callable[..., Done]


@pytest.fixture
def snncc(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Snncc:
    """Runs the command line in this process, in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        code = guarded([str(a) for a in arguments])
        return Done(code, *capsys.readouterr())

    return run


def lively(network: torch.nn.Module) -> None:
    """Set batch norms so that neurons of an untrained network fire now and then."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.constant_(module.weight, 2.0)
            torch.nn.init.uniform_(module.bias, -0.5, 1.0)


def saved(path: Path, form: str) -> Path:
    torch.manual_seed(5)
    network = FORMS[form].build(**SIZES)
    lively(network)
    args = argparse.Namespace(num_heads=2, time_step=2, img_size=8)
    torch.save({"epoch": 3, "state_dict": network.state_dict(), "args": args}, path)
    return path


@pytest.fixture(scope="session")
def compliant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose every product is driven by spikes."""
    return saved(tmp_path_factory.mktemp("model") / "spikingformer.pth.tar", "spikingformer-cifar")


@pytest.fixture(scope="session")
def offending(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with residual sums of spikes in front of its weights."""
    return saved(tmp_path_factory.mktemp("model") / "spikformer.pth.tar", "spikformer-cifar")


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six labelled images."""
    path = tmp_path_factory.mktemp("data") / "samples.npz"
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.random((6, 1, 8, 8)).astype(np.float32), y=rng.integers(0, 3, 6))
    return path


@pytest.fixture(scope="session")
def artefact(tmp_path_factory: pytest.TempPathFactory, compliant: Path, samples: Path) -> Path:
    """The compliant checkpoint, compiled."""
    place = tmp_path_factory.mktemp("out") / "artefact"
    arguments = ["compile", compliant, "--target", "loihi2", "--data", samples, "-o", place]
    assert guarded([str(a) for a in arguments]) == 0
    return place
