"""Comparisons that never fire: a potential compared again behind its own reset.

Code that resets at once, and in the next step asks whether the potential had fired, compares
``h (1 - s) + r s`` with the threshold that ``s`` is of. Where it fired it is ``r``, below the
threshold; where not, ``h`` was below it. The answer is always no, which is a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from snncc.ir.graph import Graph, Op, Weight
from snncc.ir.ops import Constant
from snncc.passes.answers import Firing
from snncc.passes.base import Invariant, Pass, Result, well_formed
from snncc.passes.join_pieces import JoinPieces
from snncc.passes.polynomial import TooLargeError
from snncc.passes.recurrence import POTENTIAL, SPIKE, Arithmetic


@dataclass(frozen=True)
class DropSilent(Pass):
    """Replace each comparison of a reset potential that never fires by what it then answers.

    Sums, factors and masks of numbers become numbers with it, and products with zero are zero.
    """

    name: ClassVar[str] = "drop-silent"
    requires: ClassVar[tuple[Invariant, ...]] = (well_formed,)
    ensures: ClassVar[tuple[Invariant, ...]] = (well_formed,)

    def run(self, graph: Graph) -> Result:
        """Return the graph without comparisons that never fire."""
        while silent := _silent(Arithmetic(graph.by_name, graph.weights)):
            graph = JoinPieces().run(_folded(graph, silent)).graph
        return Result(graph)


def _silent(arithmetic: Arithmetic) -> dict[str, Fraction]:
    """Return what comparisons answer that never fire, none of which is made of another."""
    found: dict[str, Fraction] = {}
    for name, answer in arithmetic.comparisons.items():
        first_hand = name not in arithmetic.second_hand
        if first_hand and answer.firing.levels == 1 and _never_fires(arithmetic, answer.firing):
            found[name] = answer.at(0)
    return found


def _never_fires(arithmetic: Arithmetic, firing: Firing) -> bool:
    """Whether a potential is that of another firing behind its reset, and stays below a mark."""
    name = firing.potential
    reached = arithmetic.origin(name)
    befores = {each for each, _ in reached}
    if len(befores) != 1 or len(reached) != 2 or not _is_closed(arithmetic, name):
        return False
    (before,) = befores
    try:
        form = dict(arithmetic.polynomial(name, before))
    except TooLargeError:
        return False
    kept, gated = form.pop((POTENTIAL,), Fraction(0)), tuple(sorted((POTENTIAL, SPIKE)))
    cleared = form.pop((SPIKE,), Fraction(0))
    if before.levels > 1 or kept <= 0 or form != {gated: -kept}:
        return False
    most = kept * before.threshold
    ties = most == firing.threshold and (firing.strict or not before.strict)
    below = most < firing.threshold or ties
    fires = cleared > firing.threshold or (cleared == firing.threshold and not firing.strict)
    return below and not fires


def _is_closed(arithmetic: Arithmetic, name: str) -> bool:
    """Whether a potential is made of another, of its spike and of numbers, and nothing enters."""
    return all(
        each in arithmetic.firings
        or arithmetic.number(each) is not None
        or arithmetic.is_elementwise(arithmetic.ops[each])
        for each in arithmetic.made_of(name)
    )


def _folded(graph: Graph, known: dict[str, Fraction]) -> Graph:
    """Return a graph in which values are numbers, and what is made of numbers alone."""
    numbers, weights = dict(known), dict[str, Weight]()
    arithmetic = Arithmetic(graph.by_name, graph.weights)
    ops: list[Op] = []
    for op in graph.ops:
        found = numbers[op.name] if op.name in numbers else _number(op, numbers, arithmetic)
        if found is None or op.kind == "constant":
            ops.append(op)
            continue
        numbers[op.name] = found
        kind = np.int16 if found.denominator == 1 and abs(found) < 2**15 else np.float64
        shape, stored = graph.type_of(op.name).shape, f"{op.name}.value"
        weights[stored] = np.broadcast_to(np.array(float(found), kind), shape)
        ops.append(Constant(name=op.name, source=op.source, value=stored))
    return graph.replace(ops, {**graph.weights, **weights})


def _number(op: Any, numbers: dict[str, Fraction], arithmetic: Arithmetic) -> Fraction | None:
    """Return the number that an op makes of numbers; None for any other."""
    if op.kind not in ("scale", "add", "mask", "constant"):
        return None
    if op.kind == "constant":
        found = arithmetic.number(op.name)
        return found if found is None else numbers.setdefault(op.name, found)
    given = [numbers.get(name) for name in op.inputs]
    if op.kind == "scale":
        factor = Fraction(op.factor)
        return factor * given[0] if given[0] is not None else None if factor else factor
    if op.kind == "mask" and 0 in given:
        return Fraction(0)
    x, y = given
    if x is None or y is None:
        return None
    return x + y if op.kind == "add" else x * y
