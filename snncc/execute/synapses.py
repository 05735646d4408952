"""Synapses of a step graph, counted from shapes alone: no data and no weights are needed."""

from __future__ import annotations

import math
from typing import cast

import numpy as np

from snncc.ir.graph import Array, Graph, Op
from snncc.ir.ops import WEIGHTED, Conv


def channel_axis(op: Op) -> int:
    """Return where the channels of a weighted op's input are, from the end."""
    return -1 - len(op.stride) if isinstance(op, Conv) else -1


def fan_out_map(op: Op, graph: Graph) -> Array:
    """Return how many synapses a spike at each place meets; broadcasts to the input's shape."""
    weight = graph.weights[op.weight_names[0]]
    if not isinstance(op, Conv):
        return np.full(1, weight.shape[0], np.int64)
    spatial = len(weight.shape) - 2
    places = graph.type_of(op.inputs[0]).shape[-spatial:]
    outs = graph.type_of(op.name).shape[-spatial:]
    per_axis = [
        windows_over(n, m, k, s, p, d)
        for n, m, k, s, p, d in zip(
            places, outs, weight.shape[2:], op.stride, op.padding, op.dilation, strict=True
        )
    ]
    product = per_axis[0]
    for other in per_axis[1:]:
        product = product[..., None] * other
    return cast(Array, product * (weight.shape[0] // op.groups))


def windows_over(n: int, outs: int, k: int, stride: int, padding: int, dilation: int) -> Array:
    """Return, for each of ``n`` places, in how many of the windows it lies."""
    hits = np.zeros(n, np.int64)
    starts = np.arange(outs) * stride - padding
    for tap in range(k):
        places = starts + tap * dilation
        np.add.at(hits, places[(places >= 0) & (places < n)], 1)
    return hits


def existing_taps(op: Op, graph: Graph) -> int:
    """Return the multiplications of one run of a conv or linear that meet an input, not padding."""
    fan_out = fan_out_map(op, graph)
    return math.prod(graph.type_of(op.inputs[0]).shape) // fan_out.size * int(fan_out.sum())


def dense_ops(op: Op, graph: Graph) -> int:
    """Return the multiplications of a dense product, one step and sample, no bias; else 0."""
    outputs = math.prod(graph.type_of(op.name).shape)
    if op.kind in WEIGHTED:
        return outputs * math.prod(graph.weights[op.weight_names[0]].shape[1:])
    if op.kind == "matmul":
        return outputs * graph.type_of(op.inputs[0]).shape[-1]
    return math.prod(graph.type_of(op.inputs[0]).shape) if op.kind == "mask" else 0


def weighted_ops(graph: Graph) -> int:
    """Return the dense multiplications of all convs and linears, every time step of a sample."""
    return graph.steps * sum(dense_ops(op, graph) for op in graph.of_kind(*WEIGHTED))
