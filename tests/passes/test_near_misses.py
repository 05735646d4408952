"""Findings about what is nearly a neuron: how much is looked at for them."""

from __future__ import annotations

from typing import Any

import pytest

from snncc.ir import domain as dom
from snncc.ir import ops
from snncc.ir.graph import Graph, Op
from snncc.passes.near_misses import unfired
from snncc.passes.near_patterns import Patterns


def test_a_chain_of_operators_without_meaning_is_looked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Work grows with the nodes, not with their square: a file of a stranger may have thousands."""
    looked: list[str] = []
    is_local = Patterns.is_local

    def counted(patterns: Patterns, op: Any) -> bool:
        looked.append(op.name)
        return is_local(patterns, op)

    monkeypatch.setattr(Patterns, "is_local", counted)
    made: list[Op] = [ops.Input(name="x", shape=(1, 4), domain=dom.REAL)]
    for i in range(2000):
        read = made[-1].name
        made.append(ops.Foreign(name=f"r{i}", inputs=(read,), target="aten.relu", shape=(1, 4)))
        made.append(ops.Add(name=f"a{i}", inputs=(f"r{i}", "x")))
    made.append(ops.Output(name="y", inputs=(made[-1].name,)))
    told = unfired(Graph(tuple(made), {}), ())
    assert [each.message.split(":")[0] for each in told] == [
        "arithmetic over 2000 time steps is not a spiking neuron"
    ]
    assert len(looked) < 40 * len(made)
