"""Comparisons that follow each other in time, and the arithmetic that leads from one to the next.

A comparison fires where a potential reaches a threshold, and so does each level of a count. The
next one in its chain compares a potential that was computed from this one's potential and spike:
that is what a neuron's update is.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal, TypeAlias

from snncc.ir.graph import Op, Source, Weights
from snncc.passes import polynomial as poly
from snncc.passes.answers import (
    Affine,
    Answer,
    Firing,
    answer_of,
    factor_of,
    fired,
    product_of,
    sum_of,
    threshold_of,
)
from snncc.passes.join_pieces import uniform
from snncc.passes.polynomial import Polynomial

POTENTIAL, SPIKE, FIRED = "%h", "%s", "%f"
"""Names of the potential of the step before, its spike or count of spikes, and whether there was
any where they are counted; no op is called so."""

_LONGEST_PATH = 64
"""Additions and factors in a row between a potential and its comparison; code has a few."""

FIRES = ("compare", "count")
"""Kinds that fire."""

_ELEMENTWISE = ("add", "scale", "mask", *FIRES, "batch_norm")


TOO_LARGE: Polynomial = {}
"""Stands for an update of more terms than any neuron has."""

Reach: TypeAlias = frozenset[tuple[Firing, Literal["potential", "spike"]]]


class Arithmetic:
    """The elementwise arithmetic of a graph, by name of the value.

    ``current`` is a sum that is not looked behind, though it is made of a potential. Firings that
    are ``apart`` are told apart by the layer that compares: ``layers`` says which, else the module.
    """

    current = ""

    def __init__(
        self, ops: Mapping[str, Op], weights: Weights, apart: frozenset[Firing] = frozenset(),
        layers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.ops = ops
        self.weights = weights
        self.apart = apart
        self.layers = layers or {}
        self._numbers: dict[str, Fraction | None] = {}
        self._reach: dict[str, Reach] = {}

    def number(self, name: str) -> Fraction | None:
        """Return the number that a value is in all its places, None where it is computed."""
        views = []
        while name not in self._numbers and self.ops[name].kind in ("expand", "reshape"):
            views.append(name)
            (name,) = self.ops[name].inputs
        if name not in self._numbers:
            found = uniform(self.weights, self.ops[name])
            self._numbers[name] = None if found is None else Fraction(found)
        self._numbers.update(dict.fromkeys(views, self._numbers[name]))
        return self._numbers[name]

    @staticmethod
    def is_elementwise(op: Op) -> bool:
        """Whether an op makes each place of its result of that place of what it reads."""
        return op.kind in _ELEMENTWISE

    def has_numbers(self, name: str) -> bool:
        """Whether a value is a sum with stored numbers that differ from place to place."""
        op = self.ops[name]
        stored = (n for n in op.inputs if self.ops[n].kind == "constant")
        return op.kind == "add" and any(self.number(n) is None for n in stored)

    def affine_path(self, name: str) -> list[Affine]:
        """Return a value as an affine function of itself, of what it is made of, and so on down."""
        path = [Affine(name, Fraction(1), Fraction(0))]
        while len(path) < _LONGEST_PATH and (below := self._affine(*path[-1])) is not None:
            path.append(below)
        return path

    def _affine(self, name: str, factor: Fraction, offset: Fraction) -> Affine | None:
        op: Any = self.ops[name]
        if op.kind == "scale" and op.factor:
            return Affine(op.inputs[0], factor * factor_of(op), offset)
        if op.kind != "add":
            return None
        for i, other in enumerate(op.inputs):
            number = self.number(other)
            if number is not None:
                return Affine(op.inputs[1 - i], factor, offset + factor * number)
        return None

    @cached_property
    def answers(self) -> Mapping[str, Answer]:
        """All values that are made of one spike alone: comparisons, and what is made of them."""
        found: dict[str, Answer] = {}
        for op in self.ops.values():
            answer = self._answer(op, found)
            if answer is not None:
                found[op.name] = answer
        return found

    @cached_property
    def comparisons(self) -> Mapping[str, Answer]:
        """What each comparison and each count answers."""
        return {n: answer for n, answer in self.answers.items() if self.ops[n].kind in FIRES}

    @cached_property
    def made_of_spike(self) -> Mapping[Firing, tuple[str, ...]]:
        """The names of the answers of each firing."""
        found: dict[Firing, list[str]] = {}
        for name, answer in self.answers.items():
            found.setdefault(answer.firing, []).append(name)
        return {firing: tuple(names) for firing, names in found.items()}

    @cached_property
    def second_hand(self) -> frozenset[str]:
        """The answers that come from comparing a spike, not a potential."""
        found: set[str] = set()
        for name in self.answers:
            op = self.ops[name]
            on_spike = op.kind in FIRES and op.inputs[0] in self.answers
            if on_spike or not found.isdisjoint(op.inputs):
                found.add(name)
        return frozenset(found)

    def made_of(self, name: str) -> Iterator[str]:
        """Return the values that a potential is elementwise made of, up to other potentials."""
        seen: set[str] = set()
        waiting = list(self.ops[name].inputs)
        while waiting:
            each = waiting.pop()
            if each not in seen:
                seen.add(each)
                yield each
                inside = self.ops[each].kind in _ELEMENTWISE and each not in self.firings
                waiting += self.ops[each].inputs if inside else ()

    def _answer(self, op: Any, before: Mapping[str, Answer]) -> Answer | None:
        if op.kind in FIRES:
            return self._again(op, before) or self._fires(op)
        made = [before.get(name) for name in op.inputs]
        if op.kind == "scale" and made[0]:
            return product_of(made[0], factor_of(op))
        if op.kind not in ("add", "mask") or not any(made):
            return None
        numbers = [self.number(name) for name in op.inputs]
        x, y = (m or n for m, n in zip(made, numbers, strict=True))
        return sum_of(x, y) if op.kind == "add" else product_of(x, y)

    def _again(self, op: Any, before: Mapping[str, Answer]) -> Answer | None:
        """Return what comparing or counting a value that is made of spikes answers."""
        spikes = before.get(op.inputs[0])
        if spikes is None:
            return None
        return answer_of(spikes.firing, lambda count: Fraction(fired(op, spikes.at(count))))

    def _fires(self, op: Any) -> Answer:
        """``factor p + offset >= threshold`` turns round where the factor is negative."""
        bottom, factor, offset = self.affine_path(op.inputs[0])[-1]
        one, none = Fraction(1), Fraction(0)
        if op.kind == "count" and op.levels > 1:
            threshold = (1 - offset) / factor
            firing = Firing(bottom, threshold, False, op.levels, op.rounding, 1 / factor)
            return Answer(self._of_module(firing, op), one, none)
        reached, strict = threshold_of(op)
        firing = Firing(bottom, (reached - offset) / factor, strict == (factor > 0))
        sign, silent = (one, none) if factor > 0 else (-one, one)
        return Answer(self._of_module(firing, op), sign, silent)

    def _of_module(self, firing: Firing, op: Op) -> Firing:
        layer = self.layers.get(op.name, op.source.module)
        return replace(firing, module=layer) if firing in self.apart else firing

    @cached_property
    def firings(self) -> Mapping[str, tuple[Firing, ...]]:
        """The firings of each potential."""
        found: dict[str, dict[Firing, None]] = {}
        for answer in self.comparisons.values():
            found.setdefault(answer.firing.potential, {})[answer.firing] = None
        return {name: tuple(firings) for name, firings in found.items()}

    @cached_property
    def places(self) -> Mapping[Firing, Source]:
        """Where each firing is compared first."""
        found: dict[Firing, Source] = {}
        for name, answer in self.comparisons.items():
            found.setdefault(answer.firing, self.ops[name].source)
        return found

    def reach(self, name: str) -> Reach:
        """Return the potentials and spikes that a value is elementwise made of.

        A potential is made of itself alone: what it was computed from is ``origin``.
        """
        for each in self._in_order(name, self._reach, self._looks_behind):
            firings = self.firings.get(each, ())
            found: Reach = frozenset((f, "potential") for f in firings)
            if each in self.answers:
                found |= {(self.answers[each].firing, "spike")}
            elif not firings:
                found = self.origin(each)
            self._reach[each] = found
        return self._reach[name]

    def origin(self, name: str) -> Reach:
        """Return what the inputs of an elementwise op are made of."""
        op = self.ops[name]
        found: Reach = frozenset()
        if op.kind in _ELEMENTWISE:
            for each in op.inputs:
                found |= self.reach(each)
        return found

    def leads_to(self, firing: Firing, name: str) -> bool:
        """Whether a value is made of a spike in any way."""
        every = self._in_order(name, (), lambda _: True)
        return not set(self.made_of_spike[firing]).isdisjoint(every)

    def _looks_behind(self, name: str) -> bool:
        """Whether a value is no potential and no spike, but made of some."""
        known = name in self.firings or name in self.answers
        return not known and self.ops[name].kind in _ELEMENTWISE

    def _in_order(
        self, name: str, known: Container[str], opens: Callable[[str], bool]
    ) -> list[str]:
        """Return what is not ``known`` of a value and of what it is made of, inputs first.

        Values that ``opens`` says no to are not looked behind.
        """
        found: dict[str, None] = {}
        waiting = [(name, False)]
        while waiting:
            each, ready = waiting.pop()
            if ready:
                found[each] = None
            elif each not in known and each not in found:
                waiting.append((each, True))
                inputs = self.ops[each].inputs if opens(each) else ()
                waiting += ((i, False) for i in inputs)
        return list(found)

    def polynomial(self, name: str, before: Firing) -> Polynomial:
        """Return how a potential is made of the potential and the spike of the step before.

        What does not depend on them is a name of its own.
        """
        return self._combined(self.ops[name], before, {})

    def _term(self, name: str, before: Firing, known: dict[str, Polynomial]) -> Polynomial:
        def opens(each: str) -> bool:
            return self._atom(each, before) is None

        for each in self._in_order(name, known, opens):
            atom = self._atom(each, before)
            known[each] = self._combined(self.ops[each], before, known) if atom is None else atom
        return known[name]

    def _atom(self, name: str, before: Firing) -> Polynomial | None:
        """Return a value that is not looked behind; None for arithmetic on the step before."""
        if name == self.current:
            return poly.atom(name)
        if name == before.potential:
            return poly.atom(POTENTIAL)
        if name in self.answers and self.answers[name].firing == before:
            _, factor, offset, fired = self.answers[name]
            spike = poly.scaled(poly.atom(SPIKE), factor)
            any_spike = poly.plus(poly.scaled(poly.atom(FIRED), fired), poly.constant(offset))
            return poly.plus(spike, any_spike)
        number = self.number(name)
        if number is not None:
            return poly.constant(number)
        depends = any(firing == before for firing, _ in self.reach(name))
        if not depends or name in self.answers or name in self.firings:
            return poly.atom(name)
        return None

    def _combined(self, op: Any, before: Firing, known: dict[str, Polynomial]) -> Polynomial:
        terms = [self._term(each, before, known) for each in op.inputs]
        if op.kind == "scale":
            return poly.scaled(terms[0], factor_of(op))
        if op.kind == "add":
            return poly.plus(terms[0], terms[1])
        if op.kind == "batch_norm":
            terms.append(poly.atom(op.name))
        if before.levels == 1:
            return poly.times(terms[0], terms[1], spikes=(SPIKE,))
        return poly.with_counts(poly.times(terms[0], terms[1], spikes=(FIRED,)), SPIKE, FIRED)


@dataclass(frozen=True)
class Chain:
    """Firings one a time step; ``updates[t]`` is how potential ``t + 1`` was computed."""

    firings: tuple[Firing, ...]
    updates: tuple[Polynomial, ...]


def followers(arithmetic: Arithmetic) -> Mapping[Firing, list[Firing]]:
    """Return the firings that go on from each."""
    after: dict[Firing, list[Firing]] = {}
    for firings in arithmetic.firings.values():
        for firing in firings:
            goes_on = _nearest(arithmetic, firing, _befores(arithmetic, firing))
            if len(goes_on) == 1:
                after.setdefault(goes_on[0], []).append(firing)
    return after


def chains(arithmetic: Arithmetic) -> list[Chain]:
    """Return all firings, each in one chain; one that no other follows or leads to is alone."""
    every = [f for firings in arithmetic.firings.values() for f in firings]
    after = followers(arithmetic)
    follows = {firing: _nearest(arithmetic, firing, after[firing]) for firing in after}
    later = {found[0] for found in follows.values() if len(found) == 1}
    return [_chain(arithmetic, firing, follows) for firing in every if firing not in later]


def through(
    arithmetic: Arithmetic, first: Firing, second: Firing, after: Mapping[Firing, list[Firing]]
) -> Chain:
    """Return the chain that goes on from one firing to another, and from there as it does."""
    follows = {firing: _nearest(arithmetic, firing, after[firing]) for firing in after}
    return _chain(arithmetic, first, {**follows, first: [second]})


def _nearest(arithmetic: Arithmetic, firing: Firing, others: list[Firing]) -> list[Firing]:
    """Return those of the others that the same line compares, if that is what tells them apart."""
    same = [f for f in others if arithmetic.places[f] == arithmetic.places[firing]]
    return same if len(same) == 1 else others


def _befores(arithmetic: Arithmetic, firing: Firing) -> list[Firing]:
    """Return the firings whose potential and spike a potential is made of.

    Without its spike a potential may be one that a residual connection adds to, unless it is
    compared by the same line of code or, where none is noted, made of no such spike at all.
    """
    reached = arithmetic.origin(firing.potential)
    every = sorted({f for f, _ in reached}, key=lambda f: f.rank)
    both = [f for f in every if {(f, "potential"), (f, "spike")} <= reached]
    place = arithmetic.places[firing]
    again = [f for f in every if (f, "potential") in reached and arithmetic.places[f] == place]
    last, noted = _last(arithmetic, again), place != Source()
    return both or [f for f in last if noted or not arithmetic.leads_to(f, firing.potential)]


def _last(arithmetic: Arithmetic, firings: list[Firing]) -> list[Firing]:
    """Return the firings that none of the others goes on from."""
    gone_on = {f for each in firings for f, _ in arithmetic.origin(each.potential)}
    return [f for f in firings if f not in gone_on]


def linked(arithmetic: Arithmetic) -> frozenset[Firing]:
    """Return the firings of which potential and spike lead to another's potential, and that."""
    found: set[Firing] = set()
    for firings in arithmetic.firings.values():
        for firing in firings:
            reached = arithmetic.origin(firing.potential)
            before = {f for f, _ in reached if {(f, "potential"), (f, "spike")} <= reached}
            found |= before | ({firing} if before else set())
    return frozenset(found)


def _update(arithmetic: Arithmetic, firing: Firing, before: Firing) -> Polynomial:
    try:
        return arithmetic.polynomial(firing.potential, before)
    except poly.TooLargeError:
        return TOO_LARGE


def _chain(arithmetic: Arithmetic, first: Firing, after: Mapping[Firing, list[Firing]]) -> Chain:
    firings, updates = [first], []
    while len(following := after.get(firings[-1], [])) == 1:
        updates.append(_update(arithmetic, following[0], firings[-1]))
        firings.append(following[0])
    return Chain(tuple(firings), tuple(updates))
