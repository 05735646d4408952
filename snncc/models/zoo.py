"""The published networks by name: `arch:spikingformer-8-512` and its kin.

A name is family, data set where it is not ImageNet, then the size as the paper writes it:
blocks and channels. Sizes are from the papers' tables; heads and time steps from the official
builders and their `.yml` files, which do not always agree with the papers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

from snncc.models.config import TransformerConfig
from snncc.models.config_stages import (
    ESpikeFormerConfig,
    HierarchicalConfig,
    MetaSpikeFormerConfig,
)
from snncc.models.config_yolo import SpikeYoloConfig
from snncc.models.resnet_config import (
    CONNECTIONS,
    MsResNetConfig,
    SewEventConfig,
    SewResNetConfig,
)
from snncc.models.spikeformer_config import SPIKEFORMERS, SpikeformerConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn


@dataclass(frozen=True)
class Architecture:
    """One network, without weights.

    `config` is a frozen dataclass with an `input_shape`; `network` makes a module of it, and
    imports what it needs then.
    """

    name: str
    family: str
    network: Callable[[Any], nn.Module]
    config: Any

    @property
    def options(self) -> Mapping[str, Any]:
        """What can be overridden, by name, with its value here."""
        return {f.name: getattr(self.config, f.name) for f in fields(self.config)}

    def configure(self, **overrides: Any) -> Architecture:
        """Return the same architecture with other numbers.

        ValueError where there is no such option, or the numbers do not fit together.
        """
        for name in overrides.keys() - self.options.keys():
            raise ValueError(f"{self.name} has no option `{name}`: one of {sorted(self.options)}")
        return replace(self, config=replace(self.config, **overrides))

    def build(self, **overrides: Any) -> nn.Module:
        """Return the network, newly initialised and in training mode."""
        return self.network(self.configure(**overrides).config)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample, without the batch axis."""
        shape: tuple[int, ...] = self.config.input_shape
        return shape


def _spikingformer(config: TransformerConfig) -> nn.Module:
    from snncc.models.spikingformer import Spikingformer  # noqa: PLC0415

    return Spikingformer(config)


def _spikformer(config: TransformerConfig) -> nn.Module:
    from snncc.models.spikformer import Spikformer  # noqa: PLC0415

    return Spikformer(config)


def _spike_driven_transformer(config: TransformerConfig) -> nn.Module:
    from snncc.models.spike_driven_transformer import SpikeDrivenTransformer  # noqa: PLC0415

    return SpikeDrivenTransformer(config)


def _spikeformer(config: SpikeformerConfig) -> nn.Module:
    from snncc.models.spikeformer import Spikeformer  # noqa: PLC0415

    return Spikeformer(config)


def _sew_resnet(config: SewResNetConfig) -> nn.Module:
    from snncc.models.sew_resnet import SewResNet  # noqa: PLC0415

    return SewResNet(config)


def _sew_events(config: SewEventConfig) -> nn.Module:
    from snncc.models.sew_events import SewEventNet  # noqa: PLC0415

    return SewEventNet(config)


def _ms_resnet(config: MsResNetConfig) -> nn.Module:
    from snncc.models.ms_resnet import MsResNet  # noqa: PLC0415

    return MsResNet(config)


def _meta_spikeformer(config: MetaSpikeFormerConfig) -> nn.Module:
    from snncc.models.meta_spikeformer import MetaSpikeFormer  # noqa: PLC0415

    return MetaSpikeFormer(config)


def _e_spikeformer(config: ESpikeFormerConfig) -> nn.Module:
    from snncc.models.e_spikeformer import ESpikeFormer  # noqa: PLC0415

    return ESpikeFormer(config)


def _e_spikeformer_large(config: ESpikeFormerConfig) -> nn.Module:
    from snncc.models.e_spikeformer_large import ESpikeFormerLarge  # noqa: PLC0415

    return ESpikeFormerLarge(config)


def _qkformer(config: HierarchicalConfig) -> nn.Module:
    from snncc.models.qkformer import QKFormer  # noqa: PLC0415

    return QKFormer(config)


def _msvit(config: HierarchicalConfig) -> nn.Module:
    from snncc.models.msvit import MSViT  # noqa: PLC0415

    return MSViT(config)


def _spike_yolo(config: SpikeYoloConfig) -> nn.Module:
    from snncc.models.spike_yolo import SpikeYolo  # noqa: PLC0415

    return SpikeYolo(config)


