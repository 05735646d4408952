"""Stored tensors that are added to currents: they count as the current does, channel by channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.ir import domain as dom
from snncc.ir import ops
from snncc.ir.graph import Array, Graph, Op, Shape
from snncc.ir.interpret import interpret
from snncc.ir.synaptic_current import SynapticCurrent
from snncc.passes.quantize import Calibration, Quantize, Quantized
from snncc.targets.load import load_target

STEPS, CHANNELS = 4, 3
SHAPES: dict[str, tuple[Shape, int, tuple[Shape, ...]]] = {
    "conv": ((2, 5, 5), 0, ((3, 1, 1), (3, 5, 5), (3, 5, 1))),
    "linear": ((2,), 0, ((3,),)),
    "tokens": ((4, 2), 1, ((3,), (4, 3), (1, 3))),
}
"""What a layer reads, where its channels are then, and what may be added to them."""


def along(numbers: Array, axis: int, rank: int) -> Array:
    return numbers.reshape(-1, *(1,) * (rank - axis - 1))


def network(
    kind: str, weight: Array, value: Array, *, keep: float | None = None, first: bool = False,
    more: tuple[Op, ...] = (),
) -> Graph:  # fmt: skip
    """Return a layer, what is kept of its current, and a stored tensor that is added to it."""
    window: dict[str, Any] = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)}
    layer: Op = ops.Linear(name="a", inputs=("x",), weight="a.w")
    if kind == "conv":
        layer = ops.Conv(name="a", inputs=("x",), weight="a.w", **window)
    kept = () if keep is None else (SynapticCurrent(name="c", inputs=("a",), keep=keep),)
    read = "c" if kept else "a"
    made = (
        ops.Input(name="x", shape=SHAPES[kind][0], varies=True, domain=dom.SPIKE, scale=1.0),
        layer, *kept, ops.Constant(name="p", value="p.v"),
        ops.Add(name="s", inputs=("p", read) if first else (read, "p")), *more,
        ops.Neuron(name="n", inputs=(more[-1].name if more else "s",), v_threshold=1.0),
        ops.Readout(name="o", inputs=("n",), steps=STEPS), ops.Output(name="y", inputs=("o",)),
    )  # fmt: skip
    return Graph(made, {"a.w": weight, "p.v": value}, "step", STEPS)


def quantized(graph: Graph, target: str = "loihi2") -> Quantized:
    chip, (entry, *_) = load_target(target), graph.ops
    calibration = Calibration(np.ones((2, *graph.type_of(entry.name).shape)))
    return Quantize(chip.arithmetic, chip.features, calibration).quantize(graph)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from(list(SHAPES)), st.booleans(), st.booleans(),
    st.data(),
)  # fmt: skip
def test_whole_numbers_times_a_step_a_channel_come_back(
    seed: int, kind: str, lasting: bool, first: bool, data: st.DataObject
) -> None:
    rng, (shape, axis, choices) = np.random.default_rng(seed), SHAPES[kind]
    size = (CHANNELS, 2, 3, 3) if kind == "conv" else (CHANNELS, 2)
    whole = rng.integers(-127, 128, size)
    whole.reshape(CHANNELS, -1)[:, :2] = 127, 126
    added = rng.integers(-300, 300, data.draw(st.sampled_from(choices)))
    steps = rng.uniform(0.001, 0.02, CHANNELS)
    graph = network(
        kind, whole * along(steps, 0, whole.ndim),
        added * along(steps, axis - len(shape) + added.ndim, added.ndim),
        keep=0.5 if lasting else None, first=first,
    )  # fmt: skip
    found = quantized(graph)
    places = 6 if lasting else 0
    assert [layer.exact for layer in found.weights] == [True]
    np.testing.assert_array_equal(found.graph.weights["a.weight"], whole)
    np.testing.assert_array_equal(found.graph.weights["p.value"], added << places)
    x = rng.integers(0, 2, (STEPS, 5, *shape)).astype(float)
    before, after = interpret(graph, x)["s"], interpret(found.graph, x)["s"]
    real = after * along(steps, axis, len(shape)) / 2**places
    off = np.abs(real - before).max() / steps.max()
    assert off <= (STEPS / 2**places if lasting else 1e-9)


@pytest.mark.parametrize(
    ("value", "more"),
    [
        (np.full(1, 0.4), ()),
        (np.array(0.4), ()),
        (np.array([0.4, 0.5, 0.6]), (ops.Add(name="t", inputs=("s", "p")),)),
    ],
    ids=["one number", "no axis", "read twice"],
)
def test_what_has_no_channels_of_its_own_keeps_one_unit_a_layer(
    value: Array, more: tuple[Op, ...]
) -> None:
    rng = np.random.default_rng(2)
    weight = rng.normal(size=(CHANNELS, 2)) * np.array([[1.0], [2.0], [3.0]])
    found = quantized(network("linear", weight, value, more=more))
    (layer,) = found.layers
    assert layer.scale_low == layer.scale_high
    unit = layer.scale_low
    np.testing.assert_array_equal(found.graph.weights["p.value"], np.rint(value / unit))


def test_integers_of_a_file_are_lost_where_one_number_meets_every_channel() -> None:
    graph = network("linear", np.array([[3.0, 1.0], [5.0, 2.0], [7.0, 3.0]]), np.array(4.0))
    fires: dict[str, Any] = {"tau": None, "decay_input": False, "grain": "n.g", "places": 6}
    neuron = ops.Neuron(name="n", inputs=("s",), v_threshold=20.0, v_reset=0.0, **fires)
    made = [neuron if op.name == "n" else op for op in graph.ops]
    weights = {**graph.weights, "n.g": np.array([1.0, 2.0, 3.0]) / 64}
    (found,) = quantized(graph.replace(made, weights)).found
    said = "the thresholds of `n` differ, and what meets there has one unit a layer"
    assert (found.rule.code, said in found.message) == ("SNN305", True)


def test_a_target_with_one_threshold_a_layer_has_one_unit_a_layer() -> None:
    weight = np.array([[1.0, 0.2], [2.0, 0.1], [3.0, 0.7]])
    (layer,) = quantized(network("linear", weight, np.array([0.4, 0.5, 0.6])), "loihi1").layers
    assert layer.scale_low == layer.scale_high


def joined(*sums: tuple[str, str, str], **values: Array) -> Graph:
    """Return spikes `x`, a layer `l`, stored tensors and sums of them; the last fires."""
    stored = [ops.Constant(name=name, value=f"{name}.v") for name in values]
    made = (
        ops.Input(name="x", shape=(3,), varies=True, domain=dom.SPIKE, scale=1.0), *stored,
        ops.Linear(name="l", inputs=("x",), weight="l.w"),
        *(ops.Add(name=name, inputs=(one, other)) for name, one, other in sums),
        ops.Neuron(name="n", inputs=(sums[-1][0],), v_threshold=1.3),
        ops.Readout(name="o", inputs=("n",), steps=STEPS), ops.Output(name="y", inputs=("o",)),
    )  # fmt: skip
    weights = {f"{name}.v": value for name, value in values.items()}
    layer = np.random.default_rng(3).normal(size=(3, 3))
    return Graph(made, {**weights, "l.w": layer}, "step", STEPS)


HALVES = np.array([0.5, 1.0, 1.5])


@pytest.mark.parametrize(
    "graph",
    [
        joined(("a", "k", "l"), ("b", "a", "x"), k=np.ones(3)),
        joined(("a", "l", "k"), ("b", "a", "x"), k=np.ones(3)),
        joined(("a", "k", "x"), ("b", "k", "l"), ("c", "a", "b"), k=np.ones(3)),
        joined(("a", "k", "l"), ("b", "k", "x"), ("c", "a", "b"), k=np.ones(3)),
        joined(("a", "k", "h"), ("b", "a", "x"), k=np.ones(3), h=HALVES),
        joined(("a", "h", "k"), ("b", "a", "x"), k=np.ones(3), h=HALVES),
    ],
)
def test_what_is_no_count_of_the_spikes_it_meets_is_refused(graph: Graph) -> None:
    assert {d.rule.code for d in quantized(graph).found} == {"SNN301"}


def test_stored_counts_that_meet_before_spikes_are_counts() -> None:
    graph = joined(("a", "k", "h"), ("b", "a", "x"), k=np.ones(3), h=2 * HALVES)
    x = np.random.default_rng(4).integers(0, 2, (STEPS, 9, 3)).astype(float)
    found = quantized(graph).graph
    np.testing.assert_array_equal(interpret(found, x)["b"], interpret(graph, x)["b"])
