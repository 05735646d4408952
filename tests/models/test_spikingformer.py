"""Spikingformer: official names, the arithmetic of one time step, and what each layer reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snncc.models import attention
from snncc.models.neuron import LIF
from snncc.models.spikingformer import VARIANTS
from snncc.models.zoo import FORMS

Lively = Callable[..., tuple[nn.Module, Tensor]]
InputsOf = Callable[[nn.Module, Tensor], dict[str, Tensor]]

TINY: dict[str, Any] = {"dim": 32, "depth": 2, "heads": 2, "classes": 5}
FORM_OPTIONS: dict[str, dict[str, Any]] = {
    "spikingformer": {**TINY, "img_size": 64},
    "spikingformer-cifar": {**TINY, "img_size": 16},
    "spikingformer-dvs": {**TINY, "img_size": 64, "T": 5},
    "spikingformer-cml": {**TINY, "img_size": 64},
    "spikingformer-cml-cifar": {**TINY, "img_size": 16},
    "spikingformer-cml-dvs": {**TINY, "img_size": 64, "T": 5},
}
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
BLOCK_KEYS = {
    *(f"{norm}.{key}" for norm in ("norm1", "norm2") for key in ("weight", "bias")),
    *(f"attn.{name}_conv.weight" for name in ("q", "k", "v", "proj")),
    "attn.proj_conv.bias",
    *(f"attn.{name}_bn.{key}" for name in ("q", "k", "v", "proj") for key in NORM),
    *(f"mlp.{name}_conv.{key}" for name in ("mlp1", "mlp2") for key in ("weight", "bias")),
    *(f"mlp.{name}_bn.{key}" for name in ("mlp1", "mlp2") for key in NORM),
}
STAGES = ("proj", "proj1", "proj2", "proj3", "proj4")
TOKENIZER = {
    **dict.fromkeys(FORM_OPTIONS, STAGES),
    "spikingformer-cifar": ("block0", "block1", "block2", "block3", "block4"),
}
IN_EVERY_STAGE = ("maxpool1", "maxpool2", "maxpool3", "maxpool4")
BEFORE_EVERY_NEURON = ("maxpool", "maxpool1", "maxpool2", "maxpool3")
POOLS: dict[str, dict[int, str]] = {
    "spikingformer": dict(enumerate(IN_EVERY_STAGE, start=1)),
    "spikingformer-cifar": {3: "block3_mp", 4: "block4_mp"},
    "spikingformer-dvs": dict(enumerate(IN_EVERY_STAGE, start=1)),
    "spikingformer-cml": dict(enumerate(BEFORE_EVERY_NEURON, start=1)),
    "spikingformer-cml-cifar": {3: "proj2_mp", 4: "proj3_mp"},
    "spikingformer-cml-dvs": dict(enumerate(BEFORE_EVERY_NEURON, start=1)),
}


@pytest.mark.parametrize("form", FORM_OPTIONS)
def test_parameter_names_are_the_official_ones(form: str) -> None:
    model = FORMS[form].build(**FORM_OPTIONS[form])
    expected = {f"block.{i}.{key}" for i in range(2) for key in BLOCK_KEYS}
    for name in TOKENIZER[form]:
        expected |= {f"patch_embed.{name}_conv.weight"}
        expected |= {f"patch_embed.{name}_bn.{key}" for key in NORM}
    assert model.state_dict().keys() == expected | {"head.weight", "head.bias"}


@pytest.mark.parametrize("form", FORM_OPTIONS)
def test_neurons_and_pools_have_the_official_names_and_constants(form: str) -> None:
    model = FORMS[form].build(**FORM_OPTIONS[form])
    neurons = {name: m for name, m in model.named_modules() if isinstance(m, LIF)}
    attn = ("proj_lif", "q_lif", "k_lif", "v_lif", "attn_lif")
    assert neurons.keys() == {
        *(f"patch_embed.{name}_lif" for name in TOKENIZER[form][1:]),
        *(f"block.{i}.attn.{name}" for i in range(2) for name in attn),
        *(f"block.{i}.mlp.{name}" for i in range(2) for name in ("mlp1_lif", "mlp2_lif")),
    }
    tau = {"spikingformer-dvs": 1.5, "spikingformer-cml-dvs": 1.75}.get(form, 2.0)
    for name, lif in neurons.items():
        threshold = 0.5 if name.endswith("attn_lif") else 1.0
        assert (lif.tau, lif.v_threshold, lif.v_reset, lif.decay_input) == (tau, threshold, 0, True)
    pools = {name for name, m in model.named_modules() if isinstance(m, nn.MaxPool2d)}
    assert pools == {f"patch_embed.{name}" for name in POOLS[form].values()}


class OneStep:
    """The network for one sample and one time step, with all state in a table of potentials."""

    def __init__(self, model: nn.Module, form: str) -> None:
        self.model, self.form = model, form
        self.v: dict[str, Tensor] = {}

    def neuron(self, path: str, x: Tensor) -> Tensor:
        lif = self.model.get_submodule(path)
        assert isinstance(lif, LIF)
        assert lif.tau is not None
        v = self.v.get(path, torch.zeros_like(x))
        h = v + (x - v) / lif.tau
        spikes = (h >= lif.v_threshold).double()
        self.v[path] = h * (1 - spikes)
        return spikes

    def conv(self, path: str, x: Tensor) -> Tensor:
        """Convolve and normalise; `[C, ...]` to `[C', ...]`."""
        conv, norm = (self.model.get_submodule(f"{path}_{part}") for part in ("conv", "bn"))
        out: Tensor = norm(conv(x[None]))
        return out[0]

    def pool(self, stage: int, x: Tensor) -> Tensor:
        if stage not in POOLS[self.form]:
            return x
        return nn.functional.max_pool2d(x[None], 3, 2, 1)[0]

    def attention(self, block: str, x: Tensor) -> Tensor:
        """softmax-free attention, one head at a time, one pair of tokens at a time."""
        flat = self.neuron(f"{block}.attn.proj_lif", x).flatten(1)
        q, k, v = (
            self.neuron(f"{block}.attn.{n}_lif", self.conv(f"{block}.attn.{n}", flat))
            for n in "qkv"
        )
        heads = self.model.get_submodule(f"{block}.attn").heads
        out = torch.zeros_like(q)
        for rows in torch.arange(len(q)).chunk(int(heads)):  # type: ignore[arg-type]
            overlap = torch.einsum("cn,cm->nm", q[rows], k[rows])
            out[rows] = torch.einsum("nm,cm->cn", overlap, v[rows]) / 8
        spikes = self.neuron(f"{block}.attn.attn_lif", out)
        return self.conv(f"{block}.attn.proj", spikes).reshape(x.shape)

    def __call__(self, x: Tensor) -> Tensor:
        """`[C_in, H, W]` to the stream `[C, H', W']`."""
        stem, *stages = TOKENIZER[self.form]
        x = self.conv(f"patch_embed.{stem}", x)
        for i, stage in enumerate(stages, start=1):
            if "cml" in self.form:
                x = self.neuron(f"patch_embed.{stage}_lif", self.pool(i, x))
            else:
                x = self.pool(i, self.neuron(f"patch_embed.{stage}_lif", x))
            x = self.conv(f"patch_embed.{stage}", x)
        for b in range(2):
            x = x + self.attention(f"block.{b}", x)
            hidden = self.conv(f"block.{b}.mlp.mlp1", self.neuron(f"block.{b}.mlp.mlp1_lif", x))
            x = x + self.conv(f"block.{b}.mlp.mlp2", self.neuron(f"block.{b}.mlp.mlp2_lif", hidden))
        return x


@pytest.mark.parametrize("form", FORM_OPTIONS)
@torch.no_grad()
def test_the_network_is_its_time_steps_one_after_another(form: str, lively: Lively) -> None:
    model, x = lively(form, **FORM_OPTIONS[form])
    logits = model(x)
    steps = FORMS[form].configure(**FORM_OPTIONS[form]).config.T
    for sample, expected in zip(x, logits, strict=True):
        frames = sample if form.endswith("dvs") else [sample] * steps
        step = OneStep(model, form)
        stream = torch.stack([step(frame) for frame in frames])
        head = model.get_submodule("head")
        torch.testing.assert_close(head(stream.mean(dim=(0, 2, 3))), expected, rtol=0, atol=1e-10)
    assert logits.std() > 1e-3


@pytest.mark.parametrize("form", FORM_OPTIONS)
def test_only_stem_and_head_read_something_else_than_spikes(
    form: str, lively: Lively, inputs_of: InputsOf
) -> None:
    model, x = lively(form, **FORM_OPTIONS[form])
    read = inputs_of(model, x)
    mixed = {path for path, value in read.items() if not set(value.flatten().tolist()) <= {0, 1}}
    assert mixed == {f"patch_embed.{TOKENIZER[form][0]}_conv", "head"}
    for path in read.keys() - mixed:
        assert 0.01 < read[path].mean() < 1, path


def test_products_are_in_the_official_order() -> None:
    assert VARIANTS["imagenet"].product is attention.product_kv_first
    assert VARIANTS["cifar"].product is attention.product_qk_first
    assert VARIANTS["dvs"].product is attention.product_qk_first
    for name in ("imagenet", "cifar", "dvs"):
        assert VARIANTS[f"{name}-cml"].product is VARIANTS[name].product


def test_which_stages_pool_can_be_chosen() -> None:
    arch = FORMS["spikingformer-cifar"].configure(**TINY, img_size=8, pool_stages=(4,))
    stream = arch.build().get_submodule("patch_embed")(torch.rand(2, 1, 3, 8, 8))
    assert stream.shape == (2, 1, 32, 4, 4)
    assert arch.config.patch_size == 2


def test_images_need_not_be_square_or_of_the_configured_size() -> None:
    model = FORMS["spikingformer-dvs"].build(**TINY)
    assert model(torch.rand(2, 3, 2, 32, 48)).shape == (2, 5)


def test_dead_norms_change_nothing(lively: Lively) -> None:
    model, x = lively("spikingformer-cifar", **FORM_OPTIONS["spikingformer-cifar"])
    before = model(x)
    nn.init.normal_(model.get_submodule("block.0.norm1").weight)  # type: ignore[arg-type]
    assert torch.equal(model(x), before)


def test_export_keeps_the_module_paths() -> None:
    model = FORMS["spikingformer-cifar"].build(**TINY, img_size=8, T=2).eval()
    program = torch.export.export(model, (torch.rand(1, 3, 8, 8),), strict=False)
    paths = {
        path
        for node in program.graph.nodes
        for path, _ in (node.meta.get("nn_module_stack") or {}).values()
    }
    assert {"block.0.attn.q_lif", "block.1.mlp.mlp2_conv", "patch_embed.block4_mp"} <= paths


def test_gradients_reach_every_parameter_that_is_used(lively: Lively) -> None:
    model, x = lively("spikingformer-cifar", **FORM_OPTIONS["spikingformer-cifar"])
    model(x).square().sum().backward()
    silent = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert silent == {f"block.{b}.norm{n}.{k}" for b in (0, 1) for n in (1, 2) for k in NORM[:2]}
