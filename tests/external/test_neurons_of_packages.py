"""Neurons of snnTorch, SpikingJelly and Norse in a network with a loop, by every way in.

Runs where the packages can be imported: ``pytest -m external tests/external``. The verdict is clean
and the answer, which counts spikes, is the module's own on numbers that none of them has seen.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.compiler import Checked, check_model
from snncc.execute.executor import Executor
from snncc.frontends.load import from_module, load_model

pytestmark = [pytest.mark.external, pytest.mark.filterwarnings("default")]
STEPS, INPUTS, HIDDEN, CLASSES = 5, 12, 16, 6


class Looped(nn.Module):
    """Two layers of neurons in a loop over time that hands their state on."""

    def __init__(self, make: Callable[[], Any], states: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.fc2 = nn.Linear(INPUTS, HIDDEN), nn.Linear(HIDDEN, CLASSES)
        self.n1, self.n2 = make(), make()
        self.states = states
        for each in (self.fc1, self.fc2):
            nn.init.normal_(each.weight, std=1.0)

    def forward(self, x: Tensor) -> Tensor:
        first: list[Tensor] = [torch.zeros(x.shape[0], HIDDEN)] * self.states
        second: list[Tensor] = [torch.zeros(x.shape[0], CLASSES)] * self.states
        total = torch.zeros(x.shape[0], CLASSES)
        for _ in range(STEPS):
            spikes, *first = self.n1(self.fc1(x), *first)
            spikes, *second = self.n2(self.fc2(spikes), *second)
            total = total + spikes
        return total


class Reset(nn.Module):
    """Two layers of neurons that keep their state, and are reset before each batch."""

    def __init__(
        self, make: Callable[[], Any], reset: Callable[[nn.Module], None], many: bool
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.fc2 = nn.Linear(INPUTS, HIDDEN), nn.Linear(HIDDEN, CLASSES)
        self.n1, self.n2 = make(), make()
        self.restart, self.many = reset, many
        for each in (self.fc1, self.fc2):
            nn.init.normal_(each.weight, std=1.0)

    def forward(self, x: Tensor) -> Tensor:
        self.restart(self)
        if self.many:
            spikes = self.n1(self.fc1(x).unsqueeze(0).repeat(STEPS, 1, 1))
            return torch.as_tensor(self.n2(self.fc2(spikes)).sum(0))
        total = torch.zeros(x.shape[0], CLASSES)
        for _ in range(STEPS):
            total = total + self.n2(self.fc2(self.n1(self.fc1(x))))
        return total


class Norse(nn.Module):
    """Two layers of Norse's cells, which begin without a state."""

    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.fc2 = nn.Linear(INPUTS, HIDDEN), nn.Linear(HIDDEN, CLASSES)
        self.n1, self.n2 = make(), make()
        for each in (self.fc1, self.fc2):
            nn.init.normal_(each.weight, std=3.0)

    def forward(self, x: Tensor) -> Tensor:
        first = second = None
        total = torch.zeros(x.shape[0], CLASSES)
        for _ in range(STEPS):
            spikes, first = self.n1(self.fc1(x), first)
            spikes, second = self.n2(self.fc2(spikes), second)
            total = total + spikes
        return total


