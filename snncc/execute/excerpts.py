"""What a report shows of a run: spikes of some neurons, and how their potentials are spread.

A whole run is far too large to look at. Kept are the first ``SAMPLES`` samples: of each layer of
neurons the spikes of ``NEURONS_SHOWN`` of them, and a histogram of the potentials of
``NEURONS_MEASURED``, both spread evenly over the layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from snncc.execute.block import Seen
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.memory import grain_of, integer_neuron_step, neuron_step, neuron_weights
from snncc.ir.ops import IntegerNeuron, Neuron

SAMPLES = 4
NEURONS_SHOWN = 192
NEURONS_MEASURED = 2048

PER_THRESHOLD = 10
LOWEST, HIGHEST = -2, 3
"""The histogram's bins: a tenth of the threshold each, from -2 to 3 thresholds."""
BINS = (HIGHEST - LOWEST) * PER_THRESHOLD + 2
"""With one bin for all that lies below, and one for all above."""


@dataclass
class Excerpt:
    """One layer. ``spikes`` is ``[T, samples, neurons shown]``, counts of spikes.

    ``potentials`` are counts ``[BINS]`` of potentials at the compare, in parts of the threshold.
    """

    shown: Array
    spikes: Array
    potentials: Array


@dataclass
class Excerpts:
    """Looks on while a network runs: an observer of the executor."""

    graph: Graph
    layers: dict[str, Excerpt] = field(default_factory=dict)

    def observe(self, op: Op, seen: Seen) -> None:
        """Keep what is to be shown of a layer of neurons, on the first samples."""
        if not isinstance(op, (Neuron, IntegerNeuron)):
            return
        before = self.layers.get(op.name)
        taken = 0 if before is None else before.spikes.shape[1]
        if taken < SAMPLES:
            new = self._excerpt(op, seen, SAMPLES - taken)
            self.layers[op.name] = new if before is None else _joined(before, new)

    def _excerpt(self, op: Neuron | IntegerNeuron, seen: Seen, samples: int) -> Excerpt:
        shown, measured = (
            spread(self.graph.type_of(op.name).shape, most)
            for most in (NEURONS_SHOWN, NEURONS_MEASURED)
        )
        result = seen.result[:, :samples]
        counts = result * op.norm if isinstance(op, Neuron) and op.norm != 1.0 else result
        spikes = np.rint(_chosen(counts, shown, 2)).astype(np.int8)
        currents = _chosen(seen.current[:, :samples], measured, 2)
        potentials = np.zeros(BINS, np.int64)
        for step in _potentials(op, currents, measured, self.graph):
            potentials += np.bincount(_bins(step).reshape(-1), minlength=BINS)
        return Excerpt(shown, spikes, potentials)


def spread(shape: tuple[int, ...], most: int) -> Array:
    """Return at most ``most`` places of a layer, evenly spread, as numbers of its flat places."""
    places = int(np.prod(shape, dtype=np.int64))
    count = min(places, most)
    return np.arange(count, dtype=np.int64) * places // count


def _joined(a: Excerpt, b: Excerpt) -> Excerpt:
    spikes = np.concatenate([a.spikes, b.spikes], axis=1)
    return Excerpt(a.shown, spikes, a.potentials + b.potentials)


def _chosen(array: Array, places: Array, lead: int) -> Array:
    """Return some places of an array whose first ``lead`` axes are none of the layer's."""
    index = np.unravel_index(places, array.shape[lead:])
    return np.asarray(array[(slice(None),) * lead + index])


def _potentials(
    op: Neuron | IntegerNeuron, currents: Array, places: Array, graph: Graph
) -> Iterator[Array]:
    """Yield the tenths of the threshold that the potentials reach, rounded down, step by step.

    Where a neuron counts its spikes, the threshold is that of the first.
    """
    state = None
    if isinstance(op, Neuron):
        first = op.v_threshold if op.levels == 1 else op.v_threshold / 2
        grain = grain_of(op, graph)
        if grain is not None:
            grain = _chosen(np.broadcast_to(grain, graph.type_of(op.name).shape), places, 0)
        for current in currents:
            _, potential, state = neuron_step(op, current.astype(np.float64), state, grain)
            yield np.floor(potential * PER_THRESHOLD / first)
        return
    shape = graph.type_of(op.name).shape
    threshold, unit = neuron_weights(op, graph)
    levels = threshold if op.levels > 1 else threshold[None]
    missing = (1,) * (len(shape) + 1 - levels.ndim)
    levels = levels.reshape(len(levels), *missing, *levels.shape[1:])
    levels = _chosen(np.broadcast_to(levels, (len(levels), *shape)), places, 1).astype(np.int64)
    taken = None if unit is None else _chosen(np.broadcast_to(unit, shape), places, 0)
    given = levels if op.levels > 1 else levels[0]
    for current in currents:
        _, potential, state = integer_neuron_step(op, given, current, state, taken)
        yield potential * PER_THRESHOLD // np.maximum(levels[0], 1)


def _bins(tenths: Array) -> Array:
    lowest = LOWEST * PER_THRESHOLD - 1
    return (np.clip(tenths, lowest, HIGHEST * PER_THRESHOLD) - lowest).astype(np.int64)
