"""Spikformer: the first spiking transformer; its residual stream adds up spikes.

Source: Zhou et al., "Spikformer: When Spiking Neural Network Meets Transformer" (ICLR 2023),
and the parameter names of ZK-Zhou/spikformer @ 6212689, so that its checkpoints load strictly.
Every block ends in a neuron and adds its spikes to the stream ("SEW ADD"), which so holds
0..2, 0..3, and so on: queries, keys, values and `fc1` of each block read integers, not spikes.
The form called CML pools before it fires (Zhou et al., arXiv 2305.05954), with the names of
zhouchenlin2096/Spikingformer-CML @ 8e51213.

Shapes: T time steps, B samples, C channels, N = H * W tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from snncc.models import attention
from snncc.models.neuron import LIF

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from snncc.models.config import TransformerConfig

Neuron: TypeAlias = "Callable[[], LIF]"
Product: TypeAlias = "Callable[[Tensor, Tensor, Tensor, float], Tensor]"


class Stage(NamedTuple):
    """What the parts of one stage of the tokenizer are called."""

    conv: str
    bn: str
    lif: str
    pool: str


STAGES: Final = tuple(
    Stage(f"proj_conv{i}", f"proj_bn{i}", f"proj_lif{i}", f"maxpool{i}") for i in ("", 1, 2, 3)
)
CML_STAGES: Final = tuple(
    Stage(f"block{i}_conv", f"block{i}_bn", f"block{i}_lif", f"block{i}_mp") for i in (1, 2, 3, 4)
)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What the published forms differ in besides sizes."""

    product: Product
    scale: float
    """Factor on the attention product."""
    linear: bool = False
    """Whether the blocks are `nn.Linear` on `[T, B, N, C]`, or convolutions on `[T, B, C, ...]`."""
    flat_tokens: bool = False
    """Whether the MLP convolves `[T, B, C, N]`, or `[T, B, C, H, W]`."""
    stages: tuple[Stage, ...] = STAGES
    pool_first: bool = False
    """Whether a stage pools floats and then fires (CML), or fires and then pools spikes."""
    dead_parameters: bool = False
    """Whether checkpoints hold `pos_embed` and `norm`, which nothing reads."""


VARIANTS: Final[Mapping[str, Variant]] = {
    "imagenet": Variant(product=attention.product_kv_first, scale=0.125),
    "cifar": Variant(product=attention.product_scaled_map, scale=0.125, linear=True),
    "dvs": Variant(
        product=attention.product_qk_first, scale=0.25, flat_tokens=True, dead_parameters=True
    ),
    "cifar-cml": Variant(
        product=attention.product_scaled_map,
        scale=0.125,
        linear=True,
        stages=CML_STAGES,
        pool_first=True,
    ),
}


