"""Networks that frameworks export as NIR compute in snncc what they compute in the framework."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.frontends.load import load_model
from snncc.ir.graph import Array, Graph
from snncc.ir.interpret import interpret

STEPS = 5
IMAGES = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(7))


def read(path: Path, **settings: str) -> Graph:
    model = load_model(str(path), settings={"T": str(STEPS), **settings})
    return model.origin.graph()


def spikes_of(graph: Graph) -> list[Array]:
    values = interpret(graph, IMAGES.double().numpy())
    return [values[op.name] for op in graph.of_kind("neuron")]


def fired(network: nn.Module, kinds: tuple[type, ...], run: Callable[[], Any]) -> list[Array]:
    """Return the spikes of each neuron layer, `[T, B, ...]`, of a run of single steps."""
    found: dict[int, list[Tensor]] = {}

    def keep(module: nn.Module, _: Any, result: Any) -> None:
        spikes = result[0] if isinstance(result, tuple) else result
        found.setdefault(id(module), []).append(spikes.detach().clone())

    layers = [m for m in network.modules() if isinstance(m, kinds)]
    hooks = [m.register_forward_hook(keep) for m in layers]
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()
    return [torch.stack(found[id(m)]).numpy() for m in layers]


def write(path: Path, graph: Any) -> None:
    """Write what an exporter made; HDF5 takes neither `None` nor packed numbers without axes."""
    for node in graph.nodes.values():
        if isinstance(node, nir.Conv2d) and node.input_shape is None:
            node.input_shape = (8, 8)
        if isinstance(node, nir.Flatten) and node.input_type["input"] is None:
            node.input_type = {"input": np.array([4, 4, 4])}
    nir.write(path, graph, compression=None)


def assert_same(theirs: list[Array], ours: list[Array]) -> None:
    assert len(theirs) == len(ours)
    for a, b in zip(theirs, ours, strict=True):
        assert a.shape == b.shape
        assert 0.02 < np.mean(a > 0) < 0.98, np.mean(a > 0)
        np.testing.assert_array_equal(a, b)


def weights(seed: int, *layers: nn.Module, gain: float = 3.0) -> None:
    """Draw weights with which neurons fire, on a coarse grid: no potential meets a threshold."""
    generator = torch.Generator().manual_seed(seed)
    for layer in layers:
        for name, each in layer.named_parameters():
            spread = gain / max(each[0].numel(), 1) ** 0.5 if name == "weight" else 0.3
            drawn = torch.randn(each.shape, generator=generator) * spread
            each.data.copy_((drawn * 64).round() / 64 + (1 / 512 if name == "bias" else 0))


# -- snnTorch ----------------------------------------------------------------


def snn_network(**options: Any) -> nn.Sequential:
    snn = pytest.importorskip("snntorch")

    def leaky(*shape: int) -> nn.Module:
        sizes = {"beta": torch.full(shape, 0.75), "threshold": torch.full(shape, 1.0)}
        made: nn.Module = snn.Leaky(**sizes, init_hidden=True, **options)
        return made

    conv, head = nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.Linear(64, 10)
    weights(0, conv, head)
    return nn.Sequential(conv, leaky(4, 4, 4), nn.Flatten(), head, leaky(10))


def snn_spikes(network: nn.Module) -> list[Array]:
    snn = importlib.import_module("snntorch")
    utils = importlib.import_module("snntorch.utils")
    utils.reset(network)
    return fired(network, (snn.Leaky,), lambda: [network(IMAGES) for _ in range(STEPS)])


def snn_export(network: nn.Module, path: Path) -> None:
    export = importlib.import_module("snntorch.export_nir")
    graph = export.export_to_nir(network, IMAGES[:1], ignore_dims=[0])
    nir.write(path, graph, compression=None)


@pytest.mark.parametrize(("mechanism", "settings"), [("subtract", {}), ("zero", {"reset": "hard"})])
@pytest.mark.filterwarnings("ignore:nirtorch.*:DeprecationWarning")
def test_snntorch(mechanism: str, settings: Mapping[str, str], tmp_path: Path) -> None:
    network = snn_network(reset_mechanism=mechanism)
    snn_export(network, tmp_path / "net.nir")
    graph = read(tmp_path / "net.nir", framework="snntorch", **settings)
    assert_same(snn_spikes(network), spikes_of(graph))


def synaptic_network(**options: Any) -> nn.Sequential:
    snn = pytest.importorskip("snntorch")

    def synaptic(*shape: int) -> nn.Module:
        numbers = {"alpha": 0.8, "beta": 0.75, "threshold": 1.5}
        sizes = {name: torch.full(shape, value) for name, value in numbers.items()}
        made: nn.Module = snn.Synaptic(**sizes, init_hidden=True, **options)
        return made

    conv, head = nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.Linear(64, 10)
    weights(0, conv, head, gain=2.0)
    return nn.Sequential(conv, synaptic(4, 4, 4), nn.Flatten(), head, synaptic(10))


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({"reset_mechanism": "subtract"}, {}),
        ({"reset_mechanism": "zero", "reset_delay": False}, {"reset": "hard"}),
    ],
    ids=["subtract", "zero"],
)
@pytest.mark.filterwarnings("ignore:nirtorch.*:DeprecationWarning")
def test_currents_of_snntorch(
    options: Mapping[str, Any], settings: Mapping[str, str], tmp_path: Path
) -> None:
    network = synaptic_network(**options)
    snn_export(network, tmp_path / "net.nir")
    snn = importlib.import_module("snntorch")
    importlib.import_module("snntorch.utils").reset(network)
    theirs = fired(network, (snn.Synaptic,), lambda: [network(IMAGES) for _ in range(STEPS)])
    graph = read(tmp_path / "net.nir", framework="snntorch", **settings)
    assert [op.attributes()["keep"] for op in graph.of_kind("synaptic_current")] == [0.8, 0.8]
    assert not graph.of_kind("scale")
    assert_same(theirs, spikes_of(graph))


# -- SpikingJelly ------------------------------------------------------------


def jelly_network(neuron: Any) -> nn.Sequential:
    first, second, head = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3), nn.Linear(24, 10)
    weights(1, first, second, head, gain=6.0)
    pool, flat = nn.AvgPool2d(2), nn.Flatten()
    return nn.Sequential(first, neuron(), pool, second, neuron(), flat, head, neuron())


JELLY = {
    "lif": lambda n: n.LIFNode(tau=2.0),
    "lif-plain": lambda n: n.LIFNode(tau=4.0, decay_input=False, v_threshold=1.5),
    "lif-above-zero": lambda n: n.LIFNode(tau=2.0, v_reset=0.25),
    "plif": lambda n: n.ParametricLIFNode(init_tau=3.0),
    "if": lambda n: n.IFNode(v_threshold=2.0),
    "cuba": lambda n: n.CUBALIFNode(c_decay=0.6, v_decay=0.75, v_threshold=2.5),
}


@pytest.mark.parametrize("kind", JELLY)
def test_spikingjelly(kind: str, tmp_path: Path) -> None:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    exchange = importlib.import_module("spikingjelly.activation_based.nir_exchange")
    functional = importlib.import_module("spikingjelly.activation_based.functional")
    network = jelly_network(lambda: JELLY[kind](neuron)).eval()
    exchange.export_to_nir(network, IMAGES[:1], save_path=tmp_path / "net.nir")
    functional.reset_net(network)
    runs = lambda: [network(IMAGES) for _ in range(STEPS)]  # noqa: E731
    theirs = fired(network, (neuron.BaseNode,), runs)
    assert_same(theirs, spikes_of(read(tmp_path / "net.nir", framework="spikingjelly")))


# -- Norse -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["LIFBoxCell", "IAFCell", "LIFCell"])
@pytest.mark.filterwarnings("ignore:nirtorch.*:DeprecationWarning")
def test_norse(kind: str, tmp_path: Path) -> None:
    """It exports neither pools nor flatten: convolutions alone."""
    norse = pytest.importorskip("norse.torch")
    exporter = importlib.import_module("norse.torch.utils.export_nir")
    first, second = nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.Conv2d(4, 10, 4)
    weights(4, first, second, gain=3.0 if kind == "IAFCell" else 12.0)
    cell = getattr(norse, kind)
    network = norse.SequentialState(first, cell(), second, cell())
    write(tmp_path / "net.nir", exporter.to_nir(network, IMAGES[:1]))

    def run() -> None:
        state = None
        for _ in range(STEPS):
            _, state = network(IMAGES, state)

    theirs = fired(network, (cell,), run)
    assert_same(theirs, spikes_of(read(tmp_path / "net.nir", framework="norse")))


@pytest.mark.filterwarnings("ignore:nirtorch.*:DeprecationWarning")
def test_an_integrator_of_norse(tmp_path: Path) -> None:
    """The answer is the sum of its potentials."""
    norse = pytest.importorskip("norse.torch")
    exporter = importlib.import_module("norse.torch.utils.export_nir")
    first, second = nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.Conv2d(4, 10, 4)
    weights(4, first, second, gain=12.0)
    network = norse.SequentialState(first, norse.LIFCell(), second, norse.LIBoxCell())
    write(tmp_path / "net.nir", exporter.to_nir(network, IMAGES[:1]))
    state, total = None, torch.zeros(())
    with torch.no_grad():
        for _ in range(STEPS):
            given, state = network(IMAGES, state)
            total = total + given
    graph = read(tmp_path / "net.nir", framework="norse")
    answer = interpret(graph, IMAGES.double().numpy())[graph.ops[-1].name]
    assert np.abs(total.numpy()).max() > 0.1
    np.testing.assert_allclose(answer, total.numpy(), rtol=1e-4, atol=1e-6)


# -- sinabs ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["iaf", "lif", "lif-as-it-is"])
@pytest.mark.filterwarnings("ignore:nirtorch.*:DeprecationWarning")
def test_sinabs(kind: str, tmp_path: Path) -> None:
    layers = pytest.importorskip("sinabs.layers")
    activation = importlib.import_module("sinabs.activation")
    to_nir = importlib.import_module("sinabs.nir").to_nir
    common: dict[str, Any] = {
        "spike_fn": activation.SingleSpike, "num_timesteps": STEPS, "min_v_mem": None,
    }  # fmt: skip
    more: dict[str, Any] = {"tau_mem": 3.0, "norm_input": kind == "lif"}

    def neuron() -> nn.Module:
        made: nn.Module = (
            layers.IAFSqueeze(**common) if kind == "iaf" else layers.LIFSqueeze(**common, **more)
        )
        return made

    first, head = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(64, 10)
    weights(3, first, head, gain=8.0 if kind == "lif" else 3.0)
    network = nn.Sequential(first, neuron(), layers.SumPool2d(2), nn.Flatten(), head, neuron())
    shown = IMAGES[:, None].expand(-1, STEPS, -1, -1, -1).flatten(0, 1)
    kept = [m for m in network if hasattr(m, "reset_states")]
    theirs = [each[0] for each in fired(network, tuple(map(type, kept)), lambda: network(shown))]
    write(tmp_path / "net.nir", to_nir(network, shown[:STEPS]))
    steps = [np.swapaxes(a.reshape(len(IMAGES), STEPS, *a.shape[1:]), 0, 1) for a in theirs]
    settings = {"norm_input": "false"} if kind == "lif-as-it-is" else {}
    assert_same(steps, spikes_of(read(tmp_path / "net.nir", framework="sinabs", **settings)))


@pytest.mark.parametrize("norm_input", [True, False])
@pytest.mark.filterwarnings("ignore:nirtorch.*:DeprecationWarning")
def test_an_integrator_of_sinabs(norm_input: bool, tmp_path: Path) -> None:
    layers = pytest.importorskip("sinabs.layers")
    to_nir = importlib.import_module("sinabs.nir").to_nir
    head = nn.Linear(64, 10)
    weights(3, head)
    leak = layers.ExpLeakSqueeze(tau_mem=3.0, num_timesteps=STEPS, norm_input=norm_input)
    network = nn.Sequential(nn.Flatten(), head, leak)
    shown = IMAGES[:, None].expand(-1, STEPS, -1, -1, -1).flatten(0, 1)
    with torch.no_grad():
        theirs = network(shown).reshape(len(IMAGES), STEPS, 10).sum(1)
    write(tmp_path / "net.nir", to_nir(network, shown[:STEPS]))
    graph = read(tmp_path / "net.nir", framework="sinabs", norm_input=str(norm_input).lower())
    answer = interpret(graph, IMAGES.double().numpy())[graph.ops[-1].name]
    np.testing.assert_allclose(answer, theirs.numpy(), rtol=1e-4, atol=1e-5)
