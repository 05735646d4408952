"""SpikeYOLO: a detector with integer neurons, up to the decoding of boxes.

Source: Luo et al., "Integer-Valued Training and Spike-Driven Inference Spiking Neural Network for
High-performance and Energy-efficient Object Detection", ECCV 2024, figure 2 and section 4, and the
parameter names of BICLab/SpikeYOLO @ 309ef5e, so that its weights load strictly. Neurons come
first, the residual stream is the membrane. Each layer reads counts 0 to D.

Shapes: T time steps, B samples, C channels; A anchors, one a place of the three finest maps.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from snncc.models.neuron_multilevel import MultiLevel
from snncc.models.pyramid import Downsampling
from snncc.models.rep_conv import BNAndPad, RepConv

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from snncc.models.config_yolo import SpikeYoloConfig

BINS = 16
"""Distances that a side of a box can have; the head gives a score for each."""

Neuron: TypeAlias = "Callable[[], MultiLevel]"


class NeuronConv(nn.Module):
    """`[T, B, C, H, W]` membranes to membranes: a neuron, a convolution, a norm (or a bias)."""

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        neuron: Neuron,
        *,
        kernel: int = 1,
        stride: int = 1,
        norm: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            fan_in, fan_out, kernel, stride=stride, padding=kernel // 2, bias=not norm
        )
        self.lif = neuron()
        if norm:
            self.bn = nn.BatchNorm2d(fan_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[T, B, C', H', W']`."""
        out: Tensor = self.conv(self.lif(x).flatten(0, 1))
        if hasattr(self, "bn"):
            out = self.bn(out)
        return out.reshape(*x.shape[:2], *out.shape[1:])


class SepRepConv(nn.Module):
    """`[N, C, H, W]` to `[N, C', H, W]`: norm with a border, 1x1, depthwise 3x3."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            BNAndPad(fan_in, 1),
            nn.Sequential(
                nn.Conv2d(fan_in, fan_out, kernel_size=1, bias=False),
                nn.Conv2d(fan_out, fan_out, kernel_size=3, groups=fan_out, bias=False),
            ),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, C', H, W]`."""
        out: Tensor = self.body(x)
        return out


class SepConv(nn.Module):
    """`[T, B, C, H, W]` membranes to membranes: 1x1 to 2C, depthwise 7x7, SepRepConv to C."""

    def __init__(self, dim: int, neuron: Neuron) -> None:
        super().__init__()
        hidden = 2 * dim
        self.pwconv1 = nn.Conv2d(dim, hidden, kernel_size=1, bias=False)
        self.dwconv2 = nn.Conv2d(
            hidden, hidden, kernel_size=7, padding=3, groups=hidden, bias=False
        )
        self.pwconv3 = SepRepConv(hidden, dim)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.bn2 = nn.BatchNorm2d(hidden)
        self.bn3 = nn.BatchNorm2d(dim)
        self.lif1 = neuron()
        self.lif2 = neuron()
        self.lif3 = neuron()

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        steps = x.shape[:2]
        x = self.bn1(self.pwconv1(self.lif1(x).flatten(0, 1))).unflatten(0, steps)
        x = self.bn2(self.dwconv2(self.lif2(x).flatten(0, 1))).unflatten(0, steps)
        out: Tensor = self.bn3(self.pwconv3(self.lif3(x).flatten(0, 1))).unflatten(0, steps)
        return out


class FullConvBlock(nn.Module):
    """`[T, B, C, H, W]` membranes: X + SepConv(X), then X + two full 3x3 convolutions."""

    def __init__(self, dim: int, ratio: int, neuron: Neuron) -> None:
        super().__init__()
        self.Conv = SepConv(dim, neuron)
        self.conv1 = NeuronConv(dim, dim * ratio, neuron, kernel=3)
        self.conv2 = NeuronConv(dim * ratio, dim, neuron, kernel=3)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        x = self.Conv(x) + x
        out: Tensor = x + self.conv2(self.conv1(x))
        return out