_IMAGENET = TransformerConfig(
    variant="imagenet",
    dim=512,
    depth=8,
    heads=8,
    img_size=224,
    classes=1000,
    in_channels=3,
    pool_stages=(1, 2, 3, 4),
)
_CIFAR = TransformerConfig(
    variant="cifar",
    dim=384,
    depth=4,
    heads=12,
    img_size=32,
    classes=10,
    in_channels=3,
    pool_stages=(3, 4),
)
_EVENTS = TransformerConfig(
    variant="dvs",
    dim=256,
    depth=2,
    heads=16,
    img_size=128,
    classes=10,
    in_channels=2,
    pool_stages=(1, 2, 3, 4),
    T=16,
)
_META = MetaSpikeFormerConfig(
    variant="imagenet",
    dims=(128, 256, 512, 640),
    depths=(6, 2),
    heads=8,
    img_size=224,
    classes=1000,
    in_channels=3,
)
_E_BASE = ESpikeFormerConfig(
    variant="base",
    dims=(48, 96, 192, 240),
    depths=(6, 2),
    heads=8,
    img_size=224,
    classes=1000,
    in_channels=3,
)
_E_LARGE = replace(_E_BASE, variant="large", dims=(196, 384, 768), depths=(12,), kd=True)
_STAGES = HierarchicalConfig(
    variant="imagenet", dim=512, depth=10, heads=8, img_size=224, classes=1000, in_channels=3
)
_STAGES_CIFAR = replace(_STAGES, variant="cifar", dim=384, depth=4, img_size=32, classes=10)

_CML = {
    "spikingformer-cml": replace(_IMAGENET, variant="imagenet-cml"),
    "spikingformer-cml-cifar": replace(_CIFAR, variant="cifar-cml"),
    "spikingformer-cml-dvs": replace(_EVENTS, variant="dvs-cml", tau=1.75),
}
_SDT = {
    "sdt": _IMAGENET,
    "sdt-cifar": replace(_CIFAR, dim=512, depth=2, heads=8),
    "sdt-dvs": replace(_EVENTS, heads=8, img_size=64, pool_stages=(3, 4), T=10),
    "sdt-gesture": replace(_EVENTS, variant="gesture", heads=8, classes=11, pool_stages=(2, 3, 4)),
}
_YOLO = SpikeYoloConfig(width=48, repeats=(1, 2, 3, 1))
_SEW_EVENTS = {
    "sew-resnet-dvs": SewEventConfig(widths=(64, 64, 64, 64, 128, 128, 128), classes=10),
    "sew-resnet-gesture": SewEventConfig(widths=(32,) * 7, classes=11),
}

FORMS: Final[Mapping[str, Architecture]] = {
    form.name: form
    for form in (
        Architecture("spikingformer", "spikingformer", _spikingformer, _IMAGENET),
        Architecture("spikingformer-cifar", "spikingformer", _spikingformer, _CIFAR),
        Architecture(
            "spikingformer-dvs", "spikingformer", _spikingformer, replace(_EVENTS, tau=1.5)
        ),
        Architecture("spikformer", "spikformer", _spikformer, _IMAGENET),
        Architecture("spikformer-cifar", "spikformer", _spikformer, _CIFAR),
        Architecture("spikformer-dvs", "spikformer", _spikformer, _EVENTS),
        Architecture(
            "spikformer-cml-cifar",
            "spikformer",
            _spikformer,
            replace(_CIFAR, variant="cifar-cml"),
        ),
        *(
            Architecture(name, family, network, config)
            for family, network, configs in (
                ("spikingformer", _spikingformer, _CML),
                ("sdt", _spike_driven_transformer, _SDT),
                ("spikeformer", _spikeformer, SPIKEFORMERS),
                ("sew-resnet", _sew_events, _SEW_EVENTS),
            )
            for name, config in configs.items()
        ),
        Architecture("sew-resnet", "sew-resnet", _sew_resnet, SewResNetConfig(blocks=(2, 2, 2, 2))),
        Architecture("ms-resnet", "ms-resnet", _ms_resnet, MsResNetConfig(blocks=(2, 2, 2, 2))),
        Architecture("spikeyolo", "spikeyolo", _spike_yolo, _YOLO),
        Architecture("meta-spikeformer", "meta-spikeformer", _meta_spikeformer, _META),
        Architecture("e-spikeformer-base", "e-spikeformer", _e_spikeformer, _E_BASE),
        Architecture("e-spikeformer-large", "e-spikeformer", _e_spikeformer_large, _E_LARGE),
        Architecture("qkformer", "qkformer", _qkformer, _STAGES),
        Architecture("qkformer-cifar", "qkformer", _qkformer, _STAGES_CIFAR),
        Architecture("msvit", "msvit", _msvit, replace(_STAGES, attn_v_threshold=1.0)),
        Architecture("msvit-cifar", "msvit", _msvit, replace(_STAGES_CIFAR, attn_v_threshold=1.0)),
        Architecture(
            "msvit-cifar100",
            "msvit",
            _msvit,
            replace(_STAGES_CIFAR, attn_v_threshold=1.0, variant="cifar100", classes=100),
        ),
    )
}
"""The published forms of each family, with the numbers of the official builder."""

