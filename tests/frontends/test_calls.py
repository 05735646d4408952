"""Layers that are called once a time step: what they stand for while a network is traced.

The classes here bear the names of those of other packages, whose own code is never run.
"""

from __future__ import annotations

import types
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snncc.diagnostics.core import SnnccError
from snncc.frontends.adapters import adapter_of
from snncc.frontends.call_op import neuron_call
from snncc.frontends.neuron_op import neuron
from snncc.frontends.neuron_parameters import NeuronParameters, UnknownNeuronError
from snncc.frontends.torch_export import import_module, trace
from snncc.ir.graph import Graph
from snncc.passes import FRONT
from snncc.passes.base import run_passes
from snncc.passes.gather_calls import GatherCalls

T = 4


def foreign(path: str, **members: Any) -> Any:
    """A class that is called as one of another package is."""
    module, _, name = path.rpartition(".")
    made = types.new_class(name, (nn.Module,))
    made.__module__ = module
    for key, value in members.items():
        setattr(made, key, value)
    return made


Base = foreign("snntorch._neurons.neurons.SpikingNeuron")
SNN: dict[str, Any] = {
    "beta": 0.5, "threshold": 1.0, "reset_mechanism": "subtract", "inhibition": False,
    "state_quant": False, "graded_spikes_factor": 1.0, "init_hidden": False, "output": False,
    "reset_delay": True, "reset_mem": lambda _: torch.zeros(0),
}  # fmt: skip


def leaky(**members: Any) -> nn.Module:
    made: nn.Module = foreign("snntorch._neurons.leaky.Leaky", **{**SNN, **members})()
    return made


def synaptic(**members: Any) -> nn.Module:
    zeros = lambda _: (torch.zeros(0), torch.zeros(0))  # noqa: E731
    given = {**SNN, "alpha": 0.75, "reset_mem": zeros, **members}
    made: nn.Module = foreign("snntorch._neurons.synaptic.Synaptic", **given)()
    return made


def cuba(**members: Any) -> nn.Module:
    given = {"c_decay": 0.5, "v_decay": 0.75, "v_threshold": 0.5, "v_reset": 0.0, **members}
    path = "spikingjelly.activation_based.neuron.lif_variants.CUBALIFNode"
    made: nn.Module = foreign(path, **{"step_mode": "s", "reset": lambda _: None, **given})()
    return made


def lapicque(**members: Any) -> nn.Module:
    given = {**SNN, "R": 2.0, "C": 2.0, "time_step": 1, **members}
    made: nn.Module = foreign("snntorch._neurons.lapicque.Lapicque", **given)()
    return made


def cell(name: str = "lif_box.LIFBoxCell", dt: float = 0.001, **numbers: float) -> nn.Module:
    """A cell of Norse."""
    usual = {"tau_mem_inv": 100.0, "tau_syn_inv": 200.0, "v_leak": 0.0, "v_th": 1.0, "v_reset": 0.0}
    p = types.SimpleNamespace(**{**usual, **numbers})
    made: nn.Module = foreign(f"norse.torch.module.{name}", dt=dt, p=p)()
    return made


def single(**members: Any) -> nn.Module:
    """A neuron of SpikingJelly in its single-step mode."""
    given = {"tau": 2.0, "v_threshold": 1.0, "v_reset": 0.0, "step_mode": "s", **members}
    given.setdefault("reset", lambda _: None)
    made: nn.Module = foreign("spikingjelly.activation_based.neuron.LIFNode", **given)()
    return made


def read(module: nn.Module) -> NeuronParameters:
    adapter = adapter_of(module)
    assert adapter
    return adapter.read(module)


