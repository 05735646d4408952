"""How much of a core's limits a placement uses, by marking what each core holds and reads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, cast

import numpy as np

from snncc.ir.domain import Grid
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.ops import Conv, Sum
from snncc.mapping.placement import Placement
from snncc.mapping.populations import Net, Population, Projection
from snncc.mapping.views import NOWHERE, along, emitted_labels, places, sources_of


@dataclass(frozen=True)
class Usage:
    """What each core uses, int64 ``[cores]``.

    Stored weights are counted once a core, however many places share them: the bits of the weights
    alone, since no chip's lists of addresses are published. ``counter_bits`` are those of the
    products that attention keeps. ``axons_in`` are neurons that send to the core, ``axons_out``
    pairs of a neuron and a core that it sends to.
    """

    neurons: Array
    synapses: Array
    synapse_bits: Array
    counter_bits: Array
    axons_in: Array
    axons_out: Array

    def of_cores(self, name: str) -> Array:
        """Return one column; ``synapse_bytes`` and ``memory_bytes`` are rounded up."""
        if name == "synapse_bytes":
            return -(-self.synapse_bits // 8)
        if name == "memory_bytes":
            return -(-(self.synapse_bits + self.counter_bits) // 8)
        return cast(Array, getattr(self, name))


def usage_of(net: Net, placement: Placement, weight_bits: int) -> Usage:
    """Return what each core of a placement that covers the network uses."""
    count = len(placement.cores)
    labels = placement.labels(net)
    neurons, synapses, counters, axons_in, axons_out = (np.zeros(count, np.int64) for _ in range(5))
    for population in net.populations:
        cores = labels[population.name]
        neurons += np.bincount(cores.reshape(-1), minlength=count)
        for projection in population.projections:
            start = _at_start(net, projection, cores)
            synapses += _stored(net.graph, projection, start, count)
            counters += _counters(net.graph, projection, start, count)
    for value in sorted(net.emitted):
        senders = emitted_labels(net, value, labels).reshape(-1)
        for core, read in _readers(net, value, labels, count):
            axons_in[core] += int(read.sum())
            own = senders[read]
            axons_out += np.bincount(own[own != NOWHERE], minlength=count)
    bits = synapses * weight_bits
    return Usage(neurons, synapses, bits, counters, axons_in, axons_out)


def _at_start(net: Net, projection: Projection, cores: Array) -> Array:
    """Return the core that uses each place of what the op makes; ``NOWHERE`` where none does."""
    index = along(net.graph, projection.path, places(net.graph, projection.start))
    start = np.full(net.graph.type_of(projection.start).shape, NOWHERE, np.int64)
    if projection.kind != "identity":
        start.reshape(-1)[index.reshape(-1)] = cores.reshape(-1)
    return start


def _stored(graph: Graph, projection: Projection, start: Array, count: int) -> Array:
    """Return the weights that each core stores: a row for each channel that it makes."""
    if projection.kind not in ("conv", "linear"):
        return np.zeros(count, np.int64)
    op = graph[projection.op]
    shape = graph.weights[op.weight_names[0]].shape
    axis = -1 if projection.kind == "linear" else -len(shape) + 1
    by_channel = np.moveaxis(start, axis, 0).reshape(shape[0], -1)
    rows = np.zeros(count, np.int64)
    for channel in by_channel:
        own = np.unique(channel)
        rows[own[own != NOWHERE]] += 1
    return rows * math.prod(shape[1:])


def _counters(graph: Graph, projection: Projection, start: Array, count: int) -> Array:
    """Return the bits of the inner product that each core keeps."""
    bits = np.zeros(count, np.int64)
    if projection.inner is None:
        return bits
    inner = graph.type_of(projection.inner)
    domain = inner.domain
    width = 32
    if isinstance(domain, Grid):
        width = max(1, domain.magnitude.bit_length() + (domain.lo < 0))
    left = graph[projection.op].inputs[0] == projection.inner
    blocks = start.reshape(-1, *start.shape[-2:])
    for block in blocks:
        for line in block if left else block.T:
            own = np.unique(line)
            bits[own[own != NOWHERE]] += inner.shape[-1 if left else -2] * width
    return bits


def _readers(net: Net, value: str, labels: Any, count: int) -> Iterator[tuple[int, Array]]:
    """Yield each core that reads a value, with the places that it reads, flat and of bool."""
    size = math.prod(net.graph.type_of(value).shape)
    found: dict[int, Array] = {}
    for population, projection, operand, index in _uses(net, value):
        for core, mask in _masks(net, projection, operand, labels[population.name]):
            mark = found.setdefault(core, np.zeros(size, bool))
            read = index[mask]
            mark[read[read != NOWHERE]] = True
    yield from sorted(found.items())


def _uses(net: Net, value: str) -> Iterator[tuple[Population, Projection, int, Array]]:
    for population in net.populations:
        for projection in population.projections:
            for operand, name in enumerate(projection.reads):
                if _is_behind(net, value, name):
                    yield population, projection, operand, sources_of(net, name)[value]


def _is_behind(net: Net, value: str, name: str) -> bool:
    if name in net.emitted:
        return name == value
    return any(_is_behind(net, value, read) for read in net.graph[name].inputs)


def _masks(
    net: Net, projection: Projection, operand: int, cores: Array
) -> Iterator[tuple[int, Array]]:
    """Yield (core, places of the operand that it reads), of bool in the operand's shape."""
    graph = net.graph
    shape = graph.type_of(projection.reads[operand]).shape
    if projection.kind == "identity":
        index = along(graph, projection.path, places(graph, projection.start)).reshape(-1)
        for core in np.unique(cores):
            mask = np.zeros(shape, bool)
            mask.reshape(-1)[index[cores.reshape(-1) == core]] = True
            yield int(core), mask
        return
    start = _at_start(net, projection, cores)
    for core in np.unique(start[start != NOWHERE]):
        mine = start == core
        yield int(core), _read_by(graph, projection, operand, mine, shape)


