"""What each time step adds to a share of the one before: values that follow each other in time.

``I = keep I + X``, unrolled, is a sum of one value times a number and of others. Which sum it is
says a polynomial with exact coefficients in the values that do not depend on the step before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

from snncc.ir.graph import Graph, Shape
from snncc.passes import polynomial as poly
from snncc.passes.answers import Affine, collected
from snncc.passes.join_pieces import uniform
from snncc.passes.near_miss import NearMissError
from snncc.passes.polynomial import ONE, Polynomial
from snncc.passes.rounding import are_same, at_most_one, is_same

Terms: TypeAlias = Mapping[str, Fraction]
"""Values, each with its factor."""

_VIEWS = ("reshape", "expand")
_LINEAR = ("add", "scale", "mask", "batch_norm")


@dataclass(frozen=True)
class Received:
    """What a time step adds: a sum of values times factors, and a number."""

    terms: Terms
    offset: Fraction


@dataclass(frozen=True)
class Leak:
    """``I[t] = keep I[t - 1] + received[t]``, from 0 on."""

    keep: Fraction
    received: tuple[Received, ...]


class Steps(NamedTuple):
    """A value of each time step. Of the first is known what it is a factor of, and an offset."""

    first: Affine
    later: tuple[str, ...]


class LinearSteps:
    """The sums and factors of a graph, by name of the value."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._numbers: dict[str, Fraction] = {}
        self._bases: dict[str, str] = {}
        self._names: dict[tuple[str, Shape], str] = {}
        for op in graph.ops:
            self._note(op)

    def _note(self, op: Any) -> None:
        """Keep which number a value is, if it is one, and of what it is a view."""
        number = self._number(op)
        if number is not None:
            self._numbers[op.name] = number
        is_view = op.kind == "reshape"
        self._bases[op.name] = self._bases[op.inputs[0]] if is_view else op.name

    def _number(self, op: Any) -> Fraction | None:
        given = [self._numbers.get(name) for name in op.inputs]
        if op.kind == "constant":
            found = uniform(self._graph.weights, op)
            return None if found is None else Fraction(found)
        numbers = [each for each in given if each is not None]
        if not given or len(numbers) < len(given) or op.kind not in (*_VIEWS, *_LINEAR[:3]):
            return None
        if op.kind == "scale":
            return numbers[0] * Fraction(op.factor)
        if op.kind in _VIEWS:
            return numbers[0]
        return numbers[0] + numbers[1] if op.kind == "add" else numbers[0] * numbers[1]

    def same(self, name: str) -> str:
        """Return the one name of a value and of its views that differ in axes of one place."""
        base, shape = self._bases[name], self._places(name)
        if self._places(base) == shape:
            return base
        return self._names.setdefault((base, shape), name)

    def _places(self, name: str) -> Shape:
        """Return the shape of a value without leading axes of one place."""
        return without_lead(self._graph.type_of(name).shape)

    def number(self, name: str) -> Fraction | None:
        """Return the one number that a value is in all its places, None where it is none."""
        return self._numbers.get(name)

    def leak(self, steps: Steps) -> Leak | None:
        """Return how each step is made of the one before, None where most are not.

        Raises ``NearMissError`` where they are, and not as a current is.
        """
        names = [self.same(name) for name in steps.later]
        missed = None
        below = collected(steps.first, self._graph.by_name, self.affine)
        for start in reversed((steps.first, *below)):
            try:
                if found := self._leak_from(start, names):
                    return found
            except NearMissError as miss:
                missed = miss
        if missed:
            raise missed
        return None

    def _leak_from(self, start: Affine, names: list[str]) -> Leak | None:
        befores = [start.name, *names[:-1]]
        if not start.factor or any(a == b for a, b in zip(befores, names, strict=True)):
            return None
        forms = [self._form(b, a) for a, b in zip(befores, names, strict=True)]
        shares = [form.get((a,), Fraction(0)) for a, form in zip(befores, forms, strict=True)]
        if len(names) == 1:
            keep = _of_two(start, forms[0], shares[0] / start.factor)
            return None if keep is None else self._leak(start, names, forms, keep)
        if not all(map(_depends, befores[1:], forms[1:])):
            return None
        for before, name, form in zip(befores, names, forms, strict=True):
            _hold_linear(before, name, form)
        for step, share in enumerate(shares[2:], start=3):
            if not is_same(share, shares[1], 1):
                raise NearMissError(_differs(share, shares[1], step), names[step - 1])
        return self._leak(start, names, forms, shares[1])

    def _leak(
        self, start: Affine, names: list[str], forms: list[Polynomial], keep: Fraction
    ) -> Leak:
        keep = at_most_one(keep)
        if not 0 < keep <= 1:
            message = f"each step multiplies the current by {float(keep):.6g}, which is no leak"
            raise NearMissError(message, names[-1])
        begun = poly.scaled(poly.atom(start.name), start.factor)
        befores = [poly.plus(begun, poly.constant(start.offset)), *map(poly.atom, names[:-1])]
        received = []
        for before, name, form in zip(befores, names, forms, strict=True):
            rest = _beyond(form, poly.scaled(before, keep))
            terms = {monomial[0]: factor for monomial, factor in rest.items() if monomial}
            if not terms:
                raise NearMissError("no input enters the current in this time step", name)
            received.append(Received(terms, rest.get(ONE, Fraction(0))))
        self._hold_start(start, received[0], keep)
        first = self._entry(start, len(received[0].terms))
        return Leak(keep, tuple(_with_factors_of(received[-1], r) for r in (first, *received)))

    def _entry(self, start: Affine, count: int) -> Received:
        """Return what the first step receives, as a sum of as many values as the others are."""
        terms = [start]
        while len(terms) < count:
            sums = [i for i, each in enumerate(terms) if self._graph[each.name].kind == "add"]
            if not sums:
                break
            total = terms[sums[0]]
            parts = [self.affine(each) for each in self._graph[total.name].inputs]
            terms[sums[0] : sums[0] + 1] = [
                Affine(p.name, total.factor * p.factor, total.factor * p.offset) for p in parts
            ]
        found: dict[str, Fraction] = {}
        for name, factor, _ in terms:
            found[name] = found.get(name, Fraction(0)) + factor
        return Received(found, start.offset + sum(each.offset for each in terms if each != start))

    def _hold_start(self, start: Affine, second: Received, keep: Fraction) -> None:
        """Hold that the first step receives what the second does: that nothing was there before."""
        if len(second.terms) > 1:
            return
        ((name, gain),) = second.terms.items()
        usual = self.affine(name)
        factor, offset = gain * usual.factor, gain * usual.offset + second.offset
        if not is_same(start.factor, factor):
            message = f"the first step receives {float(start.factor):.6g} times what the others do"
            raise NearMissError(f"{message}, {float(factor):.6g}", start.name)
        if not is_same(start.offset, offset, gain * usual.offset):
            began = float((start.offset - offset) / keep)
            raise NearMissError(f"the current starts at {began:.6g}, wanted 0", start.name)

    def affine(self, name: str) -> Affine:
        """Return a value as a factor of what is no sum with a number, and an offset."""
        factor, offset = Fraction(1), Fraction(0)
        while True:
            op: Any = self._graph[self.same(name)]
            others = [each for each in op.inputs if each not in self._numbers]
            if op.kind == "scale":
                factor *= Fraction(op.factor)
            elif op.kind == "add" and len(others) == 1:
                offset += factor * sum(self._numbers.get(each, 0) for each in op.inputs)
            else:
                return Affine(self.same(name), factor, offset)
            name = others[0] if others else op.inputs[0]

    def _form(self, name: str, before: str) -> Polynomial:
        """Return a value as a polynomial in the step before and in what does not depend on it."""
        known: dict[str, tuple[Polynomial, bool]] = {}
        for each in self._between(name, before):
            known[each] = self._combined(self._graph[each], before, known)
        return known[name][0]

    def _combined(
        self, op: Any, before: str, known: Mapping[str, tuple[Polynomial, bool]]
    ) -> tuple[Polynomial, bool]:
        """Return one value, and whether it depends on the step before."""
        if self.same(op.name) == before:
            return poly.atom(before), True
        if op.name in self._numbers:
            return poly.constant(self._numbers[op.name]), False
        inputs = [known[each] for each in op.inputs if each in known]
        if op.kind not in _LINEAR or not any(depends for _, depends in inputs):
            return poly.atom(self.same(op.name)), False
        (x, _), *others = inputs
        if op.kind == "scale":
            return poly.scaled(x, Fraction(op.factor)), True
        if op.kind == "add":
            return poly.plus(x, others[0][0]), True
        other = others[0][0] if others else poly.atom(op.name)
        return poly.times(x, other, spikes=()), True

    def _between(self, name: str, before: str) -> list[str]:
        """Return what sums and factors make a value of, inputs first, up to the step before."""
        found: dict[str, None] = {}
        waiting = [(name, False)]
        while waiting:
            each, ready = waiting.pop()
            op = self._graph[each]
            if ready:
                found[each] = None
            elif each not in found:
                waiting.append((each, True))
                ends = op.kind not in _LINEAR or each in self._numbers
                if not ends and self.same(each) != before:
                    waiting += ((i, False) for i in op.inputs)
        return list(found)


