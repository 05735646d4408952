"""Every published network comes back from a file as its official program writes it."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from snncc.diagnostics.core import SnnccError
from snncc.frontends.families import recognise
from snncc.frontends.load import load_model
from snncc.frontends.signatures import SIGNATURES
from snncc.models.zoo import ARCHITECTURES, FORMS, SIZES

TRANSFORMER = {"depth": 1, "dim": 32, "heads": 4, "img_size": 32}
PYRAMID = {"dims": (8, 16, 32, 40), "depths": (1, 1), "img_size": 32}
STAGES = {"depth": 4, "dim": 32, "heads": 4, "img_size": 32}
EVENTS = {"widths": (4, 4, 8), "img_size": 16}

SMALL: dict[str, dict[str, Any]] = {
    "spikformer-dvs": {**TRANSFORMER, "img_size": 64},
    "sew-resnet-dvs": EVENTS,
    "sew-resnet-gesture": EVENTS,
    "sew-resnet": {"width": 8, "img_size": 32, "blocks": (1, 1, 2, 1)},
    "ms-resnet": {"width": 8, "img_size": 32, "blocks": (1, 2, 1, 1)},
    "spikeyolo": {"width": 8, "img_size": 32, "repeats": (1, 2, 1, 1)},
    "meta-spikeformer": PYRAMID,
    "e-spikeformer-base": PYRAMID,
    "e-spikeformer-large": {**PYRAMID, "dims": (8, 16, 32), "depths": (2,)},
    "spikeformer": {"widths": (8, 8, 16), "strides": (2, 1, 2), "depth": 1, "img_size": 32},
    "spikeformer-dvs": {"widths": (8, 8, 16), "strides": (2, 1, 2), "depth": 1, "img_size": 32},
    "spikeformer-gesture": {"widths": (8, 16), "strides": (2, 2), "depth": 1, "img_size": 32},
    **{name: STAGES for name in FORMS if name.startswith(("qkformer", "msvit"))},
}
"""What makes a form small; the other transformers have ``TRANSFORMER``."""

TIMM = ("spikingformer", "spikformer", "sdt")

HEEDED = {"heads": "num_heads", "T": "time_step", "img_size": "img_size", "connect": "connect_f"}


def official(form: str, tensors: dict[str, Tensor], args: dict[str, Any]) -> Any:
    """What the official program of a form's family would save."""
    family, space = FORMS[form].family, argparse.Namespace(**args)
    if family == "ms-resnet":
        return {f"module.{name}": tensor for name, tensor in tensors.items()}
    if form == "sew-resnet":
        old = r"(layer\d\.\d+\.(?:conv\d|downsample\.0))\."
        tensors = {re.sub(old, r"\1.module.", name): tensor for name, tensor in tensors.items()}
    if family in TIMM and not form.endswith("dvs"):
        return {"epoch": 1, "arch": "x", "state_dict": tensors, "version": 2, "args": space}
    key = "net" if form == "sew-resnet-dvs" else "model"
    return {key: tensors, "optimizer": {"lr": 0.1}, "epoch": 1, "args": space}


TWINS = {name for name in FORMS if name.startswith("spikingformer-cml")} - {
    "spikingformer-cml-cifar"
}
"""Forms whose weights are called as those of another: they have to be asked for."""


def asked_for(form: str) -> dict[str, str]:
    """Settings that tell a form from its twin."""
    return {"variant": str(FORMS[form].options["variant"])} if form in TWINS else {}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_comes_back_from_an_official_file(tmp_path: Path, form: str) -> None:
    wanted = FORMS[form].configure(**SMALL.get(form, TRANSFORMER))
    untold = {"ms-resnet", *(n for n in FORMS if n.endswith(("cifar", "cifar100")))}
    if form not in untold:
        wanted = wanted.configure(T=2)
    torch.manual_seed(0)
    network = wanted.build()
    args = {HEEDED[name]: value for name, value in wanted.options.items() if name in HEEDED}
    if "heads" in args and form.startswith(("qkformer-cifar", "msvit-cifar")):
        args["num_heads"] = 1
    torch.save(official(form, network.state_dict(), args), tmp_path / "c.pth")
    told = {"img_size": "32"} if form == "ms-resnet" else {}
    if form.startswith(("qkformer-cifar", "msvit-cifar")):
        told["heads"] = "4"
    if form.startswith("spikeformer"):
        told["heads"] = str(wanted.options["heads"])
    model = load_model(str(tmp_path / "c.pth"), settings={**told, **asked_for(form)})
    assert dict(model.options) == dict(wanted.options)
    loaded = model.module.state_dict()
    assert all(torch.equal(loaded[n], w) for n, w in network.state_dict().items())


