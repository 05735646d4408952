"""Spikformer: official names, the arithmetic of one time step, and the integers it reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snncc.models import attention
from snncc.models.neuron import LIF
from snncc.models.spikformer import VARIANTS
from snncc.models.zoo import FORMS

Lively = Callable[..., tuple[nn.Module, Tensor]]
InputsOf = Callable[[nn.Module, Tensor], dict[str, Tensor]]

TINY: dict[str, Any] = {"dim": 32, "depth": 2, "heads": 2, "classes": 5}
FORM_OPTIONS: dict[str, dict[str, Any]] = {
    "spikformer": {**TINY, "img_size": 64},
    "spikformer-cifar": {**TINY, "img_size": 16},
    "spikformer-dvs": {**TINY, "img_size": 64, "T": 5},
    "spikformer-cml-cifar": {**TINY, "img_size": 16},
}
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
LAYERS = ("attn.q", "attn.k", "attn.v", "attn.proj", "mlp.fc1", "mlp.fc2")
DEAD = {
    "spikformer": set(),
    "spikformer-cifar": set(),
    "spikformer-dvs": {"pos_embed", "norm.weight", "norm.bias"},
    "spikformer-cml-cifar": set(),
}
POOLS = {
    "spikformer": (0, 1, 2, 3),
    "spikformer-cifar": (2, 3),
    "spikformer-dvs": (0, 1, 2, 3),
    "spikformer-cml-cifar": (2, 3),
}
PROJ = ("proj_{}", "proj_{}1", "proj_{}2", "proj_{}3")
TOKENIZER = {
    **dict.fromkeys(FORM_OPTIONS, PROJ),
    "spikformer-cml-cifar": ("block1_{}", "block2_{}", "block3_{}", "block4_{}"),
}
"""Names of each stage's parts: of its `conv`, `bn` and `lif`."""


def kind(form: str) -> str:
    """What the layers of a block are called: `q_conv` or `q_linear`."""
    return "linear" if form.endswith("cifar") else "conv"


@pytest.mark.parametrize("form", FORM_OPTIONS)
def test_parameter_names_are_the_official_ones(form: str) -> None:
    model = FORMS[form].build(**FORM_OPTIONS[form])
    expected = DEAD[form] | {"head.weight", "head.bias"}
    for stage in (*TOKENIZER[form], "rpe_{}"):
        expected |= {f"patch_embed.{stage.format('conv')}.weight"}
        expected |= {f"patch_embed.{stage.format('bn')}.{key}" for key in NORM}
    for b in range(2):
        expected |= {f"block.{b}.norm{n}.{key}" for n in (1, 2) for key in NORM[:2]}
        for layer in LAYERS:
            expected |= {f"block.{b}.{layer}_{kind(form)}.weight"}
            expected |= {f"block.{b}.{layer}_bn.{key}" for key in NORM}
            if kind(form) == "linear" or layer not in LAYERS[:3]:
                expected |= {f"block.{b}.{layer}_{kind(form)}.bias"}
    assert model.state_dict().keys() == expected


@pytest.mark.parametrize("form", FORM_OPTIONS)
def test_neurons_have_the_official_names_and_constants(form: str) -> None:
    model = FORMS[form].build(**FORM_OPTIONS[form])
    neurons = {name: m for name, m in model.named_modules() if isinstance(m, LIF)}
    assert neurons.keys() == {
        *(f"patch_embed.{name.format('lif')}" for name in TOKENIZER[form]),
        "patch_embed.rpe_lif",
        *(f"block.{b}.{layer}_lif" for b in range(2) for layer in (*LAYERS, "attn.attn")),
    }
    for name, lif in neurons.items():
        threshold = 0.5 if name.endswith("attn_lif") else 1.0
        assert (lif.tau, lif.v_threshold, lif.v_reset, lif.decay_input) == (2, threshold, 0, True)


