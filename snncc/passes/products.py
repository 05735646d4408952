"""What stands around the products of a step graph: which are heads, which read neurons' counts."""

from __future__ import annotations

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


def levels_of(graph: Graph, name: str) -> int | None:
    """Return the levels of the neurons whose values these are, unmixed; None for other values."""
    op = graph[name]
    if op.kind == "neuron":
        return int(getattr(op, "levels", 1))
    if op.kind not in _KEEP_COUNTS:
        return None
    found = [levels_of(graph, each) for each in op.inputs]
    return None if None in found else max((levels for levels in found if levels), default=None)
