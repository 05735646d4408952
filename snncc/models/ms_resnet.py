"""MS-ResNet: residual blocks that add membranes to membranes; neurons stand before the weights.

Source: Hu et al., "Advancing Spiking Neural Networks toward Deep Residual Learning" (IEEE TNNLS
2024, arXiv 2112.08954), and the parameter names of Ariande1/MS-ResNet @ 7c5f006. Its neuron,
`mem_update` there, fires strictly above 0.5 and keeps a quarter of a potential that did not:
a LIF with `tau = 4 / 3` whose leak spares the input. Shortcuts convolve the membrane, a float.

Shapes: T time steps, B samples, C channels.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from torch import Tensor, nn

from snncc.models.neuron import LIF
from snncc.models.stepwise import Stepwise, StepwiseConv2d

if TYPE_CHECKING:
    from collections.abc import Callable

    from snncc.models.resnet_config import MsResNetConfig

Neuron: TypeAlias = "Callable[[], LIF]"
Convolution = partial(StepwiseConv2d, bias=False)


class ThresholdBatchNorm(nn.Module):
    """Batch norm over time, samples and space of `[T, B, C, H, W]`; the paper's TDBN.

    Source: Zheng et al., "Going Deeper With Directly-Trained Larger Spiking Neural Networks" (AAAI
    2021). One mean and variance a channel over `T * B` images: `nn.BatchNorm2d` has the same.
    """

    def __init__(self, channels: int, weight: float) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        nn.init.constant_(self.bn.weight, weight)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        folded: Tensor = self.bn(x.flatten(0, 1))
        return folded.reshape(x.shape)


class Block(nn.Module):
    """X + residual(X), or shortcut(X) + residual(X) where the shape changes; floats all."""

    def __init__(self, fan_in: int, fan_out: int, stride: int, config: MsResNetConfig) -> None:
        super().__init__()
        neuron = neuron_of(config)
        norm = partial(ThresholdBatchNorm, weight=config.v_threshold)
        self.residual_function = nn.Sequential(
            neuron(),
            Convolution(fan_in, fan_out, kernel_size=3, stride=stride, padding=1),
            norm(fan_out),
            neuron(),
            Convolution(fan_out, fan_out, kernel_size=3, padding=1),
            norm(fan_out, weight=0.0),
        )
        shortcut: list[nn.Module] = []
        if stride != 1 or fan_in != fan_out:
            if config.deep:
                shortcut.append(Stepwise(nn.AvgPool2d(kernel_size=2)))
                stride = 1
            shortcut.append(Convolution(fan_in, fan_out, kernel_size=1, stride=stride))
            shortcut.append(norm(fan_out))
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """Turn `[T, B, C, H, W]` into `[T, B, C', H', W']`."""
        out: Tensor = self.residual_function(x) + self.shortcut(x)
        return out


def neuron_of(config: MsResNetConfig) -> Neuron:
    """Return what makes the network's neurons: V = decay * V + X; fires where V > v_threshold."""
    tau = 1 / (1 - config.decay)
    return partial(LIF, tau=tau, decay_input=False, v_threshold=config.v_threshold, strict=True)


class MsResNet(nn.Module):
    """The whole network, from images `[B, C_in, H, W]`, each shown T times, to `[B, classes]`.

    The head reads the mean over space and time of the last neurons' spikes.
    """

    def __init__(self, config: MsResNetConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        pixels = config.in_channels
        stem: list[nn.Module] = [Convolution(pixels, width, kernel_size=7, stride=2, padding=3)]
        if config.deep:
            stem = [
                StepwiseConv2d(pixels, width, kernel_size=3, stride=2, padding=1),
                StepwiseConv2d(width, width, kernel_size=3, padding=1),
                StepwiseConv2d(width, width, kernel_size=3, padding=1),
            ]
        self.conv1 = nn.Sequential(*stem, ThresholdBatchNorm(width, weight=config.v_threshold))
        channels = width
        for stage, count in enumerate(config.blocks):
            fan_out = width << stage
            blocks = [Block(channels, fan_out, 2, config)]
            blocks += [Block(fan_out, fan_out, 1, config) for _ in range(1, count)]
            self.add_module(f"conv{stage + 2}_x", nn.Sequential(*blocks))
            channels = fan_out
        self.mem_update = neuron_of(config)()
        self.dropout = nn.Dropout(p=0.2 if config.deep else 0.0)
        self.fc = nn.Linear(channels, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[B, classes]` logits."""
        x = self.conv1(x.unsqueeze(0).repeat(self.config.T, 1, 1, 1, 1))
        for stage in range(2, 6):
            x = self.get_submodule(f"conv{stage}_x")(x)
        rates = self.mem_update(x).flatten(3).mean(3).mean(0)
        logits: Tensor = self.fc(self.dropout(rates))
        return logits