def _of_two(start: Affine, form: Polynomial, share: Fraction) -> Fraction | None:
    """What both steps receive may be one value; then the first step is it, too."""
    alone = set(form) <= {(start.name,), ONE}
    keep = share - 1 if alone else share
    linear = all(len(monomial) < 2 for monomial in form)
    return keep if linear and 0 < keep <= 1 else None


def _beyond(form: Polynomial, share: Polynomial) -> Polynomial:
    """Return what a step has beside a share of the one before; rounding leaves none of that."""
    rest = poly.plus(form, poly.scaled(share, Fraction(-1)))
    none = Fraction(0)
    return {m: f for m, f in rest.items() if not is_same(form.get(m, none), share.get(m, none))}


def _with_factors_of(other: Received, step: Received) -> Received:
    """Return what a step receives, times the numbers of another where they are the same."""
    factors = tuple(other.terms.values())
    if not are_same(tuple(step.terms.values()), factors):
        return step
    return Received(dict(zip(step.terms, factors, strict=True)), step.offset)


def _depends(before: str, form: Polynomial) -> bool:
    return any(before in monomial for monomial in form)


def _hold_linear(before: str, name: str, form: Polynomial) -> None:
    for monomial in form:
        others = [each for each in monomial if each != before]
        if len(monomial) > 1 and len(others) == len(monomial) - 1:
            message = "the current is multiplied by {}, which is not one number"
            raise NearMissError(message, name, others[0])
        if len(monomial) > 1:
            raise NearMissError("the current is multiplied by itself", name)


def _differs(share: Fraction, usual: Fraction, step: int) -> str:
    return (
        f"the share of the current that is kept differs from step to step: {float(usual):.6g},"
        f" then {float(share):.6g} in step {step}"
    )


def without_lead(shape: Shape) -> Shape:
    """Return a shape without its leading axes of one place."""
    while shape[:1] == (1,):
        shape = shape[1:]
    return shape
