"""Which findings would not be there without another: what is left of a layer that is no neuron.

A layer that is nearly one stays arithmetic, and each of its products, factors and operators is
found fault with, as is what reads it and the time that it does not tell. All that follows from the
one finding that says what is in the way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Final

from snncc.diagnostics.core import Diagnostic, Rule
from snncc.ir import domain as dom
from snncc.ir.graph import Graph
from snncc.passes.rules import NO_TIME_AXIS, TIME_AXES_DIFFER, TIME_MIXED, UNREADABLE_AXES
from snncc.passes.rules_of_raising import (
    UNRAISED_ARITHMETIC,
    UNRAISED_CURRENT,
    UNSUMMED_POTENTIAL,
)
from snncc.passes.spike_rules import FOREIGN_OP, UNFOLDED_SCALE

CAUSES: Final = (UNRAISED_ARITHMETIC, UNRAISED_CURRENT, UNSUMMED_POTENTIAL)
"""Rules that others follow from."""

_OF_TIME: Final = (NO_TIME_AXIS, TIME_AXES_DIFFER, TIME_MIXED, UNREADABLE_AXES)
"""Rules that are broken where a layer does not tell which axis is time."""


def with_causes(graph: Graph, found: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return findings about a graph, each that follows from another with that."""
    every = tuple(found)
    for cause in every:
        if cause.rule in CAUSES:
            every = tuple(_followed(graph, every, cause))
    return every


def _followed(
    graph: Graph, found: tuple[Diagnostic, ...], cause: Diagnostic
) -> Iterator[Diagnostic]:
    own = {op.name for op in graph if _is_own(graph, op.name, cause)}
    spread = _spread(graph, own)
    for each in found:
        free = each.follows is None and each.allowed_by is None and each.rule not in CAUSES
        follows = free and (each.rule in _OF_TIME or _is_of(graph, each, own, spread))
        yield dataclasses.replace(each, follows=cause) if follows else each


def _is_own(graph: Graph, name: str, cause: Diagnostic) -> bool:
    """Whether a value is one that the cause is about, or is left of one in a later graph."""
    op, module = graph[name], cause.source.module
    left = bool(module) and op.source.module == module and op.kind in _LEFT
    return name in cause.values or left


_LEFT: Final = ("add", "mask", "scale", "foreign")


def _spread(graph: Graph, own: set[str]) -> set[str]:
    """Return what is made of some values, up to the next spikes; these are among it."""
    found = set(own)
    for op in graph:
        if not found.isdisjoint(op.inputs) and op.kind != "neuron":
            found.add(op.name)
    return found


def _is_of(graph: Graph, found: Diagnostic, own: set[str], spread: set[str]) -> bool:
    """Whether a finding is about what a layer is left as, or about what reads that."""
    return any(
        name in own or _reads(graph, name, found.rule, own, spread)
        for name in found.values
        if name in graph.by_name
    )


def _reads(graph: Graph, name: str, rule: Rule, own: set[str], spread: set[str]) -> bool:
    """Whether the fault of an op is in what it reads; of a factor, in what stands behind it too."""
    if rule is FOREIGN_OP:
        return False
    if rule is UNFOLDED_SCALE:
        return name in spread or any(user.name in own for user in graph.users[name])
    read = [each for each in graph[name].inputs if not dom.is_spike(graph.type_of(each).domain)]
    return bool(read) and all(each in spread for each in read)