class OneStep:
    """The network for one sample and one time step, with all state in a table of potentials."""

    def __init__(self, model: nn.Module, form: str) -> None:
        self.model, self.form = model, form
        self.v: dict[str, Tensor] = {}

    def layer(self, path: str, x: Tensor) -> Tensor:
        """Weigh, normalise and fire, channels first: `[C, ...]` to spikes `[C', ...]`."""
        return self.neuron(self.part(path, "lif"), self.current(path, x))

    def current(self, path: str, x: Tensor) -> Tensor:
        """Weigh and normalise."""
        weight, bias, norm = self.parts(path)
        if x.dim() == 3 and weight.dim() == 4 and weight.shape[-1] == 3:
            current = nn.functional.conv2d(x[None], weight, bias, padding=1)[0]
        else:
            current = torch.einsum("oi,i...->o...", weight.flatten(1), x)
            if bias is not None:
                current = current + bias.reshape(-1, *[1] * (x.dim() - 1))
        shape = (-1, *[1] * (x.dim() - 1))
        scale = norm["weight"] / (norm["running_var"] + 1e-5).sqrt()
        current = current - norm["running_mean"].reshape(shape)
        return current * scale.reshape(shape) + norm["bias"].reshape(shape)

    def part(self, path: str, part: str) -> str:
        """Name of a part: `rpe_{}` or `block.0.attn.q` to its `conv` or `linear`, `bn`, `lif`."""
        part = kind(self.form) if part == "weight" and path.startswith("block") else part
        part = "conv" if part == "weight" else part
        return path.format(part) if "{}" in path else f"{path}_{part}"

    def parts(self, path: str) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
        """Weight, bias and batch norm of a layer, straight from the state dict."""
        state = self.model.state_dict()
        weights, bn = self.part(path, "weight"), self.part(path, "bn")
        norm = {key: state[f"{bn}.{key}"] for key in NORM}
        return state[f"{weights}.weight"], state.get(f"{weights}.bias"), norm

    def pool(self, stage: int, x: Tensor) -> Tensor:
        if stage not in POOLS[self.form]:
            return x
        return nn.functional.max_pool2d(x[None], 3, 2, 1)[0]

    def neuron(self, path: str, x: Tensor) -> Tensor:
        v = self.v.get(path, torch.zeros_like(x))
        h = (v + x) / 2
        spikes = (h >= (0.5 if path.endswith("attn_lif") else 1.0)).double()
        self.v[path] = h * (1 - spikes)
        return spikes

    def attention(self, block: str, x: Tensor) -> Tensor:
        """softmax-free attention, one head at a time, one pair of tokens at a time."""
        q, k, v = (self.layer(f"{block}.attn.{name}", x) for name in "qkv")
        out = torch.zeros_like(q)
        scale = 0.25 if self.form == "spikformer-dvs" else 0.125
        for rows in torch.arange(len(q)).chunk(TINY["heads"]):
            overlap = torch.einsum("cn,cm->nm", q[rows], k[rows])
            out[rows] = scale * torch.einsum("nm,cm->cn", overlap, v[rows])
        return self.layer(f"{block}.attn.proj", self.neuron(f"{block}.attn.attn_lif", out))

    def __call__(self, x: Tensor) -> Tensor:
        """`[C_in, H, W]` to the stream `[C, N]`."""
        for i, stage in enumerate(TOKENIZER[self.form]):
            path = f"patch_embed.{stage}"
            if "cml" in self.form:
                x = self.neuron(self.part(path, "lif"), self.pool(i, self.current(path, x)))
            else:
                x = self.pool(i, self.layer(path, x))
        x = (x + self.layer("patch_embed.rpe_{}", x)).flatten(1)
        for b in range(2):
            x = x + self.attention(f"block.{b}", x)
            hidden = self.layer(f"block.{b}.mlp.fc1", x)
            x = x + self.layer(f"block.{b}.mlp.fc2", hidden)
        return x


@pytest.mark.parametrize("form", FORM_OPTIONS)
@torch.no_grad()
def test_the_network_is_its_time_steps_one_after_another(form: str, lively: Lively) -> None:
    model, x = lively(form, **FORM_OPTIONS[form])
    logits = model(x)
    steps = FORMS[form].configure(**FORM_OPTIONS[form]).config.T
    for sample, expected in zip(x, logits, strict=True):
        frames = sample if form == "spikformer-dvs" else [sample] * steps
        step = OneStep(model, form)
        stream = torch.stack([step(frame) for frame in frames])
        head = model.get_submodule("head")
        torch.testing.assert_close(head(stream.mean(dim=(0, 2))), expected, rtol=0, atol=1e-10)
    assert logits.std() > 1e-3


