"""What distinguishes networks in stages of growing width: records of numbers, without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StagedConfig:
    """What all networks in stages have. They read one image and show it T times."""

    variant: str
    """Which of the family's published forms."""
    heads: int
    img_size: int
    """Height and width of the input."""
    classes: int
    in_channels: int
    mlp_ratio: int = 4
    T: int = 4
    """Time steps."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name and number."""
        for name in ("heads", "img_size", "classes", "in_channels", "mlp_ratio", "T"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for width in self.attention_widths:
            if width % self.heads:
                raise ValueError(f"{width} channels do not split into {self.heads} heads")

    @property
    def attention_widths(self) -> tuple[int, ...]:
        """Channels of the stages that have attention."""
        raise NotImplementedError

    @property
    def time_in_input(self) -> bool:
        """Whether the input has a time axis of its own."""
        return False

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample, `[C, H, W]`."""
        return (self.in_channels, self.img_size, self.img_size)


@dataclass(frozen=True, kw_only=True)
class PyramidConfig(StagedConfig):
    """Sizes of a Meta-SpikeFormer or E-SpikeFormer.

    Shapes in a checkpoint fix `dims`, `depths`, `classes`, `in_channels`, `mlp_ratio` and `kd`.
    """

    dims: tuple[int, ...]
    """Channels after `downsample1_2`, `downsample2`, `downsample3` and, if any, `downsample4`."""
    depths: tuple[int, ...]
    """Transformer blocks in `block3` and, if any, `block4`."""
    kd: bool = False
    """Whether there is a second head, trained by distillation; the answer is their mean."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name and number."""
        if len(self.dims) != len(self.depths) + 2:
            raise ValueError(
                f"dims must be two more than depths, got {len(self.dims)} and {len(self.depths)}"
            )
        if self.dims[0] % 2:
            raise ValueError(f"the first of dims must be even, got {self.dims[0]}")
        super().__post_init__()

    @property
    def attention_widths(self) -> tuple[int, ...]:
        """Channels of `block3` and `block4`."""
        return self.dims[2:]

    @property
    def dim(self) -> int:
        """The width that the papers name a network after: that of `block3`."""
        return self.dims[2]

    @property
    def depth(self) -> int:
        """Transformer blocks in all."""
        return sum(self.depths)


@dataclass(frozen=True, kw_only=True)
class MetaSpikeFormerConfig(PyramidConfig):
    """Sizes and neuron constants of a Meta-SpikeFormer; `variant` is "imagenet"."""

    tau: float = 2.0
    v_threshold: float = 1.0
    attn_v_threshold: float = 0.5
    """Threshold of the neurons that read the attention product, `attn_lif`."""


@dataclass(frozen=True, kw_only=True)
class ESpikeFormerConfig(PyramidConfig):
    """Sizes of an E-SpikeFormer; `variant` is "base" or "large"."""

    T: int = 1
    levels: int = 4
    """Spikes that a neuron gives at most in one time step, D in the paper."""
    token_conv: bool = False
    """Large networks: whether each block begins with a convolution of its own, `rep_conv`."""


@dataclass(frozen=True, kw_only=True)
class HierarchicalConfig(StagedConfig):
    """Sizes and neuron constants of a QKFormer or MSViT: three stages.

    Shapes in a checkpoint fix `dim`, `depth`, `classes`, `in_channels` and `mlp_ratio`; names
    and shapes fix `variant`: "imagenet", "cifar" or (MSViT only) "cifar100".
    """

    dim: int
    """Channels of the last stage."""
    depth: int
    """Transformer blocks in all; the first two stages have 1 and 2, "cifar" 1 and 1."""
    tau: float = 2.0
    v_threshold: float = 1.0
    attn_v_threshold: float = 0.5
    """Threshold of the neurons that read the attention product, `attn_lif`."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name and number."""
        if self.dim % 8:
            raise ValueError(f"dim must be a multiple of 8, got {self.dim}")
        if self.depths[-1] < 0:
            raise ValueError(f"depth must be at least {sum(self.depths[:2])}, got {self.depth}")
        super().__post_init__()

    @property
    def depths(self) -> tuple[int, int, int]:
        """Transformer blocks of each stage."""
        second = 2 if self.variant == "imagenet" else 1
        return (1, second, self.depth - 1 - second)

    @property
    def attention_widths(self) -> tuple[int, ...]:
        """Channels of the three stages in QKFormer; in MSViT the first is as wide as the second."""
        return (self.dim // 4, self.dim // 2, self.dim)
