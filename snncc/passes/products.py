"""What stands around the products of a step graph: which are heads, which read neurons' counts."""

from __future__ import annotations

from collections.abc import Mapping

from snncc.ir.graph import Graph
from snncc.ir.ops import VIEWS, WEIGHTED
from snncc.ir.synaptic_current import CURRENTS

_READOUT = (
    *VIEWS, *CURRENTS, "sum", "scale", "readout", "add", "concat", "avg_pool", "batch_norm",
    "output",
)  # fmt: skip
"""Kinds that may stand between the head and the output."""

_KEEP_COUNTS = (*VIEWS, "max_pool", "concat", "scale")
"""Kinds whose result holds counts of neurons where its inputs do."""


def heads_of(graph: Graph) -> set[str]:
    """Return the weighted ops behind which stands nothing but the readout."""
    tail: set[str] = set()
    heads: set[str] = set()
    for op in reversed(graph.ops):
        users = graph.users[op.name]
        if not all(user.name in tail for user in users):
            continue
        if op.kind in _READOUT:
            tail.add(op.name)
        elif op.kind in WEIGHTED and users:
            heads.add(op.name)
    return heads


def levels_of(graph: Graph) -> Mapping[str, int]:
    """Return the levels of the neurons whose values each value is, unmixed; of others nothing."""
    found: dict[str, int] = {}
    for op in graph.ops:
        if op.kind == "neuron":
            found[op.name] = int(getattr(op, "levels", 1))
        elif op.kind in _KEEP_COUNTS and op.inputs and all(n in found for n in op.inputs):
            found[op.name] = max(found[name] for name in op.inputs)
    return found