@pytest.mark.parametrize("form", FORM_OPTIONS)
def test_the_stream_grows_by_one_with_each_sum(
    form: str, lively: Lively, inputs_of: InputsOf
) -> None:
    """Layers that read the stream read 0..2+2b or 0..3+2b in block b; all others spikes."""
    model, x = lively(form, **FORM_OPTIONS[form])
    read = inputs_of(model, x)
    highest = {
        f"block.{b}.{layer}_{kind(form)}": 2 + 2 * b + (layer == "mlp.fc1")
        for b in range(2)
        for layer in ("attn.q", "attn.k", "attn.v", "mlp.fc1")
    }
    for path, value in read.items():
        if path in (f"patch_embed.{TOKENIZER[form][0].format('conv')}", "head"):
            continue
        found = {int(v) for v in value.flatten().tolist()}
        assert torch.equal(value, value.round()), path
        assert found <= set(range(highest.get(path, 1) + 1)), path
        assert max(found) > 1 or path not in highest, path


def test_products_and_scales_are_the_official_ones() -> None:
    assert VARIANTS["imagenet"].product is attention.product_kv_first
    assert VARIANTS["cifar"].product is attention.product_scaled_map
    assert VARIANTS["dvs"].product is attention.product_qk_first
    assert [VARIANTS[name].scale for name in ("imagenet", "cifar", "dvs")] == [0.125, 0.125, 0.25]


def test_all_orders_of_the_product_give_the_same_integers() -> None:
    q, k, v = torch.randint(0, 2, (3, 4, 2, 2, 9, 16)).float()
    first = attention.product_kv_first(q, k, v, 0.125)
    assert torch.equal(first, attention.product_qk_first(q, k, v, 0.125))
    assert torch.equal(first, attention.product_scaled_map(q, k, v, 0.125))


def test_heads_split_and_merge_again() -> None:
    x = torch.arange(2 * 3 * 8 * 5).reshape(2, 3, 8, 5)
    heads = attention.split_heads(x, 4)
    assert heads.shape == (2, 3, 4, 5, 2)
    assert torch.equal(heads[0, 0, 1].T, x[0, 0, 2:4])
    assert torch.equal(attention.merge_heads(heads), x)
    assert torch.equal(attention.split_heads_last(x.mT, 4), heads)
    assert torch.equal(attention.merge_heads_last(heads), x.mT)


def test_which_stages_pool_can_be_chosen() -> None:
    arch = FORMS["spikformer-cifar"].configure(**TINY, img_size=8, pool_stages=(4,))
    stream = arch.build().get_submodule("patch_embed")(torch.rand(2, 1, 3, 8, 8))
    assert stream.shape == (2, 1, 32, 4, 4)


def test_the_dead_embedding_has_a_row_for_each_token() -> None:
    for img_size, tokens in ((128, 64), (64, 16)):
        state = FORMS["spikformer-dvs"].build(**TINY, img_size=img_size).state_dict()
        assert state["pos_embed"].shape == (1, tokens, 32)


def test_dead_parameters_change_nothing(lively: Lively) -> None:
    model, x = lively("spikformer-dvs", **FORM_OPTIONS["spikformer-dvs"])
    before = model(x)
    for name, parameter in model.named_parameters():
        if "norm" in name or name == "pos_embed":
            nn.init.normal_(parameter)
    assert torch.equal(model(x), before)


@pytest.mark.parametrize("form", ["spikformer", "spikformer-cifar"])
def test_export_keeps_the_module_paths(form: str) -> None:
    arch = FORMS[form].configure(**{**FORM_OPTIONS[form], "T": 2})
    model = arch.build().eval()
    program = torch.export.export(model, (torch.rand(1, *arch.input_shape),), strict=False)
    paths = {
        path
        for node in program.graph.nodes
        for path, _ in (node.meta.get("nn_module_stack") or {}).values()
    }
    assert {"block.0.attn.q_lif", f"block.1.mlp.fc2_{kind(form)}", "patch_embed.rpe_conv"} <= paths


@pytest.mark.filterwarnings("ignore")
def test_the_older_exporter_of_onnx_takes_it(tmp_path: Path) -> None:
    """TorchScript's exporter knows fewer operators than torch has."""
    pytest.importorskip("onnx")
    arch = FORMS["spikformer-cifar"].configure(**{**FORM_OPTIONS["spikformer-cifar"], "T": 2})
    file = tmp_path / "network.onnx"
    example = (torch.zeros(1, *arch.input_shape),)
    torch.onnx.export(arch.build().eval(), example, str(file), dynamo=False, verbose=False)
    assert file.stat().st_size
