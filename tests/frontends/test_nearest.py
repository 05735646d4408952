"""Weights that are nearly those of a family: what is missing or odd is named."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from snncc.diagnostics.core import Diagnostic, SnnccError
from snncc.frontends.families import recognise
from snncc.models.zoo import FORMS


def weights(form: str) -> dict[str, Tensor]:
    with torch.device("meta"):
        return dict(FORMS[form].build().state_dict())


def refusal(tensors: dict[str, Tensor], settings: dict[str, str] | None = None) -> Diagnostic:
    with pytest.raises(SnnccError) as caught:
        recognise(tensors, {}, settings)
    (found,) = caught.value.diagnostics
    return found


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("spikingformer", "head.weight"),
        ("sdt", "block.0.attn.q_conv.weight"),
        ("meta-spikeformer", "ConvBlock1_1.0.Conv.pwconv1.weight"),
        ("ms-resnet", "conv1.0.weight"),
        ("sew-resnet-dvs", "out.weight"),
        ("spikeyolo", "model.1.encode_conv.weight"),
    ],
)
def test_a_weight_that_tells_the_family_is_missing(form: str, name: str) -> None:
    tensors = weights(form)
    del tensors[name]
    found = refusal({f"module.{key}": tensor for key, tensor in tensors.items()})
    family = FORMS[form].family
    assert found.rule.code == "SNN109"
    said = f"the weights are nearly those of {family}, but 1 is missing: `{name}`"
    assert found.message == said


def test_several_are_missing_and_one_is_odd() -> None:
    tensors = weights("spikingformer")
    tensors["head.weight"] = torch.empty(7, device="meta")
    del tensors["patch_embed.proj_conv.weight"], tensors["block.3.mlp.mlp1_conv.bias"]
    assert refusal(tensors).message == (
        "the weights are nearly those of spikingformer, but 2 are missing: "
        "`patch_embed.proj_conv.weight`, `block.3.mlp.mlp1_conv.bias` and 1 is of another shape: "
        "`head.weight (7,), wanted 2 axes`"
    )


@pytest.mark.parametrize(
    "tensors",
    [
        {"fc.weight": torch.empty(3, 4), "fc.bias": torch.empty(3)},
        {f"block.{i}.weight": torch.empty(3) for i in range(20)},
    ],
)
def test_strangers_stay_of_no_family(tensors: Any) -> None:
    assert refusal(tensors).rule.code == "SNN107"


def test_half_a_network_is_near_none() -> None:
    tensors = {k: v for k, v in weights("spikingformer").items() if "mlp" in k or "head" in k}
    assert refusal(tensors).rule.code == "SNN107"


def test_shapes_that_no_network_has_are_not_to_be_set() -> None:
    tensors = weights("spikingformer")
    tensors["head.weight"] = torch.empty(1000, 301, device="meta")
    found = refusal(tensors)
    assert (found.rule.code, found.hint) == ("SNN109", "")
    assert found.message == (
        "no spikingformer has weights of these shapes: "
        "dim must be a multiple of 8, got 301 (they say dim = 301)"
    )


def test_what_can_be_set_is_named() -> None:
    found = refusal(weights("spikingformer"), {"heads": "7"})
    assert (found.rule.code, found.message) == (
        "SNN108", "dim must be a multiple of heads, got 512 and 7"
    )  # fmt: skip
    assert found.hint == "give another number with `--set heads=...`"
