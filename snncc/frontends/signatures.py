"""How each family's weights are told from others', and what their shapes say: a table.

A signature names a form of the zoo. Of forms with weights of equal names the likelier stands here;
``--set variant`` asks for another.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

Tensors: TypeAlias = Mapping[str, Tensor]
Sizes: TypeAlias = Mapping[str, Any]

SMALL_IMAGES = (10, 100)
"""Classes of the CIFAR data sets: where nothing else tells a network for small images."""
GESTURES = 11
"""Classes of DVS128 Gesture."""


@dataclass(frozen=True)
class Signature:
    """Weights of a form: ``matches`` looks at names and shapes, ``sizes`` reads the shapes."""

    form: str
    matches: Callable[[Tensors], bool]
    sizes: Callable[[Tensors], Sizes]


def has(*names: str) -> Callable[[Tensors], bool]:
    """Return a test for all of these names."""
    return lambda tensors: all(name in tensors for name in names)


def _axes(tensors: Tensors, name: str) -> int:
    return tensors[name].ndim if name in tensors else 0


def _count(tensors: Tensors, part: str) -> int:
    """Return how many modules ``part.0``, ``part.1`` ... have weights."""
    found = (re.match(rf"{re.escape(part)}\.(\d+)\.", name) for name in tensors)
    return 1 + max((int(match[1]) for match in found if match), default=-1)


def _number(ratio: float) -> float:
    return int(ratio) if float(ratio).is_integer() else ratio


def _transformer(stem: str, hidden: str) -> Callable[[Tensors], dict[str, Any]]:
    """Sizes of a network with blocks ``block.N``, from its stem, head, and hidden layer."""

    def read(tensors: Tensors) -> dict[str, Any]:
        classes, dim = tensors["head.weight"].shape
        return {
            "dim": dim,
            "depth": _count(tensors, "block"),
            "classes": classes,
            "in_channels": tensors[f"patch_embed.{stem}.weight"].shape[1],
            "mlp_ratio": _number(tensors[f"block.0.mlp.{hidden}.weight"].shape[0] / dim),
        }

    return read


_STEM, _HEAD = "patch_embed.proj_conv.weight", "head.weight"


def _spikingformer(tensors: Tensors) -> bool:
    return has(_HEAD, _STEM, "block.0.mlp.mlp1_conv.weight")(tensors)


def _spikformer(tensors: Tensors, hidden: int = 0) -> bool:
    found = has(_HEAD, _STEM, "patch_embed.rpe_conv.weight")(tensors)
    named = found and _axes(tensors, "block.0.attn.q_conv.weight") == 3
    return named and hidden in (0, _axes(tensors, "block.0.mlp.fc1_conv.weight"))


def _sdt(tensors: Tensors) -> bool:
    return has(_HEAD, _STEM)(tensors) and _axes(tensors, "block.0.attn.q_conv.weight") == 4


def _reads_events(tensors: Tensors) -> bool:
    """Whether the network reads events: two channels, on and off."""
    return tensors[_STEM].shape[1] == 2


def _classes(tensors: Tensors) -> int:
    return int(tensors[_HEAD].shape[0])


def _sdt_sizes(tensors: Tensors) -> Sizes:
    """The dead weight ``talking_heads`` tells the number of heads."""
    heads = tensors.get("block.0.attn.talking_heads.weight")
    told = {} if heads is None else {"heads": heads.shape[0]}
    return {**_transformer("proj_conv", "fc1_conv")(tensors), **told}


def _spikformer_events_sizes(tensors: Tensors) -> Sizes:
    """The dead weight ``pos_embed`` tells the image: a token is 16x16 pixels."""
    tokens = tensors.get("pos_embed")
    told = {} if tokens is None else {"img_size": 16 * math.isqrt(tokens.shape[1])}
    return {**_transformer("proj_conv", "fc1_conv")(tensors), **told}


def _stages(hidden: str) -> Callable[[Tensors], Sizes]:
    """Sizes of a QKFormer or MSViT."""

    def read(tensors: Tensors) -> Sizes:
        classes, dim = tensors[_HEAD].shape
        return {
            "dim": dim,
            "depth": sum(_count(tensors, f"stage{i}") for i in (1, 2, 3)),
            "classes": classes,
            "in_channels": tensors["patch_embed1.proj_conv.weight"].shape[1],
            "mlp_ratio": tensors[f"stage1.0.mlp.{hidden}.weight"].shape[0]
            // tensors[f"stage1.0.mlp.{hidden}.weight"].shape[1],
        }

    return read


def _hierarchical(tensors: Tensors) -> bool:
    return has(_HEAD, "patch_embed1.proj_conv.weight", "stage1.0.tssa.q_conv.weight")(tensors)


_SCALE = "stage1.0.tssa.p_conv.weight"
_LATER = "patch_embed1.proj2_conv.weight"


def _pyramid(hidden: str) -> Callable[[Tensors], dict[str, Any]]:
    """Sizes of a Meta-SpikeFormer or E-SpikeFormer."""

    def read(tensors: Tensors) -> dict[str, Any]:
        downs = (f"downsample{i}.encode_conv.weight" for i in ("1_2", "2", "3", "4"))
        widths = tensors[f"ConvBlock1_1.0.{hidden}.weight"].shape
        depths = (_count(tensors, "block3"), _count(tensors, "block4"))
        return {
            "dims": tuple(tensors[name].shape[0] for name in downs if name in tensors),
            "depths": tuple(depth for depth in depths if depth),
            "classes": tensors[_HEAD].shape[0],
            "in_channels": tensors["downsample1_1.encode_conv.weight"].shape[1],
            "mlp_ratio": widths[0] // widths[1],
            "kd": "head_kd.weight" in tensors,
        }

    return read


def _large_sizes(tensors: Tensors) -> Sizes:
    token_conv = "block3.0.rep_conv.conv1.0.weight" in tensors
    return {**_pyramid("conv1.0.0")(tensors), "token_conv": token_conv}


def _sew_sizes(tensors: Tensors) -> Sizes:
    return {
        "blocks": tuple(_count(tensors, f"layer{i}") for i in (1, 2, 3, 4)),
        "width": tensors["conv1.weight"].shape[0],
        "in_channels": tensors["conv1.weight"].shape[1],
        "classes": tensors["fc.weight"].shape[0],
        "bottleneck": "layer1.0.conv3.0.weight" in tensors,
    }


def _sew_events_sizes(tensors: Tensors) -> Sizes:
    """A block of each width; what the pools leave of the image stands before the head."""
    blocks = (f"conv.{i}.conv.0.0.0.weight" for i in range(_count(tensors, "conv")))
    widths = tuple(tensors[name].shape[0] for name in blocks if name in tensors)
    classes, features = tensors["out.weight"].shape
    side = math.isqrt(features // widths[-1])
    first = next(t for n, t in tensors.items() if n.startswith("conv.0.") and t.ndim == 4)
    return {
        "widths": widths,
        "in_channels": first.shape[1],
        "classes": classes,
        "img_size": side * 2 ** len(widths),
    }


def _sew_events(tensors: Tensors) -> bool:
    return "out.weight" in tensors and any(
        re.fullmatch(r"conv\.\d+\.conv\.0\.0\.0\.weight", name) for name in tensors
    )


def _ms_sizes(tensors: Tensors) -> Sizes:
    return {
        "blocks": tuple(_count(tensors, f"conv{i}_x") for i in (2, 3, 4, 5)),
        "width": tensors["conv1.0.weight"].shape[0],
        "in_channels": tensors["conv1.0.weight"].shape[1],
        "classes": tensors["fc.weight"].shape[0],
        "deep": "conv1.2.weight" in tensors,
    }


def _yolo_sizes(tensors: Tensors) -> Sizes:
    last = "model.25.conv1.body.2.1.weight"
    return {
        "width": tensors["model.1.encode_conv.weight"].shape[0],
        "in_channels": tensors["model.1.encode_conv.weight"].shape[1],
        "repeats": tuple(max(1, _count(tensors, f"model.{i}")) for i in (2, 4, 6, 8)),
        "last_ratio": tensors[last].shape[0] // tensors[last].shape[1],
        "classes": tensors["model.26.cv3.0.2.conv.weight"].shape[0],
    }


_LAYERS = "model.patch_embed.conv_layers"


def _spikeformer_sizes(tensors: Tensors) -> Sizes:
    """A block of the tokenizer that has weights in its shortcut halves height and width."""
    blocks = range(_count(tensors, _LAYERS))
    strides = tuple(2 if f"{_LAYERS}.{i}.shortcut.1.0.0.weight" in tensors else 1 for i in blocks)
    convs = [tensors[f"{_LAYERS}.{i}.residual_function.0.0.0.weight"] for i in blocks]
    hidden = tensors["model.blocks.0.mlp.mlp.0.0.weight"]
    return {
        "widths": tuple(conv.shape[0] for conv in convs),
        "strides": strides,
        "depth": _count(tensors, "model.blocks"),
        "classes": tensors["model.head.weight"].shape[0],
        "in_channels": convs[0].shape[1],
        "kernel": convs[0].shape[2],
        "mlp_ratio": _number(hidden.shape[0] / hidden.shape[1]),
        "T": tensors["model.time_embed"].shape[1],
        "img_size": math.isqrt(tensors["model.pos_embed"].shape[1]) * math.prod(strides),
    }


def _spikeformer(tensors: Tensors, channels: int = 0, kernel: int = 0) -> bool:
    if not has("model.pos_embed", "model.time_embed", "model.head.weight")(tensors):
        return False
    first = tensors[f"{_LAYERS}.0.residual_function.0.0.0.weight"].shape
    return channels in (0, first[1]) and kernel in (0, first[2])


_SPIKINGFORMER = _transformer("proj_conv", "mlp1_conv")
_SPIKFORMER = _transformer("proj_conv", "fc1_conv")
_LINEAR = "block.0.mlp.fc1_linear.weight"
_BASE = "ConvBlock1_1.0.Conv.pwconv1"

SIGNATURES: tuple[Signature, ...] = (
    Signature(
        "spikingformer-cifar",
        has(_HEAD, "patch_embed.block0_conv.weight", "block.0.mlp.mlp1_conv.weight"),
        _transformer("block0_conv", "mlp1_conv"),
    ),
    Signature(
        "spikingformer-dvs", lambda t: _spikingformer(t) and _reads_events(t), _SPIKINGFORMER
    ),
    Signature(
        "spikingformer-cml-cifar",
        lambda t: _spikingformer(t) and _classes(t) in SMALL_IMAGES,
        _SPIKINGFORMER,
    ),
    Signature("spikingformer", _spikingformer, _SPIKINGFORMER),
    Signature(
        "spikformer-cifar", has(_HEAD, _STEM, _LINEAR), _transformer("proj_conv", "fc1_linear")
    ),
    Signature(
        "spikformer-cml-cifar",
        has(_HEAD, "patch_embed.block1_conv.weight", _LINEAR),
        _transformer("block1_conv", "fc1_linear"),
    ),
    Signature("spikformer-dvs", lambda t: _spikformer(t, hidden=3), _spikformer_events_sizes),
    Signature("spikformer", lambda t: _spikformer(t, hidden=4), _SPIKFORMER),
    Signature(
        "sdt-gesture",
        lambda t: _sdt(t) and _reads_events(t) and _classes(t) == GESTURES,
        _sdt_sizes,
    ),
    Signature("sdt-dvs", lambda t: _sdt(t) and _reads_events(t), _sdt_sizes),
    Signature("sdt-cifar", lambda t: _sdt(t) and _classes(t) in SMALL_IMAGES, _sdt_sizes),
    Signature("sdt", _sdt, _sdt_sizes),
    Signature("meta-spikeformer", has(_HEAD, f"{_BASE}.weight"), _pyramid("conv1")),
    Signature("e-spikeformer-base", has(_HEAD, f"{_BASE}.0.weight"), _pyramid("conv1")),
    Signature("e-spikeformer-large", has(_HEAD, "ConvBlock1_1.0.conv1.0.0.weight"), _large_sizes),
    Signature("msvit", lambda t: _hierarchical(t) and has(_SCALE, _LATER)(t), _stages("fc1_conv")),
    Signature(
        "msvit-cifar",
        lambda t: _hierarchical(t) and _SCALE in t and t[_SCALE].shape[2] > 1,
        _stages("mlp1_conv"),
    ),
    Signature("msvit-cifar100", lambda t: _hierarchical(t) and _SCALE in t, _stages("mlp1_conv")),
    Signature("qkformer", lambda t: _hierarchical(t) and _LATER in t, _stages("fc1_conv")),
    Signature("qkformer-cifar", _hierarchical, _stages("mlp1_conv")),
    Signature(
        "sew-resnet", has("conv1.weight", "fc.weight", "layer1.0.conv1.0.weight"), _sew_sizes
    ),
    Signature(
        "sew-resnet-gesture",
        lambda t: _sew_events(t) and t["out.weight"].shape[0] == GESTURES,
        _sew_events_sizes,
    ),
    Signature("sew-resnet-dvs", _sew_events, _sew_events_sizes),
    Signature(
        "ms-resnet",
        has("conv1.0.weight", "fc.weight", "conv2_x.0.residual_function.1.weight"),
        _ms_sizes,
    ),
    Signature(
        "spikeyolo", has("model.1.encode_conv.weight", "model.26.dfl.conv.weight"), _yolo_sizes
    ),
    Signature("spikeformer", lambda t: _spikeformer(t, channels=3), _spikeformer_sizes),
    Signature("spikeformer-gesture", lambda t: _spikeformer(t, kernel=5), _spikeformer_sizes),
    Signature("spikeformer-dvs", _spikeformer, _spikeformer_sizes),
)
"""The first that matches is taken."""
