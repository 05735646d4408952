"""What waits on a core: values that arrive before the rest of what their population reads.

A delay stands in a synapse: the message is sent at once and waits behind it, on the core that reads
it. What waits there are the sums that it brings, one for each neuron that it reaches and each step
(as in lava-nc 0.10.0, ``DelayDense``: ``[neurons, delay + 1]``); but what is multiplied by another
computed value, or compared with it, waits as it came. A sum has as many bits as it was proved to
need.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from snncc.ir.delay import Delay
from snncc.ir.graph import Graph
from snncc.ir.latency import bits_of
from snncc.mapping.populations import FORWARDED, Net, Population, Projection

WHOLE = ("matmul", "mask", "max_pool")
"""Kinds whose operands wait as they came."""


@dataclass(frozen=True)
class Wait:
    """``bits`` that each neuron keeps for what one projection brings.

    With an ``operand``: that the core keeps for each place of it that it reads.
    """

    projection: Projection | None
    operand: int | None
    bits: int


def waits_of(net: Net, population: Population) -> Iterator[Wait]:
    """Yield all that waits in a population, by the delays on its way there."""
    graph = net.graph
    for projection in population.projections:
        behind = _on(graph, projection.path)
        before = [_before(net, name) for name in projection.reads]
        if projection.kind in WHOLE:
            for operand, steps in enumerate(before):
                if steps:
                    yield Wait(projection, operand, steps * _bits(graph, projection.reads[operand]))
        else:
            behind += max(before) - (projection.kind == "identity")
        if behind > 0:
            yield Wait(projection, None, behind * _bits(graph, projection.start))
    for value in population.emits:
        if value != population.name and (steps := _ridden(graph, value, population.name)):
            yield Wait(None, None, steps * _bits(graph, population.name))


def _bits(graph: Graph, name: str) -> int:
    return bits_of(graph.type_of(name).domain)


def _on(graph: Graph, path: tuple[str, ...]) -> int:
    return sum(cast(Delay, graph[name]).steps for name in path if graph[name].kind == "delay")


def _before(net: Net, name: str) -> int:
    """Return the most steps that delays make a value wait before it is read under a name."""
    op = net.graph[name]
    if name in net.emitted or op.kind not in FORWARDED:
        return 0
    own = cast(Delay, op).steps if op.kind == "delay" else 0
    return own + max(_before(net, read) for read in op.inputs)


def _ridden(graph: Graph, value: str, root: str) -> int:
    steps, name = 0, graph[value].inputs[0]
    while name != root:
        steps += _on(graph, (name,))
        name = graph[name].inputs[0]
    return steps
