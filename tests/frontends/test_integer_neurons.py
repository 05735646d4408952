"""Integer-firing neurons: what is read from ours and from classes of official programs' names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.frontends.adapters import adapter_of
from snncc.frontends.neuron_op import neuron
from snncc.frontends.neuron_parameters import NeuronParameters, UnknownNeuronError
from snncc.frontends.record import record
from snncc.frontends.torch_export import trace
from snncc.frontends.twin import twin_of
from snncc.ir import ops
from snncc.ir.interpret import interpret
from snncc.models.neuron_multilevel import MultiLevel


def parameters(module: nn.Module) -> NeuronParameters:
    """What the table reads from a module."""
    adapter = adapter_of(module)
    assert adapter
    assert not adapter.keeps_state
    return adapter.read(module)


def currents(levels: int) -> Tensor:
    """Currents of five steps that often meet the way between two counts."""
    dice = torch.Generator().manual_seed(1)
    return torch.randint(-12, 8 * levels + 12, (5, 3, 200), generator=dice).double() / 8


OWN = [
    MultiLevel(),
    MultiLevel(rounding="half_up"),
    MultiLevel(levels=8, norm=1),
    MultiLevel(levels=2, norm=3, decay=0.25),
    MultiLevel(levels=4, norm=1, decay=0.5, rounding="half_up"),
    MultiLevel(levels=3, decay=1.0),
    MultiLevel(levels=1),
    MultiLevel(levels=1, norm=2, rounding="half_up"),
]


@pytest.mark.parametrize("module", OWN, ids=str)
def test_the_operator_equals_our_own_neurons(module: MultiLevel) -> None:
    x = currents(module.levels)
    counts = neuron(x, *parameters(module).as_arguments())
    assert torch.equal(counts, module(x))
    assert len(counts.unique()) == module.levels + 1


@pytest.mark.parametrize("module", OWN, ids=str)
def test_the_graph_equals_our_own_neurons(module: MultiLevel) -> None:
    x = currents(module.levels)[:, :1].expand(-1, 2, -1).contiguous()
    graph = trace(module, x, batch_axis=1)
    (op,) = (each for each in graph if isinstance(each, ops.Neuron))
    expected = module(x)
    assert torch.equal(torch.from_numpy(interpret(graph, x.numpy())[op.name]).double(), expected)


@pytest.mark.parametrize("taken", [0.0, 0.5, 1.25])
def test_what_a_soft_reset_takes_off_is_the_operators_and_the_graphs(taken: float) -> None:
    x = torch.rand(6, 2, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wanted = NeuronParameters(tau=2.0, decay_input=False, v_reset=None, v_subtract=taken)
    v, spikes = torch.zeros(2, 50).double(), []
    for current in x:
        h = v / 2 + current
        spikes.append((h >= 1).double())
        v = h - taken * spikes[-1]
    assert torch.equal(neuron(x, *wanted.as_arguments()), torch.stack(spikes))

    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            counts: Tensor = neuron(x, *wanted.as_arguments())
            return counts

    graph = trace(Net(), x, batch_axis=1)
    (op,) = graph.of_kind("neuron")
    assert (interpret(graph, x.numpy())[op.name] == torch.stack(spikes).numpy()).all()


def test_parameters_of_our_own() -> None:
    assert parameters(MultiLevel()) == NeuronParameters(
        tau=1.0, decay_input=False, v_reset=None, levels=4, norm=4.0
    )
    kept = parameters(MultiLevel(levels=8, norm=1, decay=0.25, rounding="half_up"))
    assert kept == NeuronParameters(
        tau=4 / 3, decay_input=False, v_reset=None, levels=8, rounding="half_up"
    )


def test_one_level_with_memory_has_no_such_equation() -> None:
    with pytest.raises(UnknownNeuronError, match="one level"):
        parameters(MultiLevel(levels=1, decay=0.25))


class MultiSpike(nn.Module):
    """Called as the neuron of the base network is."""

    def __init__(self, levels: int = 4, norm: float = 4) -> None:
        super().__init__()
        self.levels, self.norm = levels, norm

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(0, self.levels).round() / self.norm


class Multispike(MultiSpike):
    """Called as the neuron of the large network is."""

    def forward(self, x: Tensor) -> Tensor:
        return (x.clamp(0, self.levels) + 0.5).floor() / self.norm


decay = 0.25


class mem_update(nn.Module):  # noqa: N801
    """Called as the neuron of the detector is."""

    def __init__(self, soft: bool = True) -> None:
        super().__init__()
        self.soft = soft

    def forward(self, x: Tensor) -> Tensor:
        counts: list[Tensor] = []
        h = torch.zeros_like(x[0])
        for current in x:
            if counts:
                h = h - counts[-1] if self.soft else h.masked_fill(counts[-1] > 0, 0)
            h = h * decay + current
            counts.append(h.clamp(0, 4).round())
        return torch.stack(counts)


@pytest.mark.parametrize(
    ("module", "wanted"),
    [
        (MultiSpike(), {"tau": 1.0, "levels": 4, "norm": 4.0}),
        (MultiSpike(8, 1), {"tau": 1.0, "levels": 8}),
        (MultiSpike(4, 3), {"tau": 1.0, "levels": 4, "norm": 3.0}),
        (Multispike(), {"tau": 1.0, "levels": 4, "norm": 4.0, "rounding": "half_up"}),
        (MultiSpike(1, 1), {"tau": 1.0, "v_threshold": 0.5, "strict": True}),
        (mem_update(), {"tau": 4 / 3, "levels": 4}),
    ],
)
def test_official_names_are_read_by_their_answers(
    module: nn.Module, wanted: dict[str, Any]
) -> None:
    assert parameters(module) == NeuronParameters(decay_input=False, v_reset=None, **wanted)


class Shifted(MultiSpike):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - 0.25)


class Analog(MultiSpike):
    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(0, 4)


class Negative(MultiSpike):
    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(-4, 4).round()


class Failing(MultiSpike):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError


@pytest.mark.parametrize("cls", [Shifted, Analog, Negative, Failing])
def test_the_name_alone_is_not_believed(cls: type[MultiSpike]) -> None:
    assert adapter_of(type("MultiSpike", (cls,), {})()) is None
    assert adapter_of(mem_update(soft=False)) is None


def test_another_name_is_no_neuron() -> None:
    assert adapter_of(type("Activation", (MultiSpike,), {})()) is None


def test_a_network_without_time_is_traced() -> None:
    network = nn.Sequential(nn.Linear(6, 5), MultiSpike(), nn.Linear(5, 3))
    graph = trace(network, torch.zeros(1, 6))
    (op,) = (each for each in graph if isinstance(each, ops.Neuron))
    assert (op.name, op.levels, op.norm, op.tau) == ("1", 4, 4.0, 1.0)
    assert str(graph.type_of("1").domain) == "grid(1/4, 0..4)"


class Step(torch.autograd.Function):
    """A function without state, which cannot be copied."""

    @staticmethod
    def forward(_: Any, *inputs: Tensor) -> Tensor:
        return inputs[0].clamp(0, 4).round()


class MultiSpike_norm(MultiSpike):  # noqa: N801
    """Keeps an instance of its function, as that of the detection program does."""

    def __init__(self) -> None:
        super().__init__()
        self.spike = Step()  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor) -> Tensor:
        counts: Tensor = self.spike.apply(x)  # type: ignore[no-untyped-call]
        return counts / 4


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_an_instance_of_a_function_is_no_obstacle() -> None:
    network = nn.Sequential(nn.Linear(3, 3), MultiSpike_norm())
    assert parameters(network[1]).levels == 4
    recorded = record(network, np.ones((2, 3)))
    assert [spikes.shape for spikes in recorded.spikes["1"]] == [(2, 3)]


def test_a_state_that_a_gradient_leads_through_is_copied_without_it() -> None:
    network: Any = nn.Linear(3, 3)
    network.state = network(torch.ones(1, 3))
    network.memories = {"v": network.state * 2}
    twin: Any = twin_of(network)
    assert not twin.training
    assert torch.equal(twin.state, network.state.detach())
    assert twin.memories["v"].is_leaf
