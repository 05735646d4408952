"""``snncc convert`` to ONNX, from an artefact and from a model, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from snncc.artefact import read_artefact
from snncc.cli.guard import guarded
from snncc.execute.executor import Executor
from snncc.ir.graph import Array
from snncc.models.zoo import FORMS

SIZES = {"depth": 1, "dim": 16, "heads": 2, "img_size": 8, "classes": 3, "in_channels": 1}
SETTINGS = ("--set", "heads=2", "--set", "T=2", "--set", "img_size=8")
Told = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose neurons fire, samples, and the artefact of both."""
    folder = tmp_path_factory.mktemp("convert")
    torch.manual_seed(5)
    network = FORMS["spikingformer-cifar"].build(**SIZES)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.constant_(module.weight, 2.0)
            torch.nn.init.uniform_(module.bias, -0.5, 1.0)
    torch.save({"state_dict": network.state_dict()}, folder / "net.pth")
    x = np.random.default_rng(0).integers(0, 17, (6, 1, 8, 8)).astype(np.float32) / 16
    np.savez(folder / "data.npz", x=x, y=np.arange(6) % 3)
    told = ("--target", "loihi2", "--data", folder / "data.npz", *SETTINGS)
    assert snncc("compile", folder / "net.pth", *told, "-o", folder / "net") == 0
    return folder


def snncc(*arguments: object) -> int:
    return guarded([str(each) for each in arguments])


def samples(folder: Path) -> Array:
    with np.load(folder / "data.npz") as found:
        x: Array = found["x"]
    return x


@pytest.mark.parametrize("how", [(), ("--scan",), ("--unroll",)])
def test_an_artefact(
    folder: Path, tmp_path: Path, how: tuple[str, ...], capsys: Told,
    in_onnxruntime: Callable[[bytes, Array], dict[str, Array]],
) -> None:  # fmt: skip
    out = tmp_path / "net.onnx"
    assert snncc("convert", folder / "net", out, *how) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"wrote {out} (ONNX, {out.stat().st_size:,} bytes)\n"
    x = samples(folder)
    want = Executor(read_artefact(folder / "net").integer).run(x).output
    assert want.any()
    assert np.array_equal(in_onnxruntime(out.read_bytes(), x)["output"], want)
    loops = [n.op_type for n in onnx.load(out).graph.node].count("Scan")
    assert loops == (0 if how == ("--unroll",) else 1)


def test_a_model_is_compiled_first(folder: Path, tmp_path: Path) -> None:
    """The same bytes as from the artefact."""
    told = ("--target", "loihi2", "--data", folder / "data.npz", *SETTINGS)
    assert snncc("convert", folder / "net.pth", tmp_path / "model.onnx", *told) == 0
    assert snncc("convert", folder / "net", tmp_path / "artefact.onnx") == 0
    assert (tmp_path / "model.onnx").read_bytes() == (tmp_path / "artefact.onnx").read_bytes()


def test_a_model_without_a_target_is_refused(folder: Path, tmp_path: Path, capsys: Told) -> None:
    assert snncc("convert", folder / "net.pth", tmp_path / "net.onnx", *SETTINGS) == 2
    assert "error[SNN164]: the format ONNX takes the integers" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_damaged_artefact_is_refused(folder: Path, tmp_path: Path, capsys: Told) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in (folder / "net").iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "graph.txt").write_text("graph step T4 {\n}\n")
    assert snncc("convert", broken, tmp_path / "net.onnx") == 2
    assert "SNN141" in capsys.readouterr().err
    assert not (tmp_path / "net.onnx").exists()


def test_an_older_file_is_replaced_only_by_a_whole_one(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.onnx"
    out.write_text("older")
    assert snncc("convert", folder / "net.pth", out, *SETTINGS) == 2
    assert out.read_text() == "older"
    assert snncc("convert", folder / "net", out) == 0
    onnx.checker.check_model(str(out), full_check=True)
    assert [each.name for each in tmp_path.iterdir()] == ["net.onnx"]
