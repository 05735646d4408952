"""The tour of neurons whose currents last: snnTorch -> NIR -> snncc -> Lava, equal spikes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.artefact import read_artefact
from snncc.cli.guard import guarded
from snncc.compiler import compile_model
from snncc.frontends.load import from_module, load_model
from snncc.ir.graph import Graph
from snncc.ir.interpret import interpret
from snncc.targets.load import load_target

TRAIN = Path(__file__).parents[2] / "examples" / "exchange" / "train_snntorch.py"
READ = {"framework": "snntorch", "reset": "hard", "T": "4"}
SET = [each for name, value in READ.items() for each in ("--set", f"{name}={value}")]

pytestmark = pytest.mark.filterwarnings("ignore:nirtorch.*:DeprecationWarning")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    """Train the example's network for a while with `Synaptic` neurons, and compile its file."""
    for package in ("nirtorch", "sklearn"):
        pytest.importorskip(package)
    snn = pytest.importorskip("snntorch")
    found = tmp_path_factory.mktemp("tour")
    spec = importlib.util.spec_from_file_location("train_snntorch", TRAIN)
    assert spec is not None
    assert spec.loader is not None
    train: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train)

    def synaptic(*shape: int) -> nn.Module:
        numbers = (torch.full(shape, value) for value in (0.5, 0.5, 1.0))
        made: nn.Module = snn.Synaptic(
            *numbers, init_hidden=True, reset_mechanism="zero", reset_delay=False
        )
        return made

    train.leaky = synaptic
    network = train.network()
    train.network = lambda: network
    train.main(found, epochs=3)
    options = ("--target", "loihi2", "--data", str(found / "calibration.npz"))
    assert guarded(["check", str(found / "digits.nir"), *SET]) == 0
    build = ("-o", str(found / "build"))
    assert guarded(["compile", str(found / "digits.nir"), *SET, *options, *build]) == 0
    return found, network


def test_lava_fires_the_same_spikes(
    trained: tuple[Path, nn.Module], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lava.magma")
    folder, _ = trained
    asked = ["--input", str(folder / "test.npz"), "--limit", "20", "--backend", "lava", "--verify"]
    assert guarded(["simulate", str(folder / "build"), *asked, "--format", "json"]) == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (said["verified"], said["mismatches"]) == (True, 0)
    assert said["spikes_compared"] == 20 * 4 * (512 + 256 + 10)
    assert said["accuracy"]["integer"] > 0.6


def spikes(graph: Graph, images: np.ndarray[Any, Any]) -> list[Any]:
    values = interpret(graph, images.astype(np.float64))
    return [values[op.name] for op in graph.of_kind("neuron")]


def test_the_file_comes_back_as_a_file(trained: tuple[Path, nn.Module]) -> None:
    folder, _ = trained
    copy = folder / "copy.nir"
    assert guarded(["convert", str(folder / "digits.nir"), str(copy), *SET]) == 0
    images = np.load(folder / "test.npz")["x"][:30]
    first = load_model(str(folder / "digits.nir"), settings=READ).origin.graph()
    again = load_model(str(copy)).origin.graph()
    keeps = [
        [op.attributes()["keep"] for op in g.of_kind("synaptic_current")] for g in (first, again)
    ]
    assert keeps == [[0.5] * 3] * 2
    for a, b in zip(spikes(first, images), spikes(again, images), strict=True):
        np.testing.assert_array_equal(a, b)


class Looped(nn.Module):
    """The network over all time steps, as its file says."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros(())
        for _ in range(4):
            total = total + self.network(x)
        return total


def test_the_network_itself_gives_the_same_integers(trained: tuple[Path, nn.Module]) -> None:
    folder, network = trained
    calibration = np.load(folder / "calibration.npz")["x"]
    for each in network.modules():
        for name in ("alpha", "beta", "threshold"):
            if hasattr(each, name):
                setattr(each, name, getattr(each, name).flatten()[0].clone())
    model = from_module(Looped(network).eval(), torch.from_numpy(calibration[:1]))
    own = compile_model(model, target=load_target("loihi2"), calibration=calibration)
    assert own.agreement.equal
    images = np.load(folder / "test.npz")["x"][:30]
    read = read_artefact(folder / "build").integer
    wanted, found = (interpret(g, images) for g in (read, own.integer))
    assert [op.kind for op in read.of_kind("integer_current")] == ["integer_current"] * 3
    for a, b in zip(
        read.of_kind("integer_neuron"), own.integer.of_kind("integer_neuron"), strict=True
    ):
        np.testing.assert_array_equal(wanted[a.name], found[b.name])
