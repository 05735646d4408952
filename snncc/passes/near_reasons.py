"""Why a layer that compares its potential is no neuron: a table of reasons, the first that holds.

Each is a function of all that belongs to the layer; it returns one phrase, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

from snncc.ir.ops import WEIGHTED
from snncc.passes.answers import Firing
from snncc.passes.fired_values import not_a_spike
from snncc.passes.near_patterns import Pattern, Patterns


def why(patterns: Patterns, pattern: Pattern, own: str) -> str:
    """Return what keeps a layer from being a neuron.

    ``own`` is what the recurrence of all its time steps says, where there is one of them all. Of
    a threshold that moves, and of spikes that act later than in the next step, it does not know.
    """
    for reason in _OF_ALL:
        if message := reason(patterns, pattern):
            return message
    unknown = _moving(patterns, pattern) or _of_earlier(patterns, pattern)
    if own and not unknown:
        return own
    for reason in _OF_PARTS:
        if message := reason(patterns, pattern):
            return message
    return ""


def alone(patterns: Patterns, pattern: Pattern) -> str:
    """Return what is said where nothing goes on from what is compared in a way that is known."""
    if len(pattern.potentials) > 1:
        return _ELSEWHERE
    way = _way_back(patterns, pattern)
    if way is not None:
        return f"the potential goes on through {called(way)}, where places meet or move"
    return "no time step goes on from the potential that is compared"


def called(op: Any) -> str:
    """Return an op as a reader of the model knows it."""
    if op.kind == "foreign":
        return f"`{op.target}`"
    if op.kind == "constant":
        return "a stored tensor"
    return f"`{op.source.module or op.name}` ({op.kind})"


def _comes_back(patterns: Patterns, pattern: Pattern) -> str:
    """All potentials but the first read the layer's own spikes, and not place by place."""
    potentials = pattern.potentials
    ways = [way for each in potentials if (way := _loop(patterns, pattern, each)) is not None]
    if not ways or len(ways) != len(potentials) - 1:
        return ""
    if ways[0].kind in WEIGHTED:
        return f"its own spikes come back to it through {called(ways[0])}: it is recurrent"
    return f"its own spikes come back to it through {called(ways[0])}, where places meet or move"


def _loop(patterns: Patterns, pattern: Pattern, potential: str) -> Any:
    """Return the op through which a potential reads spikes of its layer, None where none does."""
    own = set(pattern.firings)
    for name in (potential, *patterns.behind(potential)):
        op = patterns.graph[name]
        if patterns.is_local(op) or (name in patterns.arithmetic.firings and name != potential):
            continue
        if not own.isdisjoint(patterns.fired_by(_all_behind(patterns, name))):
            return op
    return None


def _all_behind(patterns: Patterns, name: str) -> Iterator[str]:
    """Return what a value is made of in whatever way, up to potentials and spikes."""
    seen: set[str] = set()
    waiting = list(patterns.graph[name].inputs)
    while waiting:
        each = waiting.pop()
        if each not in seen:
            seen.add(each)
            yield each
            ends = each in patterns.arithmetic.answers or each in patterns.arithmetic.firings
            waiting += () if ends else patterns.graph[each].inputs


def _numbers(patterns: Patterns, pattern: Pattern) -> str:
    """A threshold of its own in each place."""
    for firing in pattern.firings:
        if not patterns.arithmetic.has_numbers(firing.potential):
            continue
        op = patterns.graph[firing.potential]
        stored = next(n for n in op.inputs if patterns.graph[n].kind == "constant")
        shape = [n for n in patterns.graph.type_of(stored).shape if n != 1]
        of = f" {shape}" if shape else ""
        return f"the threshold is a tensor{of} of numbers that differ, a neuron has one for a layer"
    return ""


def _moving(patterns: Patterns, pattern: Pattern) -> str:
    """A threshold that is computed: of the layer's own spikes, or of something else.

    What is compared is then the potential less the threshold, and does not go on itself.
    """
    later = pattern.potentials[1:]
    users = (user.name for each in later for user in patterns.graph.users[each])
    if not pattern.between.isdisjoint(users):
        return ""
    for firing in reversed(pattern.firings):
        op = patterns.graph[firing.potential]
        if op.kind != "add":
            continue
        for name in op.inputs:
            if _is_of_spikes(patterns, pattern, name):
                return "the threshold moves with the layer's own spikes: it is adaptive"
        made: list[Any] = [patterns.graph[name] for name in op.inputs]
        if firing.threshold == 0 and any(m.kind == "scale" and m.factor == -1 for m in made):
            return "it is compared with a value that the network computes, a neuron with a number"
    return ""


def _is_of_spikes(patterns: Patterns, pattern: Pattern, name: str) -> bool:
    """Whether a value is made of spikes of the layer and of numbers alone."""
    behind = () if _ends(patterns, name) else patterns.behind(name)
    ends = [each for each in (name, *behind) if _ends(patterns, each)]
    spikes = [each for each in ends if each in patterns.arithmetic.answers]
    own = patterns.fired_by(spikes) & set(pattern.firings)
    numbers = all(patterns.graph[each].kind == "constant" for each in ends if each not in spikes)
    return bool(own) and numbers


