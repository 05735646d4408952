"""What data say of the float network, in one run: means, counts, spikes and answers.

Quantizing needs the means, the report the counts, the comparison with the integers the rest; each
run of a large network in floats costs more than all that is done with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from snncc.execute.block import Seen
from snncc.execute.counts import Counter, Counts, batches
from snncc.execute.excerpts import Excerpt, Excerpts
from snncc.execute.executor import Executor
from snncc.execute.kernels.memory import Order, flat, order_of
from snncc.execute.network import Precision
from snncc.execute.synapses import channel_axis, weighted_ops
from snncc.ir.graph import Array, Graph, Op, Shape
from snncc.ir.ops import Neuron

_FLOAT64_OPS = 10**11
"""Networks run in float64 up to so many dense operations over all samples, above in float32."""

_SPIKE_BYTES = 2**30
"""Spikes are kept for comparison up to this size, bits where they are 0 or 1."""


@dataclass(frozen=True)
class Spikes:
    """What one layer fired in one block, ``[T, B, *shape]``, packed as it lies in memory."""

    order: Order
    packed: Array
    size: Shape
    bits: bool

    @staticmethod
    def pack(counts: Array) -> Spikes:
        """Keep counts of spikes ``[T, B, *shape]``; bits where none is above 1."""
        order = order_of(counts)
        row = flat(counts, order).reshape(-1)
        bits = int(row.max(initial=0)) <= 1
        return Spikes(order, np.packbits(row) if bits else row.copy(), row.shape, bits)

    def equal(self, counts: Array) -> tuple[int, int]:
        """Return (how many of the counts are the same, how many spikes were kept)."""
        row = np.unpackbits(self.packed, count=self.size[0]) if self.bits else self.packed
        same = int((row == flat(counts, self.order).reshape(-1)).sum())
        return same, int(row.sum(dtype=np.int64))


@dataclass
class FloatRun:
    """A float step graph on samples.

    ``mean_inputs``: the mean of what each weighted op reads, one a channel of its input.
    ``spikes``: of each neuron layer, one entry a block of ``block`` samples, as far as there was
    room. ``excerpts``: what a report shows of each neuron layer.
    """

    block: int
    outputs: Array
    counts: Counts
    mean_inputs: Mapping[str, Array]
    spikes: Mapping[str, list[Spikes]]
    excerpts: Mapping[str, Excerpt]


def run_floats(graph: Graph, x: Array) -> FloatRun:
    """Run a float step graph on samples ``x``, ``[N, ...]``."""
    executor = Executor(graph, precision_for(graph, len(x)))
    counter, means, spikes = Counter(executor), _Means(), _Kept()
    excerpts = Excerpts(graph)

    def observe(op: Op, seen: Seen) -> None:
        counter.observe(op, seen)
        means.observe(op, seen)
        spikes.observe(op, seen)
        excerpts.observe(op, seen)

    parts = batches(graph, x)
    outputs = np.concatenate([executor.run(part, observe=observe).output for part in parts])
    found = means.found()
    return FloatRun(executor.block, outputs, counter.counts, found, spikes.layers, excerpts.layers)


def precision_for(graph: Graph, samples: int) -> Precision:
    """Return float64 where that takes seconds, float32 where it would take minutes."""
    return "float64" if weighted_ops(graph) * samples <= _FLOAT64_OPS else "float32"


@dataclass
class _Means:
    sums: dict[str, Array] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)

    def observe(self, op: Op, seen: Seen) -> None:
        if op.kind in ("conv", "linear"):
            value = np.moveaxis(seen.inputs[0], channel_axis(op), -1)
            rows = value.reshape(-1, value.shape[-1])
            self.sums[op.name] = self.sums.get(op.name, 0) + rows.sum(axis=0, dtype=np.float64)
            self.places[op.name] = self.places.get(op.name, 0) + len(rows)

    def found(self) -> dict[str, Array]:
        return {name: total / self.places[name] for name, total in self.sums.items()}


@dataclass
class _Kept:
    layers: dict[str, list[Spikes]] = field(default_factory=dict)
    size: int = 0
    full: bool = False

    def observe(self, op: Op, seen: Seen) -> None:
        if op.kind == "input":
            self.full = self.size > _SPIKE_BYTES
        if isinstance(op, Neuron) and not self.full:
            spikes = Spikes.pack(counts_of_spikes(op, seen.result))
            self.size += spikes.packed.nbytes
            self.layers.setdefault(op.name, []).append(spikes)


def counts_of_spikes(op: Neuron, result: Array) -> Array:
    """Return how many spikes stand behind what a layer gives."""
    counts = result if op.norm == 1.0 else np.rint(result * op.norm)
    return counts.astype(np.int8, copy=False)
