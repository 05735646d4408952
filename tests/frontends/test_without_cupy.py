"""Networks whose neurons ask for CuPy are built where there is none, and compute in PyTorch."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.compiler import check_model
from snncc.diagnostics.core import SnnccError
from snncc.frontends.load import load_model
from snncc.frontends.record import record
from snncc.frontends.without_cupy import built

NEURON = "spikingjelly.clock_driven.neuron"
BUILD = """
import torch
from torch import nn
from spikingjelly.clock_driven.neuron import MultiStepLIFNode

class Network(nn.Module):
    def __init__(self, backend):
        super().__init__()
        self.fc, self.head = nn.Linear(8, 16), nn.Linear(16, 4)
        self.lif = MultiStepLIFNode(backend)

    def forward(self, x):
        return self.head(self.lif(self.fc(x.repeat(4, 1, 1)))).mean(0)

def build():
    return Network("cupy"), torch.zeros(1, 8)

def module():
    return Network("cupy")

def lava():
    return Network("lava")

def other():
    raise AssertionError("shapes differ")
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with factories, and a SpikingJelly that asks for CuPy as the real one does."""
    space: Any = types.ModuleType(NEURON)

    def check_backend(backend: str) -> None:
        assert backend == "torch", f"{'CuPy' if backend == 'cupy' else backend} is not installed!"

    class MultiStepLIFNode(nn.Module):
        def __init__(self, backend: str) -> None:
            super().__init__()
            space.check_backend(backend)
            self.backend, self.tau, self.v_threshold, self.v_reset = backend, 2.0, 1.0, 0.0

        def forward(self, x: Tensor) -> Tensor:
            assert self.backend == "torch"
            return (x > 0).to(x)

    MultiStepLIFNode.__module__, MultiStepLIFNode.__qualname__ = NEURON, "MultiStepLIFNode"
    space.check_backend, space.MultiStepLIFNode = check_backend, MultiStepLIFNode
    for name in ("spikingjelly", "spikingjelly.clock_driven"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, NEURON, space)
    name = f"asks_for_cupy_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(BUILD)
    monkeypatch.chdir(tmp_path)
    return name


def test_a_network_of_the_user_is_judged(factories: str) -> None:
    model = load_model(f"{factories}:build")
    assert check_model(model).clean
    assert record(model.module, np.zeros((1, 8))).spikes["lif"][0].shape == (4, 1, 16)


def test_a_state_dict_for_it_is_taken(factories: str, tmp_path: Path) -> None:
    model = load_model(f"{factories}:build")
    torch.save(model.module.state_dict(), tmp_path / "w.pth")
    again = load_model("w.pth", network=f"{factories}:module", example_shape=(8,))
    assert again.module.get_submodule("lif").backend == "torch"


def test_the_check_is_put_back(factories: str) -> None:
    load_model(f"{factories}:build")
    with pytest.raises(AssertionError, match="CuPy is not installed"):
        sys.modules[NEURON].check_backend("cupy")


@pytest.mark.parametrize(
    ("name", "said"), [("lava", "lava is not installed"), ("other", "shapes differ")]
)
def test_other_faults_stay(factories: str, name: str, said: str) -> None:
    with pytest.raises(SnnccError, match=f"SNN111.*{said}"):
        load_model(f"{factories}:{name}")


def failing(fault: Exception) -> Callable[[], Any]:
    def make() -> Any:
        raise fault

    return make


@pytest.mark.parametrize("fault", [ImportError("CuPy is not installed"), ValueError("no cupy")])
def test_what_fails_again_is_raised(fault: Exception) -> None:
    with pytest.raises(type(fault)):
        built(failing(fault))