@pytest.mark.parametrize(
    ("module", "wanted"),
    [
        (leaky(), {"tau": 2.0, "v_reset": None, "v_subtract": 2.0}),
        (leaky(beta=torch.tensor(0.75), threshold=3), {"tau": 4.0, "v_threshold": 3.0,
                                                       "v_reset": None, "v_subtract": 4.0}),
        (leaky(beta=1.5), {"tau": None, "v_reset": None}),
        (leaky(reset_mechanism="zero"), {"tau": 2.0}),
        (leaky(reset_mechanism="zero", beta=0.0), {"tau": 1.0}),
        (leaky(reset_mechanism="zero", reset_delay=False), {"tau": 2.0}),
        (leaky(reset_mechanism="none"), {"tau": 2.0, "v_reset": None, "v_subtract": 0.0}),
        (leaky(reset_mechanism="zero", graded_spikes_factor=0.5), {"tau": 2.0, "norm": 2.0}),
        (lapicque(), {"tau": 4.0, "decay_input": True, "v_threshold": 0.5, "v_reset": None,
                      "v_subtract": 2 / 3}),
        (cell(), {"tau": 10.0, "decay_input": True}),
        (cell(v_leak=0.5, v_reset=0.5), {"tau": 10.0, "decay_input": True, "v_reset": 0.5}),
        (cell("iaf.IAFCell"), {"tau": None, "decay_input": True}),
        (cell("lif.LIFCell", tau_syn_inv=1000), {"tau": 10.0, "decay_input": True}),
        (cell("lif.LIFCell"), {"tau": 10.0, "decay_input": True, "keep": 0.8}),
        (cell("lif.LIF", tau_syn_inv=0), {"tau": 10.0, "decay_input": True, "keep": 1.0}),
        (synaptic(), {"tau": 2.0, "v_reset": None, "v_subtract": 2.0, "keep": 0.75}),
        (synaptic(alpha=torch.tensor([1.5])), {"tau": 2.0, "v_reset": None, "v_subtract": 2.0,
                                               "keep": 1.0}),
        (synaptic(alpha=-1.0), {"tau": 2.0, "v_reset": None, "v_subtract": 2.0}),
        (synaptic(reset_mechanism="none"), {"tau": 2.0, "v_reset": None, "v_subtract": 0.0,
                                            "keep": 0.75}),
        (synaptic(reset_mechanism="zero", reset_delay=False), {"tau": 2.0, "keep": 0.75}),
        (cuba(), {"tau": 4.0, "v_threshold": 0.5, "strict": False, "keep": 0.5}),
        (cuba(v_decay=1.0, v_reset=-0.5), {"tau": None, "v_threshold": 0.5, "v_reset": -0.5,
                                           "strict": False, "keep": 0.5}),
    ],
)  # fmt: skip
def test_parameters(module: nn.Module, wanted: dict[str, Any]) -> None:
    expected = NeuronParameters(**{"decay_input": False, "strict": True, **wanted})
    assert read(module) == expected


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (leaky(reset_delay=False), "not delayed"),
        (leaky(beta=0.0), "what its last spike takes off"),
        (leaky(beta=torch.ones(3)), "tensor of shape"),
        (leaky(inhibition=True), "inhibits the others"),
        (leaky(state_quant=True), "is quantized"),
        (leaky(threshold=0.0), "not above zero"),
        (leaky(reset_mechanism="odd"), "its reset is `odd`"),
        (lapicque(reset_mechanism="zero"), "drops the input"),
        (lapicque(C=0.25), "time constant is 0.5"),
        (cell(tau_mem_inv=2000), "wanted 0 to 1"),
        (cell(v_leak=0.5), "leaks to 0.5 and is reset to 0"),
        (cell("lif.LIFCell", tau_syn_inv=2000), "`dt \\* tau_syn_inv` is 2, wanted 0 to 1"),
        (cell("lif.LIFCell", tau_syn_inv=-1), "wanted 0 to 1"),
        (cell("lif.LIFCell", tau_syn_inv=float("nan")), "is nan, wanted 0 to 1"),
        (synaptic(reset_mechanism="zero"), "drops the input"),
        (synaptic(alpha=torch.ones(3)), "its `alpha` is a tensor of shape"),
        (synaptic(beta=torch.ones(3)), "its `beta` is a tensor of shape"),
        (synaptic(reset_delay=False), "not delayed"),
        (cuba(c_decay=1.5), "keeps 1.5 of its current"),
        (cuba(v_decay=-0.5), "-0.5 of its potential"),
        (cuba(v_reset=0.25), "leaks to 0 and is reset to 0.25"),
        (foreign("snntorch._neurons.alpha.Alpha")(), "no adapter knows"),
    ],
)
def test_neurons_that_cannot_be_read(module: nn.Module, reason: str) -> None:
    with pytest.raises(UnknownNeuronError, match=reason):
        read(module)


@pytest.mark.parametrize(
    "parameters",
    [
        NeuronParameters(tau=2.0),
        NeuronParameters(tau=None, v_reset=None, strict=True),
        NeuronParameters(tau=4.0, decay_input=False, v_reset=None, v_subtract=1.5, norm=2.0),
        NeuronParameters(tau=3.0, v_reset=-0.25, v_threshold=0.5),
    ],
)
def test_calls_equal_the_operator_over_time(parameters: NeuronParameters) -> None:
    x = torch.rand(6, 50, generator=torch.Generator().manual_seed(0)) * 2
    state: Tensor | None = None
    for current, wanted in zip(x, neuron(x, *parameters.as_arguments()), strict=True):
        spikes, state = neuron_call(current, state, *parameters.as_arguments())
        assert torch.equal(spikes, wanted)