def meta_weights(name: str) -> dict[str, Tensor]:
    """Names and shapes of a published network's weights."""
    with torch.device("meta"):
        return dict(ARCHITECTURES[name].build().state_dict())


@pytest.mark.parametrize("name", SIZES)
def test_every_published_network_is_recognised(name: str) -> None:
    form, _ = SIZES[name]
    wanted = ARCHITECTURES[name].options
    args = {"connect_f": wanted["connect"]} if "connect" in wanted else {}
    found = recognise(meta_weights(name), args, asked_for(form)).architecture
    assert (found.name, dict(found.options)) == (name, dict(wanted))


def test_every_form_has_a_signature_or_a_twin() -> None:
    assert {signature.form for signature in SIGNATURES} | TWINS == FORMS.keys()


def small(form: str) -> dict[str, Tensor]:
    """The weights of a small network."""
    return dict(FORMS[form].build(**SMALL.get(form, TRANSFORMER)).state_dict())


@pytest.mark.parametrize(
    ("form", "rename"),
    [
        ("spikeformer-dvs", lambda name: name.removeprefix("model.")),
        ("spikeformer-dvs", lambda name: f"net.{name}"),
        ("sew-resnet", lambda name: f"backbone.net.{name}"),
        ("spikeyolo", lambda name: f"model.{name}"),
        ("spikformer", lambda name: f"student.{name}"),
    ],
)
def test_what_wrappers_put_in_front_is_taken_off(form: str, rename: Any) -> None:
    weights = small(form)
    found = recognise({rename(name): tensor for name, tensor in weights.items()}, {})
    assert found.architecture.family == FORMS[form].family
    assert found.tensors.keys() == weights.keys()


def test_dead_weights_may_be_missing_or_left_over(tmp_path: Path) -> None:
    for form, dead in (
        ("spikformer", "norm"),
        ("spikingformer-cifar", "norm"),
        ("sdt", "talking_heads"),
        ("spikformer-dvs", "norm"),
    ):
        weights = {name: w for name, w in small(form).items() if dead not in name}
        assert weights.keys() < small(form).keys()
        weights |= {f"block.0.attn.{n}": torch.zeros(1) for n in ("total_ops", "total_params")}
        told = {"num_heads": 4, "img_size": 32}
        torch.save({"state_dict": weights, "args": told}, tmp_path / "c.pth")
        assert load_model(str(tmp_path / "c.pth")).options["dim"] == 32


def test_a_weight_that_is_missing_is_named() -> None:
    weights = small("meta-spikeformer")
    del weights["downsample1_1.encode_conv.weight"]
    with pytest.raises(SnnccError) as caught:
        recognise(weights, {})
    found = caught.value.diagnostics[0]
    assert found.rule.code == "SNN109"
    assert "downsample1_1.encode_conv.weight" in found.message + found.hint


@pytest.mark.parametrize(
    ("form", "args", "option", "value"),
    [
        ("sdt", {"pooling_stat": "0111"}, "pool_stages", (2, 3, 4)),
        ("sdt", {"time_steps": 6}, "T", 6),
        ("sew-resnet", {"connect_f": "IAND"}, "connect", "IAND"),
        ("sew-resnet", {"connect_f": None, "T": None}, "connect", "ADD"),
        ("qkformer", {"input_size": 384}, "img_size", 384),
        ("spikformer", {"input_size": [3, 288, 288]}, "img_size", 288),
        ("spikformer", {"img_size": None, "num_heads": True}, "heads", 8),
        ("qkformer-cifar", {"num_heads": 2}, "heads", 8),
    ],
)
def test_training_arguments(form: str, args: dict[str, Any], option: str, value: object) -> None:
    assert recognise(small(form), args).architecture.options[option] == value


def test_a_network_of_a_size_nobody_published_is_named_after_it() -> None:
    assert recognise(small("sew-resnet"), {}).architecture.name == "sew-resnet-8"
    assert recognise(small("sdt"), {}).architecture.name == "sdt-1-32"
    found = recognise(meta_weights("sew-resnet18-add"), {}, {"connect": "AND"})
    assert found.architecture.name == "sew-resnet18-and"
