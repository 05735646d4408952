"""Products of two computed values, as attention has them: where they are counted, and how often.

A core that holds part of the result holds the counters of the inner product that this part needs
(``K^T V``: one for each feature of K and each of its features of V; or the scores of its rows). A
pair of spikes that meet adds 1 to a counter; a spike of the outer operand adds a row of counters.
In sub-steps the second operand is complete when the spikes of the first arrive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from snncc.ir.graph import Array, Graph, Op
from snncc.ir.semantics import apply
from snncc.machine.activity import Activity
from snncc.mapping.populations import FORWARDED, Net, Projection
from snncc.mapping.views import started


def product_ops(
    net: Net, labels: Mapping[str, Array], activity: Activity, shape: tuple[int, int]
) -> Array:
    """Return the additions of all products by core, int64 ``[steps, cores]``."""
    total = np.zeros(shape, np.int64)
    for population in net.populations:
        for projection in population.projections:
            if projection.kind == "matmul":
                cores = started(net, projection.start, projection.path, labels[population.name])
                total += _product(net, projection, cores, activity, shape)
    return total


def _product(
    net: Net, projection: Projection, cores: Array, activity: Activity, shape: tuple[int, int]
) -> Array:
    blocks = cores.reshape(-1, *cores.shape[-2:])
    sent = [activity.held or activity.sent if n == 1 else activity.sent for n in range(3)]
    reads = [
        _blocks(read_as(net, name, sent[n]), len(blocks)) for n, name in enumerate(projection.reads)
    ]
    total = np.zeros(shape, np.int64)
    for head, own in enumerate(blocks):
        operands = [read[:, head] for read in reads]
        for core, adds in _of_head(net.graph, projection, operands, own):
            total[:, core] += adds
    return total


def _of_head(
    graph: Graph, projection: Projection, operands: list[Array], cores: Array
) -> Iterator[tuple[int, Array]]:
    """Yield (core, additions ``[steps]``) of one head; operands are ``[steps, rows, columns]``."""
    for core in np.unique(cores):
        held = cores == core
        rows, columns = held.any(axis=1), held.any(axis=0)
        if projection.inner is None:
            yield int(core), _pairs(operands[0][:, rows], operands[1][:, :, columns])
            continue
        first, second, outer = operands
        if graph[projection.op].inputs[0] == projection.inner:
            inner = _pairs(first[:, rows], second)
            reads = outer[:, :, columns].sum(axis=(1, 2)) * int(rows.sum())
        else:
            inner = _pairs(first, second[:, :, columns])
            reads = outer[:, rows].sum(axis=(1, 2)) * int(columns.sum())
        yield int(core), inner + reads


def _pairs(left: Array, right: Array) -> Array:
    """Return how many pairs of factors that are not 0 ``[T, n, k] @ [T, k, m]`` has."""
    return np.asarray((left.sum(axis=1) * right.sum(axis=2)).sum(axis=1))


def _blocks(array: Array, heads: int) -> Array:
    return (array != 0).astype(np.int64).reshape(len(array), heads, *array.shape[-2:])


def read_as(net: Net, name: str, sent: Mapping[str, Array]) -> Array:
    """Return a value as an op reads it, ``[steps, *shape]``, from what was sent."""
    if name in sent:
        return sent[name]
    op: Op = net.graph[name]
    if op.kind not in FORWARDED:
        raise ValueError(f"`{name}` is not sent")
    inputs = tuple(read_as(net, read, sent) for read in op.inputs)
    return apply(op, inputs, net.graph.weights, 1)
