"""What a layer gives away in a time step, as a function of its potential: spikes, or what else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

from snncc.passes.answers import factor_of, fired
from snncc.passes.near_patterns import Pattern, Patterns
from snncc.passes.recurrence import FIRES

_LONGEST_NUMBER = 900
"""Bits of a numerator; products of a few floats have some hundred."""


def not_a_spike(patterns: Patterns, pattern: Pattern) -> str:
    """Return what else than one of two numbers a layer fires, as one phrase; nothing where not.

    What counts spikes is left out: it fires many numbers.
    """
    if any(firing.levels > 1 for firing in pattern.firings):
        return ""
    said: Counter[str] = Counter()
    for potential, names in pattern.given.items():
        found = {_said(patterns, potential, name) for name in names}
        if "" in found:  # it gives a spike away, and more beside it
            return ""
        said.update(each for each in found if each)
    message, count = said.most_common(1)[0] if said else ("", 0)
    return message if 2 * count > len(pattern.given) else ""


def _said(patterns: Patterns, potential: str, name: str) -> str | None:
    """Return what is odd about one value, nothing where it is a spike, None where it is unknown."""
    marks = sorted({f.threshold for f in patterns.arithmetic.firings[potential]})
    between = [(a + b) / 2 for a, b in pairwise(marks)]
    below, above = marks[0] - 1, marks[-1] + 1
    inside = [x for pair in zip(marks, [*between, above], strict=True) for x in pair]
    points = [below - 1, below, *inside, above + 1]
    values = [_value(patterns, name, potential, x) for x in points]
    if None in values:
        return None
    return _odd(marks, [v for v in values if v is not None])


def _odd(marks: Sequence[Fraction], values: Sequence[Fraction]) -> str:
    """Return what is odd: ``values`` are those below the marks, at and above each, and above all.

    The first and the last two are beyond all marks, to see whether they grow.
    """
    low, *rest = values[1:-1]
    if values[0] != low or values[-1] != rest[-1]:
        return "what is fired grows with the potential, a neuron fires 0 or 1"
    at, high = rest[::2], rest[1::2]
    for mark, before, here, after in zip(marks, (low, *high), at, high, strict=False):
        if here not in (before, after):
            return (
                f"at a potential of {_text(mark)} it fires {_text(here)},"
                f" above it {_text(after)}: a neuron fires 0 or 1"
            )
    every = sorted(set(values))
    if len(every) > 2:
        last = f"{', '.join(map(_text, every[:-1]))} or {_text(every[-1])}"
        by = " and ".join(map(_text, marks))
        return f"what is fired is {last}, by thresholds of {by}: a neuron fires 0 or 1 by one"
    changes = sum(a != b for a, b in pairwise((low, *high)))
    if changes > 1:
        by = f"from {_text(marks[0])} to {_text(marks[-1])}"
        return f"it fires {_text(high[0])} at potentials {by} alone, a neuron at all above one"
    return ""


def _value(patterns: Patterns, name: str, potential: str, at: Fraction) -> Fraction | None:
    """Return a value where a potential is ``at``, None where it is made of more than that."""
    known: dict[str, Fraction | None] = {potential: at}
    waiting = [name]
    while waiting:
        each = waiting[-1]
        op: Any = patterns.graph[each]
        inner = patterns.arithmetic.number(each) is None and patterns.arithmetic.is_elementwise(op)
        inner = inner or op.kind in ("reshape", "expand")
        missing = [i for i in op.inputs if i not in known] if inner and each not in known else []
        waiting += missing
        if not missing:
            waiting.pop()
            if each not in known:
                known[each] = _computed(patterns, op, [known.get(i) for i in op.inputs])
    return known[name]


def _computed(patterns: Patterns, op: Any, given: Sequence[Fraction | None]) -> Fraction | None:
    number = patterns.arithmetic.number(op.name)
    if number is not None:
        return number
    values = [each for each in given if each is not None and _is_short(each)]
    if not values or len(values) < len(given):
        return None
    if op.kind == "add":
        return values[0] + values[1]
    if op.kind == "mask":
        return values[0] * values[1]
    if op.kind == "scale":
        return values[0] * factor_of(op)
    if op.kind in FIRES:
        return Fraction(fired(op, values[0]))
    return values[0] if op.kind in ("reshape", "expand") else None


def _is_short(value: Fraction) -> bool:
    """Whether a number is one that a layer may fire: squares of squares grow without end."""
    return max(value.numerator.bit_length(), value.denominator.bit_length()) <= _LONGEST_NUMBER


def _text(value: Fraction) -> str:
    return f"{float(value):.6g}"
