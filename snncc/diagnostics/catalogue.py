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
    "snncc.backends.lava.rules",
    "snncc.backends.netx.rules",
    "snncc.backends.nir.rules",
    "snncc.backends.onnx.rules",
    "snncc.backends.report.page.rules",
    "snncc.cli.rules",
    "snncc.energy.rules",
    "snncc.execute.rules_of_data",
    "snncc.execute.rules_of_shards",
    "snncc.execute.weights",
    "snncc.frontends.netx.rules",
    "snncc.frontends.rules_of_exchange",
    "snncc.frontends.rules_of_files",
    "snncc.frontends.rules_of_hdf5",
    "snncc.frontends.rules_of_nir",
    "snncc.frontends.rules_of_tracing",
    "snncc.mapping.rules",
    "snncc.passes.base",
    "snncc.passes.rules",
    "snncc.passes.rules_of_calls",
    "snncc.passes.rules_of_compiling",
    "snncc.passes.rules_of_counts",
    "snncc.passes.rules_of_merging",
    "snncc.passes.rules_of_neurons",
    "snncc.passes.rules_of_quantizing",
    "snncc.passes.rules_of_raising",
    "snncc.passes.rules_of_targets",
    "snncc.passes.spike_rules",
)  # fmt: skip


def all_rules() -> Mapping[str, Rule]:
    """Return every rule of snncc by code, in the order of the codes."""
    for module in RULE_MODULES:
        import_module(module)
    return dict(sorted(RULES.items()))
