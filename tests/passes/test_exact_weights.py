"""Weights that are whole numbers of a step already come out of quantizing as those numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from snncc.execute.measure import run_floats
from snncc.ir import domain as dom
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.interpret import interpret
from snncc.ir.ops import (
    Add,
    BatchNorm,
    Constant,
    Conv,
    Input,
    Linear,
    Neuron,
    Output,
    Readout,
    Repeat,
    Scale,
)
from snncc.ir.synaptic_current import SynapticCurrent
from snncc.passes.base import run_passes
from snncc.passes.fold_batch_norm import FoldBatchNorm
from snncc.passes.neuron_integers import falls_between_counts
from snncc.passes.quantize import Calibration, Quantize, Quantized
from snncc.targets.load import load_target

STEPS = 4


def conv(name: str, reads: str, bias: str | None = None) -> Conv:
    return Conv(
        name=name, inputs=(reads,), weight=f"{name}.w", bias=bias,
        stride=(1, 1), padding=(1, 1), dilation=(1, 1),
    )  # fmt: skip


def network(weights: dict[str, Array], *middle: Op, last: str = "n") -> Graph:
    ops = (
        Input(name="x", shape=(2, 5, 5)), Repeat(name="r", inputs=("x",)), *middle,
        Readout(name="o", inputs=(last,), steps=STEPS), Output(name="y", inputs=("o",)),
    )  # fmt: skip
    return Graph(ops, weights, "step", STEPS)


def counts(rng: np.random.Generator, *shape: int, most: int = 127) -> Array:
    """Whole numbers without a common divisor, in each channel."""
    found = rng.integers(-most, most + 1, shape)
    rows = found.reshape(shape[0], -1)
    rows[:, 0], rows[:, 1] = most, most - 1
    return found


def samples(rng: np.random.Generator) -> Array:
    x = rng.integers(0, 9, (3, 2, 5, 5)) / 8
    x[0, 0, 0, 0] = 1.0
    return x


def stored(graph: Graph, name: str) -> Array:
    return cast(Array, graph.weights[name])


def quantized(graph: Graph, x: Array, target: str = "loihi2", bits: int = 8) -> Quantized:
    chip = load_target(target)
    calibration = Calibration(x, run_floats(graph, x).mean_inputs)
    return Quantize(chip.arithmetic, chip.features, calibration, bits).quantize(graph)


def two_layers(seed: int, *, kind: type = np.float32) -> tuple[Graph, dict[str, Array]]:
    """Two layers of whole numbers times a step of each channel, biases whole too.

    They are small enough for their potentials to be exact in 24 bits.
    """
    rng = np.random.default_rng(seed)
    whole = {"a.w": counts(rng, 4, 2, 3, 3, most=100), "b.w": counts(rng, 3, 4, 3, 3, most=90),
             "a.b": rng.integers(-400, 400, 4), "b.b": rng.integers(-200, 200, 3)}  # fmt: skip
    scale = {"a": rng.uniform(0.001, 0.02, 4), "b": rng.uniform(0.001, 0.02, 3)}
    units = {"a": 8 * scale["a"], "b": scale["b"]}
    weights: dict[str, Array] = {}
    for name, value in whole.items():
        unit = units[name[0]] if name.endswith("w") else scale[name[0]]
        weights[name] = (value * unit.reshape(-1, *(1,) * (value.ndim - 1))).astype(kind)
    # An input of eighths makes a count of the first layer an eighth of its step.
    middle = (
        conv("a", "r", "a.b"), Neuron(name="s", inputs=("a",), v_threshold=1.0),
        conv("b", "s", "b.b"), Neuron(name="n", inputs=("b",), v_threshold=0.3),
    )  # fmt: skip
    return network(weights, *middle), whole


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_integers_times_random_steps_come_back_and_fire_the_same(seed: int) -> None:
    graph, whole = two_layers(seed, kind=np.float64)
    x = samples(np.random.default_rng(seed))
    found = quantized(graph, x)
    for name in ("a", "b"):
        assert np.array_equal(stored(found.graph, f"{name}.weight"), whole[f"{name}.w"])
        assert np.array_equal(stored(found.graph, f"{name}.bias"), whole[f"{name}.b"])
    assert [(w.exact, w.exact_bias) for w in found.weights] == [(True, True)] * 2
    assert all(layer.plan.exact for layer in found.layers)
    before, after = interpret(graph, x), interpret(found.graph, x)
    assume(before["n"].any())
    assert np.array_equal(before["s"], after["s"])
    assert np.array_equal(before["n"], after["n"])


def test_the_noise_of_32_bit_floats_breaks_nothing() -> None:
    graph, whole = two_layers(1)
    found = quantized(graph, samples(np.random.default_rng(1)))
    assert np.array_equal(stored(found.graph, "a.weight"), whole["a.w"])
    assert np.array_equal(stored(found.graph, "b.bias"), whole["b.b"])


@pytest.mark.parametrize("share", [1e-3, 1e-4])
def test_what_lies_beside_a_grid_is_rounded_as_before(share: float) -> None:
    graph, _ = two_layers(2)
    moved = np.array(stored(graph, "a.w"))
    moved[1, 1, 1, 1] += share * np.abs(moved[1]).max()
    found = quantized(replace(graph, weights={**graph.weights, "a.w": moved}),
                      samples(np.random.default_rng(2)))  # fmt: skip
    assert [w.exact for w in found.weights] == [False, True]
    assert found.weights[0].reason == "they are multiples of no step"
    assert np.abs(stored(found.graph, "a.weight")).max() == 127


def test_whole_numbers_stay_what_they_are_though_all_are_even() -> None:
    rng = np.random.default_rng(3)
    whole = 2 * rng.integers(-20, 21, (4, 2, 3, 3))
    graph = network({"a.w": whole.astype(np.float32)}, conv("a", "r"),
                    Neuron(name="n", inputs=("a",), v_threshold=31.0))  # fmt: skip
    x = rng.integers(0, 9, (3, 2, 5, 5)).astype(np.float32)
    x[0, 0, 0, 0] = 7
    for target in ("loihi2", "loihi1"):
        found = quantized(graph, x, target)
        assert np.array_equal(stored(found.graph, "a.weight"), whole)
        assert np.array_equal(interpret(found.graph, x)["n"], interpret(graph, x)["n"])


def test_one_step_a_layer_where_the_target_has_one_threshold_a_layer() -> None:
    graph, whole = two_layers(4)
    x = samples(np.random.default_rng(4))
    assert not any(w.exact for w in quantized(graph, x, "loihi1").weights)
    same = {name: 0.25 * whole[name] for name in ("a.w", "b.w")}
    same |= {"a.b": whole["a.b"] / 32, "b.b": whole["b.b"] / 4}
    found = quantized(replace(graph, weights=same), x, "loihi1")
    assert np.array_equal(stored(found.graph, "a.weight"), whole["a.w"])
    assert np.array_equal(stored(found.graph, "b.bias"), whole["b.b"])
    assert stored(found.graph, "n.threshold").size == 1


def test_a_batch_norm_makes_a_step_of_each_channel() -> None:
    rng = np.random.default_rng(5)
    whole = counts(rng, 4, 2, 3, 3)
    norm = {name: rng.uniform(0.5, 2, 4) for name in ("m.gamma", "m.var")}
    norm |= {"m.beta": np.zeros(4), "m.mean": np.zeros(4)}
    batch_norm = BatchNorm(name="m", inputs=("a",), gamma="m.gamma", beta="m.beta", mean="m.mean",
                           var="m.var", eps=1e-5, axis=0)  # fmt: skip
    graph = network({"a.w": 0.013 * whole, **norm}, conv("a", "r"), batch_norm,
                    Neuron(name="n", inputs=("m",)))  # fmt: skip
    folded = run_passes(graph, [FoldBatchNorm()]).graph
    found = quantized(folded, samples(rng))
    assert np.array_equal(stored(found.graph, "a.weight"), whole)
    assert stored(found.graph, "n.threshold").shape == (4, 1, 1)


def stream(seed: int, ratio: Array) -> tuple[Graph, dict[str, Array]]:
    """Two layers that add up into one stream, their steps ``ratio`` apart."""
    rng = np.random.default_rng(seed)
    whole = {"a.w": counts(rng, 4, 2, 3, 3, most=60), "b.w": counts(rng, 4, 4, 3, 3)}
    steps = rng.uniform(0.01, 0.02, (4, 1, 1, 1))
    weights = {"a.w": whole["a.w"] * steps * 8, "b.w": whole["b.w"] * steps * ratio}
    middle = (
        conv("a", "r"), Neuron(name="s", inputs=("a",), v_threshold=1.0), conv("b", "s"),
        Add(name="sum", inputs=("a", "b")), Neuron(name="n", inputs=("sum",), v_threshold=3.0),
    )  # fmt: skip
    return network(weights, *middle), whole


def test_members_of_a_stream_share_a_step_and_shifts_make_up_the_rest() -> None:
    graph, whole = stream(6, np.array(16.0))
    x = samples(np.random.default_rng(6))
    found = quantized(graph, x)
    assert np.array_equal(stored(found.graph, "a.weight"), whole["a.w"])
    assert np.array_equal(stored(found.graph, "b.weight"), whole["b.w"])
    a, b = found.graph["a"], found.graph["b"]
    assert isinstance(a, Conv)
    assert isinstance(b, Conv)
    assert (a.shift, b.shift) == (0, 4)
    assert np.array_equal(interpret(graph, x)["n"], interpret(found.graph, x)["n"])


def test_a_stream_whose_members_share_no_step_is_rounded_as_a_whole() -> None:
    graph, _ = stream(7, np.array(np.pi))
    found = quantized(graph, samples(np.random.default_rng(7)))
    assert [w.exact for w in found.weights] == [False, False]


@pytest.mark.parametrize(("value", "exact"), [(2.0, True), (0.37, False)])
def test_a_stored_tensor_that_a_stream_meets_has_to_be_whole_too(value: float, exact: bool) -> None:
    graph, whole = stream(8, np.array(1.0))
    n = graph["n"]
    met = (
        *graph.ops[: graph.ops.index(n)], Constant(name="p", value="p.v"),
        Add(name="q", inputs=("sum", "p")), replace(n, inputs=("q",)), *graph.ops[-2:],
    )  # fmt: skip
    weights = {**{k: v.astype(float) for k, v in whole.items()}, "p.v": np.full((4, 5, 5), value)}
    x = 8 * samples(np.random.default_rng(8))
    found = quantized(replace(graph, ops=met, weights=weights), x)
    assert [w.exact for w in found.weights] == [exact, exact]


@pytest.mark.parametrize(
    ("between", "value", "exact"),
    [
        (Scale(name="c", inputs=("a",), factor=2.0), 3.0, False),
        (Scale(name="c", inputs=("a",), factor=2.0), 4.0, True),
        (SynapticCurrent(name="c", inputs=("a",), keep=0.5), 3 / 64, True),
    ],
    ids=["between two counts of what it meets", "on a count", "beside a finer current"],
)
def test_a_stored_tensor_is_held_to_the_counts_that_it_meets(
    between: Op, value: float, exact: bool
) -> None:
    graph = network(
        {"a.w": counts(np.random.default_rng(15), 4, 2, 3, 3) * 1.0, "p.v": np.array(value)},
        conv("a", "r"), between, Constant(name="p", value="p.v"),
        Add(name="q", inputs=("c", "p")), Neuron(name="n", inputs=("q",), v_threshold=900.0),
    )  # fmt: skip
    found = quantized(graph, 8 * samples(np.random.default_rng(15)))
    assert [w.exact for w in found.weights] == [exact]
    if exact:
        assert stored(found.graph, "p.value") == value * (64 if value < 1 else 0.5)


def test_biases_that_are_no_whole_steps_make_the_unit_finer_by_powers_of_two() -> None:
    rng = np.random.default_rng(9)
    whole = rng.integers(-3, 4, (4, 10))
    whole[:, :2] = [3, 2]
    bias = rng.integers(-40, 40, 4) / 8
    head = Linear(name="a", inputs=("r",), weight="a.w", bias="a.b")
    ops: tuple[Op, ...] = (
        Input(name="x", shape=(10,)), Repeat(name="r", inputs=("x",)), head,
        Neuron(name="n", inputs=("a",), v_threshold=5.0),
        Readout(name="o", inputs=("n",), steps=STEPS), Output(name="y", inputs=("o",)),
    )  # fmt: skip
    x = rng.integers(0, 2, (3, 10)).astype(np.float64)
    graph = Graph(ops, {"a.w": whole * 1.0, "a.b": bias}, "step", STEPS)
    found = quantized(graph, x)
    taken = stored(found.graph, "a.weight").astype(np.float64)
    factor = taken[:, 0] / 3
    assert np.array_equal(taken, whole * factor[:, None])
    assert set(factor) <= {1.0, 2.0, 4.0, 8.0}
    assert np.array_equal(stored(found.graph, "a.bias"), bias * factor)
    rough = replace(graph, weights={"a.w": whole * 1.0, "a.b": bias + 0.3})
    found = quantized(rough, x)
    assert [(w.exact, w.exact_bias) for w in found.weights] == [(True, False)]
    np.testing.assert_allclose(stored(found.graph, "a.bias"), (bias + 0.3) * 32, atol=0.5)


def of_signs(keep: float | None, tau: float, level: float, steps: int) -> Graph:
    """One layer whose weights are 1 or -1, its current kept where there is a share to keep."""
    signs = np.where(np.random.default_rng(12).random((8, 16)) < 0.5, -1.0, 1.0)
    current = () if keep is None else (SynapticCurrent(name="c", inputs=("a",), keep=keep),)
    ops: tuple[Op, ...] = (
        Input(name="x", shape=(16,), varies=True, domain=dom.SPIKE, scale=1.0),
        Linear(name="a", inputs=("x",), weight="a.w"), *current,
        Neuron(name="n", inputs=("c" if current else "a",), tau=tau, decay_input=False,
               v_threshold=level, v_reset=0.0, strict=True),
        Readout(name="o", inputs=("n",), steps=steps), Output(name="y", inputs=("o",)),
    )  # fmt: skip
    return Graph(ops, {"a.w": signs}, "step", steps)


@settings(max_examples=25, deadline=None)
@given(
    keep=st.none() | st.floats(0.1, 0.9), tau=st.floats(1.1, 8), level=st.floats(1.5, 4),
    steps=st.integers(3, 6),
)  # fmt: skip
def test_a_threshold_between_counts_makes_the_unit_as_fine_as_weights_allow(
    keep: float | None, tau: float, level: float, steps: int
) -> None:
    graph = of_signs(keep, tau, level, steps)
    found = quantized(graph, np.ones((2, steps, 16)))
    taken = stored(found.graph, "a.weight").astype(float)
    scale = np.abs(taken).max()
    assert [w.exact for w in found.weights] == [True]
    assert np.array_equal(taken, stored(graph, "a.w") * scale)
    (layer,) = found.layers
    neuron = graph["n"]
    assert isinstance(neuron, Neuron)
    if falls_between_counts(neuron, steps, lasting=keep is not None):
        one = scale * 2 ** (6 if keep else layer.plan.shift)
        assert abs((layer.plan.threshold.item() - 1) / one - level) <= 33 / one
        assert scale == 64 or abs(level * scale - round(level * scale)) < 1e-4


@pytest.mark.parametrize("keep", [None, 0.3, 0.77])
@pytest.mark.parametrize("tau", [1.3, 3.0, 5.5])
def test_weights_of_one_size_fire_as_their_floats_do(keep: float | None, tau: float) -> None:
    graph = of_signs(keep, tau, 1.83, STEPS)
    x = (np.random.default_rng(13).random((STEPS, 400, 16)) < 0.4).astype(float)
    found = quantized(graph, x.swapaxes(0, 1))
    before, after = interpret(graph, x)["n"], interpret(found.graph, x)["n"]
    assert 0.1 < before.mean() < 0.5
    assert (before != after).mean() < 0.002


def test_a_threshold_of_whole_counts_leaves_whole_weights_what_they_are() -> None:
    graph = of_signs(0.5, 3.0, 4.0, STEPS)
    found = quantized(graph, (np.random.default_rng(14).random((3, STEPS, 16)) < 0.4).astype(float))
    assert np.array_equal(stored(found.graph, "a.weight"), stored(graph, "a.w"))
    assert np.array_equal(stored(found.graph, "n.threshold"), [4 * 64 + 1])


def test_weights_wider_than_their_bits_are_kept_where_their_lowest_bits_are_empty() -> None:
    rng = np.random.default_rng(10)
    whole = rng.integers(-127, 128, (4, 2, 3, 3))
    whole[:, 0, 0, 0], whole[:, 0, 0, 1] = 127, 2
    x = rng.integers(0, 2, (3, 2, 5, 5)).astype(np.float64)
    for factor, bits, exact in ((8.0, 8, True), (1.0, 8, True), (1.0, 6, False), (8.0, 6, False)):
        graph = network({"a.w": whole * factor}, conv("a", "r"),
                        Neuron(name="n", inputs=("a",), v_threshold=900.0))  # fmt: skip
        found = quantized(graph, x, bits=bits)
        assert [w.exact for w in found.weights] == [exact]
        if exact:
            op = found.graph["a"]
            assert isinstance(op, Conv)
            assert np.array_equal(stored(found.graph, "a.weight").astype(int) << op.shift,
                                  whole * int(factor))  # fmt: skip


@pytest.mark.parametrize("keep", [None, 0.8])
@pytest.mark.parametrize("factor", [1, 8, 32])
def test_the_proof_of_the_width_counts_the_lowest_bits_that_are_empty(
    factor: int, keep: float | None
) -> None:
    graph = of_signs(keep, 2.0, 4.0 * factor, STEPS)
    weight = factor * np.abs(counts(np.random.default_rng(16), 8, 16))
    graph = replace(graph, weights={"a.w": weight.astype(np.float64)})
    every = np.ones((STEPS, 2, 16))
    found = quantized(graph, every.swapaxes(0, 1))
    op, (layer,) = found.graph["a"], found.layers
    assert isinstance(op, Linear)
    assert 1 << op.shift == factor
    values = interpret(found.graph, every)
    reads = found.graph["n"].inputs[0]
    reached = np.abs(values[reads].astype(np.int64)).max() << layer.plan.shift
    assert reached <= layer.plan.bound
    domain = dom.whole(found.graph.type_of(reads).domain)
    assert domain is not None
    assert domain.lo <= values[reads].min() <= values[reads].max() <= domain.hi


def test_a_channel_without_weights_takes_part() -> None:
    rng = np.random.default_rng(11)
    whole = counts(rng, 4, 2, 3, 3)
    whole[2] = 0
    weights = {"a.w": 0.07 * whole, "a.b": 0.07 * np.array([1, 2, 3, 4])}
    graph = network(weights, conv("a", "r", "a.b"),
                    Neuron(name="n", inputs=("a",)))  # fmt: skip
    x = rng.integers(0, 2, (3, 2, 5, 5)).astype(np.float64)
    found = quantized(graph, x)
    assert np.array_equal(stored(found.graph, "a.weight"), whole)
    assert np.array_equal(stored(found.graph, "a.bias"), [1, 2, 3, 4])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_weights_are_rounded(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = network(
        {"a.w": rng.normal(size=(4, 2, 3, 3))}, conv("a", "r"), Neuron(name="n", inputs=("a",))
    )
    found = quantized(graph, samples(rng))
    assert [(w.exact, w.exact_bias) for w in found.weights] == [(False, None)]
