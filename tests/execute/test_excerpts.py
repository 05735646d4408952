"""Excerpts are what the interpreter says of the same neurons."""

from __future__ import annotations

import numpy as np
import pytest

from snncc.execute.excerpts import BINS, NEURONS_SHOWN, PER_THRESHOLD, SAMPLES, Excerpts, spread
from snncc.execute.executor import Executor
from snncc.ir import ops
from snncc.ir.graph import Array, Graph
from snncc.ir.memory import neuron_step


def network() -> Graph:
    weight = np.random.default_rng(0).normal(0, 1, (3, 2)).astype(np.float32)
    made = (
        ops.Input(name="x", shape=(2,)),
        ops.Linear(name="fc", inputs=("x",), weight="w"),
        ops.Neuron(name="lif", inputs=("fc",)),
        ops.Readout(name="sum", inputs=("lif",), steps=4),
        ops.Output(name="y", inputs=("sum",)),
    )
    return Graph(made, {"w": weight}, level="step", steps=4)


def looked_at(graph: Graph, x: Array, block: int) -> Excerpts:
    executor = Executor(graph, block=block)
    excerpts = Excerpts(graph)
    executor.run(x, observe=excerpts.observe)
    return excerpts


@pytest.mark.parametrize("block", [1, 2, 16])
def test_the_first_samples_are_kept_whatever_the_block(block: int) -> None:
    graph, x = network(), np.random.default_rng(1).normal(0, 2, (6, 2))
    found = looked_at(graph, x, block).layers["lif"]
    currents = x[:SAMPLES] @ np.asarray(graph.weights["w"]).T.astype(np.float64)
    state, spikes, bins = None, [], np.zeros(BINS, np.int64)
    for _ in range(4):
        fired, potential, state = neuron_step(ops.Neuron(name="n"), currents, state)
        spikes.append(fired)
        tenths = np.clip(np.floor(potential * PER_THRESHOLD), -21, 30).astype(int) + 21
        bins += np.bincount(tenths.reshape(-1), minlength=BINS)
    assert found.spikes.tolist() == np.stack(spikes).tolist()
    assert found.potentials.tolist() == bins.tolist()


def test_every_potential_is_counted_once() -> None:
    found = looked_at(network(), np.ones((9, 2)), 4).layers["lif"]
    assert found.potentials.sum() == SAMPLES * 4 * 3


def test_a_bin_at_the_threshold_tells_spikes_from_silence() -> None:
    found = looked_at(network(), np.random.default_rng(2).normal(0, 3, (4, 2)), 4).layers["lif"]
    first = 2 * PER_THRESHOLD + PER_THRESHOLD + 1
    assert found.potentials[first:].sum() == found.spikes.sum()


def test_places_are_spread_over_the_whole_layer() -> None:
    places = spread((64, 16, 16), NEURONS_SHOWN)
    assert len(places) == NEURONS_SHOWN
    assert places[0] == 0
    assert places[-1] >= 64 * 256 - 2 * 64 * 256 // NEURONS_SHOWN
    assert spread((5,), NEURONS_SHOWN).tolist() == [0, 1, 2, 3, 4]
