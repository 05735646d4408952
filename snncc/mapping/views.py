"""Arrays of labels carried along a graph: which place of which value stands where."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import numpy as np

from snncc.ir.graph import Array, Graph, Op
from snncc.ir.ops import Concat
from snncc.ir.pad import Pad
from snncc.ir.semantics import apply
from snncc.mapping.populations import FORWARDED, Net, UnmappedError

NOWHERE = -1
"""The label of a place that nothing stands for: a border, or a part that is not read."""

_MOVING = ("reshape", "permute", "expand", "slice")


def carried(graph: Graph, op: Op, labels: Array) -> Array:
    """Return what ``labels``, of the shape of one input, become in the shape of the result.

    An operation place by place keeps them; a sum of two shapes spreads them.
    """
    if op.kind in _MOVING:
        return apply(op, (labels,), {}, 0)
    if op.kind == "pad":
        shifted = apply(replace(cast(Pad, op), value=None), (labels - NOWHERE,), {}, 0)
        return np.asarray(shifted + NOWHERE)
    shape = graph.type_of(op.name).shape
    return labels if labels.shape == shape else np.broadcast_to(labels, shape)


def along(graph: Graph, path: tuple[str, ...], labels: Array) -> Array:
    """Return labels carried through the ops of a path, in order."""
    for name in path:
        labels = carried(graph, graph[name], labels)
    return labels


def places(graph: Graph, name: str) -> Array:
    """Return the numbers of a value's places, in its shape."""
    shape = graph.type_of(name).shape
    return np.arange(math.prod(shape), dtype=np.int64).reshape(shape)


def sources_of(net: Net, name: str) -> Mapping[str, Array]:
    """Return, for each emitted value behind ``name``, its place read at each place of ``name``.

    ``NOWHERE`` stands where another value, or a border, is read.
    """
    graph = net.graph
    if name in net.emitted:
        return {name: places(graph, name)}
    op = graph[name]
    if op.kind == "constant":
        return {}
    if op.kind not in FORWARDED:
        raise UnmappedError(op, "its result is read, but no core sends it")
    if op.kind == "concat":
        return _joined(net, cast(Concat, op))
    return {v: carried(graph, op, a) for v, a in sources_of(net, op.inputs[0]).items()}


def _joined(net: Net, op: Concat) -> Mapping[str, Array]:
    found: dict[str, Array] = {}
    shapes = [net.graph.type_of(name).shape for name in op.inputs]
    for index, name in enumerate(op.inputs):
        for value, array in sources_of(net, name).items():
            parts = [np.full(shape, NOWHERE, np.int64) for shape in shapes]
            parts[index] = array
            whole = apply(op, tuple(parts), {}, 0)
            found[value] = np.maximum(whole, found[value]) if value in found else whole
    return found


def emitted_labels(net: Net, value: str, cores: Mapping[str, Array]) -> Array:
    """Return the core that sends each place of an emitted value; ``NOWHERE`` is the host.

    ``cores`` are the cores of each population's own value, by population.
    """
    population = net.owner.get(value)
    if population is None:
        return np.full(net.graph.type_of(value).shape, NOWHERE, np.int64)
    if value == population.name:
        return cores[population.name]
    labels = sources_to(net, value, population.name)
    return np.asarray(cores[population.name].reshape(-1)[labels])


def sources_to(net: Net, value: str, root: str) -> Array:
    """Return the place of ``root`` that each place of a layer riding on it stands for."""
    path: list[str] = []
    name = net.graph[value].inputs[0]
    while name != root:
        path.insert(0, name)
        name = net.graph[name].inputs[0]
    return along(net.graph, tuple(path), places(net.graph, root))


def started(net: Net, start: str, path: tuple[str, ...], labels: Array) -> Array:
    """Return labels of a population's value, taken back to the places of ``start``.

    Each place of ``start`` must be used at most once.
    """
    index = along(net.graph, path, places(net.graph, start)).reshape(-1)
    back = np.full(math.prod(net.graph.type_of(start).shape), NOWHERE, np.int64)
    back[index] = labels.reshape(-1)
    return back.reshape(net.graph.type_of(start).shape)
