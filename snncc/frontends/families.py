"""Which published network a checkpoint belongs to, and with which sizes: tables.

What shapes tell is taken from shapes. What they cannot tell (time steps, heads, thresholds) comes
from ``--set``, else from the training arguments in the file, else it is the official default.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import torch
from torch import nn

from snncc.diagnostics.core import Diagnostic, SnnccError
from snncc.frontends import rules
from snncc.frontends.checkpoint import some
from snncc.frontends.nearest import nearest
from snncc.frontends.signatures import SIGNATURES, Tensors
from snncc.ir.graph import Source
from snncc.models.zoo import ARCHITECTURES, FORMS, Architecture


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
    """The network of a checkpoint; ``tensors`` are its weights under the names that it has here."""

    architecture: Architecture
    provenance: tuple[Setting, ...]
    tensors: Tensors


ARGUMENT_NAMES: Mapping[str, tuple[str, ...]] = {
    "heads": ("heads", "num_heads"),
    "T": ("T", "time_step", "time_steps"),
    "img_size": ("img_size", "image_size", "input_size"),
    "tau": ("tau",),
    "v_threshold": ("v_threshold",),
    "attn_v_threshold": ("attn_v_threshold",),
    "pool_stages": ("pool_stages", "pooling_stat"),
    "connect": ("connect", "connect_f"),
}
"""Under which names training programs store what no shape tells."""

ABOVE_ZERO = ("v_threshold", "attn_v_threshold")
"""Options of every family that have no meaning at or below zero."""

NOT_HEEDED: Mapping[str, tuple[str, ...]] = {
    "qkformer-cifar": ("heads",),
    "msvit-cifar": ("heads",),
    "msvit-cifar100": ("heads",),
}
"""Options that the official program of a form takes as an argument and does not heed."""

DEAD = re.compile(
    r"block\.\d+\.(norm[12]\.(weight|bias)|attn\.talking_heads\.weight)"
    r"|pos_embed|norm\.(weight|bias)|(.*\.)?total_(ops|params)"
)
"""Weights that nothing reads: official files have them, slimmed ones may not. The last are those
that operation counters leave in a module."""


def recognise(
    tensors: Tensors, args: Mapping[str, Any], settings: Mapping[str, str] | None = None
) -> Recognised:
    """Return the network that these weights belong to, with its sizes and where they are from.

    Raises ``SnnccError`` for weights of no known family and for settings that cannot be.
    """
    form, shapes, tensors = _matched(tensors)
    form, settings = _variant(form, settings or {})
    choice = _choice(form, shapes, tensors)
    if "variant" in form.options:
        shapes = {"variant": form.config.variant, **shapes}
    default = _published(form, shapes)
    given = parse_settings(default, settings, fixed=shapes)
    values, origins = dict(default.options), dict.fromkeys(default.options, "official default")
    for source, origin in (
        (_from_arguments(form, args), "args"), (shapes, "shapes"), (given, "--set"),
    ):  # fmt: skip
        values |= source
        origins |= dict.fromkeys(source, origin)
    if choice and "variant" not in given:
        origins["variant"] = choice
    provenance = tuple(Setting(name, values[name], origins[name]) for name in values)
    return Recognised(_named(configured(default, values, shapes)), provenance, tensors)


def _matched(tensors: Tensors) -> tuple[Architecture, Mapping[str, Any], Tensors]:
    """Return the form, what the shapes say, and the weights under its names."""
    for reading in _readings(tensors):
        for signature in SIGNATURES:
            try:
                if signature.matches(reading):
                    return FORMS[signature.form], signature.sizes(reading), reading
            except (LookupError, ValueError, StopIteration, ZeroDivisionError):
                continue  # weights of that name, but not of such a network
    raise SnnccError(_unknown(tensors))


def _readings(tensors: Tensors) -> Iterator[Tensors]:
    """Yield the weights under their names, then without what wrappers have put around them.

    Old SpikingJelly has a part ``module`` in containers over time; whole networks stand in
    attributes, or were taken out of one that the official name has.
    """
    tensors = {name.replace(".module.", "."): tensor for name, tensor in tensors.items()}
    plain = tensors
    while tensors:
        yield tensors
        first = next(iter(tensors)).split(".")[0] + "."
        if not all(name.startswith(first) for name in tensors):
            break
        tensors = {name.removeprefix(first): tensor for name, tensor in tensors.items()}
    yield {f"model.{name}": tensor for name, tensor in plain.items()}


def configured(
    default: Architecture, values: Mapping[str, Any], shapes: Mapping[str, Any] | None = None
) -> Architecture:
    """Return the architecture with these values. Raises ``SnnccError`` where it cannot be.

    ``shapes`` are the values that the weights' shapes say: no setting can change them.
    """
    try:
        return default.configure(**values)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise SnnccError(_impossible(default, str(error), shapes or {})) from error


def _impossible(default: Architecture, reason: str, shapes: Mapping[str, Any]) -> Diagnostic:
    """Return what is wrong: the weights where it is about shapes alone, else a setting."""
    about = [name for name in default.options if re.search(rf"\b{name}\b", reason)]
    settable = [name for name in about or default.options if name not in shapes]
    if about and not settable:
        read = ", ".join(f"{name} = {shapes[name]}" for name in about)
        message = f"no {default.family} has weights of these shapes: {reason} (they say {read})"
        return rules.WEIGHTS_DO_NOT_FIT.at(Source(), message)
    hint = " or ".join(f"`--set {name}=...`" for name in settable if about)
    hint = f"give another number with {hint or '`--set name=value`'}"
    return rules.BAD_SETTING.at(Source(), reason, hint=hint)


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
        if name in ABOVE_ZERO and name in parsed and parsed[name] <= 0:
            problem = f"`{name}={text}`: wanted more than 0"
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
        value = kind(text)
        if isfinite(value):
            return value
        raise ValueError
    except ValueError:
        raise ValueError(f"wanted {'a whole number' if kind is int else 'a number'}") from None


def load_weights(
    network: nn.Module, tensors: Tensors, name: str, *, dead: re.Pattern[str] | None = None
) -> None:
    """Load all weights into a network, or none. Raises ``SnnccError`` with all that do not fit.

    Weights that are ``dead`` may be missing, or be there where the network has none.
    """
    wanted = network.state_dict()

    def counts(name: str) -> bool:
        return not (name.endswith("num_batches_tracked") or (dead and dead.fullmatch(name)))

    missing = [n for n in wanted if n not in tensors and counts(n)]
    unknown = [n for n in tensors if n not in wanted and not (dead and dead.fullmatch(n))]
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


def _variant(
    form: Architecture, settings: Mapping[str, str]
) -> tuple[Architecture, Mapping[str, str]]:
    """Return the form that ``--set variant`` asks for: some have weights of equal names.

    ``cml`` stands for ``imagenet-cml`` or ``dvs-cml``, whichever fits the form; the settings come
    back with the whole name.
    """
    if "variant" not in form.options or "variant" not in settings:
        return form, settings
    twins, own, asked = _twins(form), str(form.config.variant), settings["variant"]
    names = (asked, f"{own}-{asked}", own if own.endswith(f"-{asked}") else "")
    found = next((name for name in names if name in twins), None)
    if found is None:
        message = f"`variant={asked}`: {form.family} has {', '.join(twins)}"
        raise SnnccError(rules.BAD_SETTING.at(Source(), message))
    return twins[found], {**settings, "variant": found}


def _twins(form: Architecture) -> dict[str, Architecture]:
    """Return all forms of the same network by their variant."""
    return {f.config.variant: f for f in FORMS.values() if f.network is form.network}


def _choice(form: Architecture, shapes: Mapping[str, Any], tensors: Tensors) -> str:
    """Return where the variant is from if the weights fit others too, and how to take those."""
    if "variant" not in form.options:
        return ""
    others = [
        name
        for name, twin in _twins(form).items()
        if name != form.config.variant and _fits(twin, shapes, tensors)
    ]
    take = " or ".join(f"`--set variant={name}`" for name in others)
    return f"the likelier of variants with equal weights: {take} takes another" if others else ""


def _fits(form: Architecture, shapes: Mapping[str, Any], tensors: Tensors) -> bool:
    """Whether a form of these sizes, for such input, has weights of these names and shapes."""
    if form.options["in_channels"] != shapes["in_channels"]:
        return False
    try:
        with torch.device("meta"):
            wanted = form.build(**shapes).state_dict()
    except (ValueError, TypeError, ZeroDivisionError):
        return False
    return _living(wanted) == _living(tensors)


def _living(tensors: Tensors) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all weights that are read."""
    counted = (n for n in tensors if not (DEAD.fullmatch(n) or n.endswith("num_batches_tracked")))
    return {name: tuple(tensors[name].shape) for name in counted}


