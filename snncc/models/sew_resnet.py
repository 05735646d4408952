"""SEW-ResNet: residual blocks that join spikes with spikes, by a sum or a gate.

Source: Fang et al., "Deep Residual Learning in Spiking Neural Networks" (NeurIPS 2021), and the
parameter names of fangwei123456/Spike-Element-Wise-ResNet @ cfc547c in SpikingJelly 0.0.0.0.12
(older files have `.module.` in them). With ADD a block's output counts spikes, 0..2, 0..3 and so
on, until a downsampling block starts again from 0..2; AND and IAND keep it a spike.

Shapes: T time steps, B samples, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from torch import Tensor, nn

from snncc.models.neuron import IF
from snncc.models.stepwise import Stepwise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from snncc.models.resnet_config import SewResNetConfig

CONNECT: Final[Mapping[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "ADD": lambda spikes, shortcut: spikes + shortcut,
    "AND": lambda spikes, shortcut: spikes * shortcut,
    "IAND": lambda spikes, shortcut: shortcut * (1.0 - spikes),
}
"""The element-wise functions of the paper's table 1; both factors are `[T, B, C, H, W]`."""


def _conv(fan_in: int, fan_out: int, kernel: int, stride: int) -> Stepwise:
    conv = nn.Conv2d(fan_in, fan_out, kernel, stride, padding=kernel // 2, bias=False)
    return Stepwise(conv, nn.BatchNorm2d(fan_out))


class Block(nn.Module):
    """Two or three times convolution, batch norm and neuron; then joined with the shortcut."""

    def __init__(self, fan_in: int, width: int, stride: int, config: SewResNetConfig) -> None:
        super().__init__()
        self.connect = config.connect
        self.fan_out = 4 * width if config.bottleneck else width
        layers = [(3, width, stride), (3, width, 1)]
        if config.bottleneck:
            layers = [(1, width, 1), (3, width, stride), (1, self.fan_out, 1)]
        channels = fan_in
        for i, (kernel, fan_out, step) in enumerate(layers, start=1):
            self.add_module(f"conv{i}", _conv(channels, fan_out, kernel, step))
            self.add_module(f"sn{i}", IF(v_threshold=config.v_threshold))
            channels = fan_out
        self._names = tuple(f"{part}{i + 1}" for i in range(len(layers)) for part in ("conv", "sn"))
        self.downsample: nn.Module | None = None
        if stride != 1 or fan_in != self.fan_out:
            neuron = IF(v_threshold=config.v_threshold)
            self.downsample = nn.Sequential(_conv(fan_in, self.fan_out, 1, stride), neuron)

    def forward(self, x: Tensor) -> Tensor:
        """Turn `[T, B, C, H, W]` into `[T, B, C', H', W']`."""
        spikes = x
        for name in self._names:
            spikes = self.get_submodule(name)(spikes)
        shortcut = x if self.downsample is None else self.downsample(x)
        return CONNECT[self.connect](spikes, shortcut)


class SewResNet(nn.Module):
    """The whole network, from images `[B, C_in, H, W]` to logits `[B, classes]`.

    The first convolution sees an image once; its result is then repeated T times. The head reads
    the mean over space and time.
    """

    def __init__(self, config: SewResNetConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.conv1 = nn.Conv2d(config.in_channels, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.sn1 = IF(v_threshold=config.v_threshold)
        self.maxpool = Stepwise(nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
        channels = width
        for stage, count in enumerate(config.blocks):
            blocks = []
            for i in range(count):
                stride = 2 if stage > 0 and i == 0 else 1
                blocks.append(Block(channels, width << stage, stride, config))
                channels = blocks[-1].fan_out
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.avgpool = Stepwise(nn.AdaptiveAvgPool2d((1, 1)))
        self.fc = nn.Linear(channels, config.classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return `[B, classes]` logits."""
        x = self.bn1(self.conv1(x))
        x = x.unsqueeze(0).repeat(self.config.T, 1, 1, 1, 1)
        x = self.maxpool(self.sn1(x))
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        logits: Tensor = self.fc(self.avgpool(x).flatten(2).mean(0))
        return logits
