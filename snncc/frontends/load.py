"""From what the user calls a model to a module, an example of its input, and where it is from."""

from __future__ import annotations

import difflib
import importlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from snncc.diagnostics.core import Rule, SnnccError
from snncc.frontends import rules
from snncc.frontends.batch_axis import SETTING, asked_axis
from snncc.frontends.checkpoint import AVERAGED, Checkpoint, read_checkpoint
from snncc.frontends.families import (
    DEAD,
    Setting,
    configured,
    load_weights,
    parse_settings,
    recognise,
)
from snncc.frontends.model import Model, Traced
from snncc.frontends.readers import Asked, ReadIntegers, read_exchanged, reader_of
from snncc.frontends.torch_export import with_batch
from snncc.frontends.without_cupy import built
from snncc.ir.graph import Graph, Source
from snncc.models.zoo import ARCHITECTURES, Architecture

_FACTORY = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)")
_ARCH = "arch:"

__all__ = ["Model", "Module", "from_module", "import_model", "load_model"]

Module: TypeAlias = nn.Module
"""A network as its user wrote it: the name under which rooms without torch know it."""


def load_model(
    spec: str,
    *,
    settings: Mapping[str, str] | None = None,
    network: str | None = None,
    trust_pickle: bool = False,
    example_shape: Sequence[int] | None = None,
    integers: ReadIntegers | None = None,
) -> Model:
    """Return the network of a checkpoint, an exchanged file, ``arch:NAME``, or a factory.

    A factory is ``package.module:factory``; ``network`` is one for the weights in the file
    ``spec``. ``example_shape`` is the shape of one sample. ``integers`` reads files of integers
    that snncc wrote (``snncc.backends.writers.read_back``). Raises ``SnnccError`` where nothing can
    be made of it.
    """
    shape = tuple(example_shape) if example_shape is not None else None
    if spec.startswith(_ARCH):
        return _from_zoo(spec, settings or {}, shape)
    if network is not None:
        averaged, settings = _averaged(settings or {})
        axis = _batch_axis(settings, "a network of your own")
        weights = _opened(spec, trust_pickle=trust_pickle, averaged=averaged)
        made = _from_factory(network, shape, axis)
        load_weights(made.module, weights.tensors, f"`{network}`")
        return made
    if _FACTORY.fullmatch(spec) and not Path(spec).exists():
        return _from_factory(spec, shape, _batch_axis(settings, "a network of your own"))
    _check_spec(spec)
    if reader := reader_of(spec):
        return read_exchanged(spec, reader, Asked(settings or {}, shape, trust_pickle, integers))
    return _from_checkpoint(spec, settings or {}, shape, trust_pickle=trust_pickle)


def import_model(
    spec: str,
    *,
    settings: Mapping[str, str] | None = None,
    network: str | None = None,
    trust_pickle: bool = False,
    example_shape: Sequence[int] | None = None,
) -> Graph:
    """Return the graph, as traced or as read, of what ``load_model`` finds."""
    model = load_model(
        spec, settings=settings, network=network, trust_pickle=trust_pickle,
        example_shape=example_shape,
    )  # fmt: skip
    return model.origin.graph()


def from_module(module: Module, example: Tensor, *, batch_axis: int = 0) -> Model:
    """Return a network in memory as a model; ``example`` is a batch of its input.

    ``batch_axis`` is 1 for an input ``[T, B, ...]``. Raises ``SnnccError`` for an example without a
    batch.
    """
    return _checked(module, example, None, type(module).__name__, batch_axis)


def _fault(rule: Rule, message: str, hint: str = "") -> SnnccError:
    return SnnccError(rule.at(Source(), message, hint=hint))


