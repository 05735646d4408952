"""What distinguishes two SpikeYOLO networks: a record of numbers, without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SpikeYoloConfig:
    """Sizes of a SpikeYOLO and the constants of its neurons.

    Shapes in a checkpoint fix `width`, `repeats`, `last_ratio`, `classes` and `in_channels`.
    """

    variant: str = "coco"
    """Which of the family's published forms."""
    width: int
    """Channels of the first stage; the next have 2, 4 and 8 times as many."""
    repeats: tuple[int, ...]
    """Blocks of the four stages of the backbone."""
    last_ratio: int = 1
    """How much wider the last block is inside, 1 or, in the larger networks, 2."""
    img_size: int = 640
    """Height and width of the input."""
    classes: int = 80
    in_channels: int = 3
    T: int = 1
    """Time steps."""
    levels: int = 4
    """Spikes that a neuron gives at most in one time step, D in the paper."""
    decay: float = 0.25
    """What is left of a potential from one time step to the next."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name and number."""
        for name in ("width", "last_ratio", "img_size", "classes", "in_channels", "T", "levels"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if len(self.repeats) != 4 or min(self.repeats) < 1:
            raise ValueError(f"repeats must be four numbers from 1, got {self.repeats}")
        if self.img_size % 32:
            raise ValueError(f"img_size must be a multiple of 32, got {self.img_size}")

    @property
    def time_in_input(self) -> bool:
        """Whether the input has a time axis of its own."""
        return False

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample, `[C, H, W]`."""
        return (self.in_channels, self.img_size, self.img_size)
