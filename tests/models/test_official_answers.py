"""Answers and spikes of the official programs, on small networks with the same weights.

`tests/golden/official_answers.json` holds what the official modules gave (batches of one, in
float64) for the weights and images that `settled` makes from names alone. In E-SpikeFormer's
blocks with a convolution for tokens, the official names that do not exist were mended first.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.models.neuron import SpikingNeuron
from snncc.models.neuron_multilevel import MultiLevel
from snncc.models.resnet_config import CONNECTIONS
from snncc.models.zoo import FORMS

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "official_answers.json").read_text())

SMALL: dict[str, Any] = {"heads": 4, "img_size": 64, "classes": 5}
PYRAMID: dict[str, Any] = {**SMALL, "dims": (16, 16, 32, 40)}
STAGES: dict[str, Any] = {**SMALL, "dim": 32, "T": 3}
CIFAR: dict[str, Any] = {**STAGES, "heads": 8, "dim": 64, "img_size": 16}
RESNET: dict[str, Any] = {"blocks": (1, 2, 1, 1), "img_size": 32, "classes": 5, "T": 3}
FLOATS: dict[str, Any] = {**SMALL, "img_size": 32, "depth": 2, "T": 3}
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "meta-spikeformer": ("meta-spikeformer", {**PYRAMID, "T": 3}),
    "meta-spikeformer, two heads": ("meta-spikeformer", {**PYRAMID, "T": 1, "kd": True}),
    "e-spikeformer-base": ("e-spikeformer-base", PYRAMID),
    "e-spikeformer-large": (
        "e-spikeformer-large",
        {**SMALL, "dims": (16, 16, 32), "depths": (2,), "T": 2},
    ),
    "e-spikeformer-large, one head, token conv": (
        "e-spikeformer-large",
        {**SMALL, "dims": (16, 16, 32), "depths": (2,), "kd": False, "token_conv": True},
    ),
    "qkformer": ("qkformer", {**STAGES, "depth": 5}),
    "qkformer-cifar": ("qkformer-cifar", CIFAR),
    "msvit": ("msvit", {**STAGES, "depth": 5}),
    "msvit-cifar": ("msvit-cifar", CIFAR),
    "msvit-cifar100": ("msvit-cifar100", CIFAR),
    **{
        f"sew-resnet, {connect}": ("sew-resnet", {**RESNET, "connect": connect})
        for connect in CONNECTIONS
    },
    "sew-resnet, bottleneck": ("sew-resnet", {**RESNET, "bottleneck": True}),
    **{
        f"sew-resnet-gesture, {connect}": (
            "sew-resnet-gesture",
            {"widths": (32,) * 7, "classes": 11, "connect": connect, "T": 3},
        )
        for connect in CONNECTIONS
    },
    "ms-resnet": ("ms-resnet", RESNET),
    "ms-resnet, deep": ("ms-resnet", {**RESNET, "deep": True}),
    "sdt": ("sdt", {**STAGES, "depth": 2}),
    "sdt-cifar": ("sdt-cifar", {**STAGES, "img_size": 16}),
    "sdt-dvs": ("sdt-dvs", {**STAGES, "img_size": 16}),
    "sdt-gesture": ("sdt-gesture", {**STAGES, "img_size": 32}),
    "spikingformer-cml": ("spikingformer-cml", {**STAGES, "depth": 2}),
    "spikingformer-cml-cifar": ("spikingformer-cml-cifar", {**STAGES, "img_size": 16, "depth": 2}),
    "spikingformer-cml-dvs": ("spikingformer-cml-dvs", {**STAGES, "img_size": 128}),
    "spikformer-cml-cifar": ("spikformer-cml-cifar", {**STAGES, "img_size": 16, "depth": 2}),
    "spikeformer": ("spikeformer", {**FLOATS, "widths": (4, 4, 8, 8, 16, 16, 32, 32)}),
    "spikeformer-dvs": ("spikeformer-dvs", {**FLOATS, "widths": (8, 8, 16, 16, 32, 32)}),
    "spikeformer-gesture": ("spikeformer-gesture", {**FLOATS, "widths": (8, 16, 32)}),
    "spikeyolo": (
        "spikeyolo",
        {"width": 8, "repeats": (1, 1, 1, 1), "img_size": 64, "classes": 2, "T": 3},
    ),
}


def drawn(name: str, tensor: Tensor) -> Tensor:
    """Numbers for a parameter of this name and shape."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    shape = tuple(tensor.shape)
    if "layer_scale" in name:
        values = random.uniform(0.2, 1.0, shape)
    elif tensor.ndim == 0:
        values = np.asarray(random.uniform(-0.5, 1.0))
    elif name.endswith("rpe_bn.bias"):  # or else the stream makes every neuron fire at its end
        values = random.uniform(-4.0, -1.0, shape)
    elif tensor.ndim == 1 and name.endswith("weight"):
        values = random.uniform(0.8, 1.6, shape)
    elif tensor.ndim == 1:
        more = 0.8 if any(f".{part}_" in name for part in "qkv") else 0
        values = random.uniform(0.2, 1.2, shape) + more
    else:
        values = random.standard_normal(shape) / np.prod(shape[1:]) ** 0.5
    return torch.from_numpy(values)


def settled(form: str, options: dict[str, Any]) -> tuple[nn.Module, Tensor]:
    """A float64 network in eval mode whose batch norms have the statistics of two images."""
    arch = FORMS[form].configure(**options)
    model = arch.build().double()
    images = np.random.default_rng(7).uniform(size=(2, *arch.input_shape))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(drawn(name, parameter))
        for module in model.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.momentum = None
        model.train()(torch.from_numpy(images))
    return model.eval(), torch.from_numpy(images)


def answer_of(model: nn.Module, image: Tensor) -> Tensor:
    """Logits of one image, of a detector the mean over its anchors."""
    logits: Tensor = model(image[None])[0]
    return logits if logits.ndim == 1 else logits.mean(1)


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_answers_and_spikes_are_the_official_ones(name: str) -> None:
    model, images = settled(*NETWORKS[name])
    fired: dict[str, float] = {}
    for path, module in model.named_modules():
        if isinstance(module, (SpikingNeuron, MultiLevel)):
            module.register_forward_hook(
                lambda _module, _args, out, path=path: fired.update({path: out.sum().item()})
            )
    for image, expected in zip(images, GOLDEN[name], strict=True):
        logits = answer_of(model, image)
        torch.testing.assert_close(
            logits, torch.tensor(expected["logits"], dtype=torch.float64), rtol=1e-9, atol=1e-9
        )
        assert fired == pytest.approx(expected["fired"], rel=1e-9)
    assert logits.std() > 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_neurons_fire(name: str) -> None:
    """A silent network would agree with anything."""
    silent = [path for path, total in GOLDEN[name][0]["fired"].items() if not total]
    assert not silent
