"""How much of a core's limits a placement uses, by marking what each core holds and reads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np

from snncc.ir.domain import Grid
from snncc.ir.graph import Array, Graph
from snncc.ir.latency import bits_of
from snncc.ir.ops import IntegerNeuron
from snncc.mapping.placement import Placement
from snncc.mapping.populations import Net, Population, Projection
from snncc.mapping.reads import at_start, reads
from snncc.mapping.schedule import AS_THEY_CAME, Arrival, arrivals
from snncc.mapping.views import NOWHERE, emitted_labels, sources_of


@dataclass(frozen=True)
class Usage:
    """What each core uses, int64 ``[cores]``.

    Stored weights are counted once a core, however many places share them: the bits of the weights
    alone, since no chip's lists of addresses are published. ``counter_bits`` are those of the
    products that attention keeps, ``delay_bits`` those of numbers that wait. ``axons_in`` are
    neurons that send to the core, ``axons_out`` pairs of a neuron and a core that it sends to,
    ``thresholds`` the different thresholds of its neurons.
    """

    neurons: Array
    synapses: Array
    synapse_bits: Array
    counter_bits: Array
    delay_bits: Array
    axons_in: Array
    axons_out: Array
    thresholds: Array

    def of_cores(self, name: str) -> Array:
        """Return one column; ``synapse_bytes`` and ``memory_bytes`` are rounded up."""
        if name == "synapse_bytes":
            return -(-self.synapse_bits // 8)
        if name == "memory_bytes":
            return -(-(self.synapse_bits + self.counter_bits + self.delay_bits) // 8)
        return cast(Array, getattr(self, name))


def usage_of(net: Net, placement: Placement, weight_bits: int) -> Usage:
    """Return what each core of a placement that covers the network uses.

    Raises ``IRError`` for a graph that is not balanced: see ``passes.balance_delays``.
    """
    count = len(placement.cores)
    labels = placement.labels(net)
    neurons, synapses, counters, axons_in, axons_out = (np.zeros(count, np.int64) for _ in range(5))
    for population in net.populations:
        cores = labels[population.name]
        neurons += np.bincount(cores.reshape(-1), minlength=count)
        for projection in population.projections:
            start = at_start(net, projection, cores)
            synapses += _stored(net.graph, projection, start, count)
            counters += _counters(net.graph, projection, start, count)
    uses = _uses(net)
    for value in sorted(uses):
        senders = emitted_labels(net, value, labels).reshape(-1) + 1
        for core, read in _readers(net, value, uses[value], labels):
            axons_in[core] += len(read)
            axons_out += np.bincount(senders[read], minlength=count + 1)[1:]
    bits = synapses * weight_bits
    waiting = _waiting(net, labels, count)
    different = _thresholds(net, labels, count)
    return Usage(neurons, synapses, bits, counters, waiting, axons_in, axons_out, different)


def _thresholds(net: Net, labels: Mapping[str, Array], count: int) -> Array:
    """Return how many different thresholds the neurons of each core have."""
    found: list[tuple[Array, Array]] = []
    for op in (net.graph[value] for value in net.owner):
        if isinstance(op, IntegerNeuron):
            own = emitted_labels(net, op.name, labels)
            table = cast(Array, net.graph.weights[op.threshold])
            for level in table if op.levels > 1 else (table,):
                values, where = np.unique(level, return_inverse=True)
                met = np.zeros((count, len(values)), bool)
                at = own if len(values) == 1 else (own, where.reshape(level.shape))
                met[at] = True
                cores, kinds = np.nonzero(met)
                found.append((cores, values[kinds]))
    if not found:
        return np.zeros(count, np.int64)
    pairs = np.unique(np.concatenate([np.stack(pair) for pair in found], axis=1), axis=1)
    return np.bincount(pairs[0], minlength=count)


def _waiting(net: Net, labels: Mapping[str, Array], count: int) -> Array:
    """Return the bits of what waits on each core: sums for its neurons, or operands as they came.

    Values that one operand joins wait together, as long as the first of them.
    """
    bits = np.zeros(count, np.int64)
    longest: dict[tuple[str, Projection | None, int], Arrival] = {}
    for arrival in arrivals(net):
        key = (arrival.population.name, arrival.projection, arrival.operand)
        if key not in longest or longest[key].before < arrival.before:
            longest[key] = arrival
    for arrival in longest.values():
        cores, projection = labels[arrival.population.name], arrival.projection
        start = projection.start if projection else arrival.value
        whole = projection is not None and projection.kind in AS_THEY_CAME
        sums = arrival.behind if whole else arrival.behind + arrival.before
        if whole and projection is not None and arrival.before:
            width = arrival.before * _width(net, projection.reads[arrival.operand])
            for core, read in reads(net, projection, arrival.operand, cores):
                bits[core] += len(read) * width
        if sums and arrival.operand == 0:
            neurons = np.bincount(cores.reshape(-1), minlength=count)
            bits += neurons * sums * _width(net, start)
    return bits


def _width(net: Net, name: str) -> int:
    return bits_of(net.graph.type_of(name).domain)


def _stored(graph: Graph, projection: Projection, start: Array, count: int) -> Array:
    """Return the weights that each core stores: a row for each channel that it makes."""
    if projection.kind not in ("conv", "linear"):
        return np.zeros(count, np.int64)
    op = graph[projection.op]
    shape = graph.weights[op.weight_names[0]].shape
    axis = -1 if projection.kind == "linear" else -len(shape) + 1
    by_channel = np.moveaxis(start, axis, 0).reshape(shape[0], -1)
    return _lines_of(by_channel, count) * math.prod(shape[1:])


def _lines_of(cores: Array, count: int) -> Array:
    """Return on how many lines of ``cores`` ``[lines, places]`` each core stands."""
    rows = np.arange(len(cores)).reshape(-1, 1) * (count + 1)
    met = np.zeros((len(cores), count + 1), bool)
    met.reshape(-1)[rows + cores + 1] = True
    return met[:, 1:].sum(axis=0)


def _counters(graph: Graph, projection: Projection, start: Array, count: int) -> Array:
    """Return the bits of the inner product that each core keeps."""
    if projection.inner is None:
        return np.zeros(count, np.int64)
    inner = graph.type_of(projection.inner)
    domain = inner.domain
    width = 32
    if isinstance(domain, Grid):
        width = max(1, domain.magnitude.bit_length() + (domain.lo < 0))
    left = graph[projection.op].inputs[0] == projection.inner
    lines = start if left else np.swapaxes(start, -1, -2)
    kept = inner.shape[-1 if left else -2] * width
    return _lines_of(lines.reshape(-1, lines.shape[-1]), count) * kept


_Use: TypeAlias = tuple[Population, Projection, int, str]
"""A population that reads a value, by which operand of what, and the name that it reads."""


def _uses(net: Net) -> dict[str, list[_Use]]:
    """Return who reads each emitted value."""
    found: dict[str, list[_Use]] = {}
    for population in net.populations:
        for projection in population.projections:
            for operand, name in enumerate(projection.reads):
                for value in sources_of(net, name):
                    found.setdefault(value, []).append((population, projection, operand, name))
    return found


def _readers(
    net: Net, value: str, uses: list[_Use], labels: Mapping[str, Array]
) -> Iterator[tuple[int, Array]]:
    """Yield each core that reads a value, with the places that it reads, each once."""
    found: dict[int, list[Array]] = {}
    for population, projection, operand, name in uses:
        index = sources_of(net, name)[value].reshape(-1)
        for core, read in reads(net, projection, operand, labels[population.name]):
            taken = index[read]
            found.setdefault(core, []).append(taken[taken != NOWHERE])
    for core, parts in sorted(found.items()):
        yield core, parts[0] if len(parts) == 1 else np.unique(np.concatenate(parts))
