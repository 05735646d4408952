"""Which classes are neurons, what their equation is, and what tracing does to a module."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snncc.diagnostics.core import Diagnostic, SnnccError
from snncc.frontends.adapters import adapter_of
from snncc.frontends.neuron_op import NeuronLayer, neuron
from snncc.frontends.neuron_parameters import NeuronParameters, UnknownNeuronError
from snncc.frontends.torch_export import import_module, trace
from snncc.ir.ops import Neuron
from snncc.models.neuron import IF, LIF, ParametricLIAF, ParametricLIF, SpikingNeuron


def foreign_class(path: str, *bases: type, **members: Any) -> Any:
    """A class that is called as one of another package is."""
    module, _, name = path.rpartition(".")
    made = types.new_class(name, bases or (nn.Module,))
    made.__module__ = module
    for key, value in members.items():
        setattr(made, key, value)
    return made


CLOCK, ACTIVATION = "spikingjelly.clock_driven", "spikingjelly.activation_based"
Memory = foreign_class(f"{CLOCK}.base.MemoryModule")
Base = foreign_class(f"{CLOCK}.neuron.BaseNode", Memory)
ClockLIF = foreign_class(f"{CLOCK}.neuron.LIFNode", Base, neuronal_charge=lambda _: None)
MultiLIF = foreign_class(f"{CLOCK}.neuron.MultiStepLIFNode", ClockLIF, forward=lambda _, x: x)
MultiIF = foreign_class(f"{CLOCK}.neuron.MultiStepIFNode", Base)
MultiPLIF = foreign_class(f"{CLOCK}.neuron.MultiStepParametricLIFNode", Base)
ActivationLIF = foreign_class(f"{ACTIVATION}.neuron.LIFNode")


def made(cls: Any, **attributes: Any) -> Any:
    """An instance with these attributes, as the package itself would leave it."""
    module = cls()
    for key, value in {"v_threshold": 1.0, "v_reset": 0.0, **attributes}.items():
        setattr(module, key, value)
    return module


def read(module: nn.Module) -> NeuronParameters:
    """The parameters that the table reads from a module."""
    adapter = adapter_of(module)
    assert adapter
    return adapter.read(module)


def refusals(module: nn.Module, x: Tensor) -> list[Diagnostic]:
    """The findings of a trace that fails."""
    with pytest.raises(SnnccError) as caught:
        trace(module, x)
    return list(caught.value.diagnostics)


@pytest.mark.parametrize(
    ("module", "wanted"),
    [
        (LIF(tau=1.5, v_threshold=0.5), NeuronParameters(tau=1.5, v_threshold=0.5)),
        (IF(v_reset=None), NeuronParameters(tau=None, decay_input=False, v_reset=None)),
        (made(MultiLIF, tau=2.0, v_threshold=0.5), NeuronParameters(tau=2.0, v_threshold=0.5)),
        (made(MultiIF, v_reset=None), NeuronParameters(tau=None, v_reset=None)),
        (made(ClockLIF, tau=2.0), NeuronParameters(tau=2.0)),
        (made(MultiPLIF, w=torch.tensor(0.0)), NeuronParameters(tau=2.0)),
        (
            made(ActivationLIF, tau=4.0, decay_input=False, step_mode="m"),
            NeuronParameters(tau=4.0, decay_input=False),
        ),
        (
            made(foreign_class(f"{ACTIVATION}.neuron.lif.LIFNode"), tau=2.0),
            NeuronParameters(tau=2.0),
        ),
        (made(foreign_class("mine.LIF", MultiLIF), tau=3.0), NeuronParameters(tau=3.0)),
        (made(MultiIF, v_threshold=torch.tensor([2.0])), NeuronParameters(tau=None, v_threshold=2)),
    ],
)
def test_parameters(module: nn.Module, wanted: NeuronParameters) -> None:
    assert read(module) == wanted


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (made(foreign_class("mine.Own", Base, neuronal_charge=lambda _: None)), "no adapter knows"),
        (made(foreign_class(f"{CLOCK}.neuron.Izhikevich", Base)), "no adapter knows"),
        (
            made(foreign_class("mine.Odd", MultiLIF, neuronal_charge=lambda _: None), tau=2.0),
            "`mine.Odd` defines `neuronal_charge` itself",
        ),
        (ParametricLIAF(), "`snncc.models.neuron.ParametricLIAF` defines `emit` itself"),
        (made(MultiIF, v_threshold=torch.ones(3)), "`v_threshold` is a tensor of shape (3,)"),
        (made(MultiPLIF, w=torch.empty((), device="meta")), "the model has no weights"),
        (
            made(MultiLIF, tau=2.0, surrogate_function=types.SimpleNamespace(spiking=False)),
            "`spiking=False`",
        ),
    ],
)
def test_neurons_that_cannot_be_read(module: nn.Module, reason: str) -> None:
    with pytest.raises(UnknownNeuronError, match=reason.replace("(", r"\(").replace(")", r"\)")):
        read(module)


def test_other_modules_are_no_neurons() -> None:
    assert adapter_of(nn.Linear(2, 2)) is None
    assert adapter_of(NeuronLayer()) is None
    dropout = foreign_class(f"{CLOCK}.layer.Dropout", Memory, forward=lambda _, x: x)
    assert adapter_of(dropout()) is None


NEURONS: list[SpikingNeuron] = [
    LIF(),
    LIF(tau=3.0, decay_input=False),
    LIF(v_reset=None),
    LIF(v_reset=-0.5, v_threshold=0.25),
    LIF(v_reset=0.25, decay_input=False, tau=1.25),
    IF(),
    IF(v_reset=None, v_threshold=0.5),
    ParametricLIF(init_tau=2.0),
    LIF(tau=4 / 3, decay_input=False, v_threshold=0.5, strict=True),
]


@pytest.mark.parametrize("module", NEURONS, ids=str)
def test_the_operator_equals_our_own_neurons(module: SpikingNeuron) -> None:
    x = torch.randn(6, 2, 50, generator=torch.Generator().manual_seed(0))
    spikes = neuron(x, *read(module).as_arguments())
    assert torch.equal(spikes, module(x))
    assert 0 < spikes.mean() < 1


def test_the_operator_equals_a_strict_neuron_at_its_threshold() -> None:
    module = LIF(tau=2.0, strict=True)
    x = torch.full((4, 1), 2.0)
    spikes = neuron(x, *read(module).as_arguments())
    assert torch.equal(spikes, module(x))
    assert spikes.flatten().tolist() == [0, 1, 0, 1]


def test_a_strict_neuron_fires_above_its_threshold() -> None:
    x = torch.tensor([[1.0], [1.5]])
    loose, strict = NeuronLayer(tau=None), NeuronLayer(tau=None, strict=True)
    assert (loose(x).tolist(), strict(x).tolist()) == ([[1], [1]], [[0], [1]])


def test_the_operator_is_well_declared() -> None:
    x = torch.rand(3, 2, 4)
    torch.library.opcheck(
        torch.ops.snncc.neuron.default, (x, 2.0, True, 1.0, 0.0, False),
        test_utils=("test_schema", "test_faketensor"),
    )  # fmt: skip


class Chain(nn.Module):
    """Modules one after the other."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x


