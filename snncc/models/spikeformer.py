"""Spikeformer: convolutions with spiking neurons, then a transformer on floats.

Source: Li, Lei, Yang, "Spikeformer: A Novel Architecture for Training High-Performance Low-Latency
Spiking Neural Network" (arXiv 2211.10686), and the names of Loydian/Spikeformer @ cacc58d.
Softmax attention over time and over space, layer norms and average pools: nearly nothing of it is
driven by spikes, which makes it the counter-example among the spiking transformers.

Shapes: T time steps, B samples, C channels, N = H * W tokens. The stream is `[B, N, T, C]`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from snncc.models.neuron import ParametricLIAF, ParametricLIF
from snncc.models.stepwise import Stepwise

if TYPE_CHECKING:
    from snncc.models.spikeformer_config import SpikeformerConfig

LayerNorm = partial(nn.LayerNorm, eps=1e-6)


def _neuron(config: SpikeformerConfig) -> ParametricLIF:
    return ParametricLIAF() if config.analog else ParametricLIF()


def _layer(fan_in: int, fan_out: int, kernel: int, stride: int, neuron: nn.Module) -> nn.Sequential:
    conv = nn.Conv2d(fan_in, fan_out, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(Stepwise(conv, nn.BatchNorm2d(fan_out)), neuron)


class TokenizerBlock(nn.Module):
    """Two convolutions with their neurons, plus a shortcut: of spikes, as in SEW-ResNet.

    Where the shape changes, the shortcut is an average pool, a 1x1 convolution and neurons.
    """

    def __init__(self, fan_in: int, fan_out: int, stride: int, config: SpikeformerConfig) -> None:
        super().__init__()
        self.residual_function = nn.Sequential(
            _layer(fan_in, fan_out, config.kernel, stride, _neuron(config)),
            _layer(fan_out, fan_out, config.kernel, 1, _neuron(config)),
        )
        self.shortcut = nn.Sequential()
        if stride != 1 or fan_in != fan_out:
            self.shortcut = nn.Sequential(
                Stepwise(nn.AvgPool2d(kernel_size=stride)),
                _layer(fan_in, fan_out, 1, 1, _neuron(config)),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Turn `[T, B, C, H, W]` into `[T, B, C', H', W']`."""
        out: Tensor = self.residual_function(x) + self.shortcut(x)
        return out


class Tokenizer(nn.Module):
    """`[T, B, C_in, H, W]` pixels or event counts to tokens `[B, N, T, C]`."""

    def __init__(self, config: SpikeformerConfig) -> None:
        super().__init__()
        fan_ins = (config.in_channels, *config.widths)
        blocks = zip(fan_ins, config.widths, config.strides, strict=False)
        self.conv_layers = nn.Sequential(*(TokenizerBlock(*sizes, config) for sizes in blocks))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Turn `[T, B, C_in, H, W]` into `[B, N, T, C]`."""
        tokens: Tensor = self.conv_layers(x).flatten(3)
        return tokens.permute(1, 3, 0, 2)


class Attention(nn.Module):
    """Softmax attention over the last axis but one of `[B, ..., N, C]`."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = float((dim // heads) ** -0.5)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1)).transpose(-2, -4)
        q, k, v = qkv.unbind(-3)
        weights = ((q @ k.transpose(-2, -1)) * self.scale).softmax(dim=-1)
        heads = (weights @ v).transpose(-3, -2)
        out: Tensor = self.proj(heads.flatten(-2))
        return out


class MLP(nn.Module):
    """`[T, B, N, C]` floats to floats: two linear layers with neurons between them."""

    def __init__(self, config: SpikeformerConfig) -> None:
        super().__init__()
        hidden = int(config.dim * config.mlp_ratio)
        self.mlp = nn.Sequential(
            Stepwise(nn.Linear(config.dim, hidden)),
            _neuron(config),
            Stepwise(nn.Linear(hidden, config.dim)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        out: Tensor = self.mlp(x)
        return out


class Block(nn.Module):
    """Attention over time, attention over space and an MLP, each added to the stream."""

    def __init__(self, config: SpikeformerConfig) -> None:
        super().__init__()
        dim = config.dim
        self.norm1 = LayerNorm(dim)
        self.attn = Attention(dim, config.heads)
        self.temporal_norm1 = LayerNorm(dim)
        self.temporal_attn = Attention(dim, config.heads)
        self.temporal_fc = nn.Linear(dim, dim)
        self.norm2 = LayerNorm(dim)
        self.mlp = MLP(config)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[B, N, T, C]`."""
        x = x + self.temporal_fc(self.temporal_attn(self.temporal_norm1(x)))
        x = x + self.attn(self.norm1(x.transpose(1, 2))).transpose(1, 2)
        hidden = self.mlp(self.norm2(x.permute(2, 0, 1, 3)))
        out: Tensor = x + hidden.permute(1, 2, 0, 3)
        return out


class Encoder(nn.Module):
    """All but the repetition in time: `[T, B, C_in, H, W]` to logits `[B, classes]`."""

    def __init__(self, config: SpikeformerConfig) -> None:
        super().__init__()
        self.patch_embed = Tokenizer(config)
        self.pos_embed = nn.Parameter(torch.zeros(1, config.tokens, config.dim))
        self.time_embed = nn.Parameter(torch.zeros(1, config.T, config.dim))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = LayerNorm(config.dim)
        self.attention_pool = nn.Linear(config.dim, 1)
        self.head = nn.Linear(config.dim, config.classes)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[B, classes]` logits: the head reads a softmax-weighted sum of all tokens."""
        x = self.patch_embed(x) + self.pos_embed.unsqueeze(2)
        x = x + self.time_embed.unsqueeze(1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x).flatten(1, 2)
        weights = self.attention_pool(x).softmax(dim=1)
        logits: Tensor = self.head((weights.transpose(-1, -2) @ x).squeeze(-2))
        return logits


class Spikeformer(nn.Module):
    """The whole network; official parameter names begin with `model.`.

    It reads images `[B, C_in, H, W]`, each shown T times, or event counts `[B, T, C_in, H, W]`.
    """

    def __init__(self, config: SpikeformerConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Encoder(config)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[B, classes]` logits."""
        if self.config.time_in_input:
            x = x.transpose(0, 1)
        else:
            x = x.unsqueeze(0).repeat(self.config.T, 1, 1, 1, 1)
        logits: Tensor = self.model(x)
        return logits
