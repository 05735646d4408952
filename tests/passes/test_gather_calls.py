"""Calls of a neuron layer, one a time step, become one neuron; others are refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snncc.diagnostics.core import SnnccError
from snncc.ir import ops
from snncc.ir.graph import Graph, Op, Source
from snncc.ir.interpret import interpret
from snncc.ir.memory import neuron_step
from snncc.ir.neuron_call import POTENTIAL, NeuronCall
from snncc.ir.text import dump
from snncc.passes import FRONT
from snncc.passes.base import run_passes
from snncc.passes.gather_calls import GatherCalls

B, T = 2, 3


def op(kind: type[Op], name: str, *inputs: str, module: str = "", **fields: Any) -> Op:
    """An op of a module."""
    return kind(name=name, inputs=inputs, source=Source(module or f"net.{name}"), **fields)


def call(name: str, *inputs: str, layer: str = "lif", **fields: Any) -> Op:
    return op(NeuronCall, name, *inputs, module=layer, **fields)


def gathered(*made: Op) -> Graph:
    """The graph of these ops on `x`, with a weight `w`."""
    entry = op(ops.Input, "x", shape=(B, 4))
    weights = {"w": np.random.default_rng(0).uniform(-1, 2, (4, 4))}
    return run_passes(Graph((entry, *made), weights), [GatherCalls()]).graph


def refused(*made: Op) -> list[str]:
    """What is said of these ops."""
    with pytest.raises(SnnccError) as caught:
        gathered(*made)
    return [f"{d.rule.code} {d.message}" for d in caught.value.diagnostics]


def test_golden() -> None:
    graph = gathered(
        op(ops.Linear, "fc", "x", weight="w"),
        call("s0", "x", tau=4.0),
        call("s1", "fc", "s0", tau=4.0),
        op(ops.Add, "total", "s0", "s1"),
        op(ops.Output, "y", "total"),
    )
    lines = [line.split("  #")[0].strip() for line in dump(graph).splitlines()]
    assert lines[1:-1] == [
        "%x = input(shape=(2, 4)) : <2x4; real>",
        "%fc = linear(%x, weight='w') : <2x4; real>",
        "%s0.current = reshape(%x, shape=(1, 2, 4)) : <1x2x4; real>",
        "%s1.current = reshape(%fc, shape=(1, 2, 4)) : <1x2x4; real>",
        "%s0.currents = concat(%s0.current, %s1.current, axis=0) : <2x2x4; real>",
        "%lif = neuron(%s0.currents, tau=4.0) : <2x2x4; spike>",
        "%s0.step = slice(%lif, axis=0, start=0, stop=1) : <1x2x4; spike>",
        "%s0 = reshape(%s0.step, shape=(2, 4)) : <2x4; spike>",
        "%s1.step = slice(%lif, axis=0, start=1, stop=2) : <1x2x4; spike>",
        "%s1 = reshape(%s1.step, shape=(2, 4)) : <2x4; spike>",
        "%total = add(%s0, %s1) : <2x4; int[0..2]>",
        "%y = output(%total) : <2x4; int[0..2]>",
    ]


def two_layers() -> list[Op]:
    """A loop over time through two layers; the second begins before the first has ended."""
    made: list[Op] = []
    total = ""
    for t in range(T):
        before = [f"a{t - 1}"] if t else []
        made.append(op(ops.Linear, f"fc{t}", "x", module="fc", weight="w"))
        made.append(call(f"a{t}", f"fc{t}", *before, layer="a"))
        made.append(op(ops.Linear, f"out{t}", f"a{t}", module="out", weight="w"))
        before = [f"b{t - 1}"] if t else []
        made.append(call(f"b{t}", f"out{t}", *before, layer="b", v_reset=None))
        if total:
            made.append(op(ops.Add, f"sum{t}", total, f"b{t}"))
        total = f"sum{t}" if total else f"b{t}"
    return [*made, op(ops.Output, "y", total)]


def test_layers_in_a_loop_come_in_an_order_that_can_be_computed() -> None:
    graph = gathered(*two_layers())
    assert [each.name for each in graph.of_kind("neuron")] == ["a", "b"]
    x = np.random.default_rng(1).random((B, 4))
    values = interpret(graph, x)
    state: dict[str, Any] = {"a": None, "b": None}
    for t in range(T):
        spikes, _, state["a"] = neuron_step(graph["a"], values[f"fc{t}"], state["a"])  # type: ignore[arg-type]
        assert (values[f"a{t}"] == spikes).all()
        spikes, _, state["b"] = neuron_step(graph["b"], values[f"out{t}"], state["b"])  # type: ignore[arg-type]
        assert (values[f"b{t}"] == spikes).all()


def test_a_loop_becomes_a_step_graph() -> None:
    entry = op(ops.Input, "x", shape=(B, 4))
    weights = {"w": np.random.default_rng(0).uniform(-1, 2, (4, 4))}
    steps = run_passes(Graph((entry, *two_layers()), weights), FRONT).graph
    kinds = [each.kind for each in steps.ops if each.kind not in ("reshape", "repeat")]
    assert steps.steps == T
    assert kinds == ["input", "linear", "neuron", "linear", "neuron", "readout", "output"]


def test_layers_that_are_called_anew_are_two() -> None:
    graph = gathered(
        call("s0", "x"), call("s1", "x", "s0"), call("r0", "s1"), call("r1", "s0", "r0"),
        op(ops.Output, "y", "r1"),
    )  # fmt: skip
    assert [each.name for each in graph.of_kind("neuron")] == ["lif", "lif.2"]


def test_a_graph_without_calls_stays() -> None:
    graph = Graph((op(ops.Input, "x", shape=(B, 4)), op(ops.Output, "y", "x")))
    assert GatherCalls().run(graph).graph is graph


def test_who_reads_a_potential_is_named_once_a_layer() -> None:
    said = refused(
        call("s0", "x"), op(ops.Foreign, "v0", "s0", module="lif", target=POTENTIAL, shape=(B, 4)),
        call("s1", "x", "s0"),
        op(ops.Foreign, "v1", "s1", module="lif", target=POTENTIAL, shape=(B, 4)),
        op(ops.Add, "sum", "v0", "v1"), op(ops.Output, "y", "sum"),
    )  # fmt: skip
    assert said == ["SNN156 the potential of `lif` is read"]


def test_a_state_that_two_calls_go_on_from() -> None:
    said = refused(
        call("s0", "x"), call("s1", "x", "s0"), call("s2", "x", "s0"),
        op(ops.Add, "sum", "s1", "s2"), op(ops.Output, "y", "sum"),
    )  # fmt: skip
    assert said == ["SNN157 `lif` goes on twice from the state of one time step"]


def test_a_layer_that_reads_its_own_spikes() -> None:
    said = refused(call("s0", "x"), call("s1", "s0", "s0"), op(ops.Output, "y", "s1"))
    assert said == ["SNN157 the current of `lif` is made of spikes of an earlier time step"]


def test_layers_that_read_each_other() -> None:
    said = refused(
        call("a0", "x", layer="a"), call("b0", "a0", layer="b"),
        call("a1", "b0", "a0", layer="a"), call("b1", "a1", "b0", layer="b"),
        op(ops.Output, "y", "b1"),
    )  # fmt: skip
    assert said == [
        "SNN157 the current of `a` is made of spikes of an earlier time step",
        "SNN157 the current of `b` is made of spikes of an earlier time step",
    ]
