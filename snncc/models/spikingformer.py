"""Spikingformer: a transformer whose residual stream is the membrane, not the spikes.

Source: Zhou et al., "Spikingformer: Spike-driven Residual Learning for Transformer-based
Spiking Neural Network" (AAAI 2026, arXiv 2304.11954), and the parameter names of
zhouchenlin2096/Spikingformer @ 4378623, so that its checkpoints load strictly. Every block
puts its neuron first (neuron, convolution, batch norm), and adds the float result to the
stream: each convolution but the first reads spikes. The forms called CML pool before they fire:
Zhou et al., "Enhancing the Performance of Transformer-based Spiking Neural Networks" (arXiv
2305.05954), names of zhouchenlin2096/Spikingformer-CML @ 8e51213.

Shapes: T time steps, B samples, C channels, N = H * W tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from torch import Tensor, nn

from snncc.models import attention
from snncc.models.neuron import LIF

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from snncc.models.config import TransformerConfig

SCALE = 0.125
"""Factor on the attention product, in all variants."""

Neuron: TypeAlias = "Callable[[], LIF]"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What the published forms differ in besides sizes: names and the order of a product."""

    stem: str
    """Name of the first convolution, before `_conv`."""
    stage: str
    """Name of the later ones; `{}` is the stage, 1 to 4."""
    pools: tuple[str, str, str, str]
    """Names of the max-pooling of each stage."""
    product: Callable[[Tensor, Tensor, Tensor, float], Tensor]
    pool_first: bool = False
    """Whether a stage pools the float membrane and then fires (CML), or fires and pools spikes."""


_POOLS = ("maxpool1", "maxpool2", "maxpool3", "maxpool4")
_CML_POOLS = ("maxpool", "maxpool1", "maxpool2", "maxpool3")

VARIANTS: Final[Mapping[str, Variant]] = {
    "imagenet": Variant(
        stem="proj", stage="proj{}", pools=_POOLS, product=attention.product_kv_first
    ),
    "cifar": Variant(
        stem="block0",
        stage="block{}",
        pools=("block1_mp", "block2_mp", "block3_mp", "block4_mp"),
        product=attention.product_qk_first,
    ),
    "dvs": Variant(stem="proj", stage="proj{}", pools=_POOLS, product=attention.product_qk_first),
    "imagenet-cml": Variant(
        stem="proj",
        stage="proj{}",
        pools=_CML_POOLS,
        product=attention.product_kv_first,
        pool_first=True,
    ),
    "cifar-cml": Variant(
        stem="proj",
        stage="proj{}",
        pools=("proj_mp", "proj1_mp", "proj2_mp", "proj3_mp"),
        product=attention.product_qk_first,
        pool_first=True,
    ),
    "dvs-cml": Variant(
        stem="proj",
        stage="proj{}",
        pools=_CML_POOLS,
        product=attention.product_qk_first,
        pool_first=True,
    ),
}


