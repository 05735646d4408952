"""Which comparisons are those of one layer that is nearly a neuron, and over how many time steps.

A neuron's next potential is made of the last one and of its spike by sums and factors. What is
nearly one may go another way: through a bound, say, or by two comparisons a step. So this looks
behind all that makes each place of a value of that place of others, and names nothing a neuron.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from heapq import heapify, heappop, heappush
from typing import Any

from snncc.ir.graph import Graph, Source
from snncc.passes.answers import Firing
from snncc.passes.recurrence import Arithmetic

_VIEWS = ("reshape", "expand")


@dataclass(frozen=True)
class Pattern:
    """The firings of one layer in the order of the graph.

    ``between`` are the values that lead from one of their potentials to another, ``given`` those
    that others read: of each time step the last potential that they are made of, and their names.
    """

    firings: tuple[Firing, ...]
    between: frozenset[str]
    given: Mapping[str, tuple[str, ...]]
    steps: int

    @property
    def potentials(self) -> tuple[str, ...]:
        """What is compared, each once, in the order of the graph."""
        return tuple(dict.fromkeys(firing.potential for firing in self.firings))


class Patterns:
    """The comparisons of a graph, put together; ``arithmetic`` is the graph's."""

    def __init__(self, graph: Graph, arithmetic: Arithmetic) -> None:
        self.graph = graph
        self.arithmetic = arithmetic
        self.place = {op.name: number for number, op in enumerate(graph.ops)}

    def is_local(self, op: Any) -> bool:
        """Whether each place of a result is made of that place of what it reads, or may be."""
        if op.kind != "foreign":
            return op.kind in _VIEWS or self.arithmetic.is_elementwise(op)
        return any(self.graph.type_of(name).shape == op.shape for name in op.inputs)

    def behind(self, *names: str) -> Iterator[str]:
        """Return what values are made of, place by place, up to potentials and spikes of others."""
        seen: set[str] = set()
        waiting = [read for name in names for read in self._made_of(name)]
        while waiting:
            each = waiting.pop()
            if each in seen:
                continue
            seen.add(each)
            yield each
            waiting += () if self._is_end(each) else self._made_of(each)

    def back_from(self, name: str) -> Iterator[str]:
        """Return what is behind a value, the last of the graph first.

        Who finds what is near need not see it all.
        """
        seen = set(self._made_of(name))
        waiting = [-self.place[each] for each in seen]
        heapify(waiting)
        while waiting:
            each = self.graph.ops[-heappop(waiting)].name
            yield each
            for read in () if self._is_end(each) else self._made_of(each):
                if read not in seen:
                    seen.add(read)
                    heappush(waiting, -self.place[read])

    def _made_of(self, name: str) -> tuple[str, ...]:
        return self.graph[name].inputs if self.is_local(self.graph[name]) else ()

    def _is_end(self, name: str) -> bool:
        return name in self.arithmetic.firings or name in self.arithmetic.answers

    def fired_by(self, names: Iterable[str]) -> set[Firing]:
        """Return the firings of which the potential or the spike is among some values."""
        arithmetic = self.arithmetic
        found: set[Firing] = set()
        for name in names:
            found.update(arithmetic.firings.get(name, ()))
            if name in arithmetic.answers:
                found.add(arithmetic.answers[name].firing)
        return found

    @cached_property
    def befores(self) -> Mapping[Firing, set[Firing]]:
        """The firings that each potential goes on from, in the same module."""
        places = self.arithmetic.places
        found: dict[Firing, set[Firing]] = {}
        for potential, firings in self.arithmetic.firings.items():
            made_of = self.fired_by(self.behind(potential))
            for firing in firings:
                module = places[firing].module
                found[firing] = {f for f in made_of if places[f].module == module}
                found[firing].update(firings)
        return found

    def all(self) -> list[Pattern]:
        """Return every pattern, in the order of their first potentials."""
        owner = {firing: firing for firing in self.befores}

        def root(firing: Firing) -> Firing:
            while owner[firing] != firing:
                firing = owner[firing]
            return firing

        for firing, befores in self.befores.items():
            for before in befores:
                owner[root(before)] = root(firing)
        groups: dict[Firing, list[Firing]] = {}
        for firing in sorted(owner, key=lambda f: (self.place[f.potential], f.rank)):
            groups.setdefault(root(firing), []).append(firing)
        return [self._pattern(tuple(group)) for group in groups.values()]

    def _pattern(self, firings: tuple[Firing, ...]) -> Pattern:
        members = set(firings)
        between = {firing.potential for firing in firings}
        for potential in tuple(between):
            between |= self._since(potential, members)
        given = self._given(members, between)
        return Pattern(firings, frozenset(between), given, self._steps(firings, given))

    def _since(self, potential: str, members: set[Firing]) -> set[str]:
        """Return the values behind a potential that are made of a firing of the layer."""
        behind = sorted(self.behind(potential), key=self.place.__getitem__)
        found = {name for name in behind if not members.isdisjoint(self.fired_by((name,)))}
        for name in behind:
            if not found.isdisjoint(self.graph[name].inputs) and self.is_local(self.graph[name]):
                found.add(name)
        return found

    def _given(self, members: set[Firing], between: set[str]) -> dict[str, tuple[str, ...]]:
        own = {name for f in members for name in self._own[f.potential]}
        own |= self._products(own)
        given: dict[str, list[str]] = {}
        for name in sorted(between | own, key=self.place.__getitem__):
            if any(user.name not in between | own for user in self.graph.users[name]):
                given.setdefault(self._last(name, members), []).append(name)
        return {potential: tuple(names) for potential, names in given.items()}

    def _products(self, own: set[str]) -> set[str]:
        """Return what spikes of a layer are together: that it fires, and that it may."""
        spikes = own & self.arithmetic.answers.keys()
        users = (user for name in spikes for user in self.graph.users[name])
        return {user.name for user in users if user.kind == "mask" and spikes >= set(user.inputs)}

    @cached_property
    def _own(self) -> Mapping[str, list[str]]:
        """What is made of each potential alone, and of numbers: its spikes among it."""
        answers, number = self.arithmetic.answers, self.arithmetic.number
        of: dict[str, str] = {name: name for name in self.arithmetic.firings}
        for op in self.graph.ops:
            if op.name in answers:
                of.setdefault(op.name, answers[op.name].firing.potential)
            elif op.name not in of and self.is_local(op):
                made_of = {of.get(each, "") for each in op.inputs if number(each) is None}
                if len(made_of) == 1 and "" not in made_of:
                    (of[op.name],) = made_of
        own: dict[str, list[str]] = {}
        for name, potential in of.items():
            own.setdefault(potential, []).append(name)
        return own

    def _last(self, name: str, members: set[Firing]) -> str:
        """Return the potential of the layer that a value is made of, the last of several.

        What an operator without a meaning makes of another, its absolute value say, is of its step.
        """
        every = self.fired_by((name, *self.behind(name))) & members
        last = max((f.potential for f in every), key=self.place.__getitem__)
        ends = self._ends(last) if self.graph[last].kind == "foreign" else set()
        return ends.pop() if len(ends) == 1 and ends <= self.arithmetic.firings.keys() else last

    def _ends(self, name: str) -> set[str]:
        """Return the values that a potential is made of, that are not looked behind, no numbers."""
        known, found = self.arithmetic.firings.keys() | self.arithmetic.answers.keys(), set()
        for each in self.behind(name):
            if each in known or not self.is_local(self.graph[each]):
                found |= {each} if self.arithmetic.number(each) is None else set()
        return found

    def _steps(self, firings: tuple[Firing, ...], given: Mapping[str, Iterable[str]]) -> int:
        """Return how many time steps there are: potentials that something is given of.

        Where lines of code are known, those of one line: each that made what is given.
        """
        lines: Counter[Source] = Counter()
        first = {firing.potential: firing for firing in reversed(firings)}
        for potential in given or first:
            made_of = self._multiplied(given.get(potential, ())) & first.keys() | {potential}
            places = {self.arithmetic.places[first[each]] for each in made_of}
            lines.update({place if place.line else Source() for place in places})
        return max(lines.values())

    def _multiplied(self, names: Iterable[str]) -> set[str]:
        """Return the potentials of the spikes of which products are made."""
        ops, answers = [self.graph[name] for name in names], self.arithmetic.answers
        read = {each for op in ops if op.kind == "mask" for each in op.inputs}
        return {answers[name].firing.potential for name in read & answers.keys()}