def norse(name: str, parameters: str, **options: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        package: Any = pytest.importorskip("norse.torch")
        given = getattr(package, parameters)(**{k: torch.tensor(v) for k, v in options.items()})
        return Norse(lambda: getattr(package, name)(given, dt=0.01))

    return build


def snntorch(name: str, states: int, **options: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        package: Any = pytest.importorskip("snntorch")
        return Looped(lambda: getattr(package, name)(**options), states)

    return build


def spikingjelly(where: str, name: str, mode: str, **options: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        neuron, functional = (
            pytest.importorskip(f"spikingjelly.{where}.{part}") for part in ("neuron", "functional")
        )
        steps = {"step_mode": mode} if where == "activation_based" else {}
        called = name if steps or mode == "s" else f"MultiStep{name}"
        return Reset(
            lambda: getattr(neuron, called)(**options, **steps), functional.reset_net, mode == "m"
        )

    return build


CASES: dict[str, Callable[[], nn.Module]] = {
    **{
        f"snntorch Leaky {reset}": snntorch("Leaky", 1, beta=0.8, reset_mechanism=reset)
        for reset in ("subtract", "zero", "none")
    },
    "snntorch Leaky zero at once": snntorch(
        "Leaky", 1, beta=0.8, reset_mechanism="zero", reset_delay=False
    ),
    "snntorch Leaky learnt": snntorch(
        "Leaky", 1, beta=0.77, learn_beta=True, learn_threshold=True, threshold=0.6
    ),
    **{
        f"snntorch Lapicque {reset}": snntorch("Lapicque", 1, beta=0.8, reset_mechanism=reset)
        for reset in ("subtract", "none")
    },
    "snntorch Lapicque RC": snntorch("Lapicque", 1, R=3.3, C=2.1),
    **{
        f"snntorch Synaptic {reset}": snntorch(
            "Synaptic", 2, alpha=0.6, beta=0.8, reset_mechanism=reset
        )
        for reset in ("subtract", "none")
    },
    "snntorch Synaptic zero at once": snntorch(
        "Synaptic", 2, alpha=0.6, beta=0.8, reset_mechanism="zero", reset_delay=False
    ),
    **{
        f"spikingjelly {name} {mode} {kind}": spikingjelly(
            "activation_based", name, mode, **options
        )
        for mode in ("s", "m")
        for name, kind, options in (
            ("IFNode", "hard", {"v_threshold": 0.7}),
            ("IFNode", "soft", {"v_reset": None, "detach_reset": True}),
            ("LIFNode", "hard", {"tau": 2.5}),
            ("LIFNode", "to -0.2", {"tau": 2.0, "v_reset": -0.2, "v_threshold": 0.5}),
            ("LIFNode", "soft", {"tau": 3.0, "v_reset": None}),
            ("LIFNode", "whole input", {"tau": 3.0, "decay_input": False, "detach_reset": True}),
            ("ParametricLIFNode", "hard", {"init_tau": 2.3}),
            ("ParametricLIFNode", "soft", {"init_tau": 2.3, "v_reset": None}),
        )
    },
    "norse LIFBoxCell": norse("LIFBoxCell", "LIFBoxParameters", tau_mem_inv=40.0),
    **{
        f"spikingjelly 0.0.0.0.14 {name} {mode}": spikingjelly(
            "clock_driven", name, mode, **options
        )
        for mode in ("s", "m")
        for name, options in (
            ("IFNode", {"v_threshold": 0.7}),
            ("LIFNode", {"tau": 2.5, "v_reset": None}),
            ("ParametricLIFNode", {"init_tau": 2.3}),
        )
    },
}
REFUSED = ("at once",)
"""The exporter of programs cannot trace these: they ask whether a tensor equals None."""


def by_torchscript(network: nn.Module, path: Path) -> Checked:
    return by_onnx(network, path, dynamo=False, opset_version=17)


def by_newest(network: nn.Module, path: Path) -> Checked:
    return by_onnx(network, path, dynamo=True, opset_version=None)


def by_onnx(network: nn.Module, path: Path, **options: Any) -> Checked:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        example = (torch.zeros(1, INPUTS),)
        try:
            torch.onnx.export(network, example, str(path / "net.onnx"), **options)
        except RuntimeError as error:  # TorchScript knows no surrogate of some releases
            if "export failed" not in str(error).lower():
                raise
            pytest.skip(f"the exporter refuses the module: {str(error)[:80]}")
    return check_model(load_model(str(path / "net.onnx")))


def by_program(network: nn.Module, path: Path) -> Checked:
    program = torch.export.export(network, (torch.zeros(2, INPUTS),), strict=False)
    torch.export.save(program, path / "net.pt2")
    return check_model(load_model(str(path / "net.pt2"), trust_pickle=True))


def by_trace(network: nn.Module, path: Path) -> Checked:
    return check_model(from_module(network, torch.zeros(1, INPUTS)))


WAYS = {f.__name__: f for f in (by_torchscript, by_newest, by_program, by_trace)}


def answer(network: nn.Module, x: Tensor) -> Any:
    with torch.no_grad():
        return np.concatenate([network(each[None]).numpy() for each in x])


def one(name: str, way: str, path: Path) -> None:
    network = CASES[name]().eval()
    checked = WAYS[way](network, path)
    assert checked.clean, [d.message for d in checked.diagnostics]
    assert len(checked.graph.of_kind("neuron")) == 2
    x = torch.rand(64, INPUTS, generator=torch.Generator().manual_seed(1))
    mine = Executor(checked.graph).run(x.double().numpy()).output
    own = answer(CASES[name]().eval(), x)
    assert own.sum() > 0
    assert (np.abs(mine.reshape(own.shape) - own) > 1e-5).mean() < 0.02


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_it_is_a_neuron(name: str, way: str, tmp_path: Path) -> None:
    if name.endswith(REFUSED) and way in ("by_newest", "by_program"):
        pytest.skip("torch.export refuses the module")
    one(name, way, tmp_path)
