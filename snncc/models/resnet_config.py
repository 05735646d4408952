"""Sizes of the spiking residual networks: records of numbers, without torch."""

from __future__ import annotations

from dataclasses import dataclass

CONNECTIONS = ("ADD", "AND", "IAND")
"""How SEW-ResNet joins the spikes of a block with those of its shortcut."""


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """What all residual networks have: four stages of blocks on images.

    Shapes in a checkpoint fix `blocks`, `width`, `in_channels` and `classes`; not `img_size`, `T`.
    """

    blocks: tuple[int, ...]
    """Blocks in each of the four stages."""
    width: int = 64
    """Channels of the first stage; each later one has twice as many."""
    in_channels: int = 3
    classes: int = 1000
    img_size: int = 224
    """Height and width of the input."""
    T: int = 4
    """Time steps."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name and number."""
        for name in ("width", "in_channels", "classes", "img_size", "T"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if len(self.blocks) != 4 or min(self.blocks) < 1:
            raise ValueError(f"blocks must be four numbers from 1, got {self.blocks}")

    @property
    def time_in_input(self) -> bool:
        """An image has no time axis."""
        return False

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample, `[C, H, W]`."""
        return (self.in_channels, self.img_size, self.img_size)


@dataclass(frozen=True, kw_only=True)
class SewResNetConfig(ResNetConfig):
    """A spike-element-wise residual network. No shape tells `connect`."""

    bottleneck: bool = False
    """Whether a block is 1x1, 3x3 and 1x1 convolutions (four times as wide), or two of 3x3."""
    connect: str = "ADD"
    v_threshold: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name and number."""
        super().__post_init__()
        if self.connect not in CONNECTIONS:
            raise ValueError(f"connect must be one of {CONNECTIONS}, got {self.connect!r}")


@dataclass(frozen=True, kw_only=True)
class MsResNetConfig(ResNetConfig):
    """A membrane-shortcut residual network."""

    T: int = 6
    deep: bool = False
    """Whether it has the stem and the shortcuts of the 104-layer network."""
    decay: float = 0.25
    """What is left of a potential after one time step."""
    v_threshold: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name and number."""
        super().__post_init__()
        if not 0 < self.decay < 1:
            raise ValueError(f"decay must be between 0 and 1, got {self.decay}")


@dataclass(frozen=True, kw_only=True)
class SewEventConfig:
    """A spike-element-wise network for frames of events. No shape tells `connect`, `T`.

    Shapes fix the others, `img_size` up to what the pools round off.
    """

    widths: tuple[int, ...]
    """Channels of each block; a max-pool halves height and width behind each."""
    classes: int
    connect: str = "ADD"
    in_channels: int = 2
    img_size: int = 128
    """Height and width of the input."""
    T: int = 16
    """Time steps."""
    v_threshold: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name and number."""
        for name in ("classes", "in_channels", "T"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.widths or min(self.widths) < 1:
            raise ValueError(f"widths must be numbers from 1, got {self.widths}")
        if self.img_size < 2 ** len(self.widths):
            raise ValueError(
                f"img_size must be at least {2 ** len(self.widths)}, got {self.img_size}"
            )
        if self.connect not in CONNECTIONS:
            raise ValueError(f"connect must be one of {CONNECTIONS}, got {self.connect!r}")

    @property
    def time_in_input(self) -> bool:
        """Events come in frames, one a time step."""
        return True

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample, `[T, C, H, W]`."""
        return (self.T, self.in_channels, self.img_size, self.img_size)