def test_a_neuron_layer_is_one_op_of_its_parameters() -> None:
    graph = trace(
        Chain(made(MultiLIF, tau=4.0), NeuronLayer(tau=None, strict=True)), torch.zeros(3, 1, 8)
    )
    found = [op for op in graph if isinstance(op, Neuron)]
    assert [(op.name, op.tau, op.strict) for op in found] == [
        ("parts.0", 4.0, False), ("parts.1", None, True),
    ]  # fmt: skip


def test_all_unknown_neurons_are_named_at_once_with_what_else_is_wrong() -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.rand(8)

    odd = foreign_class(f"{CLOCK}.neuron.EIFNode", Base)
    network = Chain(made(odd), Noisy(), made(odd))
    found = refusals(network, torch.zeros(3, 1, 8))
    assert [(d.rule.code, d.source.module) for d in found] == [
        ("SNN123", "parts.0"), ("SNN123", "parts.2"), ("SNN122", "parts.1"),
    ]  # fmt: skip


def test_a_neuron_with_memory_must_not_be_called_twice() -> None:
    shared = made(MultiLIF, tau=2.0)
    (found,) = refusals(Chain(shared, nn.Linear(8, 8), shared), torch.zeros(3, 1, 8))
    assert (found.rule.code, found.source.module) == ("SNN124", "parts.2")
    assert found.message == "`parts.0` is called 2 times and keeps its state between"
    own = LIF()
    graph = trace(Chain(own, nn.Linear(8, 8), own), torch.zeros(3, 1, 8))
    assert [op.name for op in graph.of_kind("neuron")] == ["parts.0", "parts.2"]


def test_the_state_of_a_neuron_is_left_alone() -> None:
    module = made(MultiLIF, tau=2.0, v=torch.ones(3))
    trace(module, torch.zeros(3, 1, 8))
    assert torch.equal(module.v, torch.ones(3))
    assert "forward" not in vars(module)


def test_hooks_of_users_are_not_run_and_stay() -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError

    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    network[0].register_forward_hook(forbidden)
    network.register_forward_pre_hook(forbidden)
    found = import_module(network, torch.zeros(1, 4))
    assert [(d.rule.code, d.message) for d in found.diagnostics] == [
        ("SNN126", "a hook on `Sequential` is left out"), ("SNN126", "a hook on `0` is left out"),
    ]  # fmt: skip
    with pytest.raises(AssertionError):
        network(torch.zeros(1, 4))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_hooks_of_torch_take_part() -> None:
    network = nn.utils.weight_norm(nn.Linear(4, 4))
    assert [op.kind for op in trace(network, torch.zeros(1, 4))] == ["input", "linear", "output"]


def test_a_failed_trace_restores_the_module() -> None:
    class Failing(Chain):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError("no")

    network = Failing(LIF())
    handle: Callable[..., None] = lambda *_: None  # noqa: E731
    network.register_forward_hook(handle)
    (found,) = refusals(network, torch.zeros(3, 1, 8))
    assert (found.rule.code, found.message) == ("SNN120", "the network cannot be traced: no")
    assert network.training
    assert len(network._forward_hooks) == 1
    assert "forward" not in vars(network.parts[0])


def test_no_other_package_is_imported() -> None:
    code = "import sys, snncc, snncc.frontends.adapters; print('spikingjelly' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