def _ends(patterns: Patterns, name: str) -> bool:
    """Whether nothing is looked at behind a value."""
    op, arithmetic = patterns.graph[name], patterns.arithmetic
    return name in arithmetic.answers or name in arithmetic.firings or not patterns.is_local(op)


def _held_back(patterns: Patterns, pattern: Pattern) -> str:
    """Spikes that earlier spikes suppress, and counters of the steps since a spike."""
    for firing in pattern.firings:
        if _is_of_spikes_alone(patterns, pattern, firing.potential):
            return "what is compared counts the steps since a spike, as a refractory period does"
    for names in pattern.given.values():
        for name in names:
            if name in patterns.arithmetic.answers or name not in pattern.between:
                continue
            made_of = patterns.fired_by(patterns.behind(name))
            if len(made_of) > 1 and _is_of_spikes_alone(patterns, pattern, name):
                return "earlier spikes hold back the spike of a step, as in a refractory period"
    return ""


def _is_of_spikes_alone(patterns: Patterns, pattern: Pattern, name: str) -> bool:
    """Whether what makes a value is spikes of the layer and numbers, a first step left out."""
    inputs = patterns.graph[name].inputs if patterns.is_local(patterns.graph[name]) else ()
    numbers = [each for each in inputs if patterns.arithmetic.number(each) is not None]
    computed = [each for each in inputs if each not in numbers]
    return bool(computed) and all(_is_of_spikes(patterns, pattern, each) for each in computed)


def _through(patterns: Patterns, pattern: Pattern) -> str:
    """An operator between one potential and the next that no neuron has."""
    foreign = (each for each in pattern.between if patterns.graph[each].kind == "foreign")
    for name in sorted(foreign, key=patterns.place.__getitem__):
        target = called(patterns.graph[name])
        bound = _BOUNDS.get(target.strip("`"))
        what = f", which bounds it {bound}" if bound else ""
        return f"the potential goes through {target}{what}: no neuron has that"
    return ""


_BOUNDS = {
    "aten.relu": "at 0",
    "aten.clamp": "by numbers",
    "aten.clamp_min": "from below",
    "aten.clamp_max": "from above",
    "aten.maximum": "from below",
    "aten.minimum": "from above",
    "aten.hardtanh": "by numbers",
}


def _split(patterns: Patterns, pattern: Pattern) -> str:
    """A potential that the next does not go on from: another one does, or none."""
    for before, firing in pairwise(pattern.potentials):
        gone_on = {f.potential for f in patterns.befores[_first(pattern.firings, firing)]}
        if before not in gone_on:
            return _ELSEWHERE
    return ""


def _first(firings: Iterable[Firing], potential: str) -> Firing:
    return next(firing for firing in firings if firing.potential == potential)


_ELSEWHERE = "its potential goes on from, or into, another in a way that no neuron's does"


def _of_earlier(patterns: Patterns, pattern: Pattern) -> str:
    """A potential that is made of spikes before the last, which are not behind the last alone."""
    order = {potential: i for i, potential in enumerate(pattern.potentials)}
    for step, potential in enumerate(order):
        names = [n for n in patterns.behind(potential) if n in patterns.arithmetic.answers]
        spikes = {f for f in patterns.fired_by(names) if f in pattern.firings}
        earlier = [order[f.potential] for f in spikes if order[f.potential] < step - 1]
        if earlier and len(pattern.firings) == len(order):
            return (
                f"the spike of step {min(earlier)} enters the potential of step {step}:"
                " a neuron's acts on the next step alone"
            )
    return ""


def _several(patterns: Patterns, pattern: Pattern) -> str:
    """A potential that is compared more than once."""
    for firings in (patterns.arithmetic.firings[f.potential] for f in pattern.firings):
        if len(firings) > 1:
            marks = sorted({float(f.threshold) for f in firings})
            text = " and at ".join(f"{mark:.6g}" for mark in marks)
            twice = ", and above it alone" if len(marks) == 1 else ""
            return f"its potential is compared at {text}{twice}, a neuron's with one threshold"
    return ""


def _way_back(patterns: Patterns, pattern: Pattern) -> Any:
    """Return the first op that is not elementwise between two potentials of one line of code."""
    firing = pattern.firings[0]
    place = patterns.arithmetic.places[firing]
    waiting: list[tuple[str, Any]] = [(firing.potential, None)]
    seen: set[str] = set()
    while waiting:
        name, through = waiting.pop()
        for each in patterns.graph[name].inputs:
            here = patterns.arithmetic.firings.get(each, ())
            if through and any(patterns.arithmetic.places[f] == place for f in here):
                return through
            if each not in seen and each not in patterns.arithmetic.answers and not here:
                seen.add(each)
                op = patterns.graph[each]
                waiting.append((each, through or (None if patterns.is_local(op) else op)))
    return None


Reason = Callable[[Patterns, Pattern], str]

_OF_ALL: tuple[Reason, ...] = (_comes_back, not_a_spike)
"""Reasons that stand above what the recurrence says: it sees the potential alone."""

_OF_PARTS: tuple[Reason, ...] = (
    _numbers, _several, _held_back, _moving, _through, _split, _of_earlier,
)  # fmt: skip
"""Reasons for which there is no recurrence of all time steps."""
