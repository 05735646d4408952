"""Integers that no input drives out of the widths: proved, and tried at the worst inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from snncc.execute.measure import run_floats
from snncc.ir import ops
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.interpret import interpret
from snncc.passes.fit_widths import _fit, fitted
from snncc.passes.quantize import Calibration, Quantize, Quantized
from snncc.targets.load import load_target

CHIP = load_target("loihi2")


def perceptron(inputs: int = 400, gain: float = 1.0, neuron: dict[str, Any] | None = None) -> Graph:
    """Pixels into sixteen neurons, each channel with weights of a size of its own; then four."""
    random = np.random.default_rng(3)
    sizes = gain * np.linspace(0.02, 0.2, 16)[:, None]
    weights: dict[str, Array] = {
        "a.w": random.uniform(-1, 1, (16, inputs)) * sizes, "a.b": random.normal(0, 0.1, 16),
        "b.w": random.normal(0, 0.3, (4, 16)),
    }  # fmt: skip
    made: tuple[Op, ...] = (
        ops.Input(name="x", shape=(inputs,)),
        ops.Repeat(name="r", inputs=("x",)),
        ops.Linear(name="a", inputs=("r",), weight="a.w", bias="a.b"),
        ops.Neuron(name="n", inputs=("a",), **(neuron or {})),
        ops.Linear(name="b", inputs=("n",), weight="b.w"),
        ops.Neuron(name="m", inputs=("b",)),
        ops.Readout(name="ro", inputs=("m",), steps=4),
        ops.Output(name="y", inputs=("ro",)),
    )
    return Graph(made, weights, "step", 4)


def pixels(inputs: int = 400, levels: int = 255) -> Array:
    return np.random.default_rng(5).integers(0, levels + 1, (16, inputs)) / levels


def options(graph: Graph, x: Array, **more: Any) -> Quantize:
    data = Calibration(x, run_floats(graph, x).mean_inputs)
    return Quantize(CHIP.arithmetic, CHIP.features, data, **more)


def codes(made: Quantized) -> list[str]:
    return [each.rule.code for each in made.found]


def potentials(graph: Graph, x: Array) -> tuple[int, int]:
    """The least and the largest potential of the first neurons at the compare."""
    op = cast(ops.IntegerNeuron, graph["n"])
    received = interpret(graph, x)[op.inputs[0]].astype(np.int64) << op.shift
    threshold = cast(Array, graph.weights[op.threshold])
    lows, highs, v = [], [], np.zeros(received.shape[1:], np.int64)
    for current in received:
        kept = np.abs(v) * (4096 - op.decay) // 4096
        v = np.sign(v) * kept + current
        lows.append(v.min())
        highs.append(v.max())
        v = np.where(v >= threshold, 0, v)
    return int(min(lows)), int(max(highs))


def worst(graph: Graph) -> Array:
    """For each neuron the images that drive it as far up and as far down as any."""
    weight = cast(Array, graph.weights["a.w" if "a.w" in graph.weights else "a.weight"])
    return np.concatenate([weight > 0, weight < 0]).astype(np.float64)


NEURONS: dict[str, dict[str, Any]] = {
    "leaky": {}, "whole": {"tau": None}, "soft": {"v_reset": None},
    "rounded": {"tau": 2.3}, "kept": {"decay_input": False}, "levels": {"tau": None, "levels": 4},
}  # fmt: skip


@pytest.mark.parametrize("kind", NEURONS)
def test_no_input_leaves_the_width(kind: str) -> None:
    graph, x = perceptron(neuron=NEURONS[kind]), pixels()
    plain = options(graph, x).quantize(graph)
    made = fitted(options(graph, x), graph)
    assert "SNN302" in codes(plain)
    assert set(codes(made)) == {"SNN306"}
    assert all(layer.plan.proved for layer in made.layers)


def test_the_worst_images_stay_within_and_come_near() -> None:
    graph, x = perceptron(), pixels()
    plain, made = options(graph, x).quantize(graph), fitted(options(graph, x), graph)
    limit = (1 << 23) - 1
    low, high = potentials(made.graph, worst(made.graph))
    assert -limit <= low < -0.9 * limit
    assert 0 < high <= limit
    assert potentials(plain.graph, worst(plain.graph))[0] < -limit


def test_what_fits_is_left_as_it_is() -> None:
    graph, x = perceptron(inputs=20, gain=0.2), pixels(20)
    assert fitted(options(graph, x), graph).graph == options(graph, x).quantize(graph).graph


def test_only_channels_that_reach_too_far_are_coarser() -> None:
    """Two channels read five pixels each, the others all four hundred."""
    graph, x = perceptron(gain=2), pixels(levels=15)
    weight = cast(Array, graph.weights["a.w"]).copy()
    weight[:2, 5:] = 0
    given = options(graph, x)
    graph = replace(graph, weights={**graph.weights, "a.w": weight})
    plain, made = given.quantize(graph), _fit(given, graph).made
    before, after = (
        np.abs(cast(Array, q.graph.weights["a.weight"])).max(axis=1) for q in (plain, made)
    )
    assert (after[:2] == before[:2]).all()
    assert (after[2:] < before[2:]).all()


def test_the_width_is_shared_between_weights_and_input() -> None:
    """Fewer bits of input where weights win more; an input of 16 levels keeps all of them."""
    graph = perceptron(inputs=784)
    made = fitted(options(graph, pixels(784)), graph)
    entry = cast(Any, made.graph.of_kind("input")[0])
    assert entry.domain.hi < 64
    assert "the input is read in" in made.found[0].message
    few = pixels(784, levels=15)
    kept = fitted(options(graph, few), graph)
    assert cast(Any, kept.graph.of_kind("input")[0]).domain.hi == 15


def test_spikes_are_nearer_than_with_coarser_weights_alone() -> None:
    graph, x = perceptron(inputs=784), pixels(784)
    real, given = interpret(graph, x)["n"], options(graph, x)
    alone = _fit(given, graph).made
    shared, alike = (
        float((interpret(made.graph, x)["n"] == real).mean())
        for made in (fitted(given, graph), alone)
    )
    assert shared > 0.97
    assert shared > alike


@pytest.mark.parametrize("bits", range(2, 9))
def test_every_width_of_the_input_is_proved(bits: int) -> None:
    """Where rounding of weights keeps a bound above the limit, later rounds go further."""
    graph, x = perceptron(inputs=784), pixels(784)
    assert _fit(options(graph, x, input_bits=bits), graph).proved
