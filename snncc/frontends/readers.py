"""The exchange formats that are read: a table from the end of a file's name to its reader.

A reader is a function ``(path: Path, asked: Asked) -> Model`` that raises ``SnnccError`` for
whatever it cannot read or represent, and nothing else. It is imported when the first such file is
read. It opens nothing but the file (and, for ONNX, external data in the file's folder), runs
nothing that stands in it, and checks sizes before it allocates. ``model.read_model`` makes a
``Model`` of the graph. To add a format, add a row; ``snncc.backends.writers`` is the same table
for writers.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from snncc.diagnostics.core import SnnccError
from snncc.frontends import rules
from snncc.frontends.checkpoint import check_file, fault
from snncc.frontends.model import Model
from snncc.frontends.nir.conventions import SETTINGS as NIR_SETTINGS
from snncc.frontends.rules_of_exchange import PACKAGE_MISSING
from snncc.ir.graph import Shape, Source

ReadIntegers: TypeAlias = Callable[[Path, Any], Model]
"""Returns the model in a file of integers, of which the format's own form is given."""


@dataclass(frozen=True)
class Asked:
    """What the user said beside the file's name.

    ``settings`` are those of ``--set``, ``shape`` is that of one sample. ``integers`` reads a file
    of integers that snncc wrote, as it was opened: a floor above this one knows how they are
    written, and so gives it. Without it they are refused.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    shape: Shape | None = None
    trust_pickle: bool = False
    integers: ReadIntegers | None = None


@dataclass(frozen=True)
class Reader:
    """A format: its name, where its reader is, what to install, the settings it takes.

    ``package`` is the name that is imported, ``install`` what pip is told where it is another one.
    """

    name: str
    place: str
    package: str = ""
    install: str = ""
    settings: tuple[str, ...] = ()


READERS: Mapping[str, Reader] = {
    ".net": Reader("netx", "snncc.frontends.netx.read:read_netx", "h5py", settings=("T", "input")),
    ".nir": Reader("NIR", "snncc.frontends.nir.read:read_nir", "h5py", settings=NIR_SETTINGS),
    ".onnx": Reader(
        "ONNX", "snncc.frontends.onnx.read:read_onnx", "onnx", settings=("batch_axis",)
    ),
    ".pt2": Reader(
        "exported program", "snncc.frontends.exported:read_exported", settings=("batch_axis",)
    ),
}
"""By the end of a file's name, in lower case."""


def reader_of(spec: str) -> Reader | None:
    """Return the reader of a file, by the end of its name alone."""
    return READERS.get(Path(spec).suffix.lower())


def read_exchanged(spec: str, reader: Reader, asked: Asked) -> Model:
    """Return the model in a file of an exchange format. Raises ``SnnccError``."""
    path = Path(spec)
    check_file(path)
    foreign = [name for name in asked.settings if name not in reader.settings]
    if foreign:
        message = f"the format {reader.name} has no setting `{foreign[0]}`"
        known = ", ".join(reader.settings)
        raise fault(rules.BAD_SETTING, path, message, f"known: {known}" if known else "")
    require_package(reader.name, reader.package, reader.install, path)
    module, _, name = reader.place.partition(":")
    read: Callable[[Path, Asked], Model] = getattr(importlib.import_module(module), name)
    return read(path, asked)


def require_package(name: str, package: str, install: str, path: Path) -> None:
    """Raise ``SnnccError`` where the package of a format is not installed."""
    if package and importlib.util.find_spec(package) is None:
        message = f"the format {name} needs the package `{package}`, which is not installed"
        hint = f"pip install {install or package}"
        raise SnnccError(PACKAGE_MISSING.at(Source(file=path.as_posix()), message, hint=hint))
