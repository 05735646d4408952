"""When values reach their readers, by the clock of the graph: the checker's own view of what waits.

A message takes one step. What is made earlier than that before it is used has to wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from snncc.ir.latency import latencies
from snncc.mapping.populations import Net, Population, Projection
from snncc.mapping.views import sources_of

AS_THEY_CAME = ("matmul", "mask", "max_pool")
"""Kinds that are no sums: what waits for them are their operands, not their results."""


@dataclass(frozen=True)
class Arrival:
    """A ``value`` on its way into a population.

    It waits ``before`` steps until the op of the projection takes it, and what the op makes of it
    waits ``behind`` steps until the population's value is made. Without a projection it is the
    population's own value, which a layer riding on it takes ``behind`` steps later.
    """

    population: Population
    projection: Projection | None
    operand: int
    value: str
    before: int
    behind: int


def arrivals(net: Net) -> Iterator[Arrival]:
    """Yield every way of a value into a population; numbers below 0 are ways too short.

    Raises ``IRError`` where a graph joins values of different latencies.
    """
    made = {name: late or 0 for name, late in latencies(net.graph, net.off_chip).items()}
    for population in net.populations:
        used = made[population.name]
        for projection in population.projections:
            first = made[projection.start] if projection.kind in AS_THEY_CAME else used
            for operand, name in enumerate(projection.reads):
                for value in sources_of(net, name):
                    before = first - 1 - made[value]
                    yield Arrival(population, projection, operand, value, before, used - first)
        for value in population.emits:
            if made[value] != used:
                late = made[value] - used
                yield Arrival(population, None, 0, population.name, 0, late)
