"""Constant factors end in thresholds and weights, or are reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.ir import ops
from snncc.ir.graph import Absent, Array, Graph, Op, Source, Weight
from snncc.ir.interpret import interpret
from snncc.ir.text import dump
from snncc.passes.base import run_passes
from snncc.passes.canonicalise import Canonicalise
from snncc.passes.fold_batch_norm import FoldBatchNorm
from snncc.passes.fold_scales import FoldScales
from snncc.passes.scale_paths import unfolded_scales
from snncc.passes.to_steps import ToSteps

RNG = np.random.default_rng(0)
WEIGHTS: dict[str, Weight] = {
    "l": RNG.normal(size=(4, 4)).astype(np.float32),
    "bias": RNG.normal(size=4).astype(np.float32),
    "w": RNG.normal(size=(4, 4, 3, 3)).astype(np.float32),
    "i": np.ones((4, 4), np.int8),
    "m": RNG.normal(size=4).astype(np.float32),
    "v": RNG.uniform(0.1, 2, 4).astype(np.float32),
    "c": RNG.normal(size=(1, 4)).astype(np.float32),
    "s": np.array([1.0, 2.0, 3.0, 4.0]),
}


def op(kind: type[Op], name: str, *inputs: str, **fields: Any) -> Op:
    """An op of the module `net.NAME`."""
    return kind(name=name, inputs=inputs, source=Source(f"net.{name}"), **fields)


def scale(name: str, read: str, factor: float = 0.125) -> Op:
    return op(ops.Scale, name, read, factor=factor)


def linear(name: str, read: str, **fields: Any) -> Op:
    return op(ops.Linear, name, read, **({"weight": "l", "bias": "bias"} | fields))


def norm(name: str, read: str) -> Op:
    return op(ops.BatchNorm, name, read, gamma=None, beta="m", mean="m", var="v", eps=0.0, axis=1)


def step(*made: Op, **weights: Weight) -> Graph:
    """A step graph that reads `x`, 4 by 4, at each of 3 steps, and answers `z`."""
    before = (
        op(ops.Input, "x", shape=(4, 4), varies=True),
        *made,
        op(ops.Output, "y", "z"),
    )
    return Graph(before, {}, "step", 3).replace(before, WEIGHTS | weights)


def folded(*made: Op, left: int = 0) -> Graph:
    """The graph after the pass; its values must be equal, and ``left`` factors stay."""
    graph = step(*made)
    result = run_passes(graph, [FoldScales()])
    x = np.random.default_rng(1).normal(size=(3, 5, 4, 4)) * 2
    old, new = interpret(graph, x), interpret(result.graph, x)
    for neuron in graph.of_kind("neuron"):
        assert np.array_equal(old[neuron.name], new[neuron.name])
    np.testing.assert_allclose(new["y"], old["y"], atol=1e-12)
    assert len(result.graph.of_kind("scale")) == len(result.diagnostics) == left
    return result.graph


def test_golden() -> None:
    after = folded(
        op(ops.Neuron, "q", "x"),
        op(ops.Permute, "t", "q", order=(1, 0)),
        op(ops.MatMul, "qt", "q", "t"),
        scale("s", "qt"),
        op(ops.Reshape, "r", "s", shape=(16,)),
        op(ops.Neuron, "lif", "r", v_threshold=0.5),
        op(ops.Reshape, "z", "lif", shape=(4, 4)),
    )
    assert [line.split(" : ")[0].strip() for line in dump(after).splitlines()[2:-2]] == [
        "%q = neuron(%x)",
        "%t = permute(%q, order=(1, 0))",
        "%qt = matmul(%q, %t)",
        "%r = reshape(%qt, shape=(16,))",
        "%lif = neuron(%r, v_threshold=4.0)",
        "%z = reshape(%lif, shape=(4, 4))",
    ]
    assert after["lif"].source.merged == ("net.s",)


@pytest.mark.parametrize("v_reset", [0.0, None])
@pytest.mark.parametrize("tau", [None, 1.5])
def test_into_thresholds(v_reset: float | None, tau: float | None) -> None:
    neuron = op(ops.Neuron, "z", "s", v_reset=v_reset, tau=tau, decay_input=False)
    after: Any = folded(scale("s", "x"), neuron)["z"]
    assert after.v_threshold == 8.0


def test_into_all_thresholds_that_read_it() -> None:
    after = folded(
        scale("s", "x", 0.5),
        op(ops.MaxPool, "p", "s", kernel=(2,), stride=(1,), padding=(0,), dilation=(1,)),
        op(ops.Neuron, "a", "p"),
        op(ops.Neuron, "b", "s", v_threshold=2.0),
        op(ops.Slice, "c", "b", axis=1, start=0, stop=3),
        op(ops.Add, "z", "a", "c"),
    )
    assert [getattr(n, "v_threshold", 0) for n in after.of_kind("neuron")] == [2.0, 4.0]


def test_into_the_weights_that_read_it_without_their_bias() -> None:
    after = folded(op(ops.Neuron, "n", "x"), scale("s", "n", -3.0), linear("z", "s"))
    weight: Any = after.weights["z.scaled_weight"]
    assert weight.dtype == np.float64
    np.testing.assert_allclose(weight, -3.0 * np.asarray(WEIGHTS["l"]), atol=1e-12)
    assert getattr(after["z"], "bias", "") == "bias"


def test_into_the_weights_that_made_it_with_their_bias() -> None:
    after = folded(
        linear("a", "x"), scale("s", "a"), op(ops.Add, "u", "s", "x"), op(ops.Neuron, "z", "u")
    )
    assert {"a.scaled_weight", "a.scaled_bias"} <= after.weights.keys()


def test_through_a_sum_into_both_that_made_it() -> None:
    after = folded(
        linear("a", "x"),
        linear("b", "x"),
        op(ops.Add, "u", "a", "b"),
        scale("s", "u", 0.5),
        op(ops.Add, "z", "s", "x"),
    )
    assert {"a.scaled_weight", "b.scaled_bias"} <= after.weights.keys()


def test_through_the_readout_into_the_head() -> None:
    after = folded(
        op(ops.Neuron, "n", "x"),
        op(ops.Sum, "tokens", "n", axes=(0,)),
        scale("s", "tokens", 1 / 4),
        op(ops.Readout, "t", "s", steps=3),
        scale("u", "t", 1 / 3),
        linear("z", "u"),
    )
    assert after["z"].source.merged == ("net.s", "net.u")


def test_into_the_output() -> None:
    after = folded(
        op(ops.Neuron, "n", "x"), op(ops.Readout, "t", "n", steps=3), scale("z", "t", 1 / 3)
    )
    output: Any = after["y"]
    np.testing.assert_allclose(np.asarray(after.weights[output.scale]), 1 / 3)


def test_the_head_is_preferred_to_the_output() -> None:
    after = folded(op(ops.Readout, "t", "x", steps=3), linear("a", "t"), scale("z", "a"))
    assert getattr(after["y"], "scale", "") is None


def test_into_a_batch_norm_ahead_and_behind() -> None:
    folded(scale("s", "x", 0.3), norm("z", "s"))
    folded(norm("n", "x"), scale("s", "n", 0.3), op(ops.Add, "z", "s", "x"))


def test_into_a_constant() -> None:
    after = folded(
        op(ops.Constant, "k", value="c"), scale("s", "k", 2.0), op(ops.Add, "z", "x", "s")
    )
    np.testing.assert_allclose(
        np.asarray(after.weights["k.scaled_value"]), 2 * np.asarray(WEIGHTS["c"])
    )


def test_a_gate_hands_the_factor_on() -> None:
    folded(
        op(ops.Neuron, "n", "x"),
        scale("s", "x"),
        op(ops.Mask, "g", "s", "n"),
        op(ops.Neuron, "z", "g"),
    )


RESET = {"v_reset": -0.5}
NOT_FOLDED: dict[str, tuple[Op, ...]] = {
    "a negative factor before a neuron": (scale("s", "x", -2.0), op(ops.Neuron, "z", "s")),
    "a neuron that rests elsewhere": (scale("s", "x"), op(ops.Neuron, "z", "s", **RESET)),
    "a sum of what others read": (scale("s", "x"), op(ops.Add, "z", "s", "x")),
    "a product with itself": (
        scale("s", "x"),
        op(ops.Mask, "g", "s", "s"),
        op(ops.Neuron, "z", "g"),
    ),
    "nothing, by zero": (scale("s", "x", 0.0), op(ops.Neuron, "z", "s")),
    "a neuron's spikes": (
        op(ops.Neuron, "n", "x"),
        scale("s", "n", 0.5),
        op(ops.Add, "z", "s", "x"),
    ),
    "a weighted op that another reads": (
        linear("a", "x"),
        scale("s", "a"),
        op(ops.Add, "z", "s", "a"),
    ),
}


@pytest.mark.parametrize("made", NOT_FOLDED.values(), ids=NOT_FOLDED)
def test_what_does_not_fold_is_reported(made: tuple[Op, ...]) -> None:
    after = folded(*made, left=1)
    found = tuple(unfolded_scales(after))
    assert [d.rule.code for d in found] == ["SNN206"]
    assert "of `net.s` folds into no weight" in found[0].message
    assert found[0].because


def test_a_sign_needs_no_multiplier() -> None:
    graph = step(scale("s", "x", -1.0), op(ops.Neuron, "z", "s"))
    after = run_passes(graph, [FoldScales()])
    assert after.graph.of_kind("scale")
    assert after.diagnostics == ()


def test_integer_weights_take_no_factor() -> None:
    graph = step(scale("s", "x", 0.5), linear("z", "s", weight="i", bias=None))
    assert len(run_passes(graph, [FoldScales()]).diagnostics) == 1


def test_absent_weights_stay_absent() -> None:
    graph = step(linear("a", "x"), scale("z", "a"), l=Absent((4, 4)), bias=Absent((4,)))
    after = run_passes(graph, [FoldScales()]).graph
    assert not after.of_kind("scale")
    assert all(isinstance(w, Absent) for w in after.weights.values())


@given(seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=40)
def test_spikes_stay(
    seed: int, random_network: Callable[[int], Graph], images: Callable[[Graph, int], Array]
) -> None:
    tensor = random_network(seed)
    graph = run_passes(tensor, [ToSteps()]).graph
    entry: Any = graph.ops[0]
    x = images(tensor, seed)
    x = x.swapaxes(0, 1) if entry.varies else x
    old = interpret(graph, x)
    for order in ([FoldScales(), FoldBatchNorm()], [FoldBatchNorm(), FoldScales()]):
        after = run_passes(graph, [*order, Canonicalise()]).graph
        new = interpret(after, x)
        for neuron in after.of_kind("neuron"):
            assert np.array_equal(old[neuron.name], new[neuron.name])
        np.testing.assert_allclose(new["y"], old["y"], atol=1e-9)
