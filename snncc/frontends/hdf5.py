"""Opens an HDF5 file that a stranger wrote, and returns what it holds as plain arrays.

HDF5's own library can crash, or go round in a circle for ever, on a file that was made for that. So
a process of its own reads it (``hdf5_child``), with a limit of memory and of time, and whatever
becomes of that process is a finding.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from snncc.diagnostics.core import Rule, SnnccError
from snncc.files.kinds import kind_of
from snncc.frontends.rules_of_files import MISSING_FILE
from snncc.frontends.rules_of_hdf5 import (
    DAMAGED_HDF5,
    NOT_HDF5,
    OVERSIZED_HDF5,
    UNSAFE_HDF5,
)
from snncc.ir.graph import Array, Source

Tree: TypeAlias = Mapping[str, "Leaf"]
"""A group: what it holds by name. Texts are ``str``, lists of texts are arrays of objects."""
Leaf: TypeAlias = "Tree | Array | str"

SIGNATURE = b"\x89HDF\r\n\x1a\n"
LEAST_SECONDS = 20
BYTES_A_SECOND = 2 << 20
"""How fast a file is read, at the least, before it is given up."""
MOST_MEMORY_BYTES = 6 << 30
"""Virtual memory of the process that reads; what it returns is bounded by 1 GiB of numbers."""

_RULES = {"damaged": DAMAGED_HDF5, "oversized": OVERSIZED_HDF5, "unsafe": UNSAFE_HDF5}
_ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_CHILD = """
import json, sys
path, folder, places, seconds, memory = sys.argv[1:]
sys.path[:] = json.loads(places)
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
    resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except ImportError:
    pass
from snncc.frontends.hdf5_child import main
main(path, folder)
"""


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 does."""
    try:
        with path.open("rb") as file:
            return file.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False


def read_tree(path: Path) -> Tree:
    """Return everything in an HDF5 file. Raises ``SnnccError``."""
    if what := kind_of(path):
        raise fault(MISSING_FILE, path, f"`{path}` {what}")
    if not is_hdf5(path):
        raise fault(NOT_HDF5, path, f"`{path}` is no HDF5 file: it begins otherwise")
    with tempfile.TemporaryDirectory(prefix="snncc-hdf5-") as folder:
        _read_apart(path, folder)
        said = json.loads((Path(folder) / "tree.json").read_text(encoding="utf-8"))
        if "rule" in said:
            raise fault(_RULES[said["rule"]], path, f"`{path}`: {said['message']}")
        with np.load(Path(folder) / "arrays.npz", allow_pickle=False) as arrays:
            return _tree(said["tree"], arrays)


def fault(rule: Rule, path: Path, message: str, hint: str = "") -> SnnccError:
    """Return the error of a finding in a file as a whole."""
    return SnnccError(rule.at(Source(file=str(path)), message, hint=hint))


def _read_apart(path: Path, folder: str) -> None:
    """Have a process of its own read a file. Raises ``SnnccError`` where it does not come back."""
    seconds = LEAST_SECONDS + path.stat().st_size // BYTES_A_SECOND
    limits = (str(seconds), str(MOST_MEMORY_BYTES))
    command = [sys.executable, "-I", "-c", _CHILD, str(path.resolve()), folder]
    try:
        done = subprocess.run(
            [*command, json.dumps(sys.path), *limits], check=False, capture_output=True,
            timeout=4 * seconds, env={**os.environ, **_ALONE},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        message = f"`{path}` is damaged: reading it does not end"
        raise fault(DAMAGED_HDF5, path, message) from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        ended = f"signal {-done.returncode}" if done.returncode < 0 else (said or ["?"])[-1][:200]
        message = f"`{path}` is damaged: HDF5's library fails on it ({ended})"
        raise fault(DAMAGED_HDF5, path, message)


def _tree(said: Any, arrays: Any) -> Any:
    if "group" in said:
        return {name: _tree(inner, arrays) for name, inner in said["group"].items()}
    if "text" in said:
        return said["text"]
    if "texts" in said:
        return np.array(said["texts"], dtype=object).reshape(said["shape"])
    return arrays[f"arr_{said['array']}"]
