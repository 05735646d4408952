"""With which share the value of each time step enters a sum of them all, and which sum that is.

A potential that leaks and never fires, summed over time, is a sum of what it receives, in which the
share of a time step is what all later steps keep of it. Shares are exact: how the code is written
does not matter, and what is found here is the same sum.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

from snncc.ir.graph import Graph, Op
from snncc.ir.layouts import Roles, track
from snncc.passes.linear_steps import LinearSteps, without_lead
from snncc.passes.rounding import at_most_one, is_same

_ONE = Fraction(1)
_EXACT = 2**64
"""Roots are computed to this part of one."""


class Entered(NamedTuple):
    """The value of a time step, and its share of the sum."""

    name: str
    share: Fraction


Layer: TypeAlias = Mapping[int, Entered]
"""What the time steps of a layer are in a sum."""


@dataclass(frozen=True)
class Total:
    """A sum of the time steps of layers, of stored tensors with a factor each, and of a number.

    ``between`` are the sums and factors that make it.
    """

    layers: tuple[Layer, ...]
    stored: Mapping[str, Fraction]
    offset: Fraction
    between: frozenset[str]


class Part(NamedTuple):
    """``gain`` times the sum over time of a current that keeps these shares, one after another."""

    keeps: tuple[Fraction, ...]
    gain: Fraction


class TimeShares:
    """The sums over time steps in a graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.roles = Roles(track(graph))
        self._linear = LinearSteps(graph)
        self._places = {op.name: i for i, op in enumerate(graph.ops)}
        self._steps: dict[str, frozenset[int]] = {}
        for op in graph.ops:
            self._steps[op.name] = self._steps_of(op)

    def steps(self, name: str) -> frozenset[int]:
        """Return of which time steps a value is made; -1 stands for all."""
        return self._steps[name]

    def _steps_of(self, op: Any) -> frozenset[int]:
        if op.kind in ("neuron", "synaptic_current"):
            return frozenset({-1})
        if self._takes_a_step(op):
            return frozenset({op.start})
        return frozenset[int]().union(*(self._steps[name] for name in op.inputs))

    def _takes_a_step(self, op: Any) -> bool:
        if op.kind != "slice" or op.stop != op.start + 1:
            return False
        axis = self.roles.found.layouts[op.inputs[0]][op.axis]
        return self.roles.holds(axis, self.roles.time)

    def total(self, name: str) -> Total | None:
        """Return which sum over time steps a value is, None where it is none."""
        ends, offset, between = self._expanded(name)
        layers: dict[Any, dict[int, Entered]] = {}
        stored: dict[str, Fraction] = {}
        for end, share in ends.items():
            steps = self._steps[end]
            if self.graph[end].kind == "constant" and self._is_added_to(name, end, between):
                stored[end] = share
                continue
            layer = layers.setdefault(tuple(self._way(end)), {})
            if len(steps) != 1 or -1 in steps or layer.keys() & steps or not self._fits(name, end):
                return None
            layer[min(steps)] = Entered(end, share)
        if not any(len(layer) > 1 for layer in layers.values()):
            return None
        return Total(tuple(layers.values()), stored, offset, frozenset(between))

    def _expanded(self, total: str) -> tuple[dict[str, Fraction], Fraction, set[str]]:
        """Return the values that a sum is made of with their shares, a number, and its ops."""
        shares, ends = {total: _ONE}, dict[str, Fraction]()
        offset, between = Fraction(0), set[str]()
        for op in reversed(self.graph.ops[: self._places[total] + 1]):
            share, number = shares.pop(op.name, None), self._linear.number(op.name)
            if share is None:
                continue
            if number is not None:
                offset += share * number
                continue
            parts = list(self._parts(op))
            if not parts:
                ends[op.name] = share
                continue
            between |= {op.name, *(op.inputs if op.kind == "sum" else ())}
            for name, factor in parts:
                shares[name] = shares.get(name, Fraction(0)) + share * factor
        return ends, offset, between

    def _parts(self, op: Any) -> Iterator[tuple[str, Fraction]]:
        """Yield what an op adds up, each with its factor; nothing where it does something else."""
        numbers = [self._linear.number(each) for each in op.inputs]
        if op.kind == "add":
            yield from ((each, _ONE) for each in op.inputs)
        elif op.kind == "scale":
            yield op.inputs[0], Fraction(op.factor)
        elif op.kind == "mask" and numbers.count(None) == 1:
            factor = next(each for each in numbers if each is not None)
            yield op.inputs[numbers.index(None)], factor
        elif op.kind == "reshape" and self._fits(op.name, op.inputs[0]):
            yield op.inputs[0], _ONE
        elif op.kind == "sum":
            stack: Any = self.graph[op.inputs[0]]
            if stack.kind == "concat" and op.axes == (stack.axis,) and self._is_stack(stack):
                yield from ((each, _ONE) for each in stack.inputs)

    def _is_stack(self, op: Any) -> bool:
        return all(self.graph.type_of(name).shape[op.axis] == 1 for name in op.inputs)

    def _fits(self, name: str, other: str) -> bool:
        """Whether two values have the same axes but for those of one place."""
        wide = [[n for n in self.graph.type_of(each).shape if n > 1] for each in (name, other)]
        return wide[0] == wide[1]

    def _is_added_to(self, total: str, stored: str, between: set[str]) -> bool:
        """Whether a stored tensor is added where axes stand as they do in the sum."""
        shape = without_lead(self.graph.type_of(total).shape)
        users = [each for each in self.graph.users[stored] if each.name in between]
        return all(without_lead(self.graph.type_of(each.name).shape) == shape for each in users)

    def _way(self, name: str) -> Iterator[Any]:
        """Yield what makes a value of the time step that it is taken from."""
        op: Op = self.graph[name]
        while op.inputs and not self._takes_a_step(op):
            yield op.kind, op.weight_names
            op = self.graph[op.inputs[0]]
        yield op.inputs


