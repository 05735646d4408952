"""Meta-SpikeFormer: Spike-driven Transformer V2, convolution and transformer blocks in a pyramid.

Source: Yao et al., "Spike-driven Transformer V2: Meta Spiking Neural Network Architecture Inspiring
the Design of Next-generation Neuromorphic Chips", ICLR 2024, and the parameter names of
BICLab/Spike-Driven-Transformer-V2 @ 35f245f, so that its checkpoints load strictly. Neurons come
first (neuron, convolution, batch norm), the residual stream is the membrane. Between two neurons
there can be several convolutions in a row: together they are one, that reads spikes.

Shapes: T time steps, B samples, C channels, N = H * W tokens.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from torch import Tensor, nn

from snncc.models import attention
from snncc.models.neuron import LIF
from snncc.models.pyramid import CONV_STAGES, Parts, add_stages, answer, run_stages
from snncc.models.rep_conv import RepConv

if TYPE_CHECKING:
    from collections.abc import Callable

    from snncc.models.config_stages import MetaSpikeFormerConfig

SCALE = 0.125
"""Factor on the attention product."""

Neuron: TypeAlias = "Callable[[], LIF]"


class SepConv(nn.Module):
    """`[T, B, C, H, W]` membranes to membranes: 1x1 to 2C, depthwise 7x7 and 1x1 back.

    Nothing stands between the depthwise convolution and the last.
    """

    def __init__(self, dim: int, neuron: Neuron) -> None:
        super().__init__()
        hidden = 2 * dim
        self.lif1 = neuron()
        self.pwconv1 = nn.Conv2d(dim, hidden, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.lif2 = neuron()
        self.dwconv = nn.Conv2d(hidden, hidden, kernel_size=7, padding=3, groups=hidden, bias=False)
        self.pwconv2 = nn.Conv2d(hidden, dim, kernel_size=1, bias=False)
        self.bn2 = nn.BatchNorm2d(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        steps = x.shape[:2]
        current = self.bn1(self.pwconv1(self.lif1(x).flatten(0, 1))).unflatten(0, steps)
        spikes = self.lif2(current).flatten(0, 1)
        out: Tensor = self.bn2(self.pwconv2(self.dwconv(spikes)))
        return out.reshape(x.shape)


class ConvBlock(nn.Module):
    """`[T, B, C, H, W]` membranes: X + SepConv(X), then X + two 3x3 convolutions, 4C between."""

    def __init__(self, dim: int, ratio: int, neuron: Neuron) -> None:
        super().__init__()
        hidden = dim * ratio
        self.Conv = SepConv(dim, neuron)
        self.lif1 = neuron()
        self.conv1 = nn.Conv2d(dim, hidden, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.lif2 = neuron()
        self.conv2 = nn.Conv2d(hidden, dim, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        steps = x.shape[:2]
        x = self.Conv(x) + x
        hidden = self.bn1(self.conv1(self.lif1(x).flatten(0, 1))).unflatten(0, steps)
        out = self.bn2(self.conv2(self.lif2(hidden).flatten(0, 1))).unflatten(0, steps)
        total: Tensor = x + out
        return total


class Attention(nn.Module):
    """`[T, B, C, H, W]` membranes to membranes: LIF(Q (K^T V) * 0.125), each layer a RepConv."""

    def __init__(self, dim: int, config: MetaSpikeFormerConfig, neuron: Neuron) -> None:
        super().__init__()
        self.heads = config.heads
        self.head_lif = neuron()
        self.q_conv = nn.Sequential(RepConv(dim, dim), nn.BatchNorm2d(dim))
        self.k_conv = nn.Sequential(RepConv(dim, dim), nn.BatchNorm2d(dim))
        self.v_conv = nn.Sequential(RepConv(dim, dim), nn.BatchNorm2d(dim))
        self.q_lif = neuron()
        self.k_lif = neuron()
        self.v_lif = neuron()
        self.attn_lif = LIF(tau=config.tau, v_threshold=config.attn_v_threshold)
        self.proj_conv = nn.Sequential(RepConv(dim, dim), nn.BatchNorm2d(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        steps = x.shape[:2]
        spikes = self.head_lif(x).flatten(0, 1)
        q = self.q_lif(self.q_conv(spikes).unflatten(0, steps))
        k = self.k_lif(self.k_conv(spikes).unflatten(0, steps))
        v = self.v_lif(self.v_conv(spikes).unflatten(0, steps))
        q, k, v = (attention.split_heads(s.flatten(3), self.heads) for s in (q, k, v))
        counts = attention.product_kv_first(q, k, v, SCALE)
        spikes = self.attn_lif(attention.merge_heads(counts))
        out: Tensor = self.proj_conv(spikes.reshape(x.shape).flatten(0, 1))
        return out.reshape(x.shape)


class MLP(nn.Module):
    """`[T, B, C, H, W]` membranes to membranes: twice a neuron and a 1x1 convolution."""

    def __init__(self, dim: int, ratio: int, neuron: Neuron) -> None:
        super().__init__()
        hidden = dim * ratio
        self.fc1_conv = nn.Conv1d(dim, hidden, kernel_size=1)
        self.fc1_bn = nn.BatchNorm1d(hidden)
        self.fc1_lif = neuron()
        self.fc2_conv = nn.Conv1d(hidden, dim, kernel_size=1)
        self.fc2_bn = nn.BatchNorm1d(dim)
        self.fc2_lif = neuron()

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        steps = x.shape[:2]
        spikes = self.fc1_lif(x.flatten(3)).flatten(0, 1)
        hidden = self.fc1_bn(self.fc1_conv(spikes)).unflatten(0, steps)
        out: Tensor = self.fc2_bn(self.fc2_conv(self.fc2_lif(hidden).flatten(0, 1)))
        return out.reshape(x.shape)


class Block(nn.Module):
    """One transformer block: X + attention(X), then X + MLP(X)."""

    def __init__(self, dim: int, config: MetaSpikeFormerConfig, neuron: Neuron) -> None:
        super().__init__()
        self.attn = Attention(dim, config, neuron)
        self.mlp = MLP(dim, config.mlp_ratio, neuron)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        x = x + self.attn(x)
        out: Tensor = x + self.mlp(x)
        return out


class MetaSpikeFormer(nn.Module):
    """The whole network, from images `[B, C_in, H, W]` to logits `[B, classes]`.

    The head reads spikes: those that neurons make of the mean over tokens. With `kd` there are
    two heads, and the answer is their mean (the official code returns both in training).
    """

    def __init__(self, config: MetaSpikeFormerConfig) -> None:
        super().__init__()
        self.config = config
        neuron = partial(LIF, tau=config.tau, v_threshold=config.v_threshold)
        parts = Parts(
            neuron=neuron,
            neuron_name="lif",
            conv_block=lambda dim: ConvBlock(dim, config.mlp_ratio, neuron),
            block=lambda dim: Block(dim, config, neuron),
        )
        add_stages(self, config, parts)
        self.lif = neuron()
        self.head = nn.Linear(config.dims[-1], config.classes)
        if config.kd:
            self.head_kd = nn.Linear(config.dims[-1], config.classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[B, classes]` logits."""
        x = x.unsqueeze(0).repeat(self.config.T, 1, 1, 1, 1)
        x = run_stages(self, (*CONV_STAGES, "block3", "downsample4", "block4"), x)
        spikes = self.lif(x.flatten(3).mean(3))
        return answer(self, spikes, spikes)
