"""What a part of a population needs of its core, for many ways of cutting at once.

A *grid* says into how many blocks each axis of the home value is cut. All functions take arrays of
counts, one entry a grid, and answer for the largest part of each. These are upper bounds, in closed
form; the checker counts exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, TypeAlias, cast

import numpy as np

from snncc.ir.domain import Grid
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.ops import IntegerNeuron
from snncc.mapping.contacts import axis_taps, window_of
from snncc.mapping.placement import blocks
from snncc.mapping.populations import Net, Population, Projection
from snncc.mapping.waits import waits_of


@dataclass(frozen=True)
class Needs:
    """What one core needs: numbers, or arrays with one entry a grid.

    ``synapse_bits`` are those of stored weights, ``counter_bits`` of products, ``delay_bits`` of
    numbers that wait. ``axons_in`` are neurons that send to the core, ``axons_out`` pairs of a
    neuron of the core and a core that it sends to. ``operations`` are spikes that meet a synapse in
    a step, at mean rates.
    """

    neurons: Any = 0
    synapse_bits: Any = 0
    counter_bits: Any = 0
    delay_bits: Any = 0
    axons_in: Any = 0
    axons_out: Any = 0
    thresholds: Any = 0
    operations: Any = 0

    def __add__(self, other: Needs) -> Needs:
        """Return what both need together."""
        return Needs(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def at(self, index: int) -> Needs:
        """Return the needs under one of the grids."""
        every = (getattr(self, f.name) for f in fields(self))
        return Needs(*(int(n[index]) if np.ndim(n) else int(n) for n in every))


@dataclass(frozen=True)
class Operand:
    """One operand under a grid: ``messages`` in all, and the most that one of its places sends."""

    axons_in: Array
    messages: Array
    most: Array


@dataclass(frozen=True)
class Cut:
    """A population under many grids, ``counts`` ``[axes, grids]``; ``block`` the largest blocks.

    ``rates`` are how often a place of each emitted value is sent in a step, in the mean; else 1.
    """

    net: Net
    population: Population
    counts: Array
    weight_bits: int
    rates: Mapping[str, float]
    block: Array = field(init=False)

    def __post_init__(self) -> None:
        """Work out the largest block of each axis."""
        sizes = np.array(self.population.shape).reshape(-1, 1)
        object.__setattr__(self, "block", -(-sizes // self.counts))

    @property
    def neurons(self) -> Array:
        """Compartments of the largest part."""
        return np.asarray(self.block.prod(axis=0))

    def needs(self) -> Needs:
        """Return what the largest part needs, but for the axons that leave it."""
        bits = sum((self._weights(p) for p in self.population.projections), np.int64(0))
        counters = sum((self._counters(p) for p in self.population.projections), np.int64(0))
        axons = sum((o.axons_in for _, o in self.operands()), np.int64(0))
        work = sum((self._operations(p) for p in self.population.projections), np.float64(0))
        different = np.minimum(*_thresholds(self.net, self.population, self.neurons))
        return Needs(
            self.neurons, bits, counters, self._waiting(), axons,
            thresholds=different, operations=work,
        )  # fmt: skip

    def _waiting(self) -> Array:
        """Return the bits of all that waits in the largest part."""
        bits = np.zeros_like(self.neurons)
        for wait in waits_of(self.net, self.population):
            places = self.neurons
            if wait.projection is not None and wait.operand is not None:
                places = self._operand(wait.projection, wait.operand).axons_in
            bits = bits + places * wait.bits
        return bits

    def operands(self) -> Iterator[tuple[str, Operand]]:
        """Yield every value that is read, and how."""
        for projection in self.population.projections:
            for number, name in enumerate(projection.reads):
                yield name, self._operand(projection, number)

    def _is_home(self, projection: Projection) -> bool:
        return projection.start == self.population.home

    def _operand(self, projection: Projection, number: int) -> Operand:
        shape = self.net.graph.type_of(projection.reads[number]).shape
        if projection.kind == "identity" or not self._is_home(projection):
            return self._elsewhere(projection, shape)
        return _OPERANDS[projection.kind](self, projection, number, shape)

    def _elsewhere(self, projection: Projection, shape: Any) -> Operand:
        """What comes in other coordinates: place by place, or, at worst, all of it everywhere."""
        size, parts = math.prod(shape), self.counts.prod(axis=0)
        if projection.kind in ("identity", "mask"):
            each = np.minimum(self.neurons, size)
            return Operand(each, np.full_like(parts, size), np.ones_like(parts))
        return Operand(np.full_like(parts, size), size * parts, parts)

    def _weights(self, projection: Projection) -> Array:
        if projection.kind not in ("conv", "linear"):
            return np.zeros_like(self.neurons)
        weight = self.net.graph.weights[self.net.graph[projection.op].weight_names[0]]
        channels: Any = weight.shape[0]
        if self._is_home(projection):
            channels = self.block[0 if projection.kind == "conv" else -1]
        elif self.net.graph.type_of(projection.start).shape == self.population.shape:
            channels = self.block[0]
        return np.asarray(channels * math.prod(weight.shape[1:]) * self.weight_bits)

    def _operations(self, projection: Projection) -> Array:
        """Return the synapses of the largest part, each at the rate of what it reads."""
        shape = self.net.graph.type_of(projection.reads[0]).shape
        each: float = 1
        if projection.kind in ("conv", "linear"):
            op = self.net.graph[projection.op]
            each = math.prod(self.net.graph.weights[op.weight_names[0]].shape[1:])
        elif projection.kind == "matmul":
            each = 2 * shape[-1]
        return np.asarray(self.neurons * each * self._rate(projection.reads[0]))

    def _rate(self, name: str) -> float:
        found = [self.rates.get(value, 1.0) for value in behind(self.net, name)]
        return max(found, default=1.0)

    def _counters(self, projection: Projection) -> Array:
        if projection.inner is None or not self._is_home(projection):
            return np.zeros_like(self.neurons)
        shape = self.net.graph.type_of(projection.inner).shape
        kept, axis = (shape[-1], -2) if _left(self.net.graph, projection) else (shape[-2], -1)
        heads = self.block[:-2].prod(axis=0)
        return np.asarray(heads * kept * self.block[axis] * counter_width(self.net, projection))


def _thresholds(net: Net, population: Population, neurons: Array) -> tuple[Array, int]:
    """Return how many thresholds so many neurons have, and how many different ones there are."""
    emitted = (net.graph[value] for value in population.emits)
    layers = [op for op in emitted if isinstance(op, IntegerNeuron)]
    values = [np.unique(cast(Array, net.graph.weights[op.threshold])) for op in layers]
    different = len(np.unique(np.concatenate(values))) if values else 0
    return neurons * sum(op.levels for op in layers), different


def behind(net: Net, name: str) -> Iterator[str]:
    """Yield the emitted values that are read under a name."""
    if name in net.emitted:
        yield name
        return
    for read in net.graph[name].inputs:
        yield from behind(net, read)


def counter_width(net: Net, projection: Projection) -> int:
    """Return the bits of one counter of an inner product: it counts up to what was proved."""
    domain = net.graph.type_of(cast(str, projection.inner)).domain
    if not isinstance(domain, Grid):
        return 32
    return max(1, domain.magnitude.bit_length() + (domain.lo < 0))


def _left(graph: Graph, projection: Projection) -> bool:
    return graph[projection.op].inputs[0] == projection.inner


def _windows(cut: Cut, projection: Projection, number: int, shape: Any) -> Operand:
    op = cut.net.graph[projection.op]
    kernel = window_of(cut.net.graph, op)
    n = len(kernel)
    channels = math.prod(shape[:-n])
    groups = getattr(op, "groups", channels)
    axons: Any = channels if groups == 1 else np.minimum(
        cut.block[:-n].prod(axis=0) * max(1, channels // groups), channels
    )  # fmt: skip
    parts = cut.counts[:-n].prod(axis=0)
    messages, most = (parts, parts) if groups == 1 else (np.ones_like(parts),) * 2
    messages = messages * channels
    for axis, size in enumerate(shape[-n:]):
        spans, totals, widest = _axis_reach(cut, op, axis - n, size, kernel[axis])
        axons, messages, most = axons * spans, messages * totals, most * widest
    return Operand(np.asarray(axons), messages, most)


def _axis_reach(cut: Cut, op: Op, axis: int, size: int, kernel: int) -> tuple[Array, ...]:
    """Return (places read by the largest block, blocks reached by all places, by one at most)."""
    settings = cast(Any, op)
    dilation = getattr(op, "dilation", (1,) * -axis)[axis]
    outs = cut.population.shape[axis]
    window = (kernel, settings.stride[axis], settings.padding[axis], dilation)
    counts, where = np.unique(cut.counts[axis], return_inverse=True)
    found = [_reach_of_blocks(size, outs, int(count), window) for count in counts]
    table = np.array(found).reshape(-1, 3)[where].T
    return table[0], table[1], table[2]


@lru_cache(maxsize=100_000)
def _reach_of_blocks(
    size: int, outs: int, count: int, window: tuple[int, int, int, int]
) -> tuple[int, int, int]:
    """Return ``_axis_reach`` of one count of blocks; layers of one shape ask for the same."""
    block = np.repeat(np.arange(count), [b - a for a, b in blocks(outs, count)])
    meets = np.zeros((size, count), bool)
    for place, made in axis_taps(size, outs, *window):
        meets[place, block[made]] = True
    by_place = meets.sum(axis=1)
    return int(meets.sum(0).max()), int(by_place.sum()), int(by_place.max())


def _linear(cut: Cut, projection: Projection, number: int, shape: Any) -> Operand:
    parts = cut.counts[-1]
    axons = cut.block[:-1].prod(axis=0) * shape[-1]
    return Operand(axons, math.prod(shape) * parts, parts)


def _matmul(cut: Cut, projection: Projection, number: int, shape: Any) -> Operand:
    """See ``contacts``: rows reach the blocks of their rows, columns those of their columns."""
    heads = cut.block[:-2].prod(axis=0)
    rows, columns = cut.counts[-2], cut.counts[-1]
    by_row = (heads * cut.block[-2] * shape[-1], columns)
    by_column = (heads * cut.block[-1] * shape[-2], rows)
    by_both = (heads * shape[-1] * shape[-2], rows * columns)
    if projection.inner is None:
        choice = (by_row, by_column)
    elif _left(cut.net.graph, projection):
        choice = (by_row, by_both, by_column)  # type: ignore[assignment]
    else:
        choice = (by_both, by_column, by_row)  # type: ignore[assignment]
    axons, copies = choice[number]
    return Operand(axons, math.prod(shape) * copies, copies)


def _sum(cut: Cut, projection: Projection, number: int, shape: Any) -> Operand:
    terms = math.prod(shape) // math.prod(cut.population.shape)
    parts = cut.counts.prod(axis=0)
    return Operand(cut.neurons * terms, np.full_like(parts, math.prod(shape)), np.ones_like(parts))


def _mask(cut: Cut, projection: Projection, number: int, shape: Any) -> Operand:
    return cut._elsewhere(projection, shape)  # noqa: SLF001 - the same room


_Reading: TypeAlias = Callable[[Cut, Projection, int, Any], Operand]
_OPERANDS: Mapping[str, _Reading] = {
    "conv": _windows, "max_pool": _windows, "avg_pool": _windows,
    "linear": _linear, "matmul": _matmul, "sum": _sum, "mask": _mask,
}  # fmt: skip
