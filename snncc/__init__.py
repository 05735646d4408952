"""A deployment compiler for spiking transformers: PyTorch model in, verified integers out.

``snncc.compile(module, example_input)`` and ``snncc.check(module, example_input)`` are what the
command line does for a network in memory. What may pass the check, they take as a
``snncc.Policy``, with ``snncc.Allowance`` for findings that are known.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "compile": ("snncc.backends.deploy", "compile_module"),
    "check": ("snncc.backends.deploy", "check_module"),
    "Policy": ("snncc.passes.spike_policy", "Policy"),
    "Allowance": ("snncc.passes.spike_policy", "Allowance"),
}


def __getattr__(name: str) -> Any:
    """Import what takes torch when it is asked for, and not before."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - a statement would tie the floors

    module, attribute = _LAZY[name]
    return getattr(import_module(module), attribute)
