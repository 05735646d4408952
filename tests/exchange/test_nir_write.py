"""NIR that snncc writes: its own readers and others' compute the same, and lies are refused."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.backends.nir.write import write_nir
from snncc.compiler import check_model
from snncc.diagnostics.core import SnnccError
from snncc.frontends import hdf5, hdf5_child
from snncc.frontends.load import from_module, load_model
from snncc.ir.graph import Graph
from snncc.ir.interpret import interpret
from snncc.models.neuron import IF, LIF

STEPS = 5
IMAGES = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(7))


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in this process: another one for each file takes its time."""
    inside: Callable[[Path, str], None] = lambda p, f: hdf5_child.main(str(p), f)  # noqa: E731
    monkeypatch.setattr(hdf5, "_read_apart", inside)


class Net(nn.Module):
    """Convolutions with batch norms, a residual of currents, an average pool and a mean."""

    def __init__(self, neuron: Callable[[], nn.Module] = LIF, *, answer: str = "mean") -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.lif = neuron()
        self.inner = nn.Conv2d(4, 4, 3, padding=1)
        self.outer = nn.Conv2d(1, 4, 1)
        self.second = neuron()
        self.pool = nn.AvgPool2d(2)
        self.fc = nn.Linear(64, 10)
        self.third = neuron()
        self.answer = answer
        generator = torch.Generator().manual_seed(3)
        for name, each in self.named_parameters():
            spread = 4 / each[0].numel() ** 0.5 if each.ndim > 1 else 0.2
            drawn = torch.randn(each.shape, generator=generator) * spread
            each.data.copy_((drawn * 64).round() / 64 + (1 if name == "norm.weight" else 1 / 512))

    def each(self, layer: nn.Module, x: Tensor) -> Tensor:
        made: Tensor = layer(x.flatten(0, 1))
        return made.reshape(*x.shape[:2], *made.shape[1:])

    def forward(self, image: Tensor) -> Tensor:
        x = image.expand(STEPS, *image.shape)
        y = self.lif(self.each(self.norm, self.each(self.conv, x)))
        y = self.second(self.each(self.inner, y) + self.each(self.outer, x))
        y = self.third(self.fc(self.each(self.pool, y).flatten(2)))
        found: Tensor = y.mean(0) if self.answer == "mean" else y.sum(0)
        return found


def graph_of(network: nn.Module) -> Graph:
    return check_model(from_module(network.eval(), IMAGES)).graph


def spikes(graph: Graph) -> list[Any]:
    values = interpret(graph, IMAGES.double().numpy())
    return [values[op.name] for op in graph.of_kind("neuron")]


@pytest.mark.parametrize("answer", ["mean", "sum"])
@pytest.mark.parametrize(
    "neuron", [LIF, lambda: LIF(tau=4.0, v_threshold=0.75), IF], ids=["lif", "tau", "if"]
)
def test_there_and_back(neuron: Callable[[], nn.Module], answer: str, tmp_path: Path) -> None:
    graph = graph_of(Net(neuron, answer=answer))
    write_nir(graph, tmp_path / "net.nir")
    model = load_model(str(tmp_path / "net.nir"))
    assert (model.notes, model.steps, model.input_shape) == ((), STEPS, (1, 8, 8))
    back = model.origin.graph()
    for ours, theirs in zip(spikes(back), spikes(graph), strict=True):
        assert 0.02 < theirs.mean() < 0.98
        np.testing.assert_array_equal(ours, theirs)
    x = IMAGES.double().numpy()
    wanted, found = (interpret(g, x)[g.ops[-1].name] for g in (graph, back))
    np.testing.assert_array_equal(found, wanted)


def test_nir_itself_reads_it_and_finds_the_types_right(tmp_path: Path) -> None:
    write_nir(graph_of(Net()), tmp_path / "net.nir")
    found = nir.read(tmp_path / "net.nir")
    kinds = sorted(type(node).__name__ for node in found.nodes.values())
    assert kinds == [
        "Affine", "AvgPool2d", "Conv2d", "Conv2d", "Conv2d", "Flatten", "Input", "LIF", "LIF",
        "LIF", "Output",
    ]  # fmt: skip
    assert sorted(start for start, stop in found.edges if stop == "second") == ["inner", "outer"]
    assert nir.serialization.read_version(tmp_path / "net.nir") == "1.0.8"


def test_spikingjelly_computes_the_same(tmp_path: Path) -> None:
    """Residual edges, too: nirtorch adds what leads into a node."""
    neurons = pytest.importorskip("spikingjelly.activation_based.neuron")
    exchange = importlib.import_module("spikingjelly.activation_based.nir_exchange")
    graph = graph_of(Net())
    write_nir(graph, tmp_path / "net.nir")
    network = exchange.import_from_nir(tmp_path / "net.nir")
    kept: dict[str, list[Tensor]] = {}
    for name, module in network.named_modules():
        if isinstance(module, neurons.BaseNode):
            kept[name] = []
            module.register_forward_hook(lambda m, i, out, k=kept[name]: k.append(out[0]))
    state, answers = None, []
    with torch.no_grad():
        for _ in range(STEPS):
            answer, state = network(IMAGES, state)
            answers.append(answer)
    values = interpret(graph, IMAGES.double().numpy())
    wanted = values[graph.of_kind("neuron")[-1].name]
    np.testing.assert_array_equal(torch.stack(answers).numpy(), wanted)


class Doubled(Net):
    def forward(self, image: Tensor) -> Tensor:
        return 2 * super().forward(image)


class Sew(Net):
    def forward(self, image: Tensor) -> Tensor:
        x = image.expand(STEPS, *image.shape)
        y = self.lif(self.each(self.conv, x))
        y = y + self.second(self.each(self.inner, y))
        y = self.third(self.fc(self.each(self.pool, y).flatten(2)))
        return y.mean(0)


class Attention(Net):
    def forward(self, image: Tensor) -> Tensor:
        y = self.lif(self.each(self.conv, image.expand(STEPS, *image.shape))).flatten(3)
        y = self.second(y.transpose(-1, -2) @ (y @ y.transpose(-1, -2)))
        return y.flatten(2).mean(0)


class Head(Net):
    def forward(self, image: Tensor) -> Tensor:
        y = self.lif(self.each(self.conv, image.expand(STEPS, *image.shape)))
        found: Tensor = self.fc(self.each(self.pool, y).flatten(2).mean(0))
        return found


class MaxPool(Net):
    def forward(self, image: Tensor) -> Tensor:
        y = self.lif(self.each(self.conv, image.expand(STEPS, *image.shape)))
        y = self.third(self.fc(self.each(nn.MaxPool2d(2), y).flatten(2)))
        return y.mean(0)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Sew, "a sum: NIR adds where currents meet in neurons"),
        (Attention, "an attention product"),
        (Doubled, "a factor 0.4 behind the sum over time"),
        (Head, "linear behind the sum over time steps"),
        (MaxPool, "a max-pool: NIR has sum and average pools"),
        (lambda: Net(lambda: LIF(v_reset=None)), "takes the threshold off its potential"),
    ],
)
def test_what_nir_cannot_say_is_refused(
    network: Callable[[], nn.Module], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(SnnccError, match=reason) as refused:
        write_nir(graph_of(network()), tmp_path / "net.nir")
    assert {d.rule.code for d in refused.value.diagnostics} == {"SNN180"}
    assert not (tmp_path / "net.nir").exists()
