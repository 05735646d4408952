"""QKFormer: a spiking transformer in three stages, with attention masks that cost no product.

Source: Zhou et al., "QKFormer: Hierarchical Spiking Transformer using Q-K Attention", NeurIPS
2024, and the parameter names of zhouchenlin2096/QKFormer @ c2a00e8, so that its checkpoints load
strictly. Neurons come last (convolution, batch norm, perhaps max-pooling, neuron), and what is
added to the residual stream is spikes: it holds integers. Each stage begins with a tokenizer that
adds two branches (SPEDS). The first two stages have Q-K token attention, the third has SSA.

Shapes: T time steps, B samples, C channels, N = H * W tokens, square images.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from torch import Tensor, nn

from snncc.models import attention
from snncc.models.neuron import LIF
from snncc.models.pyramid import run_stages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from snncc.models.config_stages import HierarchicalConfig

SCALE = 0.125
"""Factor on the attention product."""

Neuron: TypeAlias = "Callable[[], LIF]"

MLP_NAMES: Final[Mapping[str, tuple[str, str]]] = {"imagenet": ("fc1", "fc2")}
"""Layers of the MLP, by variant; "mlp1" and "mlp2" in others."""


class Layers(nn.Module):
    """Base of modules that are made of layers: `{name}_conv`, `_bn`, maybe `_maxpool`, `_lif`."""

    def add_layer(
        self, name: str, conv: nn.Conv1d | nn.Conv2d, neuron: Neuron, *, pool: bool = False
    ) -> None:
        """Add a layer with this convolution, max-pooling its currents where `pool` says so."""
        norm = nn.BatchNorm1d if isinstance(conv, nn.Conv1d) else nn.BatchNorm2d
        self.add_module(f"{name}_conv", conv)
        self.add_module(f"{name}_bn", norm(conv.out_channels))
        if pool:
            self.add_module(f"{name}_maxpool", nn.MaxPool2d(3, stride=2, padding=1))
        self.add_module(f"{name}_lif", neuron())

    def layer(self, name: str, x: Tensor) -> Tensor:
        """Pass `[T, B, C, ...]` through a layer: spikes `[T, B, C', ...]`."""
        part, steps = self.get_submodule, x.shape[:2]
        x = part(f"{name}_bn")(part(f"{name}_conv")(x.flatten(0, 1)))
        if hasattr(self, f"{name}_maxpool"):
            x = part(f"{name}_maxpool")(x)
        spikes: Tensor = part(f"{name}_lif")(x.reshape(*steps, *x.shape[1:]))
        return spikes


class Step(NamedTuple):
    """One 3x3 convolution of a tokenizer."""

    name: str
    fan_out: int
    pool: bool = False


class Tokenizer(Layers):
    """`[T, B, C, H, W]` to integers `[T, B, C', H', W']`: a trunk, then two branches added.

    The short branch is one 1x1 convolution of the same stride as the long one.
    """

    def __init__(
        self, fan_in: int, trunk: Sequence[Step], branch: Sequence[Step], neuron: Neuron
    ) -> None:
        super().__init__()
        self._trunk = tuple(step.name for step in trunk)
        self._branch = tuple(step.name for step in branch)
        width = self._add_steps(trunk, fan_in, neuron)
        fan_out = self._add_steps(branch, width, neuron)
        stride = 2 ** sum(step.pool for step in branch)
        short = nn.Conv2d(width, fan_out, kernel_size=1, stride=stride, bias=False)
        self.add_layer("proj_res", short, neuron)

    def _add_steps(self, steps: Sequence[Step], width: int, neuron: Neuron) -> int:
        for step in steps:
            conv = nn.Conv2d(width, step.fan_out, kernel_size=3, padding=1, bias=False)
            self.add_layer(step.name, conv, neuron, pool=step.pool)
            width = step.fan_out
        return width

    def forward(self, x: Tensor) -> Tensor:
        """Return `[T, B, C', H', W']`, 0 to 2."""
        for name in self._trunk:
            x = self.layer(name, x)
        long = x
        for name in self._branch:
            long = self.layer(name, long)
        return long + self.layer("proj_res", x)


def tokenizers(
    config: HierarchicalConfig, widths: tuple[int, int, int], neuron: Neuron
) -> list[Tokenizer]:
    """Return the three tokenizers: 1/4, 1/8 and 1/16 of height and width, "cifar" 1, 1/2, 1/4."""
    w1, imagenet = widths[0], config.variant == "imagenet"
    trunk = [Step("proj", w1 // 2, pool=imagenet)]
    branch = [Step("proj1", w1, pool=imagenet), *([Step("proj2", w1)] if imagenet else [])]
    first = Tokenizer(config.in_channels, trunk, branch, neuron)
    later = (
        [Step("proj3", w, pool=imagenet), Step("proj4", w, pool=not imagenet)] for w in widths[1:]
    )
    pairs = zip(widths, later, strict=False)
    return [first, *(Tokenizer(fan_in, (), steps, neuron) for fan_in, steps in pairs)]


def _conv1(dim: int, *, kernel: int = 1, bias: bool = False) -> nn.Conv1d:
    return nn.Conv1d(dim, dim, kernel_size=kernel, padding=kernel // 2, bias=bias)


class TokenAttention(Layers):
    """`[T, B, C, H, W]` integers to spikes: M * K, projected, with M = LIF(sum of Q over d).

    M is one spike for each head and token: it lets the keys of a token through or not.
    """

    def __init__(self, dim: int, config: HierarchicalConfig, neuron: Neuron) -> None:
        super().__init__()
        self.heads = config.heads
        self.add_layer("q", _conv1(dim), neuron)
        self.add_layer("k", _conv1(dim), neuron)
        self.attn_lif = LIF(tau=config.tau, v_threshold=config.attn_v_threshold)
        self.add_layer("proj", _conv1(dim, bias=True), neuron)

    def weight_of_tokens(self, flat: Tensor) -> Tensor:
        """Return what decides on each token, `[T, B, heads, 1, N]`."""
        return self.per_head("q", flat).sum(3, keepdim=True)

    def per_head(self, name: str, flat: Tensor) -> Tensor:
        """Return a layer's spikes of `[T, B, C, N]` as `[T, B, heads, d, N]`."""
        T, B, C, N = flat.shape
        return self.layer(name, flat).reshape(T, B, self.heads, C // self.heads, N)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        flat = x.flatten(3)
        mask = self.attn_lif(self.weight_of_tokens(flat))
        spikes = (mask * self.per_head("k", flat)).flatten(2, 3)
        return self.layer("proj", spikes).reshape(x.shape)


class SelfAttention(Layers):
    """`[T, B, C, H, W]` integers to spikes: LIF(Q (K^T V) * 0.125), projected.

    The official `proj_lif` runs along time and batch as if they were one axis, so that a sample's
    spikes depend on the samples before it. Here samples are apart, as there in a batch of one.
    """

    def __init__(self, dim: int, config: HierarchicalConfig, neuron: Neuron) -> None:
        super().__init__()
        self.heads = config.heads
        for name in "qkv":
            self.add_layer(name, _conv1(dim), neuron)
        self.attn_lif = LIF(tau=config.tau, v_threshold=config.attn_v_threshold)
        self.add_layer("proj", _conv1(dim, bias=True), neuron)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        flat = x.flatten(3)
        q, k, v = (attention.split_heads(self.layer(name, flat), self.heads) for name in "qkv")
        counts = attention.merge_heads(attention.product_kv_first(q, k, v, SCALE))
        return self.layer("proj", self.attn_lif(counts)).reshape(x.shape)


class MLP(Layers):
    """`[T, B, C, H, W]` integers to spikes: twice a 1x1 convolution and a neuron."""

    def __init__(self, dim: int, config: HierarchicalConfig, neuron: Neuron) -> None:
        super().__init__()
        hidden = dim * config.mlp_ratio
        self._names = MLP_NAMES.get(config.variant, ("mlp1", "mlp2"))
        self.add_layer(self._names[0], nn.Conv2d(dim, hidden, kernel_size=1), neuron)
        self.add_layer(self._names[1], nn.Conv2d(hidden, dim, kernel_size=1), neuron)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        for name in self._names:
            x = self.layer(name, x)
        return x


class Block(nn.Module):
    """One block: X + attention(X), then X + MLP(X), both sums of spikes and integers."""

    def __init__(self, name: str, attend: nn.Module, mlp: MLP) -> None:
        super().__init__()
        self._name = name
        self.add_module(name, attend)
        self.mlp = mlp

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        x = x + self.get_submodule(self._name)(x)
        out: Tensor = x + self.mlp(x)
        return out


Attend: TypeAlias = type[TokenAttention] | type[SelfAttention]


class Hierarchical(nn.Module):
    """The whole network, from images `[B, C_in, H, W]` to logits `[B, classes]`.

    Token attention is called `tssa`, self-attention `attn` ("imagenet") or `ssa`. The head reads
    the mean of the stream over tokens and time.
    """

    def __init__(
        self,
        config: HierarchicalConfig,
        widths: tuple[int, int, int],
        token_attention: type[TokenAttention],
    ) -> None:
        super().__init__()
        self.config = config
        neuron = partial(LIF, tau=config.tau, v_threshold=config.v_threshold)
        last = "attn" if config.variant == "imagenet" else "ssa"
        tokens: tuple[str, Attend] = ("tssa", token_attention)
        kinds = [tokens, tokens, (last, SelfAttention)]
        stages = zip(widths, config.depths, kinds, strict=True)
        embeds = tokenizers(config, widths, neuron)
        for i, (dim, depth, (name, attend)) in enumerate(stages, start=1):
            self.add_module(f"patch_embed{i}", embeds[i - 1])
            blocks = (
                Block(name, attend(dim, config, neuron), MLP(dim, config, neuron))
                for _ in range(depth)
            )
            self.add_module(f"stage{i}", nn.ModuleList(blocks))
        self.head = nn.Linear(config.dim, config.classes)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[B, classes]` logits."""
        x = x.unsqueeze(0).repeat(self.config.T, 1, 1, 1, 1)
        names = (f"{part}{i}" for i in (1, 2, 3) for part in ("patch_embed", "stage"))
        x = run_stages(self, names, x)
        logits: Tensor = self.head(x.flatten(3).mean(3).mean(0))
        return logits


class QKFormer(Hierarchical):
    """QKFormer: stages of C/4, C/2 and C channels."""

    def __init__(self, config: HierarchicalConfig) -> None:
        dim = config.dim
        super().__init__(config, (dim // 4, dim // 2, dim), TokenAttention)
