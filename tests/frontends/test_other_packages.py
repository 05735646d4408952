"""The neurons of snnTorch, Norse and SpikingJelly themselves, spike for spike.

These tests want the packages: `pip install snntorch norse spikingjelly`, then `-m external`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snncc.compiler import check_model, compile_model
from snncc.diagnostics.core import SnnccError
from snncc.execute.agreement import agreement
from snncc.execute.counts import batches
from snncc.frontends.load import from_module
from snncc.frontends.record import record
from snncc.frontends.torch_export import trace
from snncc.passes import FRONT
from snncc.passes.base import run_passes
from snncc.passes.rules_of_calls import CALLS_NOT_IN_STEP, POTENTIAL_READ
from snncc.targets.load import load_target

pytestmark = [
    pytest.mark.external,
    pytest.mark.filterwarnings("default"),
]

T = 6
Make = Callable[[], Any]


class Two(nn.Module):
    """Two layers of neurons, each behind a linear layer."""

    def __init__(self, make: Make) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.a = nn.Linear(12, 20), make()
        self.fc2, self.b = nn.Linear(20, 5), make()
        for layer in (self.fc1, self.fc2):
            layer.weight.data *= 3


class Passed(Two):
    """State goes in and out of each call."""

    def forward(self, x: Tensor) -> Any:
        first = second = None
        out, potentials = [], []
        for _ in range(T):
            spikes, first = self.a(self.fc1(x), first)
            spikes, second = self.b(self.fc2(spikes), second)
            out.append(spikes)
            potentials.append(second)
        return torch.stack(out).mean(0), potentials


class Three(Two):
    """Current and potential go in and out of each call."""

    def forward(self, x: Tensor) -> Any:
        a, b, out = self.a.reset_mem(), self.b.reset_mem(), []
        for _ in range(T):
            spikes, *a = self.a(self.fc1(x), *a)
            spikes, *b = self.b(self.fc2(spikes), *b)
            out.append(spikes)
        return torch.stack(out).mean(0)


class Inside(Two):
    """State stays in the layers."""

    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros(())
        for _ in range(T):
            out = out + self.b(self.fc2(self.a(self.fc1(x))))
        return out / T


class Events(Two):
    """Layers of all time steps; each returns its last state too."""

    def forward(self, x: Tensor) -> Tensor:
        spikes, _ = self.a(self.fc1(x.transpose(0, 1)))
        spikes, _ = self.b(self.fc2(spikes))
        return torch.as_tensor(spikes.mean(0))


def agrees(network: nn.Module, x: Tensor) -> None:
    """The step graph of a network gives its spikes and its answer, and some do fire."""
    model = from_module(network.eval(), x[:1])
    graph = check_model(model).graph
    recorded = record(network, x.numpy())
    found = agreement(
        graph, next(batches(graph, x.numpy(), len(x))), recorded.spikes, recorded.output
    )
    assert found.unmatched == ()
    assert (found.differing, found.output_error < 1e-12) == (0, True)
    assert max(float(layer[0].mean()) for layer in recorded.spikes.values()) > 0


def images(scale: float = 1.0, *shape: int) -> Tensor:
    return scale * torch.rand(4, *shape, 12, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "options",
    [
        {"beta": 0.9},
        {"beta": 1.0},
        {"beta": 0.5, "reset_mechanism": "zero"},
        {"beta": 0.8, "reset_mechanism": "none"},
        {"beta": 0.7, "threshold": 0.5, "graded_spikes_factor": 2.0},
        {"beta": 0.7, "reset_mechanism": "zero", "reset_delay": False},
    ],
    ids=str,
)
def test_leaky_of_snntorch(options: dict[str, Any]) -> None:
    snn = pytest.importorskip("snntorch")
    agrees(Passed(lambda: snn.Leaky(**options)), images())
    agrees(Inside(lambda: snn.Leaky(init_hidden=True, **options)), images())


@pytest.mark.parametrize(
    "options",
    [
        {"beta": 0.8},
        {"R": 5.1, "C": 1.0, "time_step": 0.5},
        {"beta": 0.6, "reset_mechanism": "none"},
    ],
    ids=str,
)
def test_lapicque_of_snntorch(options: dict[str, Any]) -> None:
    snn = pytest.importorskip("snntorch")
    agrees(Passed(lambda: snn.Lapicque(**options)), images(3))


@pytest.mark.parametrize(
    "options",
    [
        {"alpha": 0.9, "beta": 0.8},
        {"alpha": 0.6, "beta": 0.9, "threshold": 1.5},
        {"alpha": 0.5, "beta": 0.5, "reset_mechanism": "zero", "reset_delay": False},
        {"alpha": 0.5, "beta": 0.8, "reset_mechanism": "none", "threshold": 3.0},
        {"alpha": 0.75, "beta": 0.5, "learn_alpha": True, "learn_beta": True},
        {"alpha": 0.0, "beta": 0.5},
        {"alpha": 1.0, "beta": 0.5, "threshold": 3.0},
    ],
    ids=str,
)
def test_synaptic_of_snntorch(options: dict[str, Any]) -> None:
    snn = pytest.importorskip("snntorch")
    agrees(Three(lambda: snn.Synaptic(**options)), images())
    agrees(Inside(lambda: snn.Synaptic(init_hidden=True, **options)), images())


def test_reset_of_snntorch_in_the_network() -> None:
    snn = pytest.importorskip("snntorch")
    utils = pytest.importorskip("snntorch.utils")

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            hidden = {"beta": 0.9, "init_hidden": True}
            self.net = nn.Sequential(
                nn.Conv2d(2, 4, 3, padding=1), snn.Leaky(**hidden), nn.MaxPool2d(2), nn.Flatten(),
                nn.Linear(64, 6), snn.Leaky(output=True, **hidden),
            )  # fmt: skip

        def forward(self, x: Tensor) -> Tensor:
            utils.reset(self.net)
            out = []
            for t in range(x.shape[1]):
                spikes, _ = self.net(x[:, t])
                out.append(spikes)
            return torch.stack(out).sum(0)

    other = snn.Leaky(beta=0.5, init_hidden=True)
    agrees(Net(), 3 * torch.rand(4, 5, 2, 8, 8, generator=torch.Generator().manual_seed(2)))
    assert type(other.mem) is Tensor


def test_a_network_of_snntorch_compiles() -> None:
    snn = pytest.importorskip("snntorch")
    x = images()
    model = from_module(Passed(lambda: snn.Leaky(beta=0.9)).eval(), x[:1])
    compiled = compile_model(model, target=load_target("loihi2"), calibration=x.numpy())
    assert compiled.agreement.equal
    assert compiled.integer.steps == T


@pytest.mark.parametrize("rule", [POTENTIAL_READ, CALLS_NOT_IN_STEP], ids=lambda rule: rule.code)
def test_examples_of_rules(rule: Any) -> None:
    pytest.importorskip("snntorch")
    fails, mended = re.findall(r"```python\n(.*?)```", rule.explanation, re.DOTALL)

    def step_graph(program: str) -> Any:
        space: dict[str, Any] = {"__name__": "example"}
        exec(compile(program, "example.py", "exec"), space)  # noqa: S102 - our own text
        tensor = trace(space["Model"]().eval(), torch.zeros(space["example_input"]))
        return run_passes(tensor, FRONT).graph

    with pytest.raises(SnnccError) as caught:
        step_graph(fails)
    assert [d.rule.code for d in caught.value.diagnostics] == [rule.code]
    assert step_graph(mended).steps == 4


def test_cells_and_layers_of_norse() -> None:
    norse = pytest.importorskip("norse.torch")
    functional = pytest.importorskip("norse.torch.functional")
    reset_subtract = pytest.importorskip("norse.torch.functional.reset").reset_subtract
    LIFBoxParameters, LIFParameters = functional.lif_box.LIFBoxParameters, norse.LIFParameters
    IAFParameters = functional.iaf.IAFParameters

    fast = torch.tensor(500.0)
    box, soft = (
        LIFBoxParameters(tau_mem_inv=fast),
        LIFBoxParameters(fast, reset_method=reset_subtract),
    )
    whole = LIFParameters(tau_syn_inv=torch.tensor(1000.0), tau_mem_inv=torch.tensor(300.0))
    for make in (
        lambda: norse.LIFBoxCell(box),
        lambda: norse.LIFBoxCell(soft),
        lambda: norse.IAFCell(IAFParameters(v_th=torch.tensor(0.5))),
        lambda: norse.LIFCell(whole),
    ):
        agrees(Passed(make), images(3))
    agrees(Events(lambda: norse.LIF(whole)), images(3, 5))
    agrees(Events(norse.IAF), images(3, 5))


def test_currents_of_norse() -> None:
    norse = pytest.importorskip("norse.torch")
    lasting = norse.LIFParameters(tau_mem_inv=torch.tensor(300.0), tau_syn_inv=torch.tensor(250.0))
    agrees(Passed(norse.LIFCell), images(3))
    agrees(Passed(lambda: norse.LIFCell(lasting)), images(3))
    agrees(Events(lambda: norse.LIF(lasting)), images(3, 5))


def test_the_single_step_mode_of_spikingjelly() -> None:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    functional = pytest.importorskip("spikingjelly.activation_based.functional")

    class Anew(Inside):
        def forward(self, x: Tensor) -> Tensor:
            functional.reset_net(self)
            return super().forward(x)

    agrees(Inside(lambda: neuron.LIFNode(tau=2.0)), images(4))
    agrees(Anew(lambda: neuron.IFNode(v_reset=None)), images())
    agrees(Anew(lambda: neuron.ParametricLIFNode(init_tau=3.0, v_reset=-0.2)), images(4))
    agrees(Anew(neuron.CUBALIFNode), images())
    agrees(Anew(lambda: neuron.CUBALIFNode(v_reset=None, v_threshold=1.0)), images())
    run = Inside(lambda: neuron.LIFNode(tau=2.0))
    run(images())
    agrees(run, images(4))


def test_the_single_step_mode_of_older_spikingjelly() -> None:
    neuron = pytest.importorskip("spikingjelly.clock_driven.neuron")
    agrees(Inside(lambda: neuron.LIFNode(tau=3.0)), images(4))
