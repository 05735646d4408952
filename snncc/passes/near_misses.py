"""What is nearly a neuron, told once for each layer, with the values that it is about."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from snncc.diagnostics.core import Diagnostic
from snncc.ir.graph import Graph, Source
from snncc.ir.ops import VIEWS
from snncc.passes.near_miss import NearMissError
from snncc.passes.near_patterns import Pattern, Patterns
from snncc.passes.near_reasons import alone, called, why
from snncc.passes.recurrence import FIRES, Chain
from snncc.passes.rules_of_raising import UNRAISED_ARITHMETIC
from snncc.passes.shared_beginnings import begun_apart


class Missed(NamedTuple):
    """A chain that is no neuron, and what is in the way."""

    chain: Chain
    miss: NearMissError


def told(patterns: Patterns, missed: list[Missed], before: Patterns) -> list[Diagnostic]:
    """Return a finding for each layer whose comparisons make no neuron.

    ``before`` is the graph before any neuron was found: steps of a layer may have become one.
    """
    of = {name: pattern for pattern in before.all() for name in pattern.potentials}
    found = []
    for pattern in patterns.all():
        whole = of.get(pattern.potentials[0], pattern)
        more = len(whole.potentials) > len(pattern.potentials) and _is_one_layer(before, whole)
        found.append(_told(*((before, whole) if more else (patterns, pattern)), missed, more=more))
    return _merged(found)


def _is_one_layer(patterns: Patterns, pattern: Pattern) -> bool:
    """Whether all firings of a pattern are known to be of one module or of one line."""
    places = {patterns.arithmetic.places[firing] for firing in pattern.firings}
    modules = {place.module for place in places}
    return len(modules) == 1 and ("" not in modules or len(places) == 1) and Source() not in places


def unfired(graph: Graph, known: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return a finding for each layer that fires by something else than a comparison.

    Of the values that others are about nothing more is said.

    It is known by what goes on from one time step to the next: a value, and what one line of code
    makes of that, with an operator that has no meaning here.
    """
    patterns = Patterns(*begun_apart(graph))
    told_of = frozenset[str]().union(*(each.values for each in known))
    after: dict[str, str] = {}
    peers: dict[Any, dict[str, str]] = {}
    for op in graph.of_kind("foreign"):
        same = peers.setdefault((op.source, getattr(op, "target", "")), {})
        base = _base(patterns, op) if op.inputs else op.name
        if graph[base].kind != "foreign":
            same[op.name] = base
    for op in graph.of_kind("foreign"):
        is_new = op.name not in told_of and getattr(op, "target", "") not in FIRES
        same = peers[op.source, getattr(op, "target", "")]
        before = _step_before(patterns, op, same) if is_new and patterns.is_local(op) else ""
        if before:
            after[before] = op.name
    chains = (_followed(after, name) for name in after if name not in after.values())
    return _merged(_told_unfired(patterns, chain) for chain in chains)


def _merged(found: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return findings that say one thing of one place as one."""
    merged: dict[Diagnostic, frozenset[str]] = {}
    for each in found:
        merged[each] = merged.get(each, frozenset()) | each.values
    return [each.about(values) for each, values in merged.items()]


def _told(patterns: Patterns, pattern: Pattern, missed: list[Missed], *, more: bool) -> Diagnostic:
    members = set(pattern.firings)
    own = [e for e in missed if any(f.potential in pattern.potentials for f in e.chain.firings)]
    longest = max(own, key=lambda each: len(each.chain.firings))
    said = "" if more else longest.miss.said(lambda name: _described(patterns, name))
    whole = said if len(own) == 1 else ""
    message = why(patterns, pattern, whole) or said or alone(patterns, pattern)
    ops = patterns.graph
    counted = any(ops[name].kind == "count" for name in _spikes(patterns, members))
    kind = FIRES[counted]
    what = "a count of spikes" if counted else "a comparison"
    if len(pattern.potentials) > 1:
        steps = pattern.steps
        what = f"arithmetic over {steps} time step{'' if steps == 1 else 's'}"
    text = f"{what} is not a spiking neuron: {message}"
    place = _place(patterns, pattern, longest)
    found = UNRAISED_ARITHMETIC.at(place, text, op=kind)
    return found.about(pattern.between | _spikes(patterns, members))


def _spikes(patterns: Patterns, members: set[Any]) -> frozenset[str]:
    made = patterns.arithmetic.made_of_spike
    return frozenset(name for firing in members for name in made[firing])


def _place(patterns: Patterns, pattern: Pattern, found: Missed) -> Source:
    """Return where it shows; the first potential is a current, and stands in another layer."""
    firing, at = pattern.firings[0], found.miss.at
    compared = patterns.arithmetic.places[firing]
    if at == firing.potential or not found.miss.message or at not in patterns.place:
        return compared
    source = patterns.graph[at].source
    last = patterns.graph[pattern.potentials[-1]].source
    return source if source.module else last if last.module or last.file else compared


def _described(patterns: Patterns, name: str) -> str:
    """Return what enters a potential in words: by the nearest op behind it that has no meaning."""
    for each in (name, *patterns.behind(name)):
        op = patterns.graph[each]
        if op.kind == "foreign":
            return called(op)
    op = patterns.graph[name]
    while op.kind in VIEWS:
        op = patterns.graph[op.inputs[0]]
    return "a stored tensor" if op.kind in ("constant", "batch_norm") else called(op)


def _step_before(patterns: Patterns, op: Any, peers: Mapping[str, str]) -> str:
    """Return the op that does in the step before what this one does, nothing where none does.

    The value that goes on reads both what that op made and what it made it of. ``peers`` are the
    ops that do the same, each with what it is made of. A candidate is judged as soon as the walk
    has passed what that is made of: a network of a thousand steps is not walked a thousand times.
    """
    seen: set[str] = set()
    found: deque[str] = deque()
    for each in patterns.back_from(op.name) if peers else ():
        seen.add(each)
        if each in peers:
            found.append(each)
        while found and patterns.place[each] <= patterns.place[peers[found[0]]]:
            if peers[found[0]] in seen:
                return found[0]
            found.popleft()
    return ""


def _base(patterns: Patterns, op: Any) -> str:
    """Return what an op reads, but for factors of it and sums with numbers."""
    return patterns.arithmetic.affine_path(op.inputs[0])[-1].name


def _followed(after: dict[str, str], name: str) -> list[str]:
    chain = [name]
    while chain[-1] in after:
        chain.append(after[chain[-1]])
    return chain


def _told_unfired(patterns: Patterns, chain: list[str]) -> Diagnostic:
    last = patterns.graph[chain[-1]]
    text = (
        f"arithmetic over {len(chain)} time steps is not a spiking neuron:"
        f" {called(last)} makes of the potential what is fired, wanted a comparison with a number"
    )
    between = frozenset((*chain, *patterns.behind(*chain)))
    found = UNRAISED_ARITHMETIC.at(last.source, text, op="foreign")
    return found.about(frozenset(n for n in between if patterns.is_local(patterns.graph[n])))