def _read_by(graph: Graph, projection: Projection, operand: int, mine: Array, shape: Any) -> Array:
    """Return the places of an operand that the results ``mine`` depend on."""
    op = graph[projection.op]
    if projection.kind == "linear":
        return np.broadcast_to(mine.any(axis=-1, keepdims=True), shape)
    if projection.kind == "mask":
        return _shrunk(mine, shape)
    if projection.kind == "sum":
        axes = cast(Sum, op).axes
        kept = mine.reshape([1 if a in axes else n for a, n in enumerate(shape)])
        return np.broadcast_to(kept, shape)
    if projection.kind == "matmul":
        return _operand_of(graph, projection, operand, mine, shape)
    return _window_of(graph, op, mine, shape)


def _shrunk(mine: Array, shape: Any) -> Array:
    lead = np.asarray(np.any(mine, axis=tuple(range(mine.ndim - len(shape)))))
    narrow = tuple(a for a, n in enumerate(shape) if n == 1 and lead.shape[a] != 1)
    return np.asarray(np.any(lead, axis=narrow, keepdims=True)) if narrow else lead


def _operand_of(
    graph: Graph, projection: Projection, operand: int, mine: Array, shape: Any
) -> Array:
    """Of ``A @ B``, the rows of A and the columns of B; of an inner product, what it needs."""
    rows: Array = np.asarray(np.any(mine, axis=-1, keepdims=True))
    columns: Array = np.asarray(np.any(mine, axis=-2, keepdims=True))
    both: Array = np.asarray(np.any(mine, axis=(-2, -1), keepdims=True))
    needed: tuple[Array, ...] = (rows, columns)
    if projection.inner is not None:
        left = graph[projection.op].inputs[0] == projection.inner
        needed = (rows, both, columns) if left else (both, columns, rows)
    return np.broadcast_to(needed[operand], shape)


def _window_of(graph: Graph, op: Op, mine: Array, shape: Any) -> Array:
    """Return the places under the windows of a convolution or pool."""
    grouped = isinstance(op, Conv)
    kernel = graph.weights[op.weight_names[0]].shape[2:] if grouped else cast(Any, op).kernel
    n = len(kernel)
    groups = cast(Conv, op).groups if grouped else math.prod(shape[:-n])
    made: Array = np.asarray(np.any(mine.reshape(groups, -1, *mine.shape[-n:]), axis=1))
    busy = np.flatnonzero(made.reshape(groups, -1).any(axis=1))
    read = np.zeros((groups, *shape[-n:]), bool)
    for tap in product(*(range(size) for size in kernel)):
        taken, kept = [], []
        for axis, k in enumerate(tap):
            place, inside = _taken(op, axis, k, mine.shape[axis - n], shape[axis - n])
            taken.append(place)
            kept.append(inside)
        read[np.ix_(busy, *taken)] |= made[np.ix_(busy, *kept)]
    return np.broadcast_to(
        read[:, None], (groups, math.prod(shape[:-n]) // groups, *shape[-n:])
    ).reshape(shape)


def _taken(op: Op, axis: int, k: int, results: int, size: int) -> tuple[Array, Array]:
    """Return (places read by one tap along one axis, results that read them)."""
    settings = cast(Any, op)
    dilation = getattr(op, "dilation", None)
    step = dilation[axis] if dilation else 1
    place = np.arange(results) * settings.stride[axis] - settings.padding[axis] + k * step
    inside = np.flatnonzero((place >= 0) & (place < size))
    return place[inside], inside
