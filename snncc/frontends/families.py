"""Which published network a checkpoint belongs to, and with which sizes: tables.

What shapes tell is taken from shapes. What they cannot tell (time steps, heads, thresholds) comes
from ``--set``, else from the training arguments in the file, else it is the official default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor, nn

from snncc.diagnostics.core import Diagnostic, SnnccError
from snncc.frontends import rules
from snncc.frontends.checkpoint import some
from snncc.ir.graph import Source
from snncc.models.zoo import ARCHITECTURES, FORMS, Architecture

Tensors: TypeAlias = Mapping[str, Tensor]


@dataclass(frozen=True)
class Setting:
    """One number that the network was built with, and where it is from."""

    name: str
    value: Any
    origin: str

    def __str__(self) -> str:
        return f"{self.name} = {self.value} ({self.origin})"


@dataclass(frozen=True)
class Recognised:
    """The network of a checkpoint."""

    architecture: Architecture
    provenance: tuple[Setting, ...]


@dataclass(frozen=True)
class Signature:
    """How a family's weights are told from others'; ``sizes`` reads what their shapes say."""

    form: str
    matches: Callable[[Tensors], bool]
    sizes: Callable[[Tensors], Mapping[str, Any]]


def _has(*names: str) -> Callable[[Tensors], bool]:
    return lambda tensors: all(name in tensors for name in names)


def _axes(tensors: Tensors, name: str) -> int:
    return tensors[name].ndim if name in tensors else 0


def _transformer_sizes(stem: str, hidden: str) -> Callable[[Tensors], Mapping[str, Any]]:
    """Sizes of a network with blocks ``block.N``, from its stem, head, and hidden layer."""

    def read(tensors: Tensors) -> Mapping[str, Any]:
        classes, dim = tensors["head.weight"].shape
        numbers = (re.match(r"block\.(\d+)\.", name) for name in tensors)
        ratio = tensors[f"block.0.mlp.{hidden}.weight"].shape[0] / dim
        return {
            "dim": dim,
            "depth": 1 + max(int(n[1]) for n in numbers if n),
            "classes": classes,
            "in_channels": tensors[f"patch_embed.{stem}.weight"].shape[1],
            "mlp_ratio": int(ratio) if ratio.is_integer() else ratio,
        }

    return read


def _spikingformer(tensors: Tensors) -> bool:
    wanted = ("head.weight", "patch_embed.proj_conv.weight", "block.0.mlp.mlp1_conv.weight")
    return _has(*wanted)(tensors)


def _spikformer(tensors: Tensors) -> bool:
    wanted = ("head.weight", "patch_embed.proj_conv.weight", "patch_embed.rpe_conv.weight")
    return _has(*wanted)(tensors) and _axes(tensors, "block.0.attn.q_conv.weight") == 3


def _events(tensors: Tensors) -> bool:
    """Whether the network reads events: two channels, on and off."""
    return tensors["patch_embed.proj_conv.weight"].shape[1] == 2


_SPIKINGFORMER_SIZES = _transformer_sizes("proj_conv", "mlp1_conv")
_SPIKFORMER_SIZES = _transformer_sizes("proj_conv", "fc1_conv")

SIGNATURES: tuple[Signature, ...] = (
    Signature(
        "spikingformer-cifar",
        _has("head.weight", "patch_embed.block0_conv.weight", "block.0.mlp.mlp1_conv.weight"),
        _transformer_sizes("block0_conv", "mlp1_conv"),
    ),
    Signature(
        "spikingformer-dvs", lambda t: _spikingformer(t) and _events(t), _SPIKINGFORMER_SIZES
    ),
    Signature("spikingformer", _spikingformer, _SPIKINGFORMER_SIZES),
    Signature(
        "spikformer-cifar",
        _has("head.weight", "patch_embed.rpe_conv.weight", "block.0.mlp.fc1_linear.weight"),
        _transformer_sizes("proj_conv", "fc1_linear"),
    ),
    Signature(
        "spikformer-dvs",
        lambda t: _spikformer(t) and _axes(t, "block.0.mlp.fc1_conv.weight") == 3,
        _SPIKFORMER_SIZES,
    ),
    Signature(
        "spikformer",
        lambda t: _spikformer(t) and _axes(t, "block.0.mlp.fc1_conv.weight") == 4,
        _SPIKFORMER_SIZES,
    ),
)
"""The first that matches is taken."""

ARGUMENT_NAMES: Mapping[str, tuple[str, ...]] = {
    "heads": ("heads", "num_heads"),
    "T": ("T", "time_step", "time_steps"),
    "img_size": ("img_size", "image_size"),
    "tau": ("tau",),
    "v_threshold": ("v_threshold",),
    "attn_v_threshold": ("attn_v_threshold",),
    "pool_stages": ("pool_stages",),
}
"""Under which names training programs store what no shape tells."""


def recognise(
    tensors: Tensors, args: Mapping[str, Any], settings: Mapping[str, str] | None = None
) -> Recognised:
    """Return the network that these weights belong to, with its sizes and where they are from.

    Raises ``SnnccError`` for weights of no known family and for settings that cannot be.
    """
    signature = next((s for s in SIGNATURES if s.matches(tensors)), None)
    if signature is None:
        raise SnnccError(_unknown(tensors))
    settings = settings or {}
    form = _variant(FORMS[signature.form], settings)
    shapes = {"variant": form.config.variant, **signature.sizes(tensors)}
    default = _published(form, shapes)
    given = parse_settings(default, settings, fixed=shapes)
    values, origins = dict(default.options), dict.fromkeys(default.options, "official default")
    for source, origin in (
        (_from_arguments(default, args), "args"), (shapes, "shapes"), (given, "--set"),
    ):  # fmt: skip
        values |= source
        origins |= dict.fromkeys(source, origin)
    provenance = tuple(Setting(name, values[name], origins[name]) for name in values)
    return Recognised(configured(default, values), provenance)


def configured(default: Architecture, values: Mapping[str, Any]) -> Architecture:
    """Return the architecture with these values. Raises ``SnnccError`` where it cannot be."""
    try:
        return default.configure(**values)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        hint = "give the right number with `--set name=value`"
        raise SnnccError(rules.BAD_SETTING.at(Source(), str(error), hint=hint)) from error


def parse_settings(
    architecture: Architecture, settings: Mapping[str, str], fixed: Mapping[str, Any]
) -> dict[str, Any]:
    """Return ``--set`` values in the types that the options have; ``fixed`` cannot be changed.

    Raises ``SnnccError`` with a finding for each that is wrong.
    """
    parsed: dict[str, Any] = {}
    faults: list[Diagnostic] = []
    for name, text in settings.items():
        problem = ""
        if name not in architecture.options:
            known = ", ".join(sorted(architecture.options))
            problem = f"{architecture.name} has no option `{name}`: there are {known}"
        else:
            try:
                parsed[name] = parse_value(text, architecture.options[name])
            except ValueError as error:
                problem = f"`{name}={text}`: {error}"
        if name in parsed and parsed[name] != fixed.get(name, parsed[name]):
            problem = f"`{name}={text}`, but it is {fixed[name]}"
        if problem:
            faults.append(rules.BAD_SETTING.at(Source(), problem))
    if faults:
        raise SnnccError(*faults)
    return parsed


def parse_value(text: str, like: object) -> Any:
    """Return a value of the type of ``like`` from its text. Raises ``ValueError``."""
    if isinstance(like, bool):
        if text.lower() not in ("true", "false"):
            raise ValueError("wanted true or false")
        return text.lower() == "true"
    if isinstance(like, tuple):
        return tuple(parse_value(part, 0) for part in re.findall(r"[^,()\s]+", text))
    if isinstance(like, str):
        return text
    kind = int if isinstance(like, int) else float
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"wanted {'a whole number' if kind is int else 'a number'}") from None


def load_weights(network: nn.Module, tensors: Tensors, name: str) -> None:
    """Load all weights into a network, or none. Raises ``SnnccError`` with all that do not fit."""
    wanted = network.state_dict()
    missing = [n for n in wanted if n not in tensors and not n.endswith("num_batches_tracked")]
    unknown = [n for n in tensors if n not in wanted]
    other = [n for n in wanted if n in tensors and wanted[n].shape != tensors[n].shape]
    shapes = [f"{n} {tuple(tensors[n].shape)} for {tuple(wanted[n].shape)}" for n in other]
    kinds = (("missing", missing), ("unknown", unknown), ("of another shape", shapes))
    faults = [
        rules.WEIGHTS_DO_NOT_FIT.at(
            Source(), f"{len(names)} of {len(wanted)} weights of {name} are {what}: {some(names)}"
        )
        for what, names in kinds
        if names
    ]
    if faults:
        raise SnnccError(*faults)
    network.load_state_dict(dict(tensors), strict=False)


def _variant(form: Architecture, settings: Mapping[str, str]) -> Architecture:
    """Return the form that ``--set variant`` asks for: some have weights of equal names."""
    twins = {f.config.variant: f for f in FORMS.values() if f.network is form.network}
    asked = settings.get("variant", form.config.variant)
    if asked not in twins:
        message = f"`variant={asked}`: {form.family} has {', '.join(twins)}"
        raise SnnccError(rules.BAD_SETTING.at(Source(), message))
    return twins[asked]


def _published(form: Architecture, shapes: Mapping[str, Any]) -> Architecture:
    """Return the published network of these sizes, else the form under the name of its size."""
    for known in ARCHITECTURES.values():
        if known.network is form.network and all(
            known.options[name] == value for name, value in shapes.items()
        ):
            return known
    size = f"{form.name}-{shapes['depth']}-{shapes['dim']}"
    return Architecture(name=size, family=form.family, network=form.network, config=form.config)


def _from_arguments(architecture: Architecture, args: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the training arguments say of the options, where it is of the right type."""
    found: dict[str, Any] = {}
    for option, names in ARGUMENT_NAMES.items():
        if option not in architecture.options:
            continue
        like = architecture.options[option]
        for name in names:
            value = args.get(name)
            if isinstance(like, tuple) and isinstance(value, list | tuple):
                found.setdefault(option, tuple(value))
            elif isinstance(value, int | float) and isinstance(like, int | float):
                found.setdefault(option, type(like)(value))
    return found


def _unknown(tensors: Tensors) -> Diagnostic:
    tops = list(dict.fromkeys(name.split(".")[0] for name in tensors))
    families = ", ".join(dict.fromkeys(FORMS[s.form].family for s in SIGNATURES))
    return rules.UNKNOWN_FAMILY.at(
        Source(),
        f"the {len(tensors)} weights are of no family that is known; they begin with {some(tops)}",
        because=(f"families known by their weights: {families}",),
        hint="say how the network is built: `--network package.module:factory`",
    )