class RepConvBlock(nn.Module):
    """`[T, B, C, H, W]` membranes: X + SepConv(X), then X + two RepConvs."""

    def __init__(self, dim: int, ratio: int, neuron: Neuron) -> None:
        super().__init__()
        self.Conv = SepConv(dim, neuron)
        self.lif1 = neuron()
        self.lif2 = neuron()
        self.conv1 = RepConv(dim, dim * ratio)
        self.bn1 = nn.BatchNorm2d(dim * ratio)
        self.conv2 = RepConv(dim * ratio, dim)
        self.bn2 = nn.BatchNorm2d(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        steps = x.shape[:2]
        x = self.Conv(x) + x
        hidden = self.bn1(self.conv1(self.lif1(x).flatten(0, 1))).unflatten(0, steps)
        out: Tensor = self.bn2(self.conv2(self.lif2(hidden).flatten(0, 1))).unflatten(0, steps)
        return x + out


class Pyramid(nn.Module):
    """`[T, B, C, H, W]` membranes: a 1x1 layer and its maxima in 5x5, 9x9 and 13x13 windows."""

    def __init__(self, dim: int, neuron: Neuron) -> None:
        super().__init__()
        self.cv1 = NeuronConv(dim, dim // 2, neuron)
        self.cv2 = NeuronConv(dim // 2 * 4, dim, neuron)
        self.m = nn.MaxPool2d(kernel_size=5, stride=1, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, `[T, B, C, H, W]`."""
        steps = x.shape[:2]
        maps = [self.cv1(x).flatten(0, 1)]
        for _ in range(3):
            maps.append(self.m(maps[-1]))
        out: Tensor = self.cv2(torch.cat(maps, 1).reshape(*steps, -1, *x.shape[3:]))
        return out


class Enlarge(nn.Module):
    """`[T, B, C, H, W]` to `[T, B, C, 2 H, 2 W]`: each place four times."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `[T, B, C, 2 H, 2 W]`."""
        T, B, C, H, W = x.shape
        wide = x.reshape(T * B, C, H, 1, W, 1).expand(T * B, C, H, 2, W, 2)
        return wide.reshape(T, B, C, 2 * H, 2 * W)


class Concat(nn.Module):
    """Several `[T, B, C, H, W]` to one, channels side by side."""

    def forward(self, *maps: Tensor) -> Tensor:
        """Return `[T, B, sum of C, H, W]`."""
        return torch.cat(maps, 2)


class Repeat(nn.Module):
    """`[B, C, H, W]` to `[T, B, C, H, W]`: the image in each time step."""

    def __init__(self, T: int) -> None:
        super().__init__()
        self.T = T

    def forward(self, x: Tensor) -> Tensor:
        """Return `[T, B, C, H, W]`."""
        return x.unsqueeze(0).repeat(self.T, 1, 1, 1, 1)


class BoxBins(nn.Module):
    """The distances of the bins; the weights of the mean that box decoding takes. Never called."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(BINS, 1, kernel_size=1, bias=False).requires_grad_(False)
        nn.init.zeros_(self.conv.weight).view(-1).add_(torch.arange(BINS))


class Detect(nn.Module):
    """Three maps `[T, B, C_i, H_i, W_i]` to scores `[B, 64 + classes, A]`, the mean over time.

    First those of the 4 x 16 distances to a box's sides, then those of the classes.
    """

    def __init__(self, widths: Sequence[int], classes: int, neuron: Neuron) -> None:
        super().__init__()
        box = max(16, widths[0] // 4, 4 * BINS)
        kind = max(widths[0], min(classes, 100))
        self.cv2 = nn.ModuleList(_branch(w, box, 4 * BINS, neuron) for w in widths)
        self.cv3 = nn.ModuleList(_branch(w, kind, classes, neuron) for w in widths)
        self.dfl = BoxBins()

    def forward(self, *maps: Tensor) -> Tensor:
        """Return `[B, 64 + classes, A]`."""
        scores = (
            torch.cat((boxes(x), kinds(x)), 2).mean(0).flatten(2)
            for x, boxes, kinds in zip(maps, self.cv2, self.cv3, strict=True)
        )
        return torch.cat(list(scores), 2)


def _branch(fan_in: int, hidden: int, fan_out: int, neuron: Neuron) -> nn.Sequential:
    return nn.Sequential(
        NeuronConv(fan_in, hidden, neuron, kernel=3),
        NeuronConv(hidden, hidden, neuron, kernel=3),
        NeuronConv(hidden, fan_out, neuron, norm=False),
    )


class Row(NamedTuple):
    """One module of the network: what it is and which earlier ones it reads."""

    kind: str
    width: int = 0
    """Channels, as a multiple of the first stage's."""
    argument: int = 0
    """Of blocks, the ratio of the width inside; of "layer", its stride."""
    reads: tuple[int, ...] = (-1,)
    stage: int | None = None
    """Which of `repeats` says how many there are."""


ROWS: Final[tuple[Row, ...]] = (
    Row("repeat"),
    Row("stem", 1),
    Row("full", 1, 4, stage=0),
    Row("down", 2),
    Row("full", 2, 4, stage=1),
    Row("down", 4),
    Row("rep", 4, 3, stage=2),
    Row("down", 8),
    Row("rep", 8, 2, stage=3),
    Row("pyramid", 8),
    Row("layer", 4, 1),
    Row("enlarge", 4),
    Row("rep", 4, 3),
    Row("concat", 8, reads=(-1, 6)),
    Row("layer", 2, 1),
    Row("enlarge", 2),
    Row("full", 2, 4),
    Row("concat", 4, reads=(-1, 4)),
    Row("layer", 2, 1),
    Row("full", 2, 4),
    Row("layer", 2, 2),
    Row("concat", 4, reads=(-1, 14)),
    Row("rep", 4, 3),
    Row("layer", 4, 2),
    Row("concat", 8, reads=(-1, 10)),
    Row("last", 8),
    Row("detect", reads=(19, 22, 25)),
)
"""Backbone, neck and head, in order; their places are their names."""


def _module(row: Row, fan_in: int, config: SpikeYoloConfig, neuron: Neuron) -> nn.Module:
    """Return the module of a row whose first source has so many channels."""
    dim = row.width * config.width

    def strided(kernel: int, stride: int, padding: int) -> nn.Conv2d:
        return nn.Conv2d(fan_in, dim, kernel, stride=stride, padding=padding)

    makers: dict[str, Callable[[], nn.Module]] = {
        "repeat": lambda: Repeat(config.T),
        "stem": lambda: Downsampling(strided(7, 4, 2)),
        "down": lambda: Downsampling(strided(3, 2, 1), neuron()),
        "full": lambda: FullConvBlock(dim, row.argument, neuron),
        "rep": lambda: RepConvBlock(dim, row.argument, neuron),
        "last": lambda: RepConvBlock(dim, config.last_ratio, neuron),
        "pyramid": lambda: Pyramid(dim, neuron),
        "layer": lambda: NeuronConv(
            fan_in, dim, neuron, kernel=2 * row.argument - 1, stride=row.argument
        ),
        "enlarge": Enlarge,
        "concat": Concat,
        "detect": lambda: Detect(
            [ROWS[i].width * config.width for i in row.reads], config.classes, neuron
        ),
    }
    repeats = 1 if row.stage is None else config.repeats[row.stage]
    modules = [makers[row.kind]() for _ in range(repeats)]
    return modules[0] if repeats == 1 else nn.Sequential(*modules)


class SpikeYolo(nn.Module):
    """The whole network, from images `[B, C_in, H, W]` to scores `[B, 64 + classes, A]`."""

    def __init__(self, config: SpikeYoloConfig) -> None:
        super().__init__()
        self.config = config
        neuron = partial(MultiLevel, levels=config.levels, norm=1, decay=config.decay)
        self.model = nn.ModuleList()
        for i, row in enumerate(ROWS):
            source = ROWS[row.reads[0] if row.reads[0] >= 0 else i - 1]
            fan_in = source.width * config.width or config.in_channels
            self.model.append(_module(row, fan_in, config, neuron))

    def forward(self, x: Tensor) -> Tensor:
        """Return `[B, 64 + classes, A]` scores, of the finest map first."""
        made: list[Tensor] = []
        for row, module in zip(ROWS, self.model, strict=True):
            x = module(*(made[i] if made else x for i in row.reads))
            made.append(x)
        return x
