"""Why time steps of neurons do not meet: what is told beside the op that mixes them.

A neuron that reads what was made in the step before receives nothing in its first one. That step
is the same for all inputs, and whoever wrote the graph has folded it: a stored tensor stands where
its spikes, or what a layer made of them, would.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from snncc.diagnostics.core import Diagnostic
from snncc.ir.graph import Graph
from snncc.ir.ops import VIEWS, WEIGHTED
from snncc.passes.rules_of_raising import UNRAISED_CURRENT

_ONWARD = (*VIEWS, *WEIGHTED, "batch_norm", "scale", "avg_pool", "max_pool", "pad", "add", "concat")
"""Kinds that may stand between the spikes of a step and where they meet those of others."""


def read_late(graph: Graph) -> Iterator[Diagnostic]:
    """Yield a finding for each neuron whose steps stand behind a stored one."""
    for neuron in graph.of_kind("neuron"):
        stored = _stored_in_front(graph, neuron.name)
        if stored:
            steps = "a time step" if stored == 1 else f"{stored} time steps"
            text = (
                f"what `{neuron.source.module or neuron.name}` reads is no synaptic current:"
                f" it comes {steps} late, and nothing comes before it"
            )
            hint = "update the current first, then let the potential read it in the same step"
            found = UNRAISED_CURRENT.at(neuron.source, text, hint=hint, op="synaptic_current")
            yield found.about((neuron.name,))


def _stored_in_front(graph: Graph, neuron: str) -> int:
    """Return how many stored steps stand in front of those of a neuron, 0 where that is unclear."""
    made = {neuron}
    counts: list[int] = []
    for op in graph.ops:
        if made.isdisjoint(op.inputs) or op.kind not in _ONWARD:
            continue
        made.add(op.name)
        stored = [_is_stored(graph, name) for name in op.inputs]
        if any(stored) and _meets(graph, op, neuron):
            counts.append(sum(stored))
    return counts[0] if len(counts) == 1 else 0


def _is_stored(graph: Graph, name: str) -> bool:
    op = graph[name]
    while op.kind in VIEWS:
        op = graph[op.inputs[0]]
    return op.kind == "constant"


def _meets(graph: Graph, op: Any, neuron: str) -> bool:
    """Whether an op puts a stored value in front of, or adds it to, one step of a neuron."""
    if op.kind == "concat":
        return _is_stored(graph, op.inputs[0]) and not _is_stored(graph, op.inputs[-1])
    behind = [name for name in op.inputs if not _is_stored(graph, name)]
    return op.kind == "add" and len(behind) == 1 and _is_first_step(graph, behind[0], neuron)


def _is_first_step(graph: Graph, name: str, neuron: str) -> bool:
    """Whether a value is made of the first step of a neuron alone."""
    while name != neuron:
        op: Any = graph[name]
        if op.kind == "slice" and op.inputs[0] == neuron:
            return bool(op.axis == 0 and op.start == 0 and op.stop == 1)
        if not op.inputs or op.kind not in _ONWARD or op.kind in ("add", "concat"):
            return False
        name = op.inputs[0]
    return False


def layers_of_steps(graph: Graph, op: Any) -> tuple[str, ...]:
    """Return why steps that are joined are not alike, where layers of their own make them."""
    makers = []
    for name in op.inputs if op.kind == "concat" else ():
        each = graph[name]
        while each.kind in VIEWS:
            each = graph[each.inputs[0]]
        makers.append(each)
    kinds, modules = {m.kind for m in makers}, list(dict.fromkeys(m.source.module for m in makers))
    if len(makers) < 2 or not kinds <= set(WEIGHTED) or len(modules) != len(makers):
        return ()
    first, second, *more = (f"`{module}`" for module in modules)
    others = " and so on" if more else ""
    return (f"each time step has a layer of its own: {first}, {second}{others}",)
