"""The exchange formats that are written: a table from the end of a file's name to its writer.

A writer is a function ``(network: Network, path: Path, **options) -> None`` that writes one file,
or raises ``SnnccError`` with every reason why the format cannot say what the network is: never a
file that lies. ``path`` is a new file beside its destination, under another name with the same
end; it takes its place only when the writer has returned, so a writer need not care for half a
file. A writer is imported when it is first used. To add a format, add a row;
``snncc.frontends.readers`` is the same table for readers.

``Writer.integers`` says which graph the writer needs: the integer step graph of a compiled network
(then ``network.integer`` is there), or the float step graph (then ``network.floating`` is).
``Writer.options`` are the options of ``snncc convert`` that the writer takes as keywords, where the
user gave them. ``Writer.proved`` says that the format holds only integers that no input drives out
of the target's widths. ``Writer.back`` is the way back from a file of integers to the graph that
was written: the readers of floats hand such a file to ``read_back``.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snncc.artefact import UNWRITABLE_OUTPUT
from snncc.diagnostics.core import SnnccError
from snncc.files.kinds import DANGLING, MISSING, kind_of
from snncc.frontends.model import Model
from snncc.frontends.readers import require_package
from snncc.frontends.rules_of_exchange import NO_WRITER
from snncc.ir.graph import Graph, Source


@dataclass(frozen=True)
class Network:
    """What a writer is given.

    ``floating`` is the float step graph as the model has it, batch norms and scales not folded;
    ``integer`` is the step graph in the integers of the target of that name.
    """

    name: str
    floating: Graph | None = None
    integer: Graph | None = None
    target: str = ""


@dataclass(frozen=True)
class Writer:
    """A format: its name, where its writer is, what to install, what it writes, its options."""

    name: str
    place: str
    integers: bool
    package: str = ""
    install: str = ""
    options: tuple[str, ...] = ()
    back: str = ""
    proved: bool = False


WRITERS: Mapping[str, Writer] = {
    ".net": Writer(
        "netx", "snncc.backends.netx.write:write", integers=True, package="h5py", proved=True
    ),
    ".nir": Writer("NIR", "snncc.backends.nir.write:write", integers=False, package="h5py"),
    ".onnx": Writer(
        "ONNX", "snncc.backends.onnx.convert:write", integers=True, package="onnx",
        options=("unroll",), back="snncc.backends.onnx.read_back:read_back",
    ),
}  # fmt: skip
"""By the end of a file's name, in lower case."""


def writer_of(path: Path) -> Writer:
    """Return the writer of a file, by the end of its name. Raises ``SnnccError``."""
    found = WRITERS.get(path.suffix.lower())
    if found is None:
        known = ", ".join(f"{end} ({writer.name})" for end, writer in sorted(WRITERS.items()))
        message = f"`{path}` does not say which format to write, wanted one of {known or 'none'}"
        hint = "an artefact is what `snncc compile` writes" if not path.suffix else ""
        raise _fault(path, message, hint)
    return found


def check_writable(path: Path, writer: Writer, options: Mapping[str, Any]) -> None:
    """Raise ``SnnccError`` for what can be known to fail before a network is compiled."""
    foreign = [name for name in options if name not in writer.options]
    if foreign:
        taken = ", ".join(f"--{name}" for name in writer.options) or "none"
        message = f"--{foreign[0]} is given, and the format {writer.name} takes {taken}"
        raise _fault(path, message)
    require_package(writer.name, writer.package, writer.install, path)
    if reason := _obstacle(path):
        message = f"`{path}` cannot be written: {reason}"
        raise SnnccError(UNWRITABLE_OUTPUT.at(Source(file=str(path)), message))


def _obstacle(path: Path) -> str:
    """Return why no file can be written or take the place of what is there; nothing if one can."""
    what = kind_of(path)
    if what and what not in (MISSING, DANGLING):
        return f"it {what}"
    folder = path.resolve().parent
    if not folder.is_dir():
        return f"there is no folder `{folder}`"
    return "" if os.access(folder, os.W_OK | os.X_OK) else f"`{folder}` cannot be written to"


def write_exchanged(network: Network, path: Path, **options: Any) -> None:
    """Write a network in the format that the end of the name says, whole or not at all.

    Raises ``SnnccError``.
    """
    writer = writer_of(path)
    check_writable(path, writer, options)
    if (network.integer if writer.integers else network.floating) is None:
        what = "integers" if writer.integers else "floats"
        message = f"the format {writer.name} takes the {what} of a network, and there are none"
        hint = "compile it: give `--target`" if writer.integers else ""
        raise _fault(path, message, hint)
    write: Callable[..., None] = _found(writer.place)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.resolve().parent) as new:
            scratch = Path(new) / path.name
            write(network, scratch, **options)
            scratch.replace(path)
    except OSError as error:
        message = f"`{path}` cannot be written: {error.strerror or error}"
        raise SnnccError(UNWRITABLE_OUTPUT.at(Source(file=str(path)), message)) from error


def read_back(path: Path, opened: Any) -> Model:
    """Return the model in a file of integers that was written here, as its format opens it.

    Raises ``SnnccError`` for a file that is not what would be written of its graph.
    """
    model: Model = _found(writer_of(path).back)(path, opened)
    return model


def _found(place: str) -> Any:
    """Return what stands at ``module:name``; the module is imported when it is first used."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _fault(path: Path, message: str, hint: str = "") -> SnnccError:
    return SnnccError(NO_WRITER.at(Source(file=str(path)), message, hint=hint))
