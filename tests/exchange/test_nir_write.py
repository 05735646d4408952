"""NIR that snncc writes: its own readers and others' compute the same, and lies are refused."""

from __future__ import annotations

import dataclasses
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
from snncc.ir import ops
from snncc.ir.graph import Graph
from snncc.ir.interpret import interpret
from snncc.ir.synaptic_current import SynapticCurrent
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


class Channels(Net):
    def forward(self, image: Tensor) -> Tensor:
        y = self.lif(self.each(self.conv, image.expand(STEPS, *image.shape)))
        return self.second(y.sum(2)).flatten(2).mean(0)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Channels, "a sum over places other than those of an image"),
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


def _by_equations(file: nir.NIRGraph, x: Any, dt: float = 1e-4) -> dict[str, Any]:
    """The values of each node at each step by NIR's own equations, in Euler steps of ``dt``."""
    state: dict[str, Any] = {}
    made: dict[str, list[Any]] = {}
    for frame in x:
        values: dict[str, Any] = {}
        for name in _in_order(file):
            node, starts = file.nodes[name], [a for a, b in file.edges if b == name]
            read = sum(values[start] for start in starts) if starts else frame
            values[name] = _step(node, read, name, state, dt)
            made.setdefault(name, []).append(values[name])
    return {name: np.stack(each) for name, each in made.items()}


def _in_order(file: nir.NIRGraph) -> list[str]:
    done: list[str] = []
    while len(done) < len(file.nodes):
        done += [
            name
            for name in file.nodes
            if name not in done and all(a in done for a, b in file.edges if b == name)
        ]
    return done


def _step(node: Any, x: Any, name: str, state: dict[str, Any], dt: float) -> Any:
    kind = type(node).__name__
    if kind == "Conv2d":
        given, weight, bias = (
            torch.from_numpy(np.asarray(a, np.float64)) for a in (x, node.weight, node.bias)
        )
        padding = [int(n) for n in node.padding]
        return nn.functional.conv2d(given, weight, bias, padding=padding).numpy()
    if kind == "Affine":
        return x @ node.weight.T.astype(np.float64) + node.bias
    if kind == "Flatten":
        return x.reshape(len(x), -1)
    if kind == "LI":
        v = state.get(name, 0)
        state[name] = v + dt / node.tau * (node.v_leak - v + node.r * x)
        return state[name]
    if kind not in ("CubaLIF", "LIF", "IF"):
        return x
    current, v = state.get(name, (0.0, 0.0))
    if kind == "CubaLIF":
        x = current = current + dt / node.tau_syn * (node.w_in * x - current)
    if kind == "IF":
        v = v + dt * node.r * x
    else:
        tau = node.tau_mem if kind == "CubaLIF" else node.tau
        v = v + dt / tau * (node.v_leak - v + node.r * x)
    spikes = v > node.v_threshold
    state[name] = current, np.where(spikes, node.v_reset, v)
    return spikes.astype(np.float64)


@pytest.mark.parametrize("residual", [False, True])
def test_currents_that_last(
    lasting_network: Callable[..., Graph],
    events: Callable[..., Any],
    residual: bool,
    tmp_path: Path,
) -> None:
    """A layer's own current is part of its neurons; one that meets others is an integrator."""
    graph = lasting_network(residual=residual)
    steps = (op for op in graph.ops if op.kind not in ("readout", "output"))
    narrow = {n: np.asarray(w).astype(np.float32) for n, w in graph.weights.items()}
    end = (
        ops.Readout(name="sum", inputs=("s3",), steps=6),
        ops.Output(name="y", inputs=("sum",)),
    )
    every = graph.replace([*(op for op in steps if op.name != "h"), *end], narrow)
    write_nir(every, tmp_path / "net.nir")
    file = nir.read(tmp_path / "net.nir")
    kinds = {name: type(node).__name__ for name, node in file.nodes.items()}
    assert kinds["s1"] == kinds["s3"] == "CubaLIF"
    assert (kinds["s2"], kinds.get("i2")) == (("LIF", "LI") if residual else ("CubaLIF", None))
    assert np.allclose(file.nodes["s1"].tau_syn, 4e-4)
    assert np.allclose(file.nodes["s1"].w_in, 4)
    x = events(0, 4).swapaxes(0, 1)
    wanted, found = interpret(every, x), _by_equations(file, x)
    for name in ("s1", "s2", "s3"):
        assert 0.02 < wanted[name].mean() < 0.98
        np.testing.assert_array_equal(found[name], wanted[name])


