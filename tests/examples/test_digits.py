"""The digits example: what ships beside it loads safely, and is as good as it says."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.models.neuron import SpikingNeuron
from snncc.models.zoo import FORMS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "digits"
NETWORKS = ("spikingformer", "spikformer")


def module(name: str) -> Any:
    """The example's own file; `examples` is no installed package."""
    spec = importlib.util.spec_from_file_location(f"digits_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


data = module("data")


def load(network: str) -> dict[str, Any]:
    with torch.serialization.safe_globals([argparse.Namespace]):
        found: dict[str, Any] = torch.load(FOLDER / f"{network}.pth.tar", weights_only=True)
    return found


def build(network: str) -> nn.Module:
    """The network that the checkpoint's own `args` describe, with its weights."""
    saved = load(network)
    args = saved["args"]
    model = FORMS[f"{network}-cifar"].build(
        dim=args.dim,
        depth=args.depths,
        heads=args.num_heads,
        mlp_ratio=args.mlp_ratio,
        T=args.time_step,
        img_size=args.img_size,
        in_channels=args.in_channels,
        classes=args.num_classes,
    )
    model.load_state_dict(saved["state_dict"], strict=True)
    return model.eval()


@pytest.fixture(scope="module")
def held_out() -> tuple[Tensor, Tensor]:
    samples = data.test()
    return torch.stack([x for x, _ in samples]), torch.tensor([y for _, y in samples])


@pytest.mark.parametrize("network", NETWORKS)
def test_the_container_is_the_official_one(network: str) -> None:
    saved = load(network)
    assert {"epoch", "arch", "state_dict", "args", "version", "metric"} <= saved.keys()
    assert (saved["arch"], saved["version"]) == (network, 2)
    assert all(isinstance(v, Tensor) for v in saved["state_dict"].values())
    args = saved["args"]
    assert isinstance(args, argparse.Namespace)
    assert (args.time_step, args.num_heads, args.depths, args.patch_size) == (4, 4, 2, 4)


@pytest.mark.parametrize("network", NETWORKS)
def test_plain_safe_loading_refuses_the_namespace(network: str) -> None:
    with pytest.raises(Exception, match="Namespace"):
        torch.load(FOLDER / f"{network}.pth.tar", weights_only=True)


@pytest.mark.parametrize("network", NETWORKS)
@torch.no_grad()
def test_accuracy_on_held_out_images(network: str, held_out: tuple[Tensor, Tensor]) -> None:
    x, y = held_out
    top1 = (build(network)(x).argmax(1) == y).double().mean().item()
    assert top1 >= 0.97
    assert 100 * top1 == pytest.approx(load(network)["metric"], abs=0.25)


@pytest.mark.parametrize("network", NETWORKS)
@torch.no_grad()
def test_every_neuron_layer_fires(network: str, held_out: tuple[Tensor, Tensor]) -> None:
    model = build(network)
    rates: dict[str, float] = {}
    for path, layer in model.named_modules():
        if isinstance(layer, SpikingNeuron):
            layer.register_forward_hook(
                lambda _layer, _x, y, path=path: rates.__setitem__(path, y.mean().item())
            )
    model(held_out[0])
    assert len(rates) == (18 if network == "spikingformer" else 19)
    assert {path: r for path, r in rates.items() if not 0.03 <= r <= 0.40} == {}


def test_files_are_small() -> None:
    for network in NETWORKS:
        assert (FOLDER / f"{network}.pth.tar").stat().st_size < 2_000_000
    assert (FOLDER / "test.npz").stat().st_size < 300_000


def test_samples_are_an_image_and_a_label() -> None:
    assert len(data.test()) == 450
    assert len(data.calibration()) == 64
    for x, label in data.test()[:5] + data.calibration()[:5]:
        assert (x.shape, x.dtype) == ((1, 16, 16), torch.float32)
        assert 0 <= float(x.min()) <= float(x.max()) <= 1
        assert torch.equal(16 * x, (16 * x).round())
        assert type(label) is int
        assert 0 <= label <= 9


def test_the_stored_images_are_the_split() -> None:
    pytest.importorskip("sklearn")
    (x, y), held_out = data.split()
    with np.load(FOLDER / "test.npz") as stored:
        assert (stored["x"].dtype, stored["y"].dtype) == (np.float32, np.int64)
        np.testing.assert_array_equal(stored["x"], held_out[0])
        np.testing.assert_array_equal(stored["y"], held_out[1])
    with np.load(FOLDER / "calibration.npz") as stored:
        np.testing.assert_array_equal(stored["x"], x[:64])
        np.testing.assert_array_equal(stored["y"], y[:64])
    assert len(data.train()) == len(x) == 1797 - 450


def test_exporting_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    data.export(tmp_path)
    for name in ("test.npz", "calibration.npz"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()


def train_briefly(folder: Path) -> dict[str, Tensor]:
    """Run the program as a user does, for one epoch of one batch, and load what it saved."""
    options = ["--network", "spikingformer", "--epochs", "1", "--images", "64", "-o", str(folder)]
    command = [sys.executable, "-m", "examples.digits.train", *options]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert "spikingformer: top-1" in done.stdout
    with torch.serialization.safe_globals([argparse.Namespace]):
        saved = torch.load(folder / "spikingformer.pth.tar", weights_only=True)
    state: dict[str, Tensor] = saved["state_dict"]
    return state


def test_the_training_program_runs(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    assert train_briefly(tmp_path).keys() == load("spikingformer")["state_dict"].keys()


@pytest.mark.slow
def test_training_is_fixed_by_its_seed(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    first, second = train_briefly(tmp_path), train_briefly(tmp_path)
    assert all(torch.equal(first[key], second[key]) for key in first)
