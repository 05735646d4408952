"""Opens checkpoint files safely: nothing in a file is run unless the user says so."""

from __future__ import annotations

import argparse
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from snncc.diagnostics.core import Rule, SnnccError
from snncc.files.archives import OF_NETWORKS, UNREADABLE, BombError, hold_archive
from snncc.files.kinds import kind_of
from snncc.frontends import rules
from snncc.frontends.rules_of_exchange import TOO_LARGE
from snncc.ir.graph import Source

AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
"""Where training programs put the weights' running average."""

CONTAINERS = ("state_dict", "model", "model_state_dict", *AVERAGED, "net")
"""Where training programs put the weights, by preference; else they stand bare."""

ARGUMENTS = ("args", "config", "hyper_parameters")
"""Where training programs put what they were called with."""

PREFIXES = ("module.", "_orig_mod.")
"""Put in front of every name by data-parallel wrappers and by ``torch.compile``."""

AVERAGED_OVER = "n_averaged"
"""What torch's ``AveragedModel`` stores beside the weights."""

_ZIP, _PICKLE = b"PK\x03\x04", (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_SIGNATURES = (
    (b"\x89PNG", "a PNG image"), (b"\xff\xd8\xff", "a JPEG image"), (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"), (b"\x1f\x8b", "a gzip archive"), (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"), (b"version https://git-lfs", "a Git LFS pointer, no weights"),
)  # fmt: skip
_SHOWN = 4


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: tensors by name, what training was called with, and where they stood.

    ``others`` are other places with weights. ``module`` is a whole pickled network, which only a
    trusted file can hold.
    """

    tensors: Mapping[str, Tensor]
    args: Mapping[str, Any] = field(default_factory=dict)
    container: str = ""
    module: nn.Module | None = None
    others: tuple[str, ...] = ()


def read_checkpoint(
    path: str | Path, *, trust_pickle: bool = False, averaged: bool = False
) -> Checkpoint:
    """Return the weights in a file that ``torch.save`` or safetensors has written.

    ``averaged`` asks for their running average. Raises ``SnnccError`` with one finding where there
    are none that can be used.
    """
    path = Path(path)
    check_file(path)
    if path.suffix == ".safetensors":
        found = Checkpoint(_read_safetensors(path))
    else:
        _check_format(path)
        containers = AVERAGED if averaged else CONTAINERS
        found = _unpack(path, _load(path, trust_pickle=trust_pickle), containers)
    if averaged and found.container not in AVERAGED:
        message = f"`{path}` has no running average of the weights"
        hint = f"it would stand under {', '.join(AVERAGED)}"
        raise fault(rules.BAD_SETTING, path, message, hint)
    if found.module is None:
        _check_tensors(path, found.tensors)
    return found


def fault(rule: Rule, path: Path, message: str, hint: str = "") -> SnnccError:
    """Return the error of one finding about a file."""
    return SnnccError(rule.at(Source(file=path.as_posix()), message, hint=hint))


def some(names: Sequence[str]) -> str:
    """Return the first few names and how many more there are."""
    shown = ", ".join(f"`{name}`" for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def check_file(path: Path) -> None:
    """Raise ``SnnccError`` where there is no file, an empty one, or one that cannot be opened."""
    try:
        if what := kind_of(path):
            raise fault(rules.MISSING_FILE, path, f"`{path}` {what}")
        if path.stat().st_size == 0:
            raise fault(rules.TRUNCATED_CHECKPOINT, path, f"`{path}` is empty")
        with path.open("rb"):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise fault(rules.MISSING_FILE, path, f"`{path}` cannot be read: {reason}") from error


def _check_format(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(_ZIP):
        if parts := parts_of(path):
            _check_members(path, parts)
            hold_unpacked(path)
            return
        size = path.stat().st_size
        message = f"`{path}` ends too early, after {size} bytes: its table of contents is missing"
        raise fault(rules.TRUNCATED_CHECKPOINT, path, message)
    if not start.startswith(_PICKLE):
        what = next((name for mark, name in _SIGNATURES if start.startswith(mark)), None)
        what = what or ("text" if _is_text(start) else "nothing that `torch.save` writes")
        raise fault(rules.NOT_A_CHECKPOINT, path, f"`{path}` is no checkpoint but {what}")


def parts_of(path: Path) -> frozenset[str]:
    """Return the names of files and folders in an archive; none where it is no archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(part for name in archive.namelist() for part in name.split("/"))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return frozenset()


def hold_unpacked(path: Path) -> None:
    """Raise ``SnnccError`` for an archive that unpacks to more than a network takes."""
    try:
        hold_archive(path, OF_NETWORKS)
    except BombError as error:
        raise fault(TOO_LARGE, path, f"`{path}` {error}") from error
    except UNREADABLE as error:
        raise fault(rules.TRUNCATED_CHECKPOINT, path, f"`{path}` is damaged: {error}") from error


def _check_members(path: Path, parts: frozenset[str]) -> None:
    if {"data.pkl", "version"} <= parts and "constants.pkl" not in parts:
        return
    what = "a TorchScript archive" if "constants.pkl" in parts else "another kind of archive"
    hint = "save the `state_dict()` of the network"
    raise fault(rules.NOT_A_CHECKPOINT, path, f"`{path}` is no checkpoint but {what}", hint)


def _is_text(start: bytes) -> bool:
    try:
        start.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(start) - 3
    return b"\0" not in start


def _load(path: Path, *, trust_pickle: bool) -> Any:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # the finding says more
            return torch.load(path, map_location="cpu", weights_only=not trust_pickle)
    except (pickle.UnpicklingError, EOFError, RuntimeError, ValueError, OSError) as error:
        raise _load_fault(path, error) from error
    except Exception as error:
        if not trust_pickle:
            raise _load_fault(path, error) from error
        reason = f"{type(error).__name__}: {error}"
        message = f"`{path}` cannot be unpickled: {reason}"
        raise fault(rules.NOT_A_CHECKPOINT, path, message) from error


def _load_fault(path: Path, error: Exception) -> SnnccError:
    text = str(error)
    named = re.search(r"GLOBAL ([\w.]+)|class ([\w.]+) |global ([\w.]+) ", text)
    code = next((g for g in named.groups() if g), "") if named else ""
    if "Unsupported" in text:
        code = code or _first_call(path)
    if code:
        message = f"`{path}` wants to call `{code}`; nothing of it was run"
        hint = "save the `state_dict()` alone; or `--trust-pickle`, if you know who made the file"
        return fault(rules.PICKLED_CODE, path, message, hint)
    cut_off = ("truncated", "Ran out of input", "central directory", "unexpected EOF", "corrupt")
    if isinstance(error, EOFError) or any(sign in text for sign in cut_off):
        return fault(rules.TRUNCATED_CHECKPOINT, path, f"`{path}` ends too early or is damaged")
    reason = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    return fault(rules.NOT_A_CHECKPOINT, path, f"`{path}` is no checkpoint: {reason}")


def _first_call(path: Path) -> str:
    """Return the first name that a bare pickle looks up, or nothing; the pickle is only read."""
    texts: list[str] = []
    try:
        with path.open("rb") as file:
            for op, argument, _ in pickletools.genops(file):
                if op.name == "STACK_GLOBAL":
                    return ".".join(texts[-2:])
                if op.name in ("GLOBAL", "INST"):
                    return str(argument).replace(" ", ".")
                if isinstance(argument, str):
                    texts.append(argument)
    except (ValueError, EOFError, OSError):
        pass  # cut short, or an archive
    return ""


def _read_safetensors(path: Path) -> Mapping[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        text = str(error)
        cut_off = "incomplete" in text.lower() or "toosmall" in text.lower().replace(" ", "")
        rule = rules.TRUNCATED_CHECKPOINT if cut_off else rules.NOT_A_CHECKPOINT
        message = f"`{path}` is no safetensors file: {text}"
        raise fault(rule, path, message) from error
    return _without_prefix(tensors)


def _unpack(path: Path, stored: Any, containers: tuple[str, ...]) -> Checkpoint:
    if isinstance(stored, nn.Module):
        return Checkpoint({}, module=stored)
    if not isinstance(stored, Mapping):
        message = f"`{path}` holds a `{type(stored).__name__}`, no dictionary of tensors"
        raise fault(rules.NOT_A_CHECKPOINT, path, message)
    args = next((dict(a) for a in map(_arguments, _present(stored, ARGUMENTS)) if a), {})
    full = [name for name in CONTAINERS if _holds_weights(stored.get(name))]
    for container in containers:
        held = stored.get(container)
        if isinstance(held, nn.Module):
            return Checkpoint({}, args, container, held)
        if container in full:
            others = tuple(name for name in full if name != container)
            tensors = _without_prefix(_tensors(stored[container]))
            return Checkpoint(tensors, args, container, others=others)
    return Checkpoint(_without_prefix(_tensors(stored)), args)


def _holds_weights(stored: object) -> bool:
    return isinstance(stored, Mapping) and bool(_tensors(stored))


def _present(stored: Mapping[Any, Any], keys: tuple[str, ...]) -> Iterator[Any]:
    return (stored[key] for key in keys if key in stored)


def _arguments(stored: object) -> Mapping[str, Any]:
    if isinstance(stored, argparse.Namespace):
        return vars(stored)
    return stored if isinstance(stored, Mapping) else {}


def _tensors(stored: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {str(key): value for key, value in stored.items() if isinstance(value, Tensor)}


def _without_prefix(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    tensors = {name: tensor for name, tensor in tensors.items() if name != AVERAGED_OVER}
    for prefix in PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            return _without_prefix({n.removeprefix(prefix): t for n, t in tensors.items()})
    return tensors


def _check_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    if not tensors:
        hint = f"weights are looked for under {', '.join(CONTAINERS)}, or bare"
        raise fault(rules.NO_TENSORS, path, f"`{path}` holds no tensors", hint)
    odd = [n for n, t in tensors.items() if t.layout != torch.strided or t.is_meta]
    if odd:
        message = f"{len(odd)} of {len(tensors)} tensors are sparse or have no values: {some(odd)}"
        raise fault(rules.NOT_A_CHECKPOINT, path, message)
    claimed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    allowed = OF_NETWORKS.allowed(path.stat().st_size)
    if claimed > allowed:  # one number that is shown in many places, say
        message = f"`{path}` holds tensors of {claimed:,} bytes, wanted at most {allowed:,}"
        raise fault(TOO_LARGE, path, message)
    bad = [n for n, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()]
    if bad:
        message = f"{len(bad)} of {len(tensors)} tensors are not finite: {some(bad)}"
        raise fault(rules.NOT_FINITE, path, message)