class SpikingPatchSplitting(nn.Module):
    """`[T, B, C_in, H, W]` pixels to `[T, B, C, H', W']` in 0..2, by five convolutions.

    Four stages of convolution, neuron and max-pooling (where asked for), channels doubling from
    C/8 to C; then the relative position embedding, whose spikes are added to the last stage's.
    """

    def __init__(self, config: TransformerConfig, neuron: Neuron) -> None:
        super().__init__()
        fan_in = config.in_channels
        self._stages = VARIANTS[config.variant].stages
        self._pool_first = VARIANTS[config.variant].pool_first
        for i, stage in enumerate(self._stages):
            fan_out = config.dim >> (3 - i)
            conv = nn.Conv2d(fan_in, fan_out, kernel_size=3, padding=1, bias=False)
            self.add_module(stage.conv, conv)
            self.add_module(stage.bn, nn.BatchNorm2d(fan_out))
            self.add_module(stage.lif, neuron())
            if i + 1 in config.pool_stages:
                self.add_module(stage.pool, nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
            fan_in = fan_out
        self.rpe_conv = nn.Conv2d(config.dim, config.dim, kernel_size=3, padding=1, bias=False)
        self.rpe_bn = nn.BatchNorm2d(config.dim)
        self.rpe_lif = neuron()

    def forward(self, x: Tensor) -> Tensor:
        """Turn `[T, B, C_in, H, W]` into `[T, B, C, H', W']`."""
        part = self.get_submodule
        steps = x.shape[:2]
        x = x.flatten(0, 1)
        for stage in self._stages:
            pooling = hasattr(self, stage.pool)
            x = part(stage.bn)(part(stage.conv)(x))
            if pooling and self._pool_first:
                x = part(stage.pool)(x)
            x = part(stage.lif)(x.reshape(*steps, *x.shape[1:])).flatten(0, 1)
            if pooling and not self._pool_first:
                x = part(stage.pool)(x)
        position: Tensor = self.rpe_lif(self.rpe_bn(self.rpe_conv(x)).unflatten(0, steps))
        return position + x.reshape(position.shape)


class ConvAttention(nn.Module):
    """`[T, B, C, ...]` integers to spikes: LIF(Q, K, V product * scale), projected."""

    def __init__(self, config: TransformerConfig, neuron: Neuron) -> None:
        super().__init__()
        dim = config.dim
        self.heads = config.heads
        self.product = VARIANTS[config.variant].product
        self.scale = VARIANTS[config.variant].scale
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
        self.proj_lif = neuron()

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]` or `[T, B, C, N]`."""
        steps = x.shape[:2]
        flat = x.flatten(3).flatten(0, 1)
        q = self.q_lif(self.q_bn(self.q_conv(flat)).unflatten(0, steps))
        k = self.k_lif(self.k_bn(self.k_conv(flat)).unflatten(0, steps))
        v = self.v_lif(self.v_bn(self.v_conv(flat)).unflatten(0, steps))
        q, k, v = (attention.split_heads(s, self.heads) for s in (q, k, v))
        counts = self.product(q, k, v, self.scale)
        spikes = self.attn_lif(attention.merge_heads(counts)).flatten(0, 1)
        out: Tensor = self.proj_lif(self.proj_bn(self.proj_conv(spikes)).reshape(x.shape))
        return out


class LinearAttention(nn.Module):
    """`[T, B, N, C]` integers to spikes; as `ConvAttention`, channels last."""

    def __init__(self, config: TransformerConfig, neuron: Neuron) -> None:
        super().__init__()
        dim = config.dim
        self.heads = config.heads
        self.product = VARIANTS[config.variant].product
        self.scale = VARIANTS[config.variant].scale
        self.q_linear = nn.Linear(dim, dim)
        self.q_bn = nn.BatchNorm1d(dim)
        self.q_lif = neuron()
        self.k_linear = nn.Linear(dim, dim)
        self.k_bn = nn.BatchNorm1d(dim)
        self.k_lif = neuron()
        self.v_linear = nn.Linear(dim, dim)
        self.v_bn = nn.BatchNorm1d(dim)
        self.v_lif = neuron()
        self.attn_lif = LIF(tau=config.tau, v_threshold=config.attn_v_threshold)
        self.proj_linear = nn.Linear(dim, dim)
        self.proj_bn = nn.BatchNorm1d(dim)
        self.proj_lif = neuron()

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, N, C]`; batch norm wants channels second."""
        steps = x.shape[:2]
        flat = x.flatten(0, 1)
        q = self.q_lif(_turned(self.q_bn(_turned(self.q_linear(flat)))).unflatten(0, steps))
        k = self.k_lif(_turned(self.k_bn(_turned(self.k_linear(flat)))).unflatten(0, steps))
        v = self.v_lif(_turned(self.v_bn(_turned(self.v_linear(flat)))).unflatten(0, steps))
        q, k, v = (attention.split_heads_last(s, self.heads) for s in (q, k, v))
        counts = self.product(q, k, v, self.scale)
        spikes = self.attn_lif(attention.merge_heads_last(counts)).flatten(0, 1)
        current = _turned(self.proj_bn(_turned(self.proj_linear(spikes))))
        out: Tensor = self.proj_lif(current.unflatten(0, steps))
        return out


class ConvMLP(nn.Module):
    """`[T, B, C, ...]` integers to spikes: twice a 1x1 convolution and a neuron."""

    def __init__(self, config: TransformerConfig, neuron: Neuron) -> None:
        super().__init__()
        flat = VARIANTS[config.variant].flat_tokens
        conv: type[nn.Conv1d | nn.Conv2d] = nn.Conv1d if flat else nn.Conv2d
        norm: type[nn.BatchNorm1d | nn.BatchNorm2d] = nn.BatchNorm1d if flat else nn.BatchNorm2d
        self.fc1_conv = conv(config.dim, config.hidden_dim, kernel_size=1)
        self.fc1_bn = norm(config.hidden_dim)
        self.fc1_lif = neuron()
        self.fc2_conv = conv(config.hidden_dim, config.dim, kernel_size=1)
        self.fc2_bn = norm(config.dim)
        self.fc2_lif = neuron()

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]` or `[T, B, C, N]`."""
        steps = x.shape[:2]
        spikes = self.fc1_lif(self.fc1_bn(self.fc1_conv(x.flatten(0, 1))).unflatten(0, steps))
        current = self.fc2_bn(self.fc2_conv(spikes.flatten(0, 1)))
        out: Tensor = self.fc2_lif(current.unflatten(0, steps))
        return out


