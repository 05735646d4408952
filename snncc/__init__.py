"""A deployment compiler for spiking transformers: PyTorch model in, verified integers out.

``snncc.compile(module, example_input)`` and ``snncc.check(module, example_input)`` are what the
command line does for a network in memory.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_LAZY = {"compile": "compile_module", "check": "check_module"}


def __getattr__(name: str) -> Any:
    """Import what takes torch when it is asked for, and not before."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - a statement would tie the floors

    return getattr(import_module("snncc.backends.deploy"), _LAZY[name])
