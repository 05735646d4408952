"""Spike-driven Transformer: official names, one time step at a time, and what each layer reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snncc.models.neuron import LIF
from snncc.models.spike_driven_transformer import Erode
from snncc.models.zoo import FORMS

Lively = Callable[..., tuple[nn.Module, Tensor]]
InputsOf = Callable[[nn.Module, Tensor], dict[str, Tensor]]

TINY: dict[str, Any] = {"dim": 32, "depth": 2, "heads": 2, "classes": 5}
FORM_OPTIONS: dict[str, dict[str, Any]] = {
    "sdt": {**TINY, "img_size": 64},
    "sdt-cifar": {**TINY, "img_size": 16},
    "sdt-dvs": {**TINY, "img_size": 16, "T": 5},
    "sdt-gesture": {**TINY, "img_size": 32, "T": 5},
}
POOLS = {"sdt": (0, 1, 2, 3), "sdt-cifar": (2, 3), "sdt-dvs": (2, 3), "sdt-gesture": (1, 2, 3)}
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
BLOCK_KEYS = {
    "attn.talking_heads.weight",
    *(f"attn.{name}_conv.weight" for name in ("q", "k", "v", "proj")),
    "attn.proj_conv.bias",
    *(f"attn.{name}_bn.{key}" for name in ("q", "k", "v", "proj") for key in NORM),
    *(f"mlp.{name}_conv.{key}" for name in ("fc1", "fc2") for key in ("weight", "bias")),
    *(f"mlp.{name}_bn.{key}" for name in ("fc1", "fc2") for key in NORM),
}


@pytest.mark.parametrize("form", FORM_OPTIONS)
def test_parameter_names_are_the_official_ones(form: str) -> None:
    model = FORMS[form].build(**FORM_OPTIONS[form])
    expected = {f"block.{i}.{key}" for i in range(2) for key in BLOCK_KEYS}
    for name in ("proj_{}", "proj_{}1", "proj_{}2", "proj_{}3", "rpe_{}"):
        expected |= {f"patch_embed.{name.format('conv')}.weight"}
        expected |= {f"patch_embed.{name.format('bn')}.{key}" for key in NORM}
    assert model.state_dict().keys() == expected | {"head.weight", "head.bias"}
    assert model.state_dict()["block.0.attn.talking_heads.weight"].shape == (2, 2, 1)


@pytest.mark.parametrize("form", FORM_OPTIONS)
def test_neurons_have_the_official_names_and_constants(form: str) -> None:
    model = FORMS[form].build(**FORM_OPTIONS[form])
    neurons = {name: m for name, m in model.named_modules() if isinstance(m, LIF)}
    attn = ("shortcut_lif", "q_lif", "k_lif", "v_lif", "talking_heads_lif")
    assert neurons.keys() == {
        "head_lif",
        *(f"patch_embed.proj_lif{i}" for i in ("", 1, 2, 3)),
        *(f"block.{i}.attn.{name}" for i in range(2) for name in attn),
        *(f"block.{i}.mlp.{name}" for i in range(2) for name in ("fc1_lif", "fc2_lif")),
    }
    for name, lif in neurons.items():
        threshold = 0.5 if "talking" in name else 1.0
        assert (lif.tau, lif.v_threshold, lif.v_reset, lif.decay_input) == (2, threshold, 0, True)
    assert any(isinstance(m, Erode) for m in model.modules()) == (form == "sdt-dvs")


@pytest.fixture
def mixed(lively: Lively) -> Lively:
    """As `lively`; the neurons before the head fire each at a rate of its own, too."""

    def build(form: str, **options: Any) -> tuple[nn.Module, Tensor]:
        model, x = lively(form, **options)
        read: list[Tensor] = []
        lif = model.get_submodule("head_lif")
        hook = lif.register_forward_hook(lambda _m, args, _o: read.append(args[0]))
        with torch.no_grad():
            model(x)
            bias = model.get_parameter("block.1.mlp.fc2_bn.bias")
            bias.add_(torch.linspace(0.5, 2.5, len(bias)) - read[0].mean((0, 1)))
        hook.remove()
        return model, x

    return build


def largest_of_neighbours(x: Tensor) -> Tensor:
    """In the last two axes, within a window of 3x3."""
    padded = nn.functional.pad(x, (1, 1, 1, 1), value=-torch.inf)
    rows, columns = x.shape[-2:]
    windows = [padded[..., i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    return torch.stack(windows).amax(0)


class OneStep:
    """The network for one sample and one time step, with all state in a table of potentials."""

    def __init__(self, model: nn.Module, form: str) -> None:
        self.model, self.form = model, form
        self.v: dict[str, Tensor] = {}

    def neuron(self, path: str, x: Tensor) -> Tensor:
        h = (self.v.get(path, torch.zeros_like(x)) + x) / 2
        spikes = (h >= (0.5 if "talking" in path else 1.0)).double()
        self.v[path] = h * (1 - spikes)
        return spikes

    def conv(self, name: str, x: Tensor) -> Tensor:
        """Convolve and normalise; `{}` in the name stands for the part's name."""
        conv, norm = (self.model.get_submodule(name.format(part)) for part in ("conv", "bn"))
        out: Tensor = norm(conv(x[None]))
        return out[0]

    def pool(self, stage: int, x: Tensor) -> Tensor:
        if stage not in POOLS[self.form]:
            return x
        return nn.functional.max_pool2d(x[None], 3, 2, 1)[0]

    def erode(self, x: Tensor) -> Tensor:
        return largest_of_neighbours(x) if self.form == "sdt-dvs" else x

    def attention(self, block: str, x: Tensor) -> Tensor:
        """A channel of a head passes where enough tokens have both key and value."""
        spikes = self.neuron(f"{block}.shortcut_lif", x)
        q, k, v = (
            self.neuron(f"{block}.{n}_lif", self.conv(f"{block}.{n}_{{}}", spikes)) for n in "qkv"
        )
        size = (2, len(q) // 2, q[0].numel())
        heads = [s.reshape(size) for s in (q, self.erode(k), self.erode(v))]
        both = self.erode((heads[1] * heads[2]).mT)
        mask = self.neuron(f"{block}.talking_heads_lif", both.sum(1))
        masked = self.erode(heads[0].mT * mask[:, None]).mT
        return self.conv(f"{block}.proj_{{}}", masked.reshape(x.shape))

    def __call__(self, x: Tensor) -> Tensor:
        """`[C_in, H, W]` to the stream `[C, H', W']`."""
        for i, suffix in enumerate(("", "1", "2")):
            x = self.conv(f"patch_embed.proj_{{}}{suffix}", x)
            x = self.pool(i, self.neuron(f"patch_embed.proj_lif{suffix}", x))
        x = self.pool(3, self.conv("patch_embed.proj_{}3", x))
        x = x + self.conv("patch_embed.rpe_{}", self.neuron("patch_embed.proj_lif3", x))
        for b in range(2):
            x = x + self.attention(f"block.{b}.attn", x)
            hidden = x
            for n in (1, 2):
                spikes = self.neuron(f"block.{b}.mlp.fc{n}_lif", hidden)
                hidden = self.conv(f"block.{b}.mlp.fc{n}_{{}}", spikes)
            x = x + hidden
        return x


@pytest.mark.parametrize("form", FORM_OPTIONS)
@torch.no_grad()
def test_the_network_is_its_time_steps_one_after_another(form: str, mixed: Lively) -> None:
    model, x = mixed(form, **FORM_OPTIONS[form])
    logits = model(x)
    arch = FORMS[form].configure(**FORM_OPTIONS[form])
    head = model.get_submodule("head")
    for sample, expected in zip(x, logits, strict=True):
        frames = sample if arch.config.time_in_input else [sample] * arch.config.T
        step = OneStep(model, form)
        spikes = [step.neuron("head_lif", step(frame).mean((1, 2))) for frame in frames]
        torch.testing.assert_close(head(torch.stack(spikes).mean(0)), expected, rtol=0, atol=1e-10)
    assert logits.std() > 1e-3


@pytest.mark.parametrize("form", FORM_OPTIONS)
def test_only_the_stem_reads_something_else_than_spikes(
    form: str, mixed: Lively, inputs_of: InputsOf
) -> None:
    model, x = mixed(form, **FORM_OPTIONS[form])
    read = inputs_of(model, x)
    floats = {path for path, value in read.items() if not set(value.flatten().tolist()) <= {0, 1}}
    assert floats == {"patch_embed.proj_conv"}
    for path in read.keys() - floats:
        assert 0.01 < read[path].mean() < 1, path


def test_a_hidden_layer_as_wide_as_the_stream_has_a_residual_of_its_own(lively: Lively) -> None:
    model, _ = lively("sdt-cifar", **FORM_OPTIONS["sdt-cifar"], mlp_ratio=1)
    mlp = model.get_submodule("block.0.mlp")
    x = torch.randn(4, 2, 32, 4, 4, dtype=torch.float64)
    read: list[Tensor] = []
    mlp.get_submodule("fc2_lif").register_forward_hook(lambda _m, args, _o: read.append(args[0]))
    out = mlp(x)
    first, second = (mlp.get_submodule(f"fc{n}_bn") for n in (1, 2))
    spikes = mlp.get_submodule("fc1_lif")(x).flatten(0, 1)
    inner = x + first(mlp.get_submodule("fc1_conv")(spikes)).reshape(x.shape)
    assert torch.equal(read[0], inner)
    spikes = mlp.get_submodule("fc2_lif")(inner).flatten(0, 1)
    assert torch.equal(out, inner + second(mlp.get_submodule("fc2_conv")(spikes)).reshape(x.shape))


def test_erosion_takes_the_largest_of_neighbours() -> None:
    x = torch.randn(2, 3, 4, 5, 6)
    assert torch.equal(Erode()(x), largest_of_neighbours(x))


def test_dead_talking_heads_change_nothing(lively: Lively) -> None:
    model, x = lively("sdt-cifar", **FORM_OPTIONS["sdt-cifar"])
    before = model(x)
    nn.init.normal_(model.get_submodule("block.0.attn.talking_heads").weight)  # type: ignore[arg-type]
    assert torch.equal(model(x), before)


def test_gradients_reach_every_parameter_that_is_used(lively: Lively) -> None:
    model, x = lively("sdt-cifar", **FORM_OPTIONS["sdt-cifar"])
    model(x).square().sum().backward()
    silent = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert silent == {f"block.{b}.attn.talking_heads.weight" for b in (0, 1)}
