"""The tour of a trained network: snnTorch -> NIR -> snncc -> Lava and netx, equal spikes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc.artefact import read_artefact
from snncc.cli.guard import guarded
from snncc.frontends.load import load_model
from snncc.ir.interpret import interpret

TRAIN = Path(__file__).parents[2] / "examples" / "exchange" / "train_snntorch.py"
READ = ("--set", "framework=snntorch", "--set", "reset=hard", "--set", "T=4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train for a while, and compile for a chip."""
    for package in ("snntorch", "nirtorch", "sklearn"):
        pytest.importorskip(package)
    found = tmp_path_factory.mktemp("tour")
    spec = importlib.util.spec_from_file_location("train_snntorch", TRAIN)
    assert spec is not None
    assert spec.loader is not None
    train = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train)
    train.main(found, epochs=3)
    model = str(found / "digits.nir")
    assert guarded(["check", model, *READ]) == 0
    options = ("--target", "loihi2", "--data", str(found / "calibration.npz"))
    assert guarded(["compile", model, *READ, *options, "-o", str(found / "build")]) == 0
    return found


pytestmark = pytest.mark.filterwarnings("ignore:nirtorch.*:DeprecationWarning")


def test_lava_fires_the_same_spikes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("lava.magma")
    asked = ["--input", str(folder / "test.npz"), "--limit", "20", "--backend", "lava", "--verify"]
    assert guarded(["simulate", str(folder / "build"), *asked, "--format", "json"]) == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (said["verified"], said["mismatches"]) == (True, 0)
    assert said["spikes_compared"] == 20 * 4 * (512 + 256 + 10)
    assert said["accuracy"]["integer"] > 0.6


def test_lava_dl_fires_the_same_spikes(folder: Path) -> None:
    pytest.importorskip("lava.lib.dl")
    from snncc.backends.lava.netx import run_netx

    assert guarded(["convert", str(folder / "build"), str(folder / "digits.net")]) == 0
    graph = read_artefact(folder / "build").integer
    values = interpret(graph, np.load(folder / "test.npz")["x"][:10])
    (shown,) = graph.of_kind("repeat")
    last = values[graph.of_kind("integer_neuron")[-1].name]
    spikes = run_netx(folder / "digits.net", values[shown.name], graph.steps, timeout=60)
    assert 0.02 < last.mean() < 0.5
    np.testing.assert_array_equal(spikes.reshape(last.shape), last)


def test_the_netx_file_is_read_back_with_the_same_answers(folder: Path) -> None:
    guarded(["convert", str(folder / "build"), str(folder / "digits.net")])
    graph = read_artefact(folder / "build").integer
    images = np.load(folder / "test.npz")["x"][:50]
    back = load_model(str(folder / "digits.net")).origin.graph()
    wanted, found = (interpret(g, images)[g.ops[-1].name] for g in (graph, back))
    np.testing.assert_array_equal(found, wanted)
