"""What a step graph in a file may claim: everything that a network has, and nothing beyond."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from snncc.ir import claims, ops
from snncc.ir import domain as dom
from snncc.ir.graph import Graph, IRError
from snncc.ir.synaptic_current import IntegerCurrent


def network(of_time: int = 4, **fields: Any) -> Graph:
    entry = ops.Input(name="x", shape=(3,), domain=dom.SPIKE, scale=1.0, varies=True)
    current = IntegerCurrent(name="c", inputs=("x",), decay=1, shift=6, steps=4)
    made = (entry, dataclasses.replace(current, **fields), ops.Output(name="y", inputs=("c",)))
    return Graph(made, {}, "step", of_time)


def stated(graph: Graph) -> dict[str, str]:
    return {op.name: str(graph.type_of(op.name)) for op in graph.ops}


def test_what_a_network_has_is_held_back_by_nothing() -> None:
    graph = network()
    claims.hold_attributes(graph, 4)
    claims.hold_types(graph, stated(graph))
    assert not claims.is_too_long("a line\n" * 1000)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (network(5), "5 time steps, wanted 1 to 4"),
        (network(0), "0 time steps, wanted 1 to 4"),
        (network(shift=63), "`shift` of `c` is 63"),
        (network(steps=2**40), "`steps` of `c` is 1099511627776"),
        (network(name="x"), "two values have one name"),
        (dataclasses.replace(network(), level="tensor"), "it is of the level tensor"),
    ],
)
def test_what_no_network_has_is_refused_before_a_type_is_derived(
    graph: Graph, message: str
) -> None:
    with pytest.raises(IRError) as refused:
        claims.hold_attributes(graph, 4)
    assert str(refused.value) == message


def test_a_type_that_is_not_the_one_that_is_stated_is_refused() -> None:
    graph = network()
    with pytest.raises(IRError, match=r"^`c` is <3; int.*>, the text claims <3; spike>$"):
        claims.hold_types(graph, {**stated(graph), "c": "<3; spike>"})


@pytest.mark.parametrize("text", ["x" * (1 << 19), "x\n" * (1 << 24)])
def test_a_text_that_no_network_takes_is_too_long(text: str) -> None:
    assert claims.is_too_long(text)
