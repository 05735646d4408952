"""E-SpikeFormer, base: Spike-driven Transformer V3 with integer neurons.

Source: Yao et al., "Scaling Spike-driven Transformer with Efficient Spike Firing Approximation
Training", TPAMI 2025, and the parameter names of BICLab/Spike-Driven-Transformer-V3 @ 00fcd1f
(`Model_Base`), so that its checkpoints load strictly. The pyramid of Meta-SpikeFormer; each layer
reads counts 0 to D over D, which the chip sees as D binary sub-steps.

The official program has no time axis; here T stands in front, and one step is the same.
Shapes: T time steps, B samples, C channels, N = H * W tokens.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from torch import Tensor, nn

from snncc.models import attention
from snncc.models.neuron_multilevel import MultiLevel
from snncc.models.pyramid import CONV_STAGES, Parts, add_stages, answer, run_stages

if TYPE_CHECKING:
    from collections.abc import Callable

    from snncc.models.config_stages import ESpikeFormerConfig

VALUE_RATIO = 4
"""Channels of the values for one of the queries or keys."""

Neuron: TypeAlias = "Callable[[], MultiLevel]"


def conv_bn(
    fan_in: int, fan_out: int, *, kernel: int = 1, groups: int = 1, bias: bool = False
) -> nn.Sequential:
    """Return a convolution that keeps height and width, and its norm."""
    conv = nn.Conv2d(fan_in, fan_out, kernel, padding=kernel // 2, groups=groups, bias=bias)
    return nn.Sequential(conv, nn.BatchNorm2d(fan_out))


class SepConv(nn.Module):
    """`[T, B, C, H, W]` membranes to membranes: 1x1 to 2C, depthwise, 1x1, neurons first."""

    def __init__(self, dim: int, kernel: int, neuron: Neuron) -> None:
        super().__init__()
        hidden = 2 * dim
        self.spike1 = neuron()
        self.pwconv1 = conv_bn(dim, hidden)
        self.spike2 = neuron()
        self.dwconv = conv_bn(hidden, hidden, kernel=kernel, groups=hidden)
        self.spike3 = neuron()
        self.pwconv2 = conv_bn(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        steps = x.shape[:2]
        x = self.pwconv1(self.spike1(x).flatten(0, 1)).unflatten(0, steps)
        x = self.dwconv(self.spike2(x).flatten(0, 1)).unflatten(0, steps)
        out: Tensor = self.pwconv2(self.spike3(x).flatten(0, 1)).unflatten(0, steps)
        return out


class ConvBlock(nn.Module):
    """`[T, B, C, H, W]` membranes: X + SepConv(X), then X + two 3x3 convolutions, 4C between."""

    def __init__(self, dim: int, ratio: int, neuron: Neuron) -> None:
        super().__init__()
        hidden = dim * ratio
        self.Conv = SepConv(dim, 7, neuron)
        self.spike1 = neuron()
        self.conv1 = nn.Conv2d(dim, hidden, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.spike2 = neuron()
        self.conv2 = nn.Conv2d(hidden, dim, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        steps = x.shape[:2]
        x = self.Conv(x) + x
        hidden = self.bn1(self.conv1(self.spike1(x).flatten(0, 1))).unflatten(0, steps)
        out = self.bn2(self.conv2(self.spike2(hidden).flatten(0, 1))).unflatten(0, steps)
        total: Tensor = x + out
        return total


class Attention(nn.Module):
    """`[T, B, C, H, W]` membranes to membranes: S((Q K^T) V * 2 / sqrt(d)), projected.

    Values are four times as wide as queries and keys, so that the map comes first.
    """

    def __init__(self, dim: int, heads: int, neuron: Neuron) -> None:
        super().__init__()
        self.heads = heads
        self.scale = 2 * (dim // heads) ** -0.5
        self.head_spike = neuron()
        self.q_conv = conv_bn(dim, dim)
        self.q_spike = neuron()
        self.k_conv = conv_bn(dim, dim)
        self.k_spike = neuron()
        self.v_conv = conv_bn(dim, VALUE_RATIO * dim)
        self.v_spike = neuron()
        self.attn_spike = neuron()
        self.proj_conv = conv_bn(VALUE_RATIO * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        steps, image = x.shape[:2], x.shape[3:]
        spikes = self.head_spike(x).flatten(0, 1)
        q = self.q_spike(self.q_conv(spikes).unflatten(0, steps))
        k = self.k_spike(self.k_conv(spikes).unflatten(0, steps))
        v = self.v_spike(self.v_conv(spikes).unflatten(0, steps))
        q, k, v = (attention.split_heads(s.flatten(3), self.heads) for s in (q, k, v))
        product = attention.merge_heads(attention.product_qk_first(q, k, v, self.scale))
        spikes = self.attn_spike(product).unflatten(3, image).flatten(0, 1)
        out: Tensor = self.proj_conv(spikes)
        return out.reshape(x.shape)


class MLP(nn.Module):
    """`[T, B, C, H, W]` membranes to membranes: twice a neuron and a 1x1 convolution."""

    def __init__(self, dim: int, ratio: int, neuron: Neuron) -> None:
        super().__init__()
        hidden = dim * ratio
        self.fc1_conv = nn.Conv1d(dim, hidden, kernel_size=1)
        self.fc1_bn = nn.BatchNorm1d(hidden)
        self.fc1_spike = neuron()
        self.fc2_conv = nn.Conv1d(hidden, dim, kernel_size=1)
        self.fc2_bn = nn.BatchNorm1d(dim)
        self.fc2_spike = neuron()

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        steps = x.shape[:2]
        spikes = self.fc1_spike(x.flatten(3)).flatten(0, 1)
        hidden = self.fc1_bn(self.fc1_conv(spikes)).unflatten(0, steps)
        out: Tensor = self.fc2_bn(self.fc2_conv(self.fc2_spike(hidden).flatten(0, 1)))
        return out.reshape(x.shape)


class Block(nn.Module):
    """One block: X + SepConv(X), X + attention(X), X + MLP(X)."""

    def __init__(self, dim: int, config: ESpikeFormerConfig, neuron: Neuron) -> None:
        super().__init__()
        self.conv = SepConv(dim, 3, neuron)
        self.attn = Attention(dim, config.heads, neuron)
        self.mlp = MLP(dim, config.mlp_ratio, neuron)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        x = x + self.conv(x)
        x = x + self.attn(x)
        out: Tensor = x + self.mlp(x)
        return out


class ESpikeFormer(nn.Module):
    """The whole base network, from images `[B, C_in, H, W]` to logits `[B, classes]`.

    The head reads counts, not divided by D: those that neurons make of the mean over tokens.
    """

    def __init__(self, config: ESpikeFormerConfig) -> None:
        super().__init__()
        self.config = config
        neuron = partial(MultiLevel, levels=config.levels, rounding="half_even")
        parts = Parts(
            neuron=neuron,
            neuron_name="spike",
            conv_block=lambda dim: ConvBlock(dim, config.mlp_ratio, neuron),
            block=lambda dim: Block(dim, config, neuron),
        )
        add_stages(self, config, parts)
        self.head = nn.Linear(config.dims[-1], config.classes)
        if config.kd:
            self.head_kd = nn.Linear(config.dims[-1], config.classes)
        self.spike = neuron(norm=1)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[B, classes]` logits."""
        x = x.unsqueeze(0).repeat(self.config.T, 1, 1, 1, 1)
        x = run_stages(self, (*CONV_STAGES, "block3", "downsample4", "block4"), x)
        counts = self.spike(x.flatten(3).mean(3))
        return answer(self, counts, counts)
