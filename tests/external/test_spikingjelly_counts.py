"""SpikingJelly 2.0.0's counters and ours: the same operations, the same energy.

Runs where `spikingjelly==2.0.0` can be imported: ``pytest -m external tests/external``. Its
counter looks at the values of one batch; a layer is compared where ours proves that it reads
spikes, and theirs must have counted nothing that ours calls an addition of spikes besides.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snncc.compiler import check_model
from snncc.energy.load import load_energy_model
from snncc.energy.memory import memory_document
from snncc.execute.counts import Counts, count
from snncc.frontends.model import Model, Traced
from snncc.ir.graph import Graph

pytestmark = pytest.mark.external
_BASE = "spikingjelly.activation_based"
counters: Any = pytest.importorskip(f"{_BASE}.op_counter", reason="needs spikingjelly 2.0.0")
functional, layer, neuron, zoo = (
    pytest.importorskip(f"{_BASE}.{name}")
    for name in ("functional", "layer", "neuron", "model.spikformer")
)

STEPS = 4


class Averaged(nn.Module):
    """A network of theirs that answers with the mean over time, as its training code does."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.net(x).mean(0))


def lively(network: nn.Module, seed: int) -> nn.Module:
    """Set weights, in double precision, so that every layer fires now and then."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 1, 3)
            nn.init.uniform_(module.bias, -0.5, 0.8)
        elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=0.2)
    return network.double().eval()


def spikformer(seed: int) -> nn.Module:
    net = zoo.Spikformer(
        T=STEPS, img_size_h=32, img_size_w=32, patch_size=4, num_classes=10, embed_dims=64,
        num_heads=4, mlp_ratio=4.0, depths=2,
    )  # fmt: skip
    return lively(Averaged(net), seed)


def theirs(network: nn.Module, x: Tensor) -> dict[str, dict[str, int]]:
    """What their counter says of each module, by operation."""
    functional.reset_net(network)
    counter = counters.SynOpCounter()
    with torch.no_grad(), counters.DispatchCounterMode([counter]):
        network(x)
    functional.reset_net(network)
    name = f"{type(network).__name__}."
    return {
        scope.removeprefix(name): {str(op): n for op, n in found.items()}
        for scope, found in counter.records.items()
    }


def ours(network: nn.Module, x: Tensor) -> tuple[Graph, Counts]:
    shape = tuple(x.shape[1:])
    graph = check_model(
        Model(Traced(network, (torch.zeros(1, *shape).double(),)), shape, "theirs")
    ).graph
    return graph, count(graph, x.numpy())


@pytest.mark.parametrize("seed", [0, 1])
def test_the_zoos_spikformer_layer_for_layer(seed: int) -> None:
    network = spikformer(seed)
    x = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(seed)).double()
    said, (_, counts) = theirs(network, x), ours(network, x)
    weighted = [op for op in counts.ops.values() if op.kind in ("conv", "linear")]
    driven = [op for op in weighted if op.spike_input]
    assert len(driven) == 4 + 2 * 2
    total = 0
    for op in driven:
        (found,) = said[op.path].values()
        assert found == int(op.synaptic_ops.sum()), op.path
        total += found
    assert total == said["Global"]["aten.convolution.default"] > 10**6
    assert {sum(said[op.path].values()) for op in weighted if not op.spike_input} == {0}


def test_attention_by_their_mixture_of_conventions() -> None:
    """Where both factors are spikes theirs counts what meets, else every partner of a spike."""
    network = spikformer(0)
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)).double()
    said, (_, counts) = theirs(network, x), ours(network, x)
    products = [op for op in counts.ops.values() if op.kind == "matmul"]
    assert len(products) == 4
    both = [op.spike_input and op.spike_right for op in products]
    assert both == [True, False] * 2
    mixed = sum(
        int((op.synaptic_ops if spikes else op.fan_out_ops).sum())
        for op, spikes in zip(products, both, strict=True)
    )
    assert mixed == said["Global"]["aten.bmm.default"]


class Layers(nn.Module):
    """Neurons, a conv, neurons, a linear, neurons: shown its input at every time step."""

    def __init__(self, **conv: Any) -> None:
        super().__init__()
        self.first, self.second, self.third = (
            neuron.LIFNode(tau=2.0), neuron.LIFNode(tau=2.0), neuron.IFNode(),
        )  # fmt: skip
        self.conv, self.linear = layer.Conv2d(2, 8, 3, **conv), layer.Linear(8 * 16, 5)
        functional.set_step_mode(self, "m")

    def forward(self, x: Tensor) -> Tensor:
        shown = x.unsqueeze(0).repeat(STEPS, 1, 1, 1, 1)
        spikes = self.second(self.conv(self.first(shown)))
        return torch.as_tensor(self.third(self.linear(spikes.flatten(2))).mean(0))


GEOMETRIES: tuple[dict[str, Any], ...] = (
    {"stride": 2, "padding": 1},
    {"stride": 2, "padding": 1, "groups": 2},
    {"stride": 2, "padding": 2, "dilation": 2, "bias": False},
)


@pytest.mark.parametrize("conv", GEOMETRIES, ids=str)
def test_memory_and_addresses_cost_the_same(conv: dict[str, Any]) -> None:
    """Lemaire's formulas, one sample: each part of the energy, to the last digits."""
    network = lively(Layers(**conv), 3)
    x = 3 * torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(3)).double()
    graph, counts = ours(network, x)
    functional.reset_net(network)
    said = counters.estimate_lemaire_energy(network, x).breakdown_pj
    functional.reset_net(network)
    found = memory_document("n", counts, graph, load_energy_model("lemaire2022"), {})
    parts = {name: of["energy_mj"] * 1e9 for name, of in found["events"].items()}
    for mine, name in (
        ("operations", "ops_pj"), ("addressing", "addressing_pj"), ("words_in_out", "inout_pj"),
        ("words_parameters", "params_pj"), ("words_potentials", "potential_pj"),
    ):  # fmt: skip
        assert parts[mine] == pytest.approx(said[name], rel=1e-12), name
        assert parts[mine] > 0
