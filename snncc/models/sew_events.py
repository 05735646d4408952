"""The SEW-ResNets for events: a row of blocks, each pooled, with learnt leaks.

Source: Fang et al., "Deep Residual Learning in Spiking Neural Networks" (NeurIPS 2021), and the
parameter names of fangwei123456/Spike-Element-Wise-ResNet @ cfc547c, `smodels.py`, in SpikingJelly
0.0.0.0.12 (older files have `.module.` in them).

Shapes: T time steps, B samples, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from snncc.models.neuron import ParametricLIF
from snncc.models.sew_resnet import CONNECT
from snncc.models.stepwise import Stepwise

if TYPE_CHECKING:
    from snncc.models.resnet_config import SewEventConfig


def _layer(fan_in: int, fan_out: int, kernel: int, config: SewEventConfig) -> nn.Sequential:
    conv = nn.Conv2d(fan_in, fan_out, kernel, padding=kernel // 2, bias=False)
    neuron = ParametricLIF(v_threshold=config.v_threshold)
    return nn.Sequential(Stepwise(conv, nn.BatchNorm2d(fan_out)), neuron)


class Block(nn.Module):
    """Twice a 3x3 convolution and neurons, joined with what was read."""

    def __init__(self, width: int, config: SewEventConfig) -> None:
        super().__init__()
        self.connect = config.connect
        self.conv = nn.Sequential(_layer(width, width, 3, config), _layer(width, width, 3, config))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        return CONNECT[self.connect](self.conv(x), x)


class SewEventNet(nn.Module):
    """The whole network, from event counts `[B, T, C_in, H, W]` to logits `[B, classes]`.

    A 1x1 convolution with neurons stands before each block that is wider than the last. The head
    reads the mean over time of all that the last pool leaves.
    """

    def __init__(self, config: SewEventConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, side = config.in_channels, config.img_size
        for width in config.widths:
            if width != channels:
                layers.append(_layer(channels, width, 1, config))
            layers += [Block(width, config), Stepwise(nn.MaxPool2d(2))]
            channels, side = width, side // 2
        self.conv = nn.Sequential(*layers, nn.Flatten(2))
        self.out = nn.Linear(channels * side * side, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[B, classes]` logits."""
        counts: Tensor = self.conv(x.transpose(0, 1))
        logits: Tensor = self.out(counts.mean(0))
        return logits