_SEW_RESNETS: Final[Mapping[int, Mapping[str, Any]]] = {
    18: {"blocks": (2, 2, 2, 2)},
    34: {"blocks": (3, 4, 6, 3)},
    50: {"blocks": (3, 4, 6, 3), "bottleneck": True},
    101: {"blocks": (3, 4, 23, 3), "bottleneck": True},
    152: {"blocks": (3, 8, 36, 3), "bottleneck": True},
}

SIZES: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "spikingformer-8-384": ("spikingformer", {"depth": 8, "dim": 384}),
    "spikingformer-8-512": ("spikingformer", {"depth": 8, "dim": 512}),
    "spikingformer-8-768": ("spikingformer", {"depth": 8, "dim": 768}),
    "spikingformer-cifar-4-256": ("spikingformer-cifar", {"depth": 4, "dim": 256, "heads": 8}),
    "spikingformer-cifar-2-384": ("spikingformer-cifar", {"depth": 2, "dim": 384}),
    "spikingformer-cifar-4-384": ("spikingformer-cifar", {"depth": 4, "dim": 384}),
    "spikingformer-cifar100-4-384": ("spikingformer-cifar", {"classes": 100, "heads": 8}),
    "spikingformer-dvs-2-256": ("spikingformer-dvs", {"depth": 2, "dim": 256}),
    "spikingformer-gesture-2-256": ("spikingformer-dvs", {"classes": 11}),
    "spikformer-8-384": ("spikformer", {"depth": 8, "dim": 384}),
    "spikformer-6-512": ("spikformer", {"depth": 6, "dim": 512}),
    "spikformer-8-512": ("spikformer", {"depth": 8, "dim": 512}),
    "spikformer-10-512": ("spikformer", {"depth": 10, "dim": 512}),
    "spikformer-8-768": ("spikformer", {"depth": 8, "dim": 768}),
    "spikformer-cifar-4-256": ("spikformer-cifar", {"depth": 4, "dim": 256, "heads": 8}),
    "spikformer-cifar-2-384": ("spikformer-cifar", {"depth": 2, "dim": 384}),
    "spikformer-cifar-4-384": ("spikformer-cifar", {"depth": 4, "dim": 384}),
    "spikformer-dvs-2-256": ("spikformer-dvs", {"depth": 2, "dim": 256}),
    "spikformer-cml-cifar-4-256": ("spikformer-cml-cifar", {"depth": 4, "dim": 256, "heads": 8}),
    "spikformer-cml-cifar-2-384": ("spikformer-cml-cifar", {"depth": 2, "dim": 384}),
    "spikformer-cml-cifar-4-384": ("spikformer-cml-cifar", {"depth": 4, "dim": 384}),
    "spikingformer-cml-8-384": ("spikingformer-cml", {"depth": 8, "dim": 384}),
    "spikingformer-cml-8-512": ("spikingformer-cml", {"depth": 8, "dim": 512}),
    "spikingformer-cml-8-768": ("spikingformer-cml", {"depth": 8, "dim": 768}),
    "spikingformer-cml-cifar-4-256": (
        "spikingformer-cml-cifar",
        {"depth": 4, "dim": 256, "heads": 8},
    ),
    "spikingformer-cml-cifar-2-384": ("spikingformer-cml-cifar", {"depth": 2, "dim": 384}),
    "spikingformer-cml-cifar-4-384": ("spikingformer-cml-cifar", {"depth": 4, "dim": 384}),
    "spikingformer-cml-cifar100-4-384": ("spikingformer-cml-cifar", {"classes": 100, "heads": 8}),
    "spikingformer-cml-dvs-2-256": ("spikingformer-cml-dvs", {"depth": 2, "dim": 256}),
    "spikingformer-cml-gesture-2-256": ("spikingformer-cml-dvs", {"classes": 11}),
    "sdt-8-384": ("sdt", {"depth": 8, "dim": 384}),
    "sdt-6-512": ("sdt", {"depth": 6, "dim": 512}),
    "sdt-8-512": ("sdt", {"depth": 8, "dim": 512}),
    "sdt-10-512": ("sdt", {"depth": 10, "dim": 512}),
    "sdt-8-768": ("sdt", {"depth": 8, "dim": 768}),
    "sdt-cifar-2-256": ("sdt-cifar", {"depth": 2, "dim": 256}),
    "sdt-cifar-2-512": ("sdt-cifar", {"depth": 2, "dim": 512}),
    "sdt-cifar100-2-256": ("sdt-cifar", {"dim": 256, "classes": 100}),
    "sdt-cifar100-2-512": ("sdt-cifar", {"dim": 512, "classes": 100}),
    "sdt-dvs-2-256": ("sdt-dvs", {"depth": 2, "dim": 256}),
    "sdt-gesture-2-256": ("sdt-gesture", {"depth": 2, "dim": 256}),
    "spikeformer-7-3x2x4": ("spikeformer", {}),
    "spikeformer-dvs-7-3x2x3": ("spikeformer-dvs", {}),
    "spikeformer-gesture-7-5x3x1": ("spikeformer-gesture", {}),
    **{
        f"sew-resnet{layers}-{connect.lower()}": ("sew-resnet", {**sizes, "connect": connect})
        for layers, sizes in _SEW_RESNETS.items()
        for connect in CONNECTIONS
    },
    **{
        f"{form}-{connect.lower()}": (form, {"connect": connect})
        for form in _SEW_EVENTS
        for connect in CONNECTIONS
    },
    "ms-resnet18": ("ms-resnet", {"blocks": (2, 2, 2, 2)}),
    "ms-resnet34": ("ms-resnet", {"blocks": (3, 4, 6, 3)}),
    "ms-resnet104": ("ms-resnet", {"blocks": (3, 8, 32, 8), "deep": True}),
    "meta-spikeformer-8-384": ("meta-spikeformer", {"dims": (96, 192, 384, 480)}),
    "meta-spikeformer-8-512": ("meta-spikeformer", {"dims": (128, 256, 512, 640)}),
    "meta-spikeformer-8-768": ("meta-spikeformer", {"dims": (192, 384, 768, 960)}),
    "e-spikeformer-base-t": ("e-spikeformer-base", {"dims": (24, 48, 96, 128)}),
    "e-spikeformer-base-s": ("e-spikeformer-base", {"dims": (32, 64, 128, 192)}),
    "e-spikeformer-base-m": ("e-spikeformer-base", {"dims": (48, 96, 192, 240)}),
    "e-spikeformer-base-l": ("e-spikeformer-base", {"dims": (64, 128, 256, 360)}),
    "e-spikeformer-large-12-512": (
        "e-spikeformer-large",
        {"dims": (128, 256, 512), "token_conv": True},
    ),
    "e-spikeformer-large-12-768": ("e-spikeformer-large", {"dims": (196, 384, 768)}),
    "qkformer-10-384": ("qkformer", {"dim": 384, "heads": 6}),
    "qkformer-10-512": ("qkformer", {"dim": 512, "heads": 8}),
    "qkformer-10-768": ("qkformer", {"dim": 768, "heads": 12}),
    "qkformer-cifar-4-384": ("qkformer-cifar", {}),
    "qkformer-cifar100-4-384": ("qkformer-cifar", {"classes": 100}),
    "msvit-10-384": ("msvit", {"dim": 384, "heads": 6}),
    "msvit-10-512": ("msvit", {"dim": 512, "heads": 8}),
    "msvit-10-768": ("msvit", {"dim": 768, "heads": 12}),
    "msvit-cifar-4-384": ("msvit-cifar", {}),
    "msvit-cifar100-4-384": ("msvit-cifar100", {}),
    "spikeyolo-n": ("spikeyolo", {"width": 48}),
    "spikeyolo-s": ("spikeyolo", {"width": 64}),
    "spikeyolo-m": ("spikeyolo", {"width": 80, "repeats": (2, 3, 4, 2), "last_ratio": 2}),
    "spikeyolo-l": ("spikeyolo", {"width": 96, "repeats": (2, 3, 4, 2), "last_ratio": 2}),
}
"""Name: its form, and what is different in it."""

ARCHITECTURES: Final[Mapping[str, Architecture]] = {
    name: replace(FORMS[form].configure(**sizes), name=name)
    for name, (form, sizes) in SIZES.items()
}
"""Every network that can be had by name."""
