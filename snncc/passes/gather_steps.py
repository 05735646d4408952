"""Gather what a loop over time does step by step: T equal calls on T slices become one call.

``for t in range(T): out.append(layer(x[t]))`` traces to T convolutions with one weight. Where their
results are joined along time, or the slices are taken from it, one convolution of all steps does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from snncc.ir.edit import in_order
from snncc.ir.graph import Graph, Op, reading, without_dead
from snncc.ir.layouts import Roles, track
from snncc.ir.ops import Add, Reshape, Sum
from snncc.passes.base import Invariant, Pass, Result, well_formed
from snncc.passes.step_packing import ENDING, Packer, joined


@dataclass(frozen=True)
class GatherSteps(Pass):
    """Turn what is done to each time step alike into what is done to all of them.

    Concatenations along time of equal ops become the op on a longer axis, sums of equal ops over
    all steps a ``Sum``, or one for each layer. Values change by rounding alone.
    """

    name: ClassVar[str] = "gather-steps"
    requires: ClassVar[tuple[Invariant, ...]] = (well_formed,)
    ensures: ClassVar[tuple[Invariant, ...]] = (well_formed,)

    def run(self, graph: Graph) -> Result:
        """Return the graph with steps gathered."""
        before = None
        while graph is not before and graph.of_kind("neuron"):
            before, graph = graph, _Gathering(graph).run()
        return Result(graph)


class _Gathering:
    """The graph under way, in its packer; roles are those of the axes before."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.roles = Roles(track(graph))
        self.packer = Packer(graph, self._takes_steps)

    def run(self) -> Graph:
        """Gather each concatenation and each sum of steps; the same graph where there is none.

        What is gathered shows which axes are time, so that more can be gathered after it.
        """
        found = [
            self._concat(op) if op.kind == "concat" else self._total(op)
            for op in self.graph.of_kind("concat", "add")
        ]
        if not any(found):
            return self.graph
        ops, weights = in_order(self.packer.ops), {**self.graph.weights, **self.packer.weights}
        return _named(without_dead(self.graph.replace(ops, weights)))

    def _takes_steps(self, op: Any) -> bool:
        return self._is_time(op.inputs[0], op.axis)

    def _is_time(self, name: str, axis: int) -> bool:
        return self.roles.holds(self.roles.found.layouts[name][axis], self.roles.time)

    def _concat(self, op: Any) -> bool:
        packed = self.packer.pack(op.inputs)
        if packed and (packed.timely or self._is_time(op.name, op.axis)):
            name = joined(self.packer, packed.name, op.axis, self.graph[op.inputs[0]])
            shape = self.packer.shape[name]
            same = Reshape(name=op.name, inputs=(name,), source=op.source, shape=shape)
            self.packer.ops[op.name] = same
            return True
        return False

    def _total(self, op: Op) -> bool:
        """A sum of steps is summed along time: ``total = total + layer(x[t])``.

        Where each step adds what several layers give, it is the sum of as many sums.
        """
        user = self.graph.users[op.name]
        if len(user) == 1 and user[0].kind == "add" and user[0].inputs.count(op.name) == 1:
            return False
        terms = tuple(self._terms(op))
        if len(set(terms)) < 2:
            return False
        packed = self._packed([terms]) or self._packed(self._by_layer(terms))
        if not packed:
            return False
        ops, out = self.packer.ops, self.packer.shape[op.name]
        if len(packed) == 1:
            ops[op.name] = Sum(name=op.name, inputs=(packed[0][0],), source=op.source, axes=(0,))
            return True
        first, *others = (
            self.packer.add(Sum, name, like=like, out=out, axes=(0,)) for name, like in packed
        )
        for each in others[:-1]:
            first = self.packer.add(Add, first, each, like=packed[0][1], out=out)
        ops[op.name] = Add(name=op.name, inputs=(first, others[-1]), source=op.source)
        return True

    def _packed(self, groups: list[tuple[str, ...]]) -> list[tuple[str, Op]]:
        """Return the values of all steps of each group, and the op of the first.

        None unless time leads in all of them.
        """
        found = []
        for terms in groups:
            packed = self.packer.pack(terms) if len(set(terms)) > 1 else None
            if packed is None or not packed.timely:
                return []
            found.append((packed.name, self.graph[terms[0]]))
        return found

    def _by_layer(self, terms: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Return terms together that come from one neuron by the same ops, in their order."""
        found: dict[tuple[Any, ...], list[str]] = {}
        for name in terms:
            found.setdefault(tuple(self._way_from_neuron(name)), []).append(name)
        return [tuple(names) for names in found.values()]

    def _way_from_neuron(self, name: str) -> Iterator[Any]:
        op = self.graph[name]
        while op.inputs and op.kind != "neuron":
            yield op.kind, op.weight_names
            op = self.graph[op.inputs[0]]
        yield op.name

    def _terms(self, op: Op) -> Iterator[str]:
        """Return what a tree of sums adds up, from left to right."""
        waiting = list(reversed(op.inputs))
        while waiting:
            name = waiting.pop()
            each = self.graph[name]
            if each.kind == "add" and len(self.graph.users[name]) == 1:
                waiting += reversed(each.inputs)
            else:
                yield name


def _named(graph: Graph) -> Graph:
    """Call the gathered ops as those of the first step were called, where these are gone."""
    names: dict[str, str] = {}
    taken = set(graph.by_name)
    for op in graph.ops:
        stem, ending, view = op.name.partition(ENDING)
        if ending and stem + view not in taken:
            names[op.name] = stem + view
            taken.add(stem + view)
    renamed = (
        dataclasses.replace(reading(op, names), name=names.get(op.name, op.name))
        for op in graph.ops
    )
    return graph.replace(renamed)