class LinearMLP(nn.Module):
    """`[T, B, N, C]` integers to spikes; as `ConvMLP`, channels last."""

    def __init__(self, config: TransformerConfig, neuron: Neuron) -> None:
        super().__init__()
        self.fc1_linear = nn.Linear(config.dim, config.hidden_dim)
        self.fc1_bn = nn.BatchNorm1d(config.hidden_dim)
        self.fc1_lif = neuron()
        self.fc2_linear = nn.Linear(config.hidden_dim, config.dim)
        self.fc2_bn = nn.BatchNorm1d(config.dim)
        self.fc2_lif = neuron()

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, N, C]`; batch norm wants channels second."""
        steps = x.shape[:2]
        current = _turned(self.fc1_bn(_turned(self.fc1_linear(x.flatten(0, 1)))))
        spikes = self.fc1_lif(current.unflatten(0, steps))
        current = _turned(self.fc2_bn(_turned(self.fc2_linear(spikes.flatten(0, 1)))))
        out: Tensor = self.fc2_lif(current.unflatten(0, steps))
        return out


class Block(nn.Module):
    """One block: X + attention(X), then X + MLP(X), both sums of spikes and integers.

    `norm1` and `norm2` are in every official checkpoint and are never used.
    """

    def __init__(self, config: TransformerConfig, neuron: Neuron) -> None:
        super().__init__()
        linear = VARIANTS[config.variant].linear
        self.norm1 = nn.LayerNorm(config.dim, eps=1e-6)
        self.attn = LinearAttention(config, neuron) if linear else ConvAttention(config, neuron)
        self.norm2 = nn.LayerNorm(config.dim, eps=1e-6)
        self.mlp = LinearMLP(config, neuron) if linear else ConvMLP(config, neuron)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, that of the variant's stream."""
        x = x + self.attn(x)
        out: Tensor = x + self.mlp(x)
        return out


class Spikformer(nn.Module):
    """The whole network, from pixels to logits `[B, classes]`.

    It reads images `[B, C_in, H, W]`, each shown T times, or event counts
    `[B, T, C_in, H, W]`. The head reads the mean of the stream over tokens and time.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.variant = VARIANTS[config.variant]
        neuron = partial(LIF, tau=config.tau, v_threshold=config.v_threshold)
        self.patch_embed = SpikingPatchSplitting(config, neuron)
        self.block = nn.ModuleList(Block(config, neuron) for _ in range(config.depth))
        if self.variant.dead_parameters:
            tokens = (config.img_size // config.patch_size) ** 2
            self.pos_embed = nn.Parameter(torch.zeros(1, tokens, config.dim))
            self.norm = nn.LayerNorm(config.dim, eps=1e-6)
        self.head = nn.Linear(config.dim, config.classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[B, classes]` logits."""
        if self.config.time_in_input:
            x = x.transpose(0, 1)
        else:
            x = x.unsqueeze(0).repeat(self.config.T, 1, 1, 1, 1)
        x = self.patch_embed(x)
        if self.variant.linear or self.variant.flat_tokens:
            x = x.flatten(3)
        if self.variant.linear:
            x = _turned(x)
        for block in self.block:
            x = block(x)
        tokens = x.mean(2) if self.variant.linear else x.flatten(3).mean(3)
        logits: Tensor = self.head(tokens.mean(0))
        return logits


def _turned(x: Tensor) -> Any:
    """Swap tokens and channels; not by `mT`, which torch's TorchScript exporter cannot write."""
    return x.transpose(-1, -2)
