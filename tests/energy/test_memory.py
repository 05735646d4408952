"""The model of memory: each term of the paper's formulas by hand, on spikes set by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snncc.energy.load import load_energy_model
from snncc.energy.memory import (
    memory_document,
    memory_energy,
    spiking_energy_mj,
    twin_energy_mj,
    word_pj,
    works,
)
from snncc.execute.counts import Counts, count
from snncc.ir.graph import Array, Graph
from snncc.ir.ops import Linear, Reshape
from snncc.ir.synaptic_current import IntegerCurrent

MODEL = load_energy_model("lemaire2022")
ADD, MULT = 0.1, 3.1
QUEUE = 1000 * 4


def convolution(nets: Any, hi: int = 1, decay: int = 2048) -> Graph:
    """A conv 2 -> 4, 3x3, stride 2, padding 1, two groups, on 4x4; neurons; a linear of 16 to 5."""
    ops = (
        nets.conv("c", "x", "w", bias="b", stride=(2, 2), padding=(1, 1), groups=2),
        nets.fires("n", "c", decay),
        Reshape(name="flat", inputs=("n",), shape=(16,)),
        Linear(name="l", inputs=("flat",), weight="v"),
        nets.fires("m", "l", decay),
    )
    weights = {
        "w": nets.ones(4, 1, 3, 3), "b": nets.ones(4), "v": nets.ones(5, 16), "one": np.array(1),
    }  # fmt: skip
    graph: Graph = nets.network(ops, weights, (2, 4, 4), hi)
    return graph


def spikes(nets: Any, hi: int = 1) -> Array:
    x = np.zeros((2, nets.STEPS, 2, 4, 4))
    x[0, 0, 0, 0, 0] = x[0, 1, 1, 2, 2] = x[1, 2, 0, 3, 1] = hi
    return x


@pytest.mark.parametrize(
    ("size", "picojoules"),
    [(0, 0), (4096, 5), (8192, 10), (20480, 15), (32768, 20), (1 << 20, 100), (1 << 24, 100)],
)
def test_a_word_costs_what_its_memory_says(size: int, picojoules: float) -> None:
    assert word_pj(MODEL, size) == pytest.approx(picojoules)


def test_each_term_of_a_convolution_that_reads_spikes(nets: Any) -> None:
    graph = convolution(nets)
    work = works(count(graph, spikes(nets)), graph, MODEL)["c"]
    runs, outputs, parameters = 2 * nets.STEPS, 4 * 2 * 2, 4 * (4 * 9 + 4)
    fan_out, places = 2 * 9, 2 * 2 * 2
    assert work.add == 3 * places + runs * outputs
    assert (work.mac, work.address_add, work.address_mac) == (0, 3 * fan_out, 2 * 3)
    assert work.spikes == ((3, QUEUE),)
    assert work.parameters == ((3 * fan_out, parameters), (runs * outputs, parameters))
    assert work.potentials == ((2 * 3 * fan_out, 4 * outputs),)


def test_each_term_of_a_linear_and_of_neurons(nets: Any) -> None:
    graph = convolution(nets)
    counts = count(graph, spikes(nets))
    found = works(counts, graph, MODEL)
    fired = int(counts.ops["n"].spikes_out.sum())
    assert fired > 0
    assert found["l"].add == found["l"].address_add == 5 * fired
    assert found["l"].address_mac == 0
    assert found["l"].potentials == ((2 * 5 * fired, 4 * 5),)
    updates = 2 * nets.STEPS * 16
    neurons = found["n"]
    assert (neurons.add, neurons.mac) == (fired, updates)
    assert neurons.spikes == ((fired, QUEUE),)
    assert neurons.potentials == ((2 * updates, 4 * 16),)


def test_neurons_that_do_not_leak_multiply_nothing(nets: Any) -> None:
    graph = convolution(nets, decay=0)
    assert works(count(graph, spikes(nets)), graph, MODEL)["n"].mac == 0


def test_what_reads_counts_is_charged_as_a_layer_of_an_ann(nets: Any) -> None:
    graph = convolution(nets, hi=3)
    counts = count(graph, spikes(nets, hi=3))
    work = works(counts, graph, MODEL)["c"]
    runs, multiplications = 2 * nets.STEPS, 4 * 2 * 2 * 9
    assert counts.ops["c"].dense_ops == multiplications
    assert work.mac == runs * multiplications
    assert work.address_add == runs * (32 + 16 + 4 * 9)
    assert work.spikes == ((runs * multiplications, 4 * 32),)
    assert work.potentials == ()


def test_the_total_is_that_of_layers_and_of_parts(nets: Any) -> None:
    graph = convolution(nets)
    counts = count(graph, spikes(nets))
    document = memory_document("n", counts, graph, MODEL, {"samples": 2})
    total = document["totals"]["energy_mj"]
    assert sum(layer["energy_mj"] for layer in document["layers"]) == pytest.approx(total)
    assert sum(e["energy_mj"] for e in document["events"].values()) == pytest.approx(total)
    assert [layer["name"] for layer in document["layers"]] == ["c", "n", "l", "m"]
    work = works(counts, graph, MODEL).values()
    operations = sum(w.add for w in work) * ADD + sum(w.mac for w in work) * (MULT + ADD)
    assert document["events"]["operations"]["energy_mj"] == pytest.approx(operations / 2 * 1e-9)


def test_without_spikes_only_the_fixed_part_is_left(nets: Any) -> None:
    graph = convolution(nets)
    x = spikes(nets)
    silent, active = count(graph, 0 * x), count(graph, x)
    assert silent.ops["n"].spikes_out.sum() > 0  # the bias makes neurons fire
    for counts in (silent, active):
        total = memory_energy(counts, graph, MODEL).energy_mj
        fixed = total - spiking_energy_mj(counts, graph, MODEL)
        assert fixed == pytest.approx(_fixed_mj(graph, counts, nets.STEPS))


def _fixed_mj(graph: Graph, counts: Counts, steps: int) -> float:
    """Biases of the conv and all neuron updates, by hand."""
    parameters = 4 * (4 * 9 + 4)
    picojoules = steps * 16 * (ADD + word_pj(MODEL, parameters))
    for neurons in (16, 5):
        potential = 2 * word_pj(MODEL, 4 * neurons)
        picojoules += steps * neurons * (MULT + ADD + potential)
    return picojoules * 1e-9


def test_the_twin_is_one_pass_that_does_not_depend_on_data(nets: Any) -> None:
    graph = convolution(nets)
    energies = {
        twin_energy_mj(count(graph, x), graph, MODEL)
        for x in (spikes(nets), spikes(nets)[:1], 0 * spikes(nets))
    }
    assert len(energies) == 1
    conv, linear, parameters = 4 * 2 * 2 * 9, 5 * 16, 4 * (4 * 9 + 4)
    picojoules = (conv + linear) * (MULT + ADD)
    picojoules += ADD * (32 + 16 + 4 * 9) + ADD * (16 + 5)
    picojoules += conv * (word_pj(MODEL, 4 * 32) + word_pj(MODEL, parameters))
    picojoules += 16 * word_pj(MODEL, 4 * 16) + linear * word_pj(MODEL, 4 * 80)
    picojoules += 16 * (ADD + word_pj(MODEL, parameters))
    picojoules += 16 * word_pj(MODEL, 4 * 16) + 5 * word_pj(MODEL, 4 * 5)
    assert energies.pop() == pytest.approx(picojoules * 1e-9)


def test_attention_is_left_out_and_said_so(nets: Any) -> None:
    graph = nets.attention(values_first=True)
    x = np.ones((1, nets.STEPS, 3, 4))
    document = memory_document("n", count(graph, x), graph, MODEL, {"samples": 1})
    assert "matmul" not in {layer["op"] for layer in document["layers"]}
    assert any("attention" in each for each in document["leaves_out"])


def test_a_current_that_outlasts_a_step_is_charged_as_a_potential_that_leaks(nets: Any) -> None:
    """Once a step and neuron: a multiplication and addition, a word read and one written."""
    plain = convolution(nets)
    lasts = IntegerCurrent(name="i", inputs=("c",), decay=1000, shift=0, steps=nets.STEPS)
    made = []
    for op in plain.ops:
        made += [lasts, replace(op, inputs=("i",))] if op.name == "n" else [op]
    graph = plain.replace(made)
    before = works(count(plain, spikes(nets)), plain, MODEL)["n"]
    after = works(count(graph, spikes(nets)), graph, MODEL)["n"]
    runs = 2 * nets.STEPS * 16
    assert (before.mac, after.mac) == (runs, 2 * runs)
    assert after.potentials == (*before.potentials, (2 * runs, 4 * 16))
