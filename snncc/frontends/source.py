"""From a traced node to the place in the user's model that made it."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

import torch

from snncc.ir.graph import Source

_FRAME = re.compile(r'File "(.+?)", line (\d+), in ')
_REPEATED_CALL = re.compile(r"@\d+")
_OURS = Path(__file__).parent.parent
_CONTAINER = _OURS / "models/stepwise.py"
"""Calls other layers, as ``nn.Sequential`` does."""
_TORCH = Path(torch.__file__).parent
_INSTALLED = ("site-packages", "dist-packages")


def source_of(meta: dict[str, Any]) -> Source:
    """Return the place of a node: its module's path, and the innermost line of the model."""
    frames = [(file, int(line)) for file, line in _FRAME.findall(meta.get("stack_trace") or "")]
    file, line = innermost(frames)
    return Source(module_path(meta), file, line)


def module_path(meta: dict[str, Any]) -> str:
    """Return the path of the innermost module that a node belongs to, as in ``named_modules``."""
    stack = list((meta.get("nn_module_stack") or {}).values())
    return _REPEATED_CALL.sub("", stack[-1][0]) if stack else ""


def innermost(frames: list[tuple[str, int]]) -> tuple[str, int]:
    """Return the innermost frame that is the model's, its file as ``portable`` writes it.

    Other people's packages are second choice; torch and the tracer are never meant.
    """
    frames = [(file, line) for file, line in frames if not _is_machinery(file)]
    own = [(file, line) for file, line in frames if is_ours(file) or not _is_installed(file)]
    for file, line in reversed(own or frames):
        return portable(file), line
    return "", 0


@lru_cache(maxsize=4096)
def _is_machinery(file: str) -> bool:
    path = Path(file)
    model = path.is_relative_to(_OURS / "models") and path != _CONTAINER
    return (
        (is_ours(file) and not model) or path.is_relative_to(_TORCH) or file.startswith("<frozen ")
    )


def is_ours(file: str) -> bool:
    """Whether a file is one of snncc's own."""
    return Path(file).is_relative_to(_OURS)


def _is_installed(file: str) -> bool:
    return any(part in _INSTALLED for part in PurePath(file).parts)


def portable(file: str) -> str:
    """Return a file's name that is the same on every machine, with ``/``.

    Relative to its package for an installed one, else to the working directory, else to the
    outermost package that holds it.
    """
    path = Path(file)
    if not path.is_absolute():
        return file
    if is_ours(file):
        return path.relative_to(_OURS.parent).as_posix()
    for name in _INSTALLED:
        if name in path.parts:
            last = len(path.parts) - path.parts[::-1].index(name)
            return PurePath(*path.parts[last:]).as_posix()
    if path.is_relative_to(Path.cwd()):
        return path.relative_to(Path.cwd()).as_posix()
    top = path.parent
    while (top / "__init__.py").exists():
        top = top.parent
    return path.relative_to(top).as_posix()
