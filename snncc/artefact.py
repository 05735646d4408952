"""The artefact: a directory that holds a compiled network, written whole or not at all.

::

    manifest.json         schema, versions, options, and the hash of every other file
    graph.txt             the integer step graph        weights.safetensors   its weights
    float.txt             the float step graph          float.safetensors     its weights
    *.json, *.md          documents: diagnostics, report, placement

Same input, same bytes: no file holds a time or a path of this machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors import numpy as tensor_file

from snncc.diagnostics.core import Rule, Severity, SnnccError, rule
from snncc.files.kinds import kind_of
from snncc.ir.claims import MEANINGLESS, MOST_STEPS, hold_attributes, hold_types
from snncc.ir.graph import Absent, Graph, IRError, Source, Weights
from snncc.ir.text import dump, parse, parse_claims

SCHEMA = "snncc.artefact/1"
MANIFEST = "manifest.json"
_LONGEST_NAME = 255
_INTEGER = ("graph.txt", "weights.safetensors")
_FLOAT = ("float.txt", "float.safetensors")

NOT_AN_ARTEFACT = rule(
    "SNN140",
    "not-an-artefact",
    Severity.ERROR,
    """
    The path given as an artefact is not a directory that `snncc compile` wrote.

    An artefact is a directory with a `manifest.json` in it. Give the directory, not a file inside,
    and not the model: `snncc compile MODEL --target loihi2 -o DIR`, then `snncc simulate DIR`.

    Fails, because a model is no artefact:

    ```sh
    snncc simulate model.pth.tar --input test.npz
    ```

    Mended:

    ```sh
    snncc compile model.pth.tar --target loihi2 -o build/model
    snncc simulate build/model --input test.npz
    ```
    """,
)
DAMAGED_ARTEFACT = rule(
    "SNN141",
    "damaged-artefact",
    Severity.ERROR,
    """
    A file of the artefact is missing, or is not what was written.

    The manifest holds the SHA-256 of every file, and a file that differs is not used: what was
    verified is not what is there. Compile the model again.

    Fails, because a file was changed by hand:

    ```sh
    sed -i s/T4/T2/ build/model/graph.txt
    snncc simulate build/model --input test.npz
    ```

    Mended:

    ```sh
    snncc compile model.pth.tar --target loihi2 -o build/model
    snncc simulate build/model --input test.npz
    ```
    """,
)
FOREIGN_SCHEMA = rule(
    "SNN142",
    "unknown-artefact-schema",
    Severity.ERROR,
    """
    The artefact was written by a version of snncc whose format this version does not read.

    Compile the model again, or use the version that `manifest.json` names.

    Fails:

    ```sh
    snncc simulate written-by-a-later-version --input test.npz
    ```

    Mended:

    ```sh
    snncc compile model.pth.tar --target loihi2 -o build/model
    snncc simulate build/model --input test.npz
    ```
    """,
)
OUTPUT_NOT_OURS = rule(
    "SNN901",
    "output-not-ours",
    Severity.ERROR,
    """
    The output directory exists and snncc did not write it, so it is not replaced.

    Only an empty directory, or one with snncc's own `manifest.json`, is. Choose another `-o`, or
    remove the directory.

    Fails:

    ```sh
    snncc compile model.pth.tar --target loihi2 -o ~/thesis
    ```

    Mended:

    ```sh
    snncc compile model.pth.tar --target loihi2 -o ~/thesis/build
    ```
    """,
)
UNWRITABLE_OUTPUT = rule(
    "SNN902",
    "unwritable-output",
    Severity.ERROR,
    """
    The output cannot be written: no permission, no space, or a file in its place.

    Nothing was left behind. Choose another `-o`, or another place for `--witness`.

    Fails:

    ```sh
    snncc compile model.pth.tar --target loihi2 -o /proc/model
    ```

    Mended:

    ```sh
    snncc compile model.pth.tar --target loihi2 -o build/model
    ```
    """,
)


@dataclass(frozen=True)
class Artefact:
    """What an artefact holds. ``documents`` are its other files: JSON values or text, by name.

    ``manifest`` is what the manifest says besides schema, versions and hashes.
    """

    integer: Graph
    floating: Graph | None = None
    documents: Mapping[str, Any] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)


def check_destination(path: Path) -> None:
    """Raise ``SnnccError`` where ``write_artefact`` would; worth knowing before a long compile."""
    with _as_unwritable(path):
        if path.is_dir():
            if any(path.iterdir()) and not _is_ours(path):
                raise _error(OUTPUT_NOT_OURS, path, f"`{path}` exists and is no artefact of snncc")
        elif path.exists() or path.is_symlink():
            message = f"`{path}` is a file, wanted a directory to write"
            raise _error(UNWRITABLE_OUTPUT, path, message)
        parent = next(p for p in (path.resolve().parent, *path.resolve().parents) if p.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            raise PermissionError(13, f"`{parent}` is no directory that can be written to")


def write_artefact(path: Path, artefact: Artefact) -> None:
    """Write the artefact, replacing an older one. Raises ``SnnccError``; leaves no half behind."""
    check_destination(path)
    files = _files(artefact)
    with _as_unwritable(path), _new_parents(path.resolve().parent) as parent:
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=parent))
        try:
            content = scratch / "content"
            content.mkdir()
            for name, data in files.items():
                (content / name).write_bytes(data)
            _swap(content, path.resolve(), scratch / "replaced")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def read_artefact(path: Path) -> Artefact:
    """Return the artefact in a directory, every file checked. Raises ``SnnccError``."""
    manifest = _read_manifest(path)
    files = dict(_checked_files(path, manifest["files"]))
    floating = _graph_of(path, files, _FLOAT) if _FLOAT[0] in files else None
    documents = {name: _document_of(path, name, files[name]) for name in _documents_in(files)}
    return Artefact(_graph_of(path, files, _INTEGER), floating, documents, manifest)


def versions() -> dict[str, str]:
    """Return the versions of what decides the bytes of an artefact, by package."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - slow

    found = {}
    for package in ("snncc", "numpy", "torch"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def json_bytes(document: Any) -> bytes:
    """Return a document as every file of ours is written: indented, keys in their own order."""
    text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False)
    return (text + "\n").encode()