def test_a_neuron_that_keeps_all_reads_an_integrator(tmp_path: Path) -> None:
    made: tuple[Any, ...] = (
        ops.Input(name="x", shape=(3,), varies=True),
        SynapticCurrent(name="i", inputs=("x",), keep=0.75),
        ops.Neuron(name="s", inputs=("i",), tau=None),
        ops.Readout(name="sum", inputs=("s",), steps=STEPS),
        ops.Output(name="y", inputs=("sum",)),
    )
    graph = Graph(made, {}, "step", STEPS)
    write_nir(graph, tmp_path / "net.nir")
    file = nir.read(tmp_path / "net.nir")
    assert [type(file.nodes[n]).__name__ for n in ("i", "s")] == ["LI", "IF"]
    x = np.random.default_rng(0).uniform(0, 0.6, (STEPS, 4, 3))
    np.testing.assert_array_equal(_by_equations(file, x)["s"], interpret(graph, x)["s"])
    endless = dataclasses.replace(made[1], keep=1.0)
    with pytest.raises(SnnccError, match="a current that never fades") as refused:
        write_nir(graph.replace([made[0], endless, *made[2:]]), tmp_path / "other.nir")
    assert {d.rule.code for d in refused.value.diagnostics} == {"SNN180"}
    assert not (tmp_path / "other.nir").exists()


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("biases", [False, True])
def test_currents_that_last_there_and_back(
    lasting_network: Callable[..., Graph],
    events: Callable[..., Any],
    residual: bool,
    biases: bool,
    tmp_path: Path,
) -> None:
    """snncc reads the ops that it wrote: the same shares, leaks and thresholds."""
    graph = lasting_network(residual=residual, biases=biases)
    write_nir(graph, tmp_path / "net.nir")
    back = load_model(str(tmp_path / "net.nir")).origin.graph()
    read, written = (
        [op.keep for op in g.ops if isinstance(op, SynapticCurrent)] for g in (back, graph)
    )
    assert read == written
    for ours, theirs in zip(back.of_kind("neuron"), graph.of_kind("neuron"), strict=True):
        assert dataclasses.replace(ours, name="", inputs=(), source=theirs.source) == (
            dataclasses.replace(theirs, name="", inputs=())
        )
    narrow = {n: np.asarray(w).astype(np.float32) for n, w in graph.weights.items()}
    x = events(0, 4).swapaxes(0, 1)
    wanted = interpret(graph.replace(graph.ops, narrow), x)
    found = interpret(back, x)
    for ours, theirs in zip(back.of_kind("neuron"), graph.of_kind("neuron"), strict=True):
        np.testing.assert_array_equal(found[ours.name], wanted[theirs.name])


class Unrolled(nn.Module):
    """snnTorch's neurons with currents and a reset to zero, called once a step as users do."""

    def __init__(self) -> None:
        super().__init__()
        snn = pytest.importorskip("snntorch")
        how = {"reset_mechanism": "zero", "reset_delay": False}
        self.fc1, self.lif1 = nn.Linear(64, 32), snn.Synaptic(alpha=0.5, beta=0.75, **how)
        self.fc2, self.lif2 = nn.Linear(32, 10), snn.Synaptic(alpha=0.5, beta=0.75, **how)
        for each in (self.fc1, self.fc2):
            each.weight.data.mul_(4)

    def forward(self, image: Tensor) -> Tensor:
        """Return the spikes of all steps, summed."""
        (syn1, mem1), (syn2, mem2) = self.lif1.reset_mem(), self.lif2.reset_mem()
        total = torch.zeros(1)
        for _ in range(STEPS):
            s, syn1, mem1 = self.lif1(self.fc1(image.flatten(1)), syn1, mem1)
            s, syn2, mem2 = self.lif2(self.fc2(s), syn2, mem2)
            total = total + s
        return total


def test_a_network_of_synaptic_neurons_that_reset_to_zero(tmp_path: Path) -> None:
    torch.manual_seed(0)
    graph = graph_of(Unrolled())
    write_nir(graph, tmp_path / "net.nir")
    back = load_model(str(tmp_path / "net.nir")).origin.graph()
    wanted = spikes(graph)
    assert all(0.02 < each.mean() < 0.98 for each in wanted)
    found = interpret(back, IMAGES.double().numpy())
    for op, each in zip(back.of_kind("neuron"), wanted, strict=True):
        np.testing.assert_array_equal(found[op.name].reshape(each.shape), each)
