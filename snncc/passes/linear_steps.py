"""What each time step adds to a share of the one before: values that follow each other in time.

``I = keep I + X``, unrolled, is a sum of one value times a number and of others. Which sum it is
says a polynomial with exact coefficients in the values that do not depend on the step before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, TypeAlias

from snncc.ir.graph import Graph, Shape
from snncc.passes import polynomial as poly
from snncc.passes.join_pieces import uniform
from snncc.passes.neuron_equation import NearMissError
from snncc.passes.polynomial import ONE, Polynomial

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
        shape = self._graph.type_of(name).shape
        while shape[:1] == (1,):
            shape = shape[1:]
        return shape

    def is_number(self, name: str) -> bool:
        """Whether a value is one number in all its places."""
        return name in self._numbers

    def leak(self, steps: Sequence[str]) -> Leak | None:
        """Return how each step is made of the one before, None where most are not.

        Raises ``NearMissError`` where they are, and not as a current is.
        """
        names = [self.same(name) for name in steps]
        if any(a == b for a, b in pairwise(names)):
            return None
        forms = [self._form(b, a) for a, b in pairwise(names)]
        shares = [form.get((a,), Fraction(0)) for a, form in zip(names, forms, strict=False)]
        if len(steps) == 2:
            return self._of_two(names, forms[0], shares[0])
        if not all(map(_depends, names[1:], forms[1:])):
            return None
        _hold_linear(names, forms)
        for step, share in enumerate(shares[2:], start=3):
            if share != shares[1]:
                raise NearMissError(_differs(share, shares[1], step), names[step])
        return self._leak(names, forms, shares[1])

    def _of_two(self, names: list[str], form: Polynomial, share: Fraction) -> Leak | None:
        """What both steps receive may be one value; then the first step is it, too."""
        alone = set(form) <= {(names[0],), ONE}
        keep = share - 1 if alone else share
        if not 0 < keep <= 1 or any(len(monomial) > 1 for monomial in form):
            return None
        return self._leak(names, [form], keep)

    def _leak(self, names: list[str], forms: list[Polynomial], keep: Fraction) -> Leak:
        if not 0 < keep <= 1:
            message = f"each step multiplies the current by {float(keep):.6g}, which is no leak"
            raise NearMissError(message, names[-1])
        received = [Received({self._entry(names[0]): Fraction(1)}, Fraction(0))]
        for before, name, form in zip(names, names[1:], forms, strict=False):
            rest = poly.plus(form, poly.scaled(poly.atom(before), -keep))
            terms = {monomial[0]: factor for monomial, factor in rest.items() if monomial}
            if not terms:
                raise NearMissError("no input enters the current in this time step", name)
            received.append(Received(terms, rest.get(ONE, Fraction(0))))
        self._hold_start(names[0], received, keep)
        return Leak(keep, tuple(received))

    def _entry(self, name: str) -> str:
        """Return the first step without the zero that it starts from."""
        op: Any = self._graph[name]
        while op.kind == "add":
            rest = [each for each in op.inputs if self._numbers.get(each) != 0]
            if len(rest) != 1 or self._places(rest[0]) != self._places(name):
                break
            op = self._graph[rest[0]]
        return str(op.name)

    def _hold_start(self, first: str, received: list[Received], keep: Fraction) -> None:
        """Hold that the first step receives what the second does: that nothing was there before."""
        if len(received[1].terms) > 1:
            return
        ((name, gain),) = received[1].terms.items()
        factor, offset = self._affine(name)
        factor, offset = gain * factor, gain * offset + received[1].offset
        own, start = self._affine(first)
        if own != factor:
            message = f"the first step receives {float(own):.6g} times what the others do"
            raise NearMissError(f"{message}, {float(factor):.6g}", first)
        if start != offset:
            at = float((start - offset) / keep)
            raise NearMissError(f"the current starts at {at:.6g}, wanted 0", first)

    def _affine(self, name: str) -> tuple[Fraction, Fraction]:
        """Return by which factor and offset a value is made of one that is no sum with a number."""
        factor, offset = Fraction(1), Fraction(0)
        while True:
            op: Any = self._graph[name]
            others = [each for each in op.inputs if each not in self._numbers]
            if op.kind == "scale":
                factor *= Fraction(op.factor)
            elif op.kind == "add" and len(others) == 1:
                offset += factor * sum(self._numbers.get(each, 0) for each in op.inputs)
            else:
                return factor, offset
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


def _depends(before: str, form: Polynomial) -> bool:
    return any(before in monomial for monomial in form)


def _hold_linear(names: list[str], forms: list[Polynomial]) -> None:
    for before, name, form in zip(names, names[1:], forms, strict=False):
        for monomial in form:
            others = [each for each in monomial if each != before]
            if len(monomial) > 1 and len(others) == len(monomial) - 1:
                message = f"the current is multiplied by `{others[0]}`, which is not one number"
                raise NearMissError(message, name)
            if len(monomial) > 1:
                raise NearMissError("the current is multiplied by itself", name)


def _differs(share: Fraction, usual: Fraction, step: int) -> str:
    return (
        f"the share of the current that is kept differs from step to step: {float(usual):.6g},"
        f" then {float(share):.6g} in step {step}"
    )
