"""Sizes of a Spikeformer: a record of numbers, without torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class SpikeformerConfig:
    """Sizes and neuron kind of a Spikeformer.

    Shapes in a checkpoint fix all but `heads`, `analog`, `img_size` (of which they tell the number
    of tokens) and `time_in_input`.
    """

    widths: tuple[int, ...]
    """Channels after each block of the tokenizer; the last is that of the stream."""
    strides: tuple[int, ...]
    """Stride of each block of the tokenizer."""
    depth: int
    """Transformer blocks."""
    heads: int
    img_size: int
    """Height and width of the input."""
    classes: int
    in_channels: int
    T: int
    """Time steps."""
    kernel: int = 3
    """Height and width of the tokenizer's kernels."""
    mlp_ratio: float = 2
    analog: bool = False
    """Whether neurons let out their potential, not spikes (PLIAF), as on ImageNet."""
    time_in_input: bool = True
    """Whether the input has a time axis of its own (event frames), or is one image."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name and number."""
        for name in ("depth", "heads", "img_size", "classes", "in_channels", "T", "kernel"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.widths or len(self.widths) != len(self.strides):
            given = f"{self.widths} and {self.strides}"
            raise ValueError(f"widths and strides must be as many, and some, got {given}")
        if self.dim % self.heads:
            given = f"{self.dim} and {self.heads}"
            raise ValueError(f"the last width must be a multiple of heads, got {given}")
        if self.img_size % prod(self.strides):
            given = f"{self.img_size} and {self.strides}"
            raise ValueError(f"img_size must be a multiple of all strides together, got {given}")

    @property
    def dim(self) -> int:
        """Channels of the stream."""
        return self.widths[-1]

    @property
    def tokens(self) -> int:
        """Tokens of one time step."""
        side = self.img_size // prod(self.strides)
        return side * side

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample: `[T, C, H, W]` for event frames, `[C, H, W]` for an image."""
        image = (self.in_channels, self.img_size, self.img_size)
        return (self.T, *image) if self.time_in_input else image


_EVENTS = SpikeformerConfig(
    widths=(64, 64, 128, 128, 256, 256),
    strides=(2, 1, 2, 1, 2, 1),
    depth=7,
    heads=4,
    img_size=128,
    classes=10,
    in_channels=2,
    T=4,
)
SPIKEFORMERS: Final[Mapping[str, SpikeformerConfig]] = {
    "spikeformer": SpikeformerConfig(
        widths=(64, 64, 128, 128, 256, 256, 512, 512),
        strides=(2, 1, 2, 1, 2, 1, 2, 1),
        depth=7,
        heads=8,
        img_size=224,
        classes=1000,
        in_channels=3,
        T=4,
        mlp_ratio=3,
        analog=True,
        time_in_input=False,
    ),
    "spikeformer-dvs": _EVENTS,
    "spikeformer-gesture": replace(
        _EVENTS,
        widths=(64, 128, 256),
        strides=(2, 2, 2),
        kernel=5,
        classes=11,
        T=16,
    ),
}
"""The published forms: ImageNet, CIFAR10-DVS and DVS128 Gesture."""
