"""A graph under change, at the cost of what changes.

Graphs are frozen; a rewrite that touches many ops one by one works on an ``Editor`` and takes the
new graph from it when it is done.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from snncc.ir.graph import Absent, Graph, Op, Weight, Weights, reading


class Editor:
    """Ops by name with their users, both kept up to date."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._ops: dict[str, Op] = dict(graph.by_name)
        self._users = {name: dict.fromkeys(u.name for u in us) for name, us in graph.users.items()}
        self._weights: dict[str, Weight] = dict(graph.weights)
        self._ordered = True

    def __getitem__(self, name: str) -> Op:
        return self._ops[name]

    def __contains__(self, name: str) -> bool:
        return name in self._ops

    def __iter__(self) -> Iterator[Op]:
        """The ops as they stand when asked for, in order."""
        return iter(tuple(self._ops.values()))

    @property
    def weights(self) -> Weights:
        """All weights, old and new."""
        return self._weights

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a value of the graph that was given; edits keep shapes."""
        return self._graph.type_of(name).shape

    def users(self, name: str) -> tuple[Op, ...]:
        """Return the ops that read a value."""
        return tuple(self._ops[user] for user in self._users[name])

    def only_user(self, name: str) -> Op | None:
        """Return the one op that reads a value, or None where there are more or none."""
        users = self._users[name]
        return self._ops[next(iter(users))] if len(users) == 1 else None

    def replace(self, op: Op) -> None:
        """Put ``op`` in the place of the op of its name; its inputs must stand before it."""
        for name in self._ops[op.name].inputs:
            self._users[name].pop(op.name, None)
        for name in op.inputs:
            self._users[name][op.name] = None
        self._ops[op.name] = op

    def insert(self, op: Op, before: str) -> str:
        """Put ``op`` in front of the first input of another op; return its name, made unique."""
        unique, count = op.name, 1
        while unique in self._ops:
            count += 1
            unique = f"{op.name}.{count}"
        reader = self._ops[before]
        self._ops[unique], self._users[unique] = dataclasses.replace(op, name=unique), {}
        for name in op.inputs:
            self._users[name][unique] = None
        self.replace(dataclasses.replace(reader, inputs=(unique, *reader.inputs[1:])))
        self._ordered = False
        return unique

    def bypass(self, name: str) -> None:
        """Take an op out: its users read its first input instead."""
        op = self._ops[name]
        source = op.inputs[0]
        for user in self.users(name):
            self.replace(reading(user, {name: source}))
        for read in op.inputs:
            self._users[read].pop(name, None)
        del self._ops[name], self._users[name]

    def add_weight(self, name: str, value: Weight) -> str:
        """Keep a weight under ``name``, or under a name like it where that is taken."""
        unique, count = name, 1
        while unique in self._weights:
            count += 1
            unique = f"{name}.{count}"
        self._weights[unique] = value
        return unique

    def graph(self) -> Graph:
        """Return the graph as it stands, with the weights that it reads."""
        ops = self._ops.values() if self._ordered else in_order(self._ops)
        return self._graph.replace(ops, self._weights)


def is_absent(*weights: Weight | None) -> bool:
    """Whether any of the weights is known by its shape alone."""
    return any(isinstance(weight, Absent) for weight in weights)


def in_order(ops: Mapping[str, Op]) -> list[Op]:
    """Return ops so that each stands behind what it reads, else as they were."""
    done: dict[str, Op] = {}
    for name in ops:
        waiting = [name]
        while waiting:
            op = ops[waiting[-1]]
            missing = [each for each in op.inputs if each not in done]
            waiting += reversed(missing)
            if not missing:
                done[waiting.pop()] = op
    return list(done.values())
