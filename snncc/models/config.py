"""What distinguishes two networks of one family: a record of numbers, without torch."""

from __future__ import annotations

from dataclasses import dataclass

EVENT_VARIANTS = ("dvs", "dvs-cml", "gesture")
"""Forms that read frames of events, not images."""


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Sizes and neuron constants of a spiking vision transformer.

    Shapes in a checkpoint fix `variant`, `in_channels`, `classes`, `dim`, `depth` and
    `mlp_ratio`. The others change no shape (`img_size` only that of a dead parameter).
    """

    variant: str
    """Which of the family's published forms: "imagenet", "cifar" or "dvs" and their kin."""
    dim: int
    """Channels of the residual stream."""
    depth: int
    """Transformer blocks."""
    heads: int
    img_size: int
    """Height and width of the input."""
    classes: int
    in_channels: int
    pool_stages: tuple[int, ...]
    """Which of the four tokenizer stages, 1 to 4, halve height and width by max-pooling."""
    mlp_ratio: float = 4
    T: int = 4
    """Time steps."""
    tau: float = 2.0
    v_threshold: float = 1.0
    attn_v_threshold: float = 0.5
    """Threshold of the neurons that read the attention product, `attn_lif`."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name and number."""
        for name in ("dim", "depth", "heads", "img_size", "classes", "in_channels", "T"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not set(self.pool_stages) <= {1, 2, 3, 4}:
            raise ValueError(f"pool_stages must be from 1 to 4, got {self.pool_stages}")
        if self.dim % 8:
            raise ValueError(f"dim must be a multiple of 8, got {self.dim}")
        if self.dim % self.heads:
            raise ValueError(f"dim must be a multiple of heads, got {self.dim} and {self.heads}")
        if not self.tau > 1:
            raise ValueError(f"tau must be above 1, got {self.tau}")

    @property
    def time_in_input(self) -> bool:
        """Whether the input has a time axis of its own (event frames), or is one image."""
        return self.variant in EVENT_VARIANTS

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample: `[T, C, H, W]` for event frames, `[C, H, W]` for an image."""
        image = (self.in_channels, self.img_size, self.img_size)
        return (self.T, *image) if self.time_in_input else image

    @property
    def patch_size(self) -> int:
        """Pixels per token, along one side."""
        return int(2 ** len(self.pool_stages))

    @property
    def hidden_dim(self) -> int:
        """Channels inside the MLP."""
        return int(self.dim * self.mlp_ratio)
