"""Sub-steps become counts again: what ``unroll_levels`` did, undone.

``sum_j W [x > j] = W x``: on a chip one population sends a count of spikes, in as many sub-steps,
to the same synapses. So what stands on cores is the network with the count in one piece.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, cast

from snncc.ir.graph import Graph, Op
from snncc.ir.ops import WEIGHTED, Sum
from snncc.passes.base import Pass, Result, well_formed


@dataclass(frozen=True)
class RollLevels(Pass):
    """Replace ``sum_j W [x > j]`` by ``W x``, and products likewise."""

    name: ClassVar[str] = "roll-levels"
    requires = (well_formed,)
    ensures = (well_formed,)

    def run(self, graph: Graph) -> Result:
        """Return the graph without sub-steps; values and names of all other ops stay."""
        rolled = {op.name: whole for op in graph.ops if (whole := _whole(graph, op)) is not None}
        parts = {graph[name].inputs[0] for name in rolled}
        ops = [rolled.get(op.name, op) for op in graph.ops if op.name not in parts]
        read = {name for op in ops for name in op.inputs}
        kept = [op for op in ops if op.kind != "thermometer" or op.name in read]
        return Result(graph.replace(kept) if rolled else graph)


def _whole(graph: Graph, op: Op) -> Op | None:
    """Return the op that makes a sum over sub-steps at once; None for any other op."""
    if op.kind != "sum" or cast(Sum, op).axes != (0,) or cast(Sum, op).keepdims:
        return None
    parts = graph[op.inputs[0]]
    if parts.kind not in (*WEIGHTED, "matmul") or len(graph.users[parts.name]) != 1:
        return None
    if getattr(parts, "bias", None) is not None:
        return None  # the sum holds the bias once for each sub-step
    spikes = graph[parts.inputs[0]]
    if spikes.kind != "thermometer":
        return None
    return dataclasses.replace(
        parts, name=op.name, inputs=(*spikes.inputs, *parts.inputs[1:]), source=op.source
    )
