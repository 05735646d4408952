"""E-SpikeFormer, large: the form of Spike-driven Transformer V3 that is pre-trained masked.

Source: Yao et al., "Scaling Spike-driven Transformer with Efficient Spike Firing Approximation
Training", TPAMI 2025, and the parameter names of BICLab/Spike-Driven-Transformer-V3 @ 00fcd1f
(`Model_Large/spikformer.py`), so that its checkpoints load strictly. There the blocks of the
12-512 network name variables that do not exist; here they do what their shapes leave room for.

Shapes: T time steps, B samples, C channels, N = H * W tokens.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn

from snncc.models import attention
from snncc.models.e_spikeformer import conv_bn
from snncc.models.neuron_multilevel import MultiLevel
from snncc.models.pyramid import CONV_STAGES, Parts, add_stages, answer, run_stages

if TYPE_CHECKING:
    from collections.abc import Callable

    from snncc.models.config_stages import ESpikeFormerConfig

SCALE = 0.125
"""Factor on the attention product."""

LAYER_SCALE = 1e-6
"""What the factors on a block's branches are at first."""

Neuron: TypeAlias = "Callable[[], MultiLevel]"


class ConvBlock(nn.Module):
    """`[T, B, C, H, W]` membranes: X + two 3x3 convolutions of it, with 4C channels between."""

    def __init__(self, dim: int, ratio: int, neuron: Neuron) -> None:
        super().__init__()
        hidden = dim * ratio
        self.neuron1 = neuron()
        self.conv1 = nn.Sequential(conv_bn(dim, hidden, kernel=3, bias=True))
        self.neuron2 = neuron()
        self.conv2 = nn.Sequential(conv_bn(hidden, dim, kernel=3, bias=True))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        steps = x.shape[:2]
        hidden = self.conv1(self.neuron1(x).flatten(0, 1)).unflatten(0, steps)
        out: Tensor = self.conv2(self.neuron2(hidden).flatten(0, 1)).unflatten(0, steps)
        return out + x


class RepConv(nn.Module):
    """`[N, C, L]` to `[N, C', L]`: two 1x1 convolutions, each with its norm, no neuron between."""

    def __init__(self, fan_in: int, fan_out: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = _conv1d_bn(fan_in, hidden)
        self.conv2 = _conv1d_bn(hidden, fan_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, C', L]`."""
        out: Tensor = self.conv2(self.conv1(x))
        return out


def _conv1d_bn(fan_in: int, fan_out: int) -> nn.Sequential:
    conv = nn.Conv1d(fan_in, fan_out, kernel_size=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm1d(fan_out))


def _rep_conv_bn(dim: int) -> nn.Sequential:
    return nn.Sequential(RepConv(dim, dim, dim * 3 // 2), nn.BatchNorm1d(dim))


class Attention(nn.Module):
    """`[T, B, C, N]` membranes to membranes: S(Q (K^T V) * 0.125), projected."""

    def __init__(self, dim: int, heads: int, neuron: Neuron) -> None:
        super().__init__()
        self.heads = heads
        self.head_lif = neuron()
        self.q_conv = _rep_conv_bn(dim)
        self.k_conv = _rep_conv_bn(dim)
        self.v_conv = _rep_conv_bn(dim)
        self.q_lif = neuron()
        self.k_lif = neuron()
        self.v_lif = neuron()
        self.attn_lif = neuron()
        self.proj_conv = _rep_conv_bn(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, N]`."""
        steps = x.shape[:2]
        spikes = self.head_lif(x).flatten(0, 1)
        q = self.q_lif(self.q_conv(spikes).unflatten(0, steps))
        k = self.k_lif(self.k_conv(spikes).unflatten(0, steps))
        v = self.v_lif(self.v_conv(spikes).unflatten(0, steps))
        q, k, v = (attention.split_heads(s, self.heads) for s in (q, k, v))
        product = attention.merge_heads(attention.product_kv_first(q, k, v, SCALE))
        out: Tensor = self.proj_conv(self.attn_lif(product).flatten(0, 1))
        return out.reshape(x.shape)


class MLP(nn.Module):
    """`[T, B, C, N]` membranes to membranes: twice a neuron and a 1x1 convolution."""

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
        """Keep the shape, `[T, B, C, N]`."""
        steps = x.shape[:2]
        spikes = self.fc1_lif(x).flatten(0, 1)
        hidden = self.fc1_bn(self.fc1_conv(spikes)).unflatten(0, steps)
        out: Tensor = self.fc2_bn(self.fc2_conv(self.fc2_lif(hidden).flatten(0, 1)))
        return out.reshape(x.shape)


class Block(nn.Module):
    """X + attention(X) * scale, then X + MLP(X) * scale, with a factor for each channel.

    With `token_conv` it begins with X + RepConv(S(X)); else the neuron `lif` is never called.
    """

    def __init__(self, dim: int, config: ESpikeFormerConfig, neuron: Neuron) -> None:
        super().__init__()
        if config.token_conv:
            self.rep_conv = RepConv(dim, dim, dim)
        self.lif = neuron()
        self.attn = Attention(dim, config.heads, neuron)
        self.mlp = MLP(dim, config.mlp_ratio, neuron)
        self.layer_scale1 = nn.Parameter(torch.full((dim,), LAYER_SCALE))
        self.layer_scale2 = nn.Parameter(torch.full((dim,), LAYER_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, N]`."""
        if hasattr(self, "rep_conv"):
            x = x + self.rep_conv(self.lif(x).flatten(0, 1)).reshape(x.shape)
        x = x + self.attn(x) * self.layer_scale1.unsqueeze(-1)
        out: Tensor = x + self.mlp(x) * self.layer_scale2.unsqueeze(-1)
        return out


class ESpikeFormerLarge(nn.Module):
    """The whole large network, from images `[B, C_in, H, W]` to logits `[B, classes]`.

    The first head reads floats: the mean of the stream over tokens. The second, with `kd`, reads
    the counts that neurons make of it; the answer is then the mean of both heads (the official
    code returns both in training).
    """

    def __init__(self, config: ESpikeFormerConfig) -> None:
        super().__init__()
        self.config = config
        neuron = partial(MultiLevel, levels=config.levels, rounding="half_up")
        parts = Parts(
            neuron=neuron,
            neuron_name="lif",
            conv_block=lambda dim: ConvBlock(dim, config.mlp_ratio, neuron),
            block=lambda dim: Block(dim, config, neuron),
        )
        add_stages(self, config, parts)
        self.head = nn.Linear(config.dims[-1], config.classes)
        self.lif = neuron(norm=1)
        if config.kd:
            self.head_kd = nn.Linear(config.dims[-1], config.classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[B, classes]` logits."""
        x = x.unsqueeze(0).repeat(self.config.T, 1, 1, 1, 1)
        x = run_stages(self, CONV_STAGES, x).flatten(3)
        membrane = run_stages(self, ("block3",), x).mean(3)
        return answer(self, membrane, self.lif(membrane))
