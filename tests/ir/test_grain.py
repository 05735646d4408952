"""Neurons whose potentials lie on a grain leak as a chip's integers do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.backends.nir.nodes import nir_nodes
from snncc.diagnostics.core import SnnccError
from snncc.execute.executor import Executor
from snncc.execute.measure import run_floats
from snncc.ir.graph import Array, Graph, IRError
from snncc.ir.interpret import interpret
from snncc.ir.memory import integer_neuron_step, neuron_step
from snncc.ir.ops import Input, IntegerNeuron, Linear, Neuron, Output, Readout, Scale
from snncc.passes.base import run_passes
from snncc.passes.fold_scales import FoldScales

STEPS = 12


@settings(deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 4096), st.sampled_from(["hard", "soft"]),
    st.floats(0.001, 1000),
)  # fmt: skip
def test_they_are_the_integers_times_the_grain(
    seed: int, decay: int, reset: str, scale: float
) -> None:
    """For any leak of 4096ths, and a grain that is no power of two."""
    rng = np.random.default_rng(seed)
    currents = rng.integers(-300, 300, (STEPS, 20))
    vth = int(rng.integers(1, 500))
    whole = IntegerNeuron(
        name="n", inputs=("x",), threshold="t", decay=decay, shift=6,
        reset="hard" if reset == "hard" else "soft",
    )  # fmt: skip
    real = Neuron(
        name="n", inputs=("x",), tau=4096 / decay, decay_input=False,
        v_threshold=scale * (vth - 1 / 128),
        v_reset=0.0 if reset == "hard" else None, v_subtract=scale * vth, grain="g",
    )  # fmt: skip
    grain = np.array([scale / 64])
    threshold, u, v = np.array(64 * vth), None, None
    for x in currents:
        fired, _, u = integer_neuron_step(whole, threshold, x, u)
        spikes, _, v = neuron_step(real, x * scale, v, grain)
        assert np.array_equal(fired, spikes)
        np.testing.assert_allclose(np.rint(v / grain), u)


def network(**fields: Any) -> Graph:
    rng = np.random.default_rng(0)
    given: dict[str, Any] = {
        "tau": 4096 / 123,
        "decay_input": False,
        "v_threshold": 40 + 1 / 128,
        **fields,
    }
    weights: dict[str, Array] = {
        "l.w": rng.integers(-50, 60, (6, 9)).astype(np.float64), "g": np.full(6, 1 / 64),
    }  # fmt: skip
    ops = (
        Input(name="x", shape=(9,), varies=True),
        Linear(name="l", inputs=("x",), weight="l.w"),
        Neuron(name="n", inputs=("l",), grain="g", **given),
        Readout(name="o", inputs=("n",), steps=STEPS),
        Output(name="y", inputs=("o",)),
    )  # fmt: skip
    return Graph(ops, weights, "step", STEPS)


def spikes_in(samples: int = 5) -> Array:
    return np.random.default_rng(1).integers(0, 2, (STEPS, samples, 9)).astype(np.float64)


def test_the_executor_computes_what_the_interpreter_does_and_counts_it() -> None:
    graph, x = network(), spikes_in()
    assert np.array_equal(Executor(graph).run(x, keep=("n",)).values["n"], interpret(graph, x)["n"])
    ran = run_floats(graph, x.swapaxes(0, 1))
    assert ran.counts.ops["n"].spikes_out.sum() == interpret(graph, x)["n"].sum() > 0
    assert ran.excerpts["n"].potentials.sum() > 0


def test_a_factor_in_front_scales_the_grain_with_the_threshold() -> None:
    graph, x = network(), spikes_in()
    scale = Scale(name="s", inputs=("l",), factor=3.0)
    n = replace(cast(Neuron, graph["n"]), inputs=("s",), v_threshold=120 + 3 / 128)
    weights = {**graph.weights, "g": np.full(6, 3 / 64)}
    tripled = graph.replace([*graph.ops[:2], scale, n, *graph.ops[3:]], weights)
    folded = run_passes(tripled, [FoldScales()]).graph
    assert not folded.of_kind("scale")
    assert np.array_equal(interpret(folded, x)["n"], interpret(graph, x)["n"])


@pytest.mark.parametrize("fields", [
    {"decay_input": True}, {"v_reset": 0.5}, {"v_reset": None, "levels": 4},
])  # fmt: skip
def test_what_a_grain_does_not_fit_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(IRError, match="a grain is for neurons of one spike"):
        network(**fields).type_of("n")


def test_nir_has_no_word_for_it() -> None:
    with pytest.raises(SnnccError, match="its potential is rounded as it leaks"):
        nir_nodes(network())
    assert nir_nodes(network(tau=None)).nodes
