"""Which ops of a pipeline share a Lava process, so that every connection is one of its own.

A connection or a delay sends before it receives; a product of products is one connection. What
takes no step stands together with all that it reaches within the step: two such clusters have a
connection between them on every way, so a network of them cannot deadlock, loops among the
processes or none.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import networkx as nx

from snncc.ir.graph import Graph, Op
from snncc.ir.latency import Pipeline, is_inner_product


@dataclass(frozen=True)
class Cluster:
    """The ops of one process in order, and the values that it takes from and gives to others.

    ``delayed``: a connection or a delay, with its inner products if it is a product; its result is
    sent a step later or more.
    """

    name: str
    ops: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    delayed: bool


def clusters(pipeline: Pipeline) -> tuple[Cluster, ...]:
    """Return the clusters in the order of their first ops.

    Inputs and outputs belong to none, nor do constants, which every process has.
    """
    graph, late = pipeline.graph, pipeline.latency_of
    inner = [
        op for op in graph.ops if op.kind not in ("input", "output") and late[op.name] is not None
    ]
    delayed = {op.name for op in inner if pipeline.steps[op.name]}
    joined = nx.Graph()
    joined.add_nodes_from(op.name for op in inner)
    counted = {op.name for op in inner if is_inner_product(op, graph)}
    joined.add_edges_from(
        (name, op.name)
        for op in inner
        for name in op.inputs
        if name in joined and _shares(name, op.name, delayed, counted)
    )
    position = {op.name: i for i, op in enumerate(graph.ops)}
    groups = [sorted(group, key=position.__getitem__) for group in nx.connected_components(joined)]
    groups.sort(key=lambda names: position[names[0]])
    made = [[graph[name] for name in names] for names in groups]
    return tuple(_cluster(graph, ops, pipeline, ops[-1].name in delayed) for ops in made)


def _shares(name: str, user: str, delayed: Collection[str], counted: Collection[str]) -> bool:
    """Whether a value and its user share a process: within the step, or inner and outer product."""
    return name in counted or not (name in delayed or user in delayed or user in counted)


def _cluster(graph: Graph, ops: Sequence[Op], pipeline: Pipeline, delayed: bool) -> Cluster:
    own = {op.name for op in ops}
    read = dict.fromkeys(name for op in ops for name in op.inputs if name not in own)
    return Cluster(
        name=_leading(ops),
        ops=tuple(op.name for op in ops),
        inputs=tuple(name for name in read if pipeline.latency_of[name] is not None),
        outputs=tuple(
            op.name for op in ops if any(u.name not in own for u in graph.users[op.name])
        ),
        delayed=delayed,
    )


def _leading(ops: Sequence[Op]) -> str:
    """Return the name of the neurons of a cluster, or of its last op."""
    firing = [op for op in ops if op.kind == "integer_neuron"]
    return (firing or ops)[-1].name
