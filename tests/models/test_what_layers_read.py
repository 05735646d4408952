"""Which values reach each convolution and linear layer of the networks in stages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from snncc.models.zoo import FORMS

Lively = Callable[..., tuple[nn.Module, Tensor]]
InputsOf = Callable[[nn.Module, Tensor], dict[str, Tensor]]

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "compliance.json").read_text())
SMALL: dict[str, Any] = {"heads": 4, "img_size": 64, "classes": 5}
PYRAMID: dict[str, Any] = {**SMALL, "dims": (16, 16, 32, 40)}
STEM = "downsample1_1.encode_conv"
QUARTERS = {0.0, 0.25, 0.5, 0.75, 1.0}


def values(tensor: Tensor) -> set[float]:
    return set(tensor.flatten().tolist())


def test_meta_spikeformer_as_written(lively: Lively, inputs_of: InputsOf) -> None:
    """Within a row of convolutions all but the first read floats: 69 with the stem."""
    read = inputs_of(*lively("meta-spikeformer", **PYRAMID))
    golden = GOLDEN["models"]["metaspikformer-v2-* before re-parameterisation"]
    mixed = {path for path, x in read.items() if not values(x) <= {0, 1}}
    assert mixed == {entry["path"] for entry in golden["flagged"]}
    assert "head" not in mixed


def test_e_spikeformer_base_reads_counts_over_four(lively: Lively, inputs_of: InputsOf) -> None:
    read = inputs_of(*lively("e-spikeformer-base", **PYRAMID))
    assert values(read.pop("head")) <= {0, 1, 2, 3, 4}
    assert {path for path, x in read.items() if not values(x) <= QUARTERS} == {STEM}


def test_e_spikeformer_large_has_one_head_on_floats(lively: Lively, inputs_of: InputsOf) -> None:
    options = {**SMALL, "dims": (16, 16, 32), "depths": (2,), "token_conv": True}
    read = inputs_of(*lively("e-spikeformer-large", **options))
    assert values(read.pop("head_kd")) <= {0, 1, 2, 3, 4}
    mixed = {path for path, x in read.items() if not values(x) <= QUARTERS}
    rows = {f"attn.{part}_conv.0" for part in ("q", "k", "v", "proj")} | {"rep_conv"}
    assert mixed == {STEM, "head"} | {f"block3.{b}.{r}.conv2.0" for b in (0, 1) for r in rows}


def bounds(form: str, depths: tuple[int, ...], last: str, hidden: str) -> dict[str, int]:
    """The largest integer that each layer of QKFormer or MSViT can read.

    A tokenizer ends in a sum of two spikes, each half of a block adds one.
    """
    found: dict[str, int] = {}
    for i, depth in enumerate(depths, start=1):
        attend, names = ("tssa", "qkp") if i < 3 else (last, "qkv")
        for b in range(depth):
            top, block = 2 + 2 * b, f"stage{i}.{b}"
            layers = names if form == "msvit" else names.replace("p", "")
            found |= {f"{block}.{attend}.{name}_conv": top for name in layers}
            found |= {f"{block}.mlp.{hidden}1_conv": top + 1}
        if i < 3:
            following = ("proj3", "proj_res")
            found |= {f"patch_embed{i + 1}.{name}_conv": 2 + 2 * depth for name in following}
    return found


def check_stages(name: str, lively: Lively, inputs_of: InputsOf) -> None:
    imagenet = name in ("qkformer", "msvit")
    options = {"depth": 6} if imagenet else {"depth": 4, "img_size": 16}
    read = inputs_of(*lively(name, **{**SMALL, "dim": 32, **options}))
    last, hidden = ("attn", "fc") if imagenet else ("ssa", "mlp")
    depths = FORMS[name].configure(**{**SMALL, "dim": 32, **options}).config.depths
    expected = bounds(FORMS[name].family, depths, last, hidden)
    mixed = {path: x for path, x in read.items() if not values(x) <= {0, 1}}
    assert mixed.pop("patch_embed1.proj_conv").frac().any()
    assert mixed.pop("head").frac().any()
    assert mixed.keys() == expected.keys()
    for path, x in mixed.items():
        assert values(x) <= set(range(expected[path] + 1)), path
        assert x.max() >= 2, path


def test_qkformer_reads_integers(lively: Lively, inputs_of: InputsOf) -> None:
    for form in ("qkformer", "qkformer-cifar"):
        check_stages(form, lively, inputs_of)


def test_msvit_reads_integers(lively: Lively, inputs_of: InputsOf) -> None:
    for form in ("msvit", "msvit-cifar", "msvit-cifar100"):
        check_stages(form, lively, inputs_of)


@torch.no_grad()
def test_a_sample_knows_nothing_of_the_others(lively: Lively) -> None:
    for form in ("qkformer", "msvit-cifar", "e-spikeformer-base", "meta-spikeformer"):
        options = PYRAMID if "spikeformer" in form else {**SMALL, "dim": 32}
        model, x = lively(form, **options)
        together, alone = model(x), torch.cat([model(sample[None]) for sample in x])
        torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


def test_two_heads_answer_with_their_mean(lively: Lively) -> None:
    model, x = lively("meta-spikeformer", **PYRAMID, kd=True)
    read: list[Tensor] = []
    for name in ("head", "head_kd"):
        model.get_submodule(name).register_forward_hook(lambda _m, _a, out: read.append(out))
    logits = model(x)
    torch.testing.assert_close(logits, (read[0] + read[1]).mean(0) / 2)
    assert not torch.equal(read[0], read[1])


def test_gradients_reach_every_parameter_but_dead_ones(lively: Lively) -> None:
    model, x = lively("e-spikeformer-large", **{**SMALL, "dims": (16, 16, 32), "depths": (2,)})
    model(x).square().sum().backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]


def test_spikeyolo_reads_counts(lively: Lively, inputs_of: InputsOf) -> None:
    """Within a row of convolutions all but the first read floats, here behind a norm too."""
    options = {"width": 8, "repeats": (1, 1, 1, 1), "img_size": 64, "classes": 2, "T": 2}
    model, x = lively("spikeyolo", **options)
    read = inputs_of(model, x)
    mixed = {path for path, value in read.items() if not values(value) <= {0, 1, 2, 3, 4}}
    blocks = [path.removesuffix(".pwconv1") for path in read if path.endswith(".pwconv1")]
    expected = {"model.1.encode_conv"}
    for block in blocks:
        expected |= {f"{block}.pwconv3.body.1.{i}" for i in (0, 1)}
    inner = {path for path in read if ".body.2." in path}
    assert len(blocks) == 9
    assert len(inner) == 5 * 2 * 2
    assert mixed == expected | inner
    assert "model.26.dfl.conv" not in read
    bins = model.state_dict()["model.26.dfl.conv.weight"]
    assert bins.flatten().tolist() == list(range(16))