def test_the_operator_is_well_declared() -> None:
    x = torch.rand(2, 4)
    for state in (None, torch.zeros(2, 4)):
        torch.library.opcheck(
            torch.ops.snncc.neuron_call.default, (x, state, 2.0, True, 1.0, 0.0, False),
            test_utils=("test_schema", "test_faketensor"),
        )  # fmt: skip


class Loop(nn.Module):
    """A layer that is called T times; ``begin`` makes the first state."""

    def __init__(self, layer: nn.Module, begin: Any = lambda _: None) -> None:
        super().__init__()
        self.fc, self.begin = nn.Linear(3, 3), begin
        self.lif: Any = layer

    def forward(self, x: Tensor) -> Tensor:
        state, out = self.begin(self), []
        for _ in range(T):
            spikes, state = self.lif(self.fc(x), state)
            out.append(spikes)
        return torch.stack(out).sum(0)


class Inside(Loop):
    """A layer that keeps its state."""

    def forward(self, x: Tensor) -> Tensor:
        self.begin(self)
        return torch.stack([self.lif(self.fc(x)) for _ in range(T)]).sum(0)


def gathered(module: nn.Module) -> Graph:
    return run_passes(trace(module, torch.zeros(1, 3)), [GatherCalls()]).graph


@pytest.mark.parametrize(
    "network",
    [
        Loop(leaky()),
        Loop(leaky(), lambda net: net.lif.reset_mem()),
        Loop(leaky(), lambda _: torch.zeros(2, 3)),
        Loop(leaky(init_hidden=True, output=True), lambda _: None),
        Inside(leaky(init_hidden=True)),
        Inside(single()),
        Inside(single(), lambda net: net.lif.reset()),
        Loop(cell()),
        Loop(cell("lif.LIFCell")),
        Inside(cuba()),
        Inside(synaptic(init_hidden=True)),
    ],
)
def test_calls_of_a_layer_are_one_neuron(network: nn.Module) -> None:
    graph = gathered(network)
    (layer,) = graph.of_kind("neuron")
    assert layer.name == "lif"
    assert graph.type_of("lif").shape == (T, 2, 3)
    assert "forward" not in vars(network.lif)
    assert not {"reset", "reset_mem"} & vars(network.lif).keys()


class WithCurrent(Loop):
    """A layer of snnTorch that hands on its current and its potential."""

    def forward(self, x: Tensor) -> Tensor:
        (current, potential), out = self.begin(self), []
        for _ in range(T):
            spikes, current, potential = self.lif(self.fc(x), current, potential)
            out.append(spikes)
        return torch.stack(out).sum(0)


@pytest.mark.parametrize(
    ("network", "keep"),
    [
        (WithCurrent(synaptic(), lambda net: net.lif.reset_mem()), 0.75),
        (WithCurrent(synaptic(), lambda _: (None, None)), 0.75),
        (WithCurrent(synaptic(), lambda _: (torch.zeros(2, 3), torch.zeros(2, 3))), 0.75),
        (WithCurrent(synaptic(init_hidden=True, output=True), lambda _: (None, None)), 0.75),
        (Inside(synaptic(init_hidden=True)), 0.75),
        (Inside(synaptic(init_hidden=True), lambda net: net.lif.reset_mem()), 0.75),
        (Loop(cell("lif.LIFCell")), 0.8),
        (Inside(cuba()), 0.5),
    ],
)
def test_the_current_of_a_layer_is_one_op(network: nn.Module, keep: float) -> None:
    graph = run_passes(trace(network, torch.zeros(1, 3)), FRONT).graph
    (current,) = graph.of_kind("synaptic_current")
    (layer,) = graph.of_kind("neuron")
    assert (current.name, current.attributes()) == ("lif.synaptic_current", {"keep": keep})
    assert layer.inputs == (current.name,)


def test_a_layer_without_a_lasting_current_has_none() -> None:
    network = WithCurrent(synaptic(alpha=0.0), lambda net: net.lif.reset_mem())
    graph = run_passes(trace(network, torch.zeros(1, 3)), FRONT).graph
    assert not graph.of_kind("synaptic_current")


