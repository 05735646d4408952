"""Sub-steps rolled up again: the graph before they were unrolled, value for value."""

from __future__ import annotations

import dataclasses

import numpy as np

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
    Reshape,
    Sum,
)
from snncc.passes.roll_levels import RollLevels
from snncc.passes.unroll_levels import UnrollLevels


def conv(name: str, reads: str, bias: str | None = None) -> Op:
    ones = (1, 1)
    return Conv(
        name=name, inputs=(reads,), weight="w", bias=bias, stride=ones, padding=ones, dilation=ones
    )


def fires(name: str, reads: str) -> Op:
    return IntegerNeuron(name=name, inputs=(reads,), threshold="t", decay=2048, shift=0)


def network() -> Graph:
    rng = np.random.default_rng(2)
    weights: dict[str, Array] = {
        "w": rng.integers(-5, 9, (3, 3, 3, 3)).astype(np.int8),
        "b": np.array([3, -2, 5], np.int32),
        "l": rng.integers(-9, 9, (5, 16)).astype(np.int8),
        "t": np.array(9),
    }
    ops: tuple[Op, ...] = (
        Input(name="x", shape=(3, 4, 4), domain=dom.integers(0, 1), varies=True),
        conv("a", "x"),
        fires("s", "a"),
        conv("c", "s"),
        fires("n", "c"),
        Add(name="sew", inputs=("s", "n")),
        conv("d", "sew", bias="b"),
        fires("o", "d"),
        Reshape(name="f", inputs=("sew",), shape=(3, 16)),
        Permute(name="g", inputs=("f",), order=(1, 0)),
        MatMul(name="p", inputs=("f", "g")),
        fires("pn", "p"),
        Linear(name="l", inputs=("f",), weight="l"),
        Sum(name="u", inputs=("o",), axes=(0,)),
        Readout(name="r", inputs=("l",), steps=2),
        Output(name="y", inputs=("r",)),
    )
    return Graph(ops, weights, "step", 2)


def test_what_was_unrolled_is_rolled_up_again() -> None:
    graph = network()
    rolled = RollLevels().run(UnrollLevels().run(graph).graph).graph
    assert {op.name for op in graph.ops} <= {op.name for op in rolled.ops}
    kinds = {op.name: op.kind for op in rolled.ops}
    assert [kinds[name] for name in ("c", "p", "l", "u")] == ["conv", "matmul", "linear", "sum"]
    assert kinds["d.total"] == "conv"
    assert not rolled.of_kind("thermometer")
    x = np.random.default_rng(1).integers(0, 2, (2, 6, 3, 4, 4))
    names = [op.name for op in graph.ops]
    before, after = (Executor(g).run(x, keep=names).values for g in (graph, rolled))
    assert all(np.array_equal(before[name], after[name]) for name in names)
    assert before["sew"].max() == 2


def test_other_graphs_stay_the_same_object() -> None:
    graph = network()
    assert RollLevels().run(graph).graph is graph


def test_a_bias_in_every_sub_step_is_not_rolled_up() -> None:
    unrolled = UnrollLevels().run(network()).graph
    biased = tuple(
        dataclasses.replace(op, bias="b") if isinstance(op, Conv) and op.name == "d.parts" else op
        for op in unrolled.ops
    )
    rolled = RollLevels().run(unrolled.replace(biased)).graph
    assert rolled["d.total"].kind == "sum"
    assert [op.name for op in rolled.of_kind("thermometer")] == ["d.substeps"]


def test_sub_steps_that_others_read_stay() -> None:
    unrolled = UnrollLevels().run(network()).graph
    spare = Sum(name="spare", inputs=("l.substeps",), axes=(0,))
    rolled = RollLevels().run(unrolled.replace((*unrolled.ops, spare))).graph
    assert [op.name for op in rolled.of_kind("thermometer")] == ["l.substeps"]