def _from_zoo(spec: str, settings: Mapping[str, str], shape: tuple[int, ...] | None) -> Model:
    name = spec.removeprefix(_ARCH)
    if name not in ARCHITECTURES:
        within = [each for each in ARCHITECTURES if name and name in each]
        near = within[:3] or difflib.get_close_matches(name, ARCHITECTURES, n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "see `snncc inspect --list-archs`"
        raise _fault(rules.UNKNOWN_MODEL, f"there is no network `{name}`", hint)
    published = ARCHITECTURES[name]
    given = parse_settings(published, settings, fixed={"variant": published.options.get("variant")})
    architecture = configured(published, given)
    provenance = tuple(
        Setting(option, value, "--set" if option in given else "official default")
        for option, value in architecture.options.items()
    )
    with torch.device("meta"):
        module = architecture.build()
    return _model(module, architecture, shape, provenance)


def _from_checkpoint(
    spec: str, settings: Mapping[str, str], shape: tuple[int, ...] | None, *, trust_pickle: bool
) -> Model:
    averaged, settings = _averaged(settings)
    checkpoint = _opened(spec, trust_pickle=trust_pickle, averaged=averaged)
    if checkpoint.module is not None:
        axis = _batch_axis(settings, "a pickled network")
        return _checked(checkpoint.module, None, shape, Path(spec).stem, axis)
    found = recognise(checkpoint.tensors, checkpoint.args, settings)
    module = found.architecture.build()
    load_weights(module, found.tensors, found.architecture.name, dead=DEAD)
    provenance = (*found.provenance, *_choice(checkpoint, averaged=averaged))
    return _model(module, found.architecture, shape, provenance, _labels(checkpoint))


def _opened(spec: str, *, trust_pickle: bool, averaged: bool) -> Checkpoint:
    """Return the checkpoint; a trusted pickle finds its classes where a factory would."""
    with _importable_from(Path.cwd()) if trust_pickle else nullcontext():
        return read_checkpoint(spec, trust_pickle=trust_pickle, averaged=averaged)


def _averaged(settings: Mapping[str, str]) -> tuple[bool, Mapping[str, str]]:
    """Return whether ``--set weights=ema`` asks for averaged weights, and the other settings."""
    asked = settings.get("weights", "trained")
    if asked not in ("trained", "ema"):
        raise _fault(rules.BAD_SETTING, f"`weights={asked}`: wanted trained or ema")
    return asked == "ema", {name: text for name, text in settings.items() if name != "weights"}


def _choice(checkpoint: Checkpoint, *, averaged: bool) -> tuple[Setting, ...]:
    """Return which weights were taken where the file has averaged ones too."""
    if averaged:
        return (Setting("weights", checkpoint.container, "--set"),)
    other = next((name for name in checkpoint.others if name in AVERAGED), None)
    origin = f"default; `--set weights=ema` takes {other}"
    return (Setting("weights", checkpoint.container, origin),) if other else ()


def _model(
    module: nn.Module,
    architecture: Architecture,
    shape: tuple[int, ...] | None,
    provenance: tuple[Setting, ...],
    labels: tuple[str, ...] = (),
) -> Model:
    shape = architecture.input_shape if shape is None else shape
    device = next(module.parameters()).device
    example = with_batch(torch.zeros(1, *shape, device=device))
    steps = architecture.options.get("T")
    return Model(
        Traced(module.eval(), (example,)), shape, architecture.name, steps, provenance, labels,
        architecture.options,
    )  # fmt: skip


def _from_factory(spec: str, shape: tuple[int, ...] | None, axis: int) -> Model:
    found = _FACTORY.fullmatch(spec)
    if not found:
        raise _fault(rules.UNKNOWN_MODEL, f"`{spec}` is not of the form `package.module:factory`")
    place, name = found[1], found[2]
    try:
        with _importable_from(Path.cwd()):
            made = built(lambda: _called(place, name))
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        raise _fault(rules.FACTORY_FAILED, f"`{spec}` failed: {reason}") from error
    module, example = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    wrong = not isinstance(module, nn.Module) or not isinstance(example, Tensor | None)
    if wrong:
        what = type(made).__name__
        message = f"`{spec}` returned a `{what}`: wanted a module, or a module and an example"
        raise _fault(rules.FACTORY_FAILED, message)
    return _checked(module, example, shape, name, axis)


def _called(place: str, name: str) -> Any:
    """Return what a factory makes; its module is imported first."""
    return getattr(importlib.import_module(place), name)()


def _checked(
    module: nn.Module, example: Tensor | None, shape: tuple[int, ...] | None, name: str, axis: int
) -> Model:
    """Return the model with an example of its input. Raises ``SnnccError`` if there is none."""
    if shape is not None:
        first = next(module.parameters(), torch.zeros(0))
        example = torch.zeros(1, *shape, device=first.device, dtype=first.dtype)
        example = example.movedim(0, min(axis, len(shape)))
    if example is None:
        message = f"nothing says how large the input of `{name}` is"
        hint = "let the factory return `module, example`, or give `--input-shape`"
        raise _fault(rules.UNKNOWN_INPUT, message, hint)
    if example.ndim < 2 or 0 in example.shape:
        message = f"the example input of `{name}` has shape {tuple(example.shape)}"
        raise _fault(rules.UNKNOWN_INPUT, message, "its first axis is the batch")
    origin = Traced(module.eval(), (with_batch(example, axis),), batch_axis=axis)
    return Model(origin, tuple(example.movedim(axis, 0).shape[1:]), name)


@contextmanager
def _importable_from(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


def _check_spec(spec: str) -> None:
    if Path(spec).exists() or Path(spec).suffix or "/" in spec:
        return
    hint = f"did you mean `{_ARCH}{spec}`?" if spec in ARCHITECTURES else ""
    message = f"`{spec}` is neither a file, nor `{_ARCH}NAME`, nor `package.module:factory`"
    raise _fault(rules.UNKNOWN_MODEL, message, hint)


def _batch_axis(settings: Mapping[str, str] | None, what: str) -> int:
    """Return where the input has its batch, the one setting that a module has."""
    foreign = ", ".join(name for name in settings or {} if name != SETTING)
    if foreign:
        message = f"{what} has no setting but `{SETTING}`, and `{foreign}` is given"
        raise _fault(rules.BAD_SETTING, message)
    return asked_axis(settings or {}) or 0


def _labels(checkpoint: Checkpoint) -> tuple[str, ...]:
    names = checkpoint.args.get("class_names") or ()
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()
