"""Counts of spikes in binary sub-steps: the same integers, and nothing but spikes on a weight."""

from __future__ import annotations

import numpy as np
import pytest

from snncc.execute.counts import count
from snncc.execute.executor import Executor
from snncc.ir import domain as dom
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.ops import (
    Add,
    Conv,
    Input,
    IntegerNeuron,
    Linear,
    MatMul,
    Output,
    Permute,
    Readout,
    Repeat,
    Reshape,
)
from snncc.passes.unroll_levels import UnrollLevels, counts_of_spikes


def conv(name: str, reads: str) -> Conv:
    return Conv(
        name=name, inputs=(reads,), weight=f"{name}.w", bias=f"{name}.b",
        stride=(1, 1), padding=(1, 1), dilation=(1, 1),
    )  # fmt: skip


def fires(name: str, reads: str, levels: int = 1) -> IntegerNeuron:
    reset = {"reset": "soft", "unit": "u"} if levels > 1 else {}
    return IntegerNeuron(
        name=name, inputs=(reads,), threshold=f"t{levels}", decay=2048, shift=6,
        levels=levels, **reset,  # type: ignore[arg-type]
    )  # fmt: skip


def network(seed: int) -> Graph:
    """A SEW sum into a conv, integer-firing neurons into a product of counts and a linear."""
    rng = np.random.default_rng(seed)
    weights: dict[str, Array] = {
        "t1": np.array([4001], np.int32),
        "t3": (np.arange(1, 4) * 6000).reshape(3, 1).astype(np.int32),
        "u": np.array([12000], np.int32),
    }
    for name in ("a", "b", "c"):
        weights[f"{name}.w"] = rng.integers(-90, 127, (4, 4, 3, 3)).astype(np.int8)
        weights[f"{name}.b"] = rng.integers(-90, 90, 4).astype(np.int32)
    weights["l.w"] = rng.integers(-127, 127, (5, 9)).astype(np.int8)
    weights["l.b"] = rng.integers(-50, 50, 5).astype(np.int32)
    ops: tuple[Op, ...] = (
        Input(name="x", shape=(4, 3, 3), domain=dom.integers(0, 15), scale=1.0),
        Repeat(name="r", inputs=("x",)),
        conv("a", "r"),
        fires("s", "a"),
        conv("b", "s"),
        fires("n", "b"),
        Add(name="sew", inputs=("s", "n")),
        conv("c", "sew"),
        fires("m", "c", levels=3),
        Reshape(name="f", inputs=("m",), shape=(4, 9)),
        Permute(name="ft", inputs=("f",), order=(1, 0)),
        MatMul(name="p", inputs=("f", "ft")),
        fires("pn", "p"),
        Linear(name="l", inputs=("f",), weight="l.w", bias="l.b"),
        Readout(name="o", inputs=("l",), steps=4),
        Output(name="y", inputs=("o",)),
    )
    return Graph(ops, weights, "step", 4)


@pytest.mark.parametrize("seed", range(5))
def test_every_value_keeps_its_integers(seed: int) -> None:
    graph = network(seed)
    unrolled = UnrollLevels().run(graph).graph
    x = np.random.default_rng(seed).integers(0, 16, (3, 4, 3, 3))
    names = [op.name for op in graph.ops]
    before, after = (Executor(g).run(x, keep=names).values for g in (graph, unrolled))
    for name in names:
        assert np.array_equal(before[name], after[name]), name
    assert before["sew"].max() == 2
    assert before["m"].max() > 1


def test_weighted_ops_and_products_read_spikes() -> None:
    unrolled = UnrollLevels().run(network(0)).graph
    for op in unrolled.of_kind("conv", "linear", "matmul"):
        domains = [unrolled.type_of(name).domain for name in op.inputs]
        assert any(dom.is_spike(d) for d in domains) or op.name == "a"


def test_pixels_stay_graded() -> None:
    unrolled = UnrollLevels().run(network(0)).graph
    assert unrolled["a"] == network(0)["a"]
    assert "x" not in counts_of_spikes(unrolled)


def test_as_many_spikes_meet_synapses_as_the_counts_said() -> None:
    graph = network(1)
    x = np.random.default_rng(1).integers(0, 16, (2, 4, 3, 3))
    graded, binary = count(graph, x), count(UnrollLevels().run(graph).graph, x)
    for name in ("c", "l"):
        assert np.array_equal(
            graded.ops[name].synaptic_ops, binary.ops[f"{name}.parts"].synaptic_ops
        )
