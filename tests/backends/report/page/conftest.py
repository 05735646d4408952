"""Two small networks as artefacts: one with residual currents, its twin with residual spikes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.backends.deploy import compile_module
from snncc.backends.report.page.gather import read_network
from snncc.backends.report.page.network import Network
from snncc.ir.graph import Array
from snncc.models.neuron import LIF


class Residual(nn.Module):
    """Two convolutions and a residual sum: of currents, or of spikes as SEW networks have it."""

    def __init__(self, sew: bool) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.sew = sew
        self.stem = nn.Conv2d(1, 6, 3, padding=1)
        self.lif = LIF()
        self.block = nn.ModuleList([self._layer(), self._layer()])
        self.head = nn.Linear(6, 4)

    @staticmethod
    def _layer() -> nn.ModuleDict:
        return nn.ModuleDict({"conv": nn.Conv2d(6, 6, 3, padding=1), "lif": LIF()})

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(0).repeat(4, 1, 1, 1, 1)
        spikes = self.lif(self._conv(self.stem, 3 * x))
        for layer in self.block:
            now = layer["lif"](self._conv(layer["conv"], spikes))  # type: ignore[index]
            spikes = now + spikes if self.sew else now
        if self.sew:
            spikes = self.lif(spikes)
        return self.head(spikes.flatten(3).mean(3)).mean(0)

    @staticmethod
    def _conv(conv: nn.Module, x: Tensor) -> Tensor:
        return conv(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def samples() -> Array:
    """Ten samples of noise, ``[10, 1, 6, 6]``, in sixteen shades."""
    shades: Array = np.random.default_rng(1).integers(0, 16, (10, 1, 6, 6)) / np.float32(16)
    return shades.astype(np.float32)


def compiled(folder: Path, *, sew: bool, data: bool = True) -> Path:
    """Write the artefact of one of the two; with data, ten samples of noise with labels."""
    torch.manual_seed(5)
    x = samples()
    name = "sew" if sew else "plain"
    place = folder / (name if data else f"{name}-without-data")
    compile_module(
        Residual(sew).eval(), torch.rand(1, 1, 6, 6), target="loihi2",
        data=x if data else None, labels=np.arange(10) % 4 if data else None,
        allow=("SNN201",), output=place,
    )  # fmt: skip
    return place


@pytest.fixture(scope="session")
def inputs() -> Array:
    """The samples that both were compiled with."""
    return samples()


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artefact of a network that runs on spikes."""
    return compiled(tmp_path_factory.mktemp("artefacts"), sew=False)


@pytest.fixture(scope="session")
def sew(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artefact of its twin, which counts spikes."""
    return compiled(tmp_path_factory.mktemp("artefacts"), sew=True)


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artefact of a network that was compiled without data."""
    return compiled(tmp_path_factory.mktemp("artefacts"), sew=False, data=False)


@pytest.fixture(scope="session")
def network(plain: Path) -> Network:
    """What a page shows of the first."""
    return read_network(plain)


@pytest.fixture(scope="session")
def twin(sew: Path) -> Network:
    """What a page shows of its twin."""
    return read_network(sew)
