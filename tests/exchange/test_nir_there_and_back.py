"""Framework -> NIR -> snncc -> NIR -> the framework again: the same spikes at every station.

SpikingJelly's way is in `test_nir_write.py`. What a framework's reader takes from no file, as the
kind of reset, is set by hand behind it.
"""

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
from snncc.frontends import hdf5, hdf5_child
from snncc.frontends.load import load_model
from snncc.ir.graph import Array
from snncc.ir.interpret import interpret

STEPS = 6
IMAGES = torch.rand(4, 2, 8, 8, generator=torch.Generator().manual_seed(7))
ROWS = torch.rand(9, 20, generator=torch.Generator().manual_seed(8))

pytestmark = pytest.mark.filterwarnings("ignore:nirtorch.*:DeprecationWarning")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in this process: another one for each file takes its time."""
    inside: Callable[[Path, str], None] = lambda p, f: hdf5_child.main(str(p), f)  # noqa: E731
    monkeypatch.setattr(hdf5, "_read_apart", inside)


def seeded(*layers: nn.Module, gain: float) -> None:
    """Draw weights on a grid, so that float sums are exact in any order."""
    random = torch.Generator().manual_seed(5)
    for layer in layers:
        for each in layer.parameters():
            spread = gain / each[0].numel() ** 0.5 if each.ndim > 1 else 0.1
            each.data.copy_((torch.randn(each.shape, generator=random) * spread * 64).round() / 64)


def in_snncc(folder: Path, graph: Any, x: Tensor, sizes: tuple[int, ...], **how: str) -> Array:
    """Write what an exporter made, read it, write it again as `back.nir`; return the last spikes.

    `sizes` are those of images that convolutions read, where the exporter leaves them open.
    """
    left = iter(sizes)
    for node in graph.nodes.values():
        if isinstance(node, nir.Conv2d) and node.input_shape is None:
            node.input_shape = (next(left),) * 2
    nir.write(folder / "there.nir", graph, compression=None)
    settings = {"T": str(STEPS), **how}
    steps = check_model(load_model(str(folder / "there.nir"), settings=settings)).graph
    write_nir(steps, folder / "back.nir")
    spikes: Array = interpret(steps, x.double().numpy())[steps.of_kind("neuron")[-1].name]
    assert 0.02 < spikes.mean() < 0.98
    return spikes


def ran(network: Any, x: Tensor) -> Array:
    """Return what a network of nirtorch or Norse gives at each step."""
    state, given = None, []
    with torch.no_grad():
        for _ in range(STEPS):
            spikes, state = network(x, state)
            given.append(spikes)
    return torch.stack(given).numpy()


@pytest.mark.parametrize("kind", ["LIFCell", "LIFBoxCell"])
def test_norse(kind: str, tmp_path: Path) -> None:
    """Its neurons with a current come back as `CubaLIF`, weighted so that it enters whole."""
    norse = pytest.importorskip("norse.torch")
    rates = {"tau_mem_inv": torch.tensor(500.0)}
    if kind == "LIFCell":
        rates["tau_syn_inv"] = torch.tensor(250.0)
    given = getattr(norse, kind.replace("Cell", "Parameters"))(**rates)
    first, second = nn.Conv2d(2, 6, 3), nn.Conv2d(6, 8, 3)
    seeded(first, second, gain=4.0)
    cell = getattr(norse, kind)
    network = norse.SequentialState(first, cell(given), second, cell(given))
    ours = in_snncc(tmp_path, norse.to_nir(network, IMAGES[:1]), IMAGES, (8, 6), framework="norse")
    back = norse.from_nir(nir.read(tmp_path / "back.nir"), dt=1e-4)
    np.testing.assert_array_equal(ran(network, IMAGES), ours)
    np.testing.assert_array_equal(ran(back, IMAGES), ours)


def test_sinabs(tmp_path: Path) -> None:
    layers = pytest.importorskip("sinabs.layers")
    activation = importlib.import_module("sinabs.activation")
    exchange = importlib.import_module("sinabs.nir")
    reset: dict[str, Any] = {
        "spike_fn": activation.SingleSpike, "reset_fn": activation.MembraneReset(),
        "min_v_mem": None,
    }  # fmt: skip

    def neuron() -> nn.Module:
        made: nn.Module = layers.IAFSqueeze(num_timesteps=STEPS, **reset)
        return made

    first, second = nn.Conv2d(2, 6, 3), nn.Conv2d(6, 8, 3)
    seeded(first, second, gain=1.0)
    network = nn.Sequential(first, neuron(), second, neuron())
    shown = IMAGES[:, None].expand(-1, STEPS, -1, -1, -1).flatten(0, 1)

    def fired(each: nn.Module) -> Array:
        with torch.no_grad():
            given = each(shown)
        spikes = given[0] if isinstance(given, tuple) else given
        return spikes.reshape(len(IMAGES), STEPS, *spikes.shape[1:]).swapaxes(0, 1).numpy()

    wanted = fired(network)
    made = exchange.to_nir(network, shown[:STEPS])
    ours = in_snncc(tmp_path, made, IMAGES, (8, 6), framework="sinabs", reset="hard")
    back = exchange.from_nir(nir.read(tmp_path / "back.nir"), num_timesteps=STEPS)
    for module in back.modules():
        if isinstance(module, layers.IAFSqueeze):
            for name, value in reset.items():
                setattr(module, name, value)
    np.testing.assert_array_equal(wanted, ours)
    np.testing.assert_array_equal(fired(back), ours)


def test_snntorch(tmp_path: Path) -> None:
    """A perceptron: its own reader flattens the batch with a `Flatten`."""
    snn = pytest.importorskip("snntorch")
    pytest.importorskip("nirtorch")
    exporter = importlib.import_module("snntorch.export_nir")
    importer = importlib.import_module("snntorch.import_nir")
    reset = {"reset_mechanism": "zero", "reset_delay": False}

    def leaky(size: int) -> nn.Module:
        rates = torch.full((size,), 0.75), torch.full((size,), 1.0)
        made: nn.Module = snn.Leaky(*rates, init_hidden=True, **reset)
        return made

    first, second = nn.Linear(20, 30), nn.Linear(30, 10)
    seeded(first, second, gain=2.0)
    network = nn.Sequential(first, leaky(30), second, leaky(10))
    made = exporter.export_to_nir(network, ROWS[:1], ignore_dims=[0])
    importlib.import_module("snntorch.utils").reset(network)
    with torch.no_grad():
        wanted = torch.stack([network(ROWS) for _ in range(STEPS)]).numpy()
    ours = in_snncc(tmp_path, made, ROWS, (), framework="snntorch", reset="hard")
    back = importer.import_from_nir(nir.read(tmp_path / "back.nir"))
    for module in back.modules():
        if isinstance(module, snn.Leaky):
            module.reset_mechanism, module.reset_delay = "zero", False
    np.testing.assert_array_equal(wanted, ours)
    np.testing.assert_array_equal(ran(back, ROWS), ours)
