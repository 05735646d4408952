"""Spike-driven Transformer, the first version: attention by masks and sums, no matrix product.

Source: Yao et al., "Spike-driven Transformer" (NeurIPS 2023), and the parameter names of
BICLab/Spike-Driven-Transformer @ 3faa822, so that its checkpoints load strictly. Residuals are
membranes, neurons stand before the weights, and one more stands before the head: every weighted
layer but the first reads spikes.

Shapes: T time steps, B samples, C channels, N = H * W tokens.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from torch import Tensor, nn

from snncc.models import attention
from snncc.models.neuron import LIF

if TYPE_CHECKING:
    from collections.abc import Callable

    from snncc.models.config import TransformerConfig

Neuron: TypeAlias = "Callable[[], LIF]"


class SpikingPatchSplitting(nn.Module):
    """`[T, B, C_in, H, W]` pixels to `[T, B, C, H', W']` membranes, by five convolutions.

    Of the four stages, with channels doubling from C/8 to C, three pool spikes; the last pools its
    batch norm's floats (where asked for), which the relative position embedding is added to.
    """

    def __init__(self, config: TransformerConfig, neuron: Neuron) -> None:
        super().__init__()
        fan_in = config.in_channels
        self._suffixes = ("", "1", "2", "3")
        for i, suffix in enumerate(self._suffixes):
            fan_out = config.dim >> (3 - i)
            conv = nn.Conv2d(fan_in, fan_out, kernel_size=3, padding=1, bias=False)
            self.add_module(f"proj_conv{suffix}", conv)
            self.add_module(f"proj_bn{suffix}", nn.BatchNorm2d(fan_out))
            self.add_module(f"proj_lif{suffix}", neuron())
            if i + 1 in config.pool_stages:
                pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
                self.add_module(f"maxpool{suffix}", pool)
            fan_in = fan_out
        self.rpe_conv = nn.Conv2d(config.dim, config.dim, kernel_size=3, padding=1, bias=False)
        self.rpe_bn = nn.BatchNorm2d(config.dim)

    def forward(self, x: Tensor) -> Tensor:
        """Turn `[T, B, C_in, H, W]` into `[T, B, C, H', W']`."""
        part = self.get_submodule
        steps = x.shape[:2]
        x = x.flatten(0, 1)
        membrane = x
        for suffix in self._suffixes:
            last = suffix == self._suffixes[-1]
            x = part(f"proj_bn{suffix}")(part(f"proj_conv{suffix}")(x))
            if last:
                membrane = x = self._pool(suffix, x)
            x = part(f"proj_lif{suffix}")(x.reshape(*steps, *x.shape[1:])).flatten(0, 1)
            if not last:
                x = self._pool(suffix, x)
        x = self.rpe_bn(self.rpe_conv(x)) + membrane
        return x.reshape(*steps, *x.shape[1:])

    def _pool(self, suffix: str, x: Tensor) -> Tensor:
        name = f"maxpool{suffix}"
        pooled: Tensor = self.get_submodule(name)(x) if hasattr(self, name) else x
        return pooled


class Erode(nn.Module):
    """The largest of each 3x3 neighbourhood in the last two axes of a five-axis tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool3d(kernel_size=(1, 3, 3), stride=1, padding=(0, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        pooled: Tensor = self.pool(x)
        return pooled


class SpikeDrivenSelfAttention(nn.Module):
    """`[T, B, C, H, W]` membranes to membranes: Q masked by LIF(sum over tokens of K * V).

    The variant `dvs` erodes K and V over the image, and K * V and the masked Q over tokens and
    channels of a head. `talking_heads` is in every official checkpoint and is never used.
    """

    def __init__(self, config: TransformerConfig, neuron: Neuron) -> None:
        super().__init__()
        dim = config.dim
        self.heads = config.heads
        self.pool = Erode() if config.variant == "dvs" else nn.Identity()
        self.q_conv = nn.Conv2d(dim, dim, kernel_size=1, bias=False)
        self.q_bn = nn.BatchNorm2d(dim)
        self.q_lif = neuron()
        self.k_conv = nn.Conv2d(dim, dim, kernel_size=1, bias=False)
        self.k_bn = nn.BatchNorm2d(dim)
        self.k_lif = neuron()
        self.v_conv = nn.Conv2d(dim, dim, kernel_size=1, bias=False)
        self.v_bn = nn.BatchNorm2d(dim)
        self.v_lif = neuron()
        self.talking_heads = nn.Conv1d(self.heads, self.heads, kernel_size=1, bias=False)
        self.talking_heads_lif = LIF(tau=config.tau, v_threshold=config.attn_v_threshold)
        self.proj_conv = nn.Conv2d(dim, dim, kernel_size=1)
        self.proj_bn = nn.BatchNorm2d(dim)
        self.shortcut_lif = neuron()

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        steps = x.shape[:2]
        spikes = self.shortcut_lif(x).flatten(0, 1)
        q = self.q_lif(self.q_bn(self.q_conv(spikes)).unflatten(0, steps))
        k = self.pool(self.k_lif(self.k_bn(self.k_conv(spikes)).unflatten(0, steps)))
        v = self.pool(self.v_lif(self.v_bn(self.v_conv(spikes)).unflatten(0, steps)))
        q, k, v = (attention.split_heads(s.flatten(3), self.heads) for s in (q, k, v))
        context = self.talking_heads_lif(self.pool(k * v).sum(dim=-2, keepdim=True))
        masked = attention.merge_heads(self.pool(q * context)).reshape(x.shape)
        out: Tensor = self.proj_bn(self.proj_conv(masked.flatten(0, 1)))
        return out.reshape(x.shape)


class MLP(nn.Module):
    """X + MLP(X), membranes `[T, B, C, H, W]`: twice a neuron and a 1x1 convolution.

    Where the hidden layer is as wide as the stream, it has a residual of its own, as in the
    official program.
    """

    def __init__(self, config: TransformerConfig, neuron: Neuron) -> None:
        super().__init__()
        self.inner_residual = config.hidden_dim == config.dim
        self.fc1_conv = nn.Conv2d(config.dim, config.hidden_dim, kernel_size=1)
        self.fc1_bn = nn.BatchNorm2d(config.hidden_dim)
        self.fc1_lif = neuron()
        self.fc2_conv = nn.Conv2d(config.hidden_dim, config.dim, kernel_size=1)
        self.fc2_bn = nn.BatchNorm2d(config.dim)
        self.fc2_lif = neuron()

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        steps = x.shape[:2]
        spikes = self.fc1_lif(x).flatten(0, 1)
        hidden = self.fc1_bn(self.fc1_conv(spikes)).unflatten(0, steps)
        if self.inner_residual:
            x = hidden = x + hidden
        spikes = self.fc2_lif(hidden).flatten(0, 1)
        out: Tensor = self.fc2_bn(self.fc2_conv(spikes))
        return x + out.reshape(x.shape)


class Block(nn.Module):
    """One block: X + attention(X), then X + MLP(X), both sums of floats."""

    def __init__(self, config: TransformerConfig, neuron: Neuron) -> None:
        super().__init__()
        self.attn = SpikeDrivenSelfAttention(config, neuron)
        self.mlp = MLP(config, neuron)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        out: Tensor = self.mlp(x + self.attn(x))
        return out


class SpikeDrivenTransformer(nn.Module):
    """The whole network, from pixels to logits `[B, classes]`.

    It reads images `[B, C_in, H, W]`, each shown T times, or event counts `[B, T, C_in, H, W]`.
    The head reads spikes; its logits are averaged over time.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        neuron = partial(LIF, tau=config.tau, v_threshold=config.v_threshold)
        self.patch_embed = SpikingPatchSplitting(config, neuron)
        self.block = nn.ModuleList(Block(config, neuron) for _ in range(config.depth))
        self.head_lif = neuron()
        self.head = nn.Linear(config.dim, config.classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[B, classes]` logits."""
        if self.config.time_in_input:
            x = x.transpose(0, 1)
        else:
            x = x.unsqueeze(0).repeat(self.config.T, 1, 1, 1, 1)
        x = self.patch_embed(x)
        for block in self.block:
            x = block(x)
        spikes = self.head_lif(x.flatten(3).mean(3))
        logits: Tensor = self.head(spikes).mean(0)
        return logits