def test_a_current_of_another_origin() -> None:
    begins = lambda _: (torch.ones(2, 3), torch.zeros(2, 3))  # noqa: E731
    with pytest.raises(SnnccError) as caught:
        run_passes(trace(WithCurrent(synaptic(), begins), torch.zeros(1, 3)), FRONT)
    first = caught.value.diagnostics[0]
    assert first.rule.code == "SNN159"
    assert first.message.endswith("the current starts at 1, wanted 0")


def test_tracing_twice_gives_the_same() -> None:
    network = Inside(single())
    assert gathered(network) == gathered(network)


def test_a_reset_in_between_begins_a_second_layer() -> None:
    class Twice(Inside):
        def forward(self, x: Tensor) -> Tensor:
            first = super().forward(x)
            self.lif.reset()
            return super().forward(first)

    assert [op.name for op in gathered(Twice(single())).of_kind("neuron")] == ["lif", "lif.2"]


def test_a_reset_of_the_whole_class_counts_for_the_layers_that_are_traced() -> None:
    rested: list[str] = []
    members = {
        "init_hidden": True,
        "reset_hidden": classmethod(lambda cls: rested.append(cls.__name__)),
        "detach_hidden": classmethod(lambda cls: rested.append(cls.__name__)),
    }

    class Twice(Inside):
        def forward(self, x: Tensor) -> Tensor:
            first = super().forward(x)
            type(self.lif).detach_hidden()
            second = super().forward(x)
            type(self.lif).reset_hidden()
            return first + second + super().forward(x)

    network = Twice(leaky(**members))
    graph = gathered(network)
    assert rested == []
    lengths = [graph.type_of(op.name).shape[0] for op in graph.of_kind("neuron")]
    assert lengths == [2 * T, T]
    type(network.lif).reset_hidden()
    assert rested == ["Leaky"]


def said(network: nn.Module) -> list[tuple[str, str]]:
    """Code and message of each finding of a network that is refused."""
    with pytest.raises(SnnccError) as caught:
        gathered(network)
    return [(d.rule.code, d.message) for d in caught.value.diagnostics]


def test_a_state_of_another_origin() -> None:
    ((code, message),) = said(Loop(leaky(), lambda _: torch.ones(2, 3)))
    assert (code, message.endswith("its state starts at something else than 0")) == ("SNN122", True)

    class Halved(Loop):
        def forward(self, x: Tensor) -> Tensor:
            spikes, state = self.lif(self.fc(x))
            return torch.as_tensor(spikes + self.lif(self.fc(x), state / 2)[0])

    ((code, message),) = said(Halved(leaky()))
    assert code == "SNN122"
    assert message.endswith("its state is not what it returned one time step before")


def test_a_potential_that_is_read() -> None:
    class Potential(Loop):
        def forward(self, x: Tensor) -> Tensor:
            return torch.as_tensor(self.lif(self.fc(x))[1])

    assert said(Potential(leaky())) == [("SNN156", "the potential of `lif` is read")]


def test_what_is_returned_beside_the_answer_does_not_matter() -> None:
    class Both(Loop):
        def forward(self, x: Tensor) -> Any:
            return self.lif(self.fc(x))

    found = import_module(Both(leaky()), torch.zeros(1, 3))
    assert [d.rule.code for d in found.diagnostics] == ["SNN125"]


def test_layers_of_norse_take_all_steps() -> None:
    class Layers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.iaf = cell("iaf.IAF")

        def forward(self, x: Tensor) -> Tensor:
            spikes, _ = self.iaf(x)
            return torch.as_tensor(spikes)

    graph = trace(Layers(), torch.zeros(T, 1, 3), batch_axis=1)
    assert [op.kind for op in graph] == ["input", "neuron", "output"]


def test_layers_of_norse_take_the_currents_of_all_steps() -> None:
    class Layers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif = cell("lif.LIF")

        def forward(self, x: Tensor) -> Tensor:
            spikes, state = self.lif(x)
            return torch.as_tensor(spikes + state.i)

    graph = trace(Layers(), torch.zeros(T, 1, 3), batch_axis=1)
    current, layer = graph.of_kind("synaptic_current", "neuron")
    assert layer.inputs == (current.name,)
    assert current.attributes() == {"keep": 0.8}


def test_the_failures_of_a_stand_in_are_not_told() -> None:
    class Unpacks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.odd = foreign("norse.torch.module.snn.Odd")()

        def forward(self, x: Tensor) -> Tensor:
            _, _, spikes = self.odd(x)
            return torch.as_tensor(spikes)

    assert [code for code, _ in said(Unpacks())] == ["SNN123"]