class SpikingTokenizer(nn.Module):
    """`[T, B, C_in, H, W]` pixels to `[T, B, C, H', W']` membranes, by five convolutions.

    The first reads pixels. Four stages of neuron, max-pooling (where asked for) and convolution
    follow, of max-pooling, neuron and convolution in CML; channels double from C/8 to C.
    """

    def __init__(self, config: TransformerConfig, neuron: Neuron) -> None:
        super().__init__()
        variant = VARIANTS[config.variant]
        dim = config.dim
        widths = (dim // 8, dim // 4, dim // 2, dim, dim)
        self._stages = tuple(variant.stage.format(i) for i in range(1, 5))
        self._pools = variant.pools
        self._pool_first = variant.pool_first
        self._stem = variant.stem
        self._add_conv(variant.stem, config.in_channels, widths[0])
        for i, (stage, pool) in enumerate(zip(self._stages, self._pools, strict=True), start=1):
            self.add_module(f"{stage}_lif", neuron())
            if i in config.pool_stages:
                self.add_module(pool, nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
            self._add_conv(stage, widths[i - 1], widths[i])

    def _add_conv(self, name: str, fan_in: int, fan_out: int) -> None:
        conv = nn.Conv2d(fan_in, fan_out, kernel_size=3, padding=1, bias=False)
        self.add_module(f"{name}_conv", conv)
        self.add_module(f"{name}_bn", nn.BatchNorm2d(fan_out))

    def forward(self, x: Tensor) -> Tensor:
        """Turn `[T, B, C_in, H, W]` into `[T, B, C, H', W']`."""
        part = self.get_submodule
        steps = x.shape[:2]
        x = part(f"{self._stem}_conv")(x.flatten(0, 1))
        x = part(f"{self._stem}_bn")(x)
        for stage, pool in zip(self._stages, self._pools, strict=True):
            pooling = hasattr(self, pool)
            if pooling and self._pool_first:
                x = part(pool)(x)
            x = part(f"{stage}_lif")(x.reshape(*steps, *x.shape[1:])).flatten(0, 1)
            if pooling and not self._pool_first:
                x = part(pool)(x)
            x = part(f"{stage}_conv")(x)
            x = part(f"{stage}_bn")(x)
        return x.reshape(*steps, *x.shape[1:])


class SpikingSelfAttention(nn.Module):
    """`[T, B, C, H, W]` membranes to membranes: LIF(Q, K, V product * 0.125), projected."""

    def __init__(self, config: TransformerConfig, neuron: Neuron) -> None:
        super().__init__()
        dim = config.dim
        self.heads = config.heads
        self.product = VARIANTS[config.variant].product
        self.proj_lif = neuron()
        self.q_conv = nn.Conv1d(dim, dim, kernel_size=1, bias=False)
        self.q_bn = nn.BatchNorm1d(dim)
        self.q_lif = neuron()
        self.k_conv = nn.Conv1d(dim, dim, kernel_size=1, bias=False)
        self.k_bn = nn.BatchNorm1d(dim)
        self.k_lif = neuron()
        self.v_conv = nn.Conv1d(dim, dim, kernel_size=1, bias=False)
        self.v_bn = nn.BatchNorm1d(dim)
        self.v_lif = neuron()
        self.attn_lif = LIF(tau=config.tau, v_threshold=config.attn_v_threshold)
        self.proj_conv = nn.Conv1d(dim, dim, kernel_size=1)
        self.proj_bn = nn.BatchNorm1d(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        steps = x.shape[:2]
        spikes = self.proj_lif(x).flatten(3).flatten(0, 1)
        q = self.q_lif(self.q_bn(self.q_conv(spikes)).unflatten(0, steps))
        k = self.k_lif(self.k_bn(self.k_conv(spikes)).unflatten(0, steps))
        v = self.v_lif(self.v_bn(self.v_conv(spikes)).unflatten(0, steps))
        q, k, v = (attention.split_heads(s, self.heads) for s in (q, k, v))
        counts = self.product(q, k, v, SCALE)
        spikes = self.attn_lif(attention.merge_heads(counts)).flatten(0, 1)
        out: Tensor = self.proj_bn(self.proj_conv(spikes))
        return out.reshape(x.shape)


class MLP(nn.Module):
    """`[T, B, C, H, W]` membranes to membranes: twice a neuron and a 1x1 convolution."""

    def __init__(self, config: TransformerConfig, neuron: Neuron) -> None:
        super().__init__()
        self.mlp1_lif = neuron()
        self.mlp1_conv = nn.Conv2d(config.dim, config.hidden_dim, kernel_size=1)
        self.mlp1_bn = nn.BatchNorm2d(config.hidden_dim)
        self.mlp2_lif = neuron()
        self.mlp2_conv = nn.Conv2d(config.hidden_dim, config.dim, kernel_size=1)
        self.mlp2_bn = nn.BatchNorm2d(config.dim)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        steps = x.shape[:2]
        spikes = self.mlp1_lif(x).flatten(0, 1)
        hidden = self.mlp1_bn(self.mlp1_conv(spikes)).unflatten(0, steps)
        spikes = self.mlp2_lif(hidden).flatten(0, 1)
        out: Tensor = self.mlp2_bn(self.mlp2_conv(spikes))
        return out.reshape(x.shape)


class SpikingTransformer(nn.Module):
    """One block: X + attention(X), then X + MLP(X), both sums of floats.

    `norm1` and `norm2` are in every official checkpoint and are never used.
    """

    def __init__(self, config: TransformerConfig, neuron: Neuron) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.dim, eps=1e-6)
        self.attn = SpikingSelfAttention(config, neuron)
        self.norm2 = nn.LayerNorm(config.dim, eps=1e-6)
        self.mlp = MLP(config, neuron)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        x = x + self.attn(x)
        out: Tensor = x + self.mlp(x)
        return out


class Spikingformer(nn.Module):
    """The whole network, from pixels to logits `[B, classes]`.

    It reads images `[B, C_in, H, W]`, each shown T times, or event counts
    `[B, T, C_in, H, W]`. The head reads the mean of the stream over tokens and time.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        neuron = partial(LIF, tau=config.tau, v_threshold=config.v_threshold)
        self.patch_embed = SpikingTokenizer(config, neuron)
        self.block = nn.ModuleList(SpikingTransformer(config, neuron) for _ in range(config.depth))
        self.head = nn.Linear(config.dim, config.classes)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[B, classes]` logits."""
        if self.config.time_in_input:
            x = x.transpose(0, 1)
        else:
            x = x.unsqueeze(0).repeat(self.config.T, 1, 1, 1, 1)
        x = self.patch_embed(x)
        for block in self.block:
            x = block(x)
        logits: Tensor = self.head(x.flatten(3).mean(3).mean(0))
        return logits
