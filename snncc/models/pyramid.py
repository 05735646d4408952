"""The pyramid that Meta-SpikeFormer and E-SpikeFormer share: a stem and stages of two kinds.

Convolution blocks at 1/2 to 1/8 of the image's height and width, transformer blocks at 1/16.
Sources: Yao et al., "Spike-driven Transformer V2", ICLR 2024, figure 2 and table 8; names as in
BICLab/Spike-Driven-Transformer-V2 @ 35f245f and -V3 @ 00fcd1f.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from snncc.models.config_stages import PyramidConfig

CONV_STAGES = (
    "downsample1_1",
    "ConvBlock1_1",
    "downsample1_2",
    "ConvBlock1_2",
    "downsample2",
    "ConvBlock2_1",
    "ConvBlock2_2",
    "downsample3",
)
"""In order, up to the tokens."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the families differ in."""

    neuron: Callable[[], nn.Module]
    neuron_name: str
    """What a neuron before a strided convolution is called, after `encode_`."""
    conv_block: Callable[[int], nn.Module]
    """A block of so many channels."""
    block: Callable[[int], nn.Module]


class Downsampling(nn.Module):
    """`[T, B, C, H, W]` membranes to membranes: a neuron, but on pixels, and a convolution."""

    def __init__(
        self, conv: nn.Conv2d, neuron: nn.Module | None = None, name: str = "encode_lif"
    ) -> None:
        super().__init__()
        self.encode_conv = conv
        self.encode_bn = nn.BatchNorm2d(conv.out_channels)
        self._neuron = name if neuron else ""
        if neuron:
            self.add_module(name, neuron)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[T, B, C', H', W']`."""
        steps = x.shape[:2]
        if self._neuron:
            x = self.get_submodule(self._neuron)(x)
        out: Tensor = self.encode_bn(self.encode_conv(x.flatten(0, 1)))
        return out.reshape(*steps, *out.shape[1:])


def _downsampling(fan_in: int, fan_out: int, parts: Parts, stride: int = 2) -> Downsampling:
    conv = nn.Conv2d(fan_in, fan_out, kernel_size=3, stride=stride, padding=1)
    return Downsampling(conv, parts.neuron(), f"encode_{parts.neuron_name}")


def add_stages(model: nn.Module, config: PyramidConfig, parts: Parts) -> None:
    """Give a model the stages of its configuration, under the official names."""
    first, second, third, *last = config.dims
    half = first // 2
    stem = nn.Conv2d(config.in_channels, half, kernel_size=7, stride=2, padding=3)
    model.add_module("downsample1_1", Downsampling(stem))
    model.add_module("ConvBlock1_1", nn.ModuleList([parts.conv_block(half)]))
    model.add_module("downsample1_2", _downsampling(half, first, parts))
    model.add_module("ConvBlock1_2", nn.ModuleList([parts.conv_block(first)]))
    model.add_module("downsample2", _downsampling(first, second, parts))
    model.add_module("ConvBlock2_1", nn.ModuleList([parts.conv_block(second)]))
    model.add_module("ConvBlock2_2", nn.ModuleList([parts.conv_block(second)]))
    model.add_module("downsample3", _downsampling(second, third, parts))
    blocks = (parts.block(third) for _ in range(config.depths[0]))
    model.add_module("block3", nn.ModuleList(blocks))
    for fourth in last:
        model.add_module("downsample4", _downsampling(third, fourth, parts, stride=1))
        blocks = (parts.block(fourth) for _ in range(config.depths[1]))
        model.add_module("block4", nn.ModuleList(blocks))


def run_stages(model: nn.Module, names: Iterable[str], x: Tensor) -> Tensor:
    """Pass `x` through these stages: modules, or lists of blocks."""
    for name in names:
        stage = model.get_submodule(name)
        for module in stage if isinstance(stage, nn.ModuleList) else (stage,):
            x = module(x)
    return x


def answer(model: nn.Module, of_head: Tensor, of_second: Tensor) -> Tensor:
    """Return logits `[B, classes]`, the mean over time `[T, B, C]` and, if there are two, heads."""
    logits: Tensor = model.get_submodule("head")(of_head).mean(0)
    if hasattr(model, "head_kd"):
        logits = (logits + model.get_submodule("head_kd")(of_second).mean(0)) / 2
    return logits
