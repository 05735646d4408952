"""All rules at once: importing what declares them is what fills ``core.RULES``.

The modules are named, not imported by statement, because they stand on floors above this one. None
of them imports torch or Lava, so that ``snncc explain`` answers at once; a test holds the table
complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from snncc.diagnostics.core import RULES, Rule

RULE_MODULES = (
    "snncc.artefact",
    "snncc.execute.dataset",
    "snncc.passes.base",
)  # fmt: skip


def all_rules() -> Mapping[str, Rule]:
    """Return every rule of snncc by code, in the order of the codes."""
    for module in RULE_MODULES:
        import_module(module)
    return dict(sorted(RULES.items()))
