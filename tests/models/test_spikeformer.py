"""Spikeformer: official names, its answer for one sample, and how much of it reads floats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snncc.models.neuron import ParametricLIAF, ParametricLIF
from snncc.models.spikeformer import Attention
from snncc.models.zoo import FORMS

Lively = Callable[..., tuple[nn.Module, Tensor]]
InputsOf = Callable[[nn.Module, Tensor], dict[str, Tensor]]

TINY: dict[str, Any] = {"depth": 2, "heads": 2, "img_size": 16, "classes": 5, "T": 3}
WIDTHS: dict[str, tuple[int, ...]] = {
    "spikeformer": (8, 8, 16, 16, 32, 32, 32, 32),
    "spikeformer-dvs": (8, 8, 16, 16, 32, 32),
    "spikeformer-gesture": (8, 16, 32),
}
FORM_OPTIONS = {form: {**TINY, "widths": widths} for form, widths in WIDTHS.items()}
BN = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
AFFINE = ("weight", "bias")


@pytest.mark.parametrize("form", FORM_OPTIONS)
def test_parameter_names_are_the_official_ones(form: str) -> None:
    arch = FORMS[form].configure(**FORM_OPTIONS[form])
    expected = {"pos_embed", "time_embed"}
    expected |= {f"{part}.{k}" for part in ("norm", "attention_pool", "head") for k in AFFINE}
    for i, stride in enumerate(arch.config.strides):
        layers = [f"residual_function.{j}" for j in (0, 1)]
        layers += ["shortcut.1"] if stride == 2 else []
        for layer in layers:
            path = f"patch_embed.conv_layers.{i}.{layer}"
            expected |= {f"{path}.0.0.weight", f"{path}.1.w", *(f"{path}.0.1.{k}" for k in BN)}
    linear = ("attn.proj", "temporal_attn.proj", "temporal_fc", "mlp.mlp.0.0", "mlp.mlp.2.0")
    for b in range(2):
        for layer in (*linear, "norm1", "norm2", "temporal_norm1"):
            expected |= {f"blocks.{b}.{layer}.{k}" for k in AFFINE}
        expected |= {f"blocks.{b}.{layer}.qkv.weight" for layer in ("attn", "temporal_attn")}
        expected |= {f"blocks.{b}.mlp.mlp.1.w"}
    assert arch.build().state_dict().keys() == {f"model.{name}" for name in expected}


def test_neurons_learn_their_leak_and_those_for_images_let_out_floats() -> None:
    for form, analog in (("spikeformer", True), ("spikeformer-dvs", False)):
        model = FORMS[form].build(**FORM_OPTIONS[form])
        neurons = [m for m in model.modules() if isinstance(m, ParametricLIF)]
        assert {isinstance(m, ParametricLIAF) for m in neurons} == {analog}
        assert {(m.tau, m.v_threshold, m.v_reset) for m in neurons} == {(2, 1, 0)}


def attend(layer: nn.Module, x: Tensor) -> Tensor:
    """Softmax attention of tokens `[N, C]`, one head at a time."""
    assert isinstance(layer, Attention)
    heads = []
    for rows in torch.arange(x.shape[-1]).chunk(layer.heads):
        q, k, v = (x @ layer.qkv.weight[rows + i * x.shape[-1]].T for i in range(3))
        weights = torch.softmax(q @ k.T / len(rows) ** 0.5, dim=-1)
        heads.append(weights @ v)
    out: Tensor = layer.proj(torch.cat(heads, dim=-1))
    return out


def answer(model: nn.Module, frames: Tensor) -> Tensor:
    """Logits for `[T, C, H, W]` frames of one sample: every attention by itself."""
    part = model.get_submodule("model").get_submodule
    state = model.state_dict()
    x = part("patch_embed.conv_layers")(frames[:, None])[:, 0].flatten(2).mT
    x = x + state["model.pos_embed"] + state["model.time_embed"].mT.permute(2, 0, 1)
    for b in range(2):
        block = f"blocks.{b}"
        normed = part(f"{block}.temporal_norm1")(x)
        tokens = range(x.shape[1])
        over_time = [attend(part(f"{block}.temporal_attn"), normed[:, n]) for n in tokens]
        x = x + part(f"{block}.temporal_fc")(torch.stack(over_time, dim=1))
        over_space = [attend(part(f"{block}.attn"), frame) for frame in part(f"{block}.norm1")(x)]
        x = x + torch.stack(over_space)
        hidden = part(f"{block}.norm2")(x)
        for layer in ("0.0", "1", "2.0"):
            hidden = part(f"{block}.mlp.mlp.{layer}")(hidden)
        x = x + hidden
    x = part("norm")(x).flatten(0, 1)
    weights = torch.softmax(part("attention_pool")(x)[:, 0], dim=0)
    return F.linear(weights @ x, state["model.head.weight"], state["model.head.bias"])


@pytest.mark.parametrize("form", FORM_OPTIONS)
@torch.no_grad()
def test_the_answer_is_that_of_each_attention_by_itself(form: str, lively: Lively) -> None:
    model, x = lively(form, **FORM_OPTIONS[form])
    for name, parameter in model.named_parameters():
        if "embed" in name or parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.3)
    logits = model(x)
    for sample, expected in zip(x, logits, strict=True):
        frames = sample.expand(3, -1, -1, -1) if form == "spikeformer" else sample
        torch.testing.assert_close(answer(model, frames), expected, rtol=0, atol=1e-10)
    assert logits.std() > 1e-3


def test_few_layers_read_spikes(lively: Lively, inputs_of: InputsOf) -> None:
    model, x = lively("spikeformer-dvs", **FORM_OPTIONS["spikeformer-dvs"])
    read = inputs_of(model, x)
    spikes = {path for path, value in read.items() if set(value.flatten().tolist()) <= {0, 1}}
    second = {f"model.patch_embed.conv_layers.{i}.residual_function.1.0.0" for i in range(6)}
    assert spikes == second | {f"model.blocks.{b}.mlp.mlp.2.0" for b in (0, 1)}
    floats = {path for path, value in read.items() if value.frac().any()}
    assert len(floats) > len(read) / 2


def test_with_analog_neurons_no_layer_reads_spikes(lively: Lively, inputs_of: InputsOf) -> None:
    model, x = lively("spikeformer", **FORM_OPTIONS["spikeformer"])
    assert all(value.frac().any() for value in inputs_of(model, x).values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 7}, "the last width must be a multiple of heads, got 256 and 7"),
        ({"img_size": 100}, "img_size must be a multiple of all strides together, got 100"),
        ({"strides": (2, 2)}, "widths and strides must be as many"),
        ({"T": 0}, "T must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_built_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(FORMS["spikeformer-dvs"].config, **change)
