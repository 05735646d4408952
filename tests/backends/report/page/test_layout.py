"""Blocks of the map: every op once, below what it reads, on nobody's place."""

from __future__ import annotations

import re
from random import Random

import pytest

from snncc.backends.report.page.layout import HEIGHT, WIDTH, plan_of
from snncc.backends.report.page.network import Node


def node(name: str, *inputs: str) -> Node:
    return Node(name, name, "add", "block", "other", 0.0, inputs, ())


def drawn(seed: int) -> list[Node]:
    dice = Random(seed)  # noqa: S311
    nodes: list[Node] = []
    for at in range(dice.randint(1, 25)):
        known = ["outside", *(n.name for n in nodes)]
        nodes.append(node(f"n{at}", *dict.fromkeys(dice.choices(known, k=dice.randint(0, 3)))))
    return nodes


@pytest.mark.parametrize("seed", range(30))
def test_every_op_has_a_place_of_its_own_below_what_it_reads(seed: int) -> None:
    nodes = drawn(seed)
    leaving = [n.name for n in nodes[::4]]
    plan = plan_of(nodes, leaving)
    places = [*plan.places.values(), *plan.enters.values(), *plan.leaves.values()]
    assert list(plan.places) == [n.name for n in nodes]
    assert set(plan.leaves) == set(leaving)
    assert len({(p.x, p.y) for p in places}) == len(places)
    for a in places:
        assert 0 <= a.x <= plan.width - WIDTH
        assert 0 <= a.y <= plan.height - HEIGHT
        assert all(a is b or a.y != b.y or abs(a.x - b.x) >= WIDTH for b in places)
    above = {**plan.enters, **plan.places}
    for each in nodes:
        assert all(above[name].y < plan.places[each.name].y for name in each.inputs)


@pytest.mark.parametrize("seed", range(30))
def test_every_edge_is_drawn_from_its_op_to_its_reader(seed: int) -> None:
    nodes = drawn(seed)
    plan = plan_of(nodes, [nodes[0].name])
    wanted = [(name, n.name) for n in nodes for name in n.inputs] + [(nodes[0].name, "")]
    assert [(a, b) for a, b, _ in plan.edges] == wanted
    above = {**plan.enters, **plan.places}
    for a, b, path in plan.edges:
        numbers = [float(n) for n in re.findall(r"-?[\d.]+", path)]
        end = plan.places[b] if b else plan.leaves[a]
        assert above[a].x <= numbers[0] <= above[a].x + WIDTH
        assert numbers[1] == pytest.approx(above[a].y + HEIGHT)
        assert numbers[-1] == pytest.approx(end.y)
        assert all(0 <= n <= max(plan.width, plan.height) for n in numbers)
