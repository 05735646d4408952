"""Partitions: every op once, no cycle, one stage a block."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snncc.backends.lava.engine import Engine, shared_zeros, wire_dtype
from snncc.backends.lava.partition import OUTSIDE, Granularity, partition, stage_of
from snncc.ir import domain as dom
from snncc.ir import ops
from snncc.ir.graph import Array, Graph
from snncc.ir.interpret import interpret, read_input
from snncc.ir.timing import Timing, timings

BOTH = pytest.mark.parametrize("granularity", ["stage", "operator"])
SEEDS = range(20)


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("block.0.attn.q_conv", "block.0"),
        ("patch_embed.proj_conv", "patch_embed"),
        ("stage1.blocks.3.mlp", "stage1.blocks.3"),
        ("head", "head"),
        ("a.b.c.0", "a"),
        ("", ""),
    ],
)
def test_stage_of_a_module_path(path: str, stage: str) -> None:
    assert stage_of(path) == stage


def test_a_stage_for_each_block(networks: Any) -> None:
    parts = partition(networks.spikingformer(), "stage")
    assert [p.name for p in parts] == ["patch_embed", "block.0", "block.1", "head"]
    assert all(len(p.inputs) == 1 for p in parts)


def test_a_process_for_each_op_and_one_for_each_attention(networks: Any) -> None:
    graph = networks.spikingformer(blocks=1)
    parts = partition(graph, "operator")
    attention = next(p for p in parts if p.kind == "attention")
    products = {op.name for op in graph.of_kind("matmul")}
    assert products < set(attention.ops)
    assert {graph[n].kind for n in attention.ops} == {"reshape", "permute", "matmul"}
    assert attention.name == graph.of_kind("matmul")[-1].name
    kinds = [p.kind for p in parts]
    assert kinds.count("integer_neuron") == len(graph.of_kind("integer_neuron"))
    assert kinds.count("conv") == len(graph.of_kind("conv"))
    assert "stage" not in kinds


def test_a_stage_that_comes_again_gets_a_number(networks: Any) -> None:
    net = networks.net()
    x = net.neuron(net.conv(net.spikes(2, 4, 4), 2, module="a"), "a")
    x = net.neuron(net.conv(x, 2, module="b"), "b")
    graph = net.head(net.neuron(net.conv(x, 2, module="a"), "a"))
    assert [p.name for p in partition(graph, "stage")] == ["a", "b", "a#2", "head"]


def test_independent_branches_of_one_stage_stay_together(networks: Any) -> None:
    net = networks.net()
    x = net.spikes(2, 4, 4)
    a, b = net.conv(x, 2, module="a"), net.conv(x, 2, module="b")
    a, b = net.neuron(a, "a"), net.neuron(b, "b")
    graph = net.head(net.conv(net.add(ops.Add, a, b), 2, module="c"))
    assert sorted(p.name for p in partition(graph, "stage")) == ["a", "b", "c", "head"]


@BOTH
@pytest.mark.parametrize("seed", SEEDS)
def test_every_op_once_and_no_cycle(networks: Any, granularity: Granularity, seed: int) -> None:
    graph = networks.random(seed)
    parts = partition(graph, granularity)
    placed = [n for p in parts for n in p.ops if graph[n].kind != "constant"]
    assert sorted(placed) == sorted(op.name for op in graph if op.kind not in OUTSIDE)
    made = {op.name for op in graph.of_kind("input")}
    for part in parts:
        assert set(part.inputs) <= made
        made |= set(part.outputs)


@BOTH
@pytest.mark.parametrize("seed", SEEDS)
def test_engines_of_the_parts_equal_the_interpreter(
    networks: Any, granularity: Granularity, seed: int
) -> None:
    graph = networks.random(seed)
    x = networks.input(graph, 3, seed)
    expected = interpret(graph, x)
    for t, values in enumerate(_chained(graph, x, granularity)):
        for name, value in values.items():
            timed = timings(graph)[name] is Timing.STEP
            assert np.array_equal(value, expected[name][t] if timed else expected[name]), name


def _chained(graph: Graph, x: Array, granularity: Granularity) -> list[dict[str, Array]]:
    """Run two samples' worth of steps, the second after a first that must leave no trace."""
    shown: Any = graph.ops[0]
    counts = read_input(shown, x)
    parts = partition(graph, granularity)
    engines = [Engine(graph, part.ops) for part in parts]
    found: list[dict[str, Array]] = []
    for step in range(2 * graph.steps):
        t = step % graph.steps
        sent = {shown.name: counts[t] if shown.varies else counts}
        for part, engine in zip(parts, engines, strict=True):
            values = engine.step(t, {n: sent[n] for n in part.inputs if n in sent})
            sent |= {n: v for n, v in values.items() if n in part.ops}
        found.append(sent)
    return found[graph.steps :]


def test_constants_go_to_all_that_read_them(networks: Any) -> None:
    net = networks.net()
    x = net.conv(net.spikes(2, 4, 4), 2, module="a")
    c = net.add(ops.Constant, value=net.weight(np.arange(2).reshape(2, 1, 1)))
    graph = net.head(net.neuron(net.add(ops.Add, x, c, module="a"), "b"))
    part = next(p for p in partition(graph, "operator") if p.kind == "add")
    assert part.ops[0] == c
    assert part.inputs == (x,)


@pytest.mark.parametrize(
    ("domain", "dtype"),
    [
        (dom.SPIKE, np.int8),
        (dom.integers(-129, 0), np.int16),
        (dom.integers(0, 2**15), np.int32),
        (dom.integers(0, 2**31), np.int64),
        (dom.grid(0.25, 0, 4), np.float64),
        (dom.REAL, np.float64),
    ],
)
def test_a_channel_holds_every_value_of_the_domain(domain: dom.Domain, dtype: type) -> None:
    assert wire_dtype(domain) is dtype


def test_shared_memory_of_nothing() -> None:
    assert shared_zeros((0, 3), np.int8).shape == (0, 3)