def _published(form: Architecture, shapes: Mapping[str, Any]) -> Architecture:
    """Return the published network of these sizes, else the form under the name of its size."""
    for known in ARCHITECTURES.values():
        if known.network is form.network and all(
            known.options[name] == value for name, value in shapes.items()
        ):
            return known
    size = "-".join(str(shapes[part]) for part in ("depth", "dim", "width") if part in shapes)
    return replace(form, name=f"{form.name}-{size}")


def _named(architecture: Architecture) -> Architecture:
    """Return the architecture, under the published name of one that is all the same."""
    for known in ARCHITECTURES.values():
        same = known.network is architecture.network and known.config == architecture.config
        if same and known.name != architecture.name:
            return replace(architecture, name=known.name)
    return architecture


def _from_arguments(form: Architecture, args: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the training arguments say of the options, where it is of the right type."""
    found: dict[str, Any] = {}
    for option, names in ARGUMENT_NAMES.items():
        if option not in form.options or option in NOT_HEEDED.get(form.name, ()):
            continue
        for name in names:
            value = _argument(args.get(name), form.options[option])
            if value is not None:
                found.setdefault(option, value)
    return found


def _argument(value: object, like: object) -> Any:
    """Return an argument as an option of the type of ``like``, None where it is of another."""
    if isinstance(like, tuple):
        if isinstance(value, str) and set(value) <= {"0", "1"}:
            return tuple(i for i, flag in enumerate(value, start=1) if flag == "1")
        return tuple(value) if isinstance(value, list | tuple) else None
    if isinstance(like, str):
        return value if isinstance(value, str) else None
    if isinstance(value, list | tuple) and value:
        value = value[-1]
    numeric = isinstance(value, int | float) and isinstance(like, int | float)
    return type(like)(value) if numeric and not isinstance(value, bool) else None  # type: ignore[call-arg]


def _unknown(tensors: Tensors) -> Diagnostic:
    """Return what keeps weights from being of any family: of the nearest one, where one is near."""
    near = nearest(_readings(tensors), FORMS.values())
    if near is not None and (near.missing or near.odd):
        faults = (("missing", near.missing), ("of another shape", near.odd))
        said = " and ".join(
            f"{len(each)} {'is' if len(each) == 1 else 'are'} {what}: {some(each)}"
            for what, each in faults
            if each
        )
        hint = "take the whole file, or say how the network is built: `--network module:factory`"
        message = f"the weights are nearly those of {near.form.family}, but {said}"
        return rules.WEIGHTS_DO_NOT_FIT.at(Source(), message, hint=hint)
    tops = list(dict.fromkeys(name.split(".")[0] for name in tensors))
    families = ", ".join(dict.fromkeys(FORMS[s.form].family for s in SIGNATURES))
    return rules.UNKNOWN_FAMILY.at(
        Source(),
        f"the {len(tensors)} weights are of no family that is known; they begin with {some(tops)}",
        because=(f"families known by their weights: {families}",),
        hint="say how the network is built: `--network package.module:factory`",
    )