def _files(artefact: Artefact) -> dict[str, bytes]:
    files = dict(_graph_files(artefact.integer, _INTEGER))
    if artefact.floating is not None:
        files |= _graph_files(artefact.floating, _FLOAT)
    for name, document in artefact.documents.items():
        files[name] = document.encode() if isinstance(document, str) else json_bytes(document)
    files = dict(sorted(files.items()))
    entries = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for name, data in files.items()
    }
    manifest = {"schema": SCHEMA, "versions": versions(), **artefact.manifest, "files": entries}
    return {**files, MANIFEST: json_bytes(manifest)}


def _graph_files(graph: Graph, names: tuple[str, str]) -> Iterator[tuple[str, bytes]]:
    tensors = {}
    for name, weight in sorted(graph.weights.items()):
        if isinstance(weight, Absent):
            raise IRError(f"weight `{name}` has no values to be written")
        tensors[name] = np.ascontiguousarray(weight).reshape(weight.shape)
    yield names[0], dump(graph).encode()
    yield names[1], tensor_file.save(tensors)


def _swap(new: Path, place: Path, aside: Path) -> None:
    """Put ``new`` in the place of what stands there, which comes back where that fails."""
    if not place.exists():
        new.replace(place)
        return
    place.replace(aside)
    try:
        new.replace(place)
    except BaseException:
        aside.replace(place)
        raise


@contextlib.contextmanager
def _new_parents(parent: Path) -> Iterator[Path]:
    """Make the directories down to ``parent``; where the body fails they go again."""
    missing = [p for p in (parent, *parent.parents) if not p.exists()]
    parent.mkdir(parents=True, exist_ok=True)
    try:
        yield parent
    except BaseException:
        for made in missing:
            with contextlib.suppress(OSError):
                made.rmdir()
        raise


@contextlib.contextmanager
def _as_unwritable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise _error(UNWRITABLE_OUTPUT, path, f"`{path}` cannot be written: {reason}") from fault


def _is_ours(path: Path) -> bool:
    if kind_of(path / MANIFEST):
        return False
    try:
        document = json.loads((path / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    schema = document.get("schema") if isinstance(document, dict) else None
    return isinstance(schema, str) and schema.startswith("snncc.artefact/")


def _read_manifest(path: Path) -> dict[str, Any]:
    if not path.is_dir() or not (path / MANIFEST).is_file():
        absent = "is no directory" if path.exists() else "does not exist"
        reason = "has no manifest.json" if path.is_dir() else absent
        raise _error(NOT_AN_ARTEFACT, path, f"`{path}` is no artefact: it {reason}")
    with _as_damage(path, MANIFEST):
        manifest = json.loads((path / MANIFEST).read_bytes())
        if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
            raise ValueError("it lists no files")
    schema = manifest.get("schema")
    if schema != SCHEMA:
        raise _error(FOREIGN_SCHEMA, path, f"`{path}` has schema {schema!r}, wanted `{SCHEMA}`")
    return manifest


def _checked_files(path: Path, entries: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    for name in _INTEGER:
        if name not in entries:
            raise _damage(path, MANIFEST, f"it does not list {name}")
    for name, entry in entries.items():
        with _as_damage(path, name):
            if Path(name).name != name:
                raise ValueError("its name is a path")
            if what := kind_of(path / name):
                raise ValueError(f"it {what}")
            data = (path / name).read_bytes()
            if hashlib.sha256(data).hexdigest() != entry["sha256"]:
                raise ValueError("its SHA-256 is not the one in the manifest")
        yield name, data


def _graph_of(path: Path, files: Mapping[str, bytes], names: tuple[str, str]) -> Graph:
    with _as_damage(path, names[0]):
        weights: Weights = tensor_file.load(files[names[1]])
        text = files[names[0]].decode()
        if names is _FLOAT:
            graph = parse(text, weights)
        else:
            graph, stated = parse_claims(text, weights)
            hold_attributes(graph, MOST_STEPS)
            hold_types(graph, stated)
        if not 1 <= graph.steps <= MOST_STEPS:
            raise ValueError(f"{graph.steps:,} time steps, wanted 1 to {MOST_STEPS:,}")
        return graph


def _documents_in(files: Mapping[str, bytes]) -> list[str]:
    return [name for name in files if name not in (*_INTEGER, *_FLOAT)]


def _document_of(path: Path, name: str, data: bytes) -> Any:
    with _as_damage(path, name):
        return json.loads(data) if name.endswith(".json") else data.decode()


_DAMAGE = (*MEANINGLESS, OSError, safetensors.SafetensorError)


@contextlib.contextmanager
def _as_damage(path: Path, name: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as fault:
        raise _damage(path, name, str(fault) or type(fault).__name__) from fault


def _damage(path: Path, name: str, reason: str) -> SnnccError:
    name = name[:_LONGEST_NAME]
    return _error(DAMAGED_ARTEFACT, path / name, f"`{path / name}` is damaged: {reason}")


def _error(declared: Rule, path: Path, message: str) -> SnnccError:
    return SnnccError(declared.at(Source(file=str(path)), message))