def shares_of(layer: Layer, steps: int) -> list[Fraction]:
    """Return the share of each time step, the last one first."""
    none = Entered("", Fraction(0))
    return [layer.get(step, none).share for step in reversed(range(steps))]


def part_of(shares: Sequence[Fraction]) -> Part | None:
    """Return which sum of a current over time has these shares, the last time step's first.

    None where none is known. The share of a step is what it adds to that of the step after it:
    what is left of a current after so many steps.
    """
    zero = Fraction(0)
    sizes = [max(map(abs, shares[: i + 1])) for i in range(len(shares))]
    left = [a - b for a, b in zip(shares, [zero, *shares], strict=False)]
    left = [zero if is_same(x, zero, n) else x for x, n in zip(left, sizes, strict=True)]
    for keeps in ((), *_single(left), *_double(left)):
        if left[0] and _agrees(left, [left[0] * each for each in _response(keeps, left)], sizes):
            return Part(keeps, left[0])
    return None


def kept_of_last(shares: Sequence[Fraction]) -> Fraction | None:
    """Return what a potential keeps in a step whose last value has these shares, None if none."""
    keep = shares[1] / shares[0] if shares[0] else Fraction(0)
    wanted = [shares[0] * keep**i for i in range(len(shares))]
    return keep if 0 < keep <= 1 and _agrees(shares, wanted, shares) else None


def _single(left: Sequence[Fraction]) -> Iterator[tuple[Fraction, ...]]:
    keep = at_most_one(left[1] / left[0]) if left[0] else Fraction(0)
    if 0 < keep <= 1:
        yield (keep,)


def _double(left: Sequence[Fraction]) -> Iterator[tuple[Fraction, ...]]:
    """Yield two shares that are kept: of a current, and of the potential that it charges."""
    if len(left) < 3 or not left[0]:
        return
    total = left[1] / left[0]
    product = total * total - left[2] / left[0]
    spread = total * total - 4 * product
    if is_same(total * total, 4 * product):
        spread = Fraction(0)
    if spread >= 0:
        root = Fraction(math.isqrt(int(spread * _EXACT * _EXACT)), _EXACT)
        keeps = at_most_one((total + root) / 2), (total - root) / 2
        if all(0 < keep <= 1 for keep in keeps):
            yield keeps


def _response(keeps: Sequence[Fraction], steps: Sequence[Fraction]) -> list[Fraction]:
    """Return what is left of 1 after each time step, in currents one after another."""
    values = [_ONE, *[Fraction(0)] * (len(steps) - 1)]
    for keep in keeps:
        for i in range(1, len(steps)):
            values[i] += keep * values[i - 1]
    return values


def _agrees(
    found: Sequence[Fraction], wanted: Sequence[Fraction], sizes: Sequence[Fraction]
) -> bool:
    return all(map(is_same, found, wanted, sizes))
