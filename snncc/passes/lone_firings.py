"""Why a comparison has no other behind it or before it in time: what is told of it."""

from __future__ import annotations

from typing import Any

from snncc.passes.answers import Firing
from snncc.passes.recurrence import Arithmetic


def why_alone(arithmetic: Arithmetic, firing: Firing) -> str:
    """Return what keeps a comparison from being a time step of a neuron, as one phrase."""
    others = [f for f in arithmetic.firings[firing.potential] if f != firing]
    if others:
        marks = sorted(float(f.threshold) for f in (firing, *others))
        text = " and at ".join(f"{mark:.6g}" for mark in dict.fromkeys(marks))
        return f"its potential is compared at {text}, a neuron's with one threshold"
    if arithmetic.has_numbers(firing.potential):
        return "it is compared with numbers that differ from place to place, a neuron with one"
    if _with_a_value(arithmetic, firing):
        return "it is compared with a value that the network computes, a neuron with a number"
    way = _way_back(arithmetic, firing)
    if way is not None:
        called = f"`{way.source.module or way.name}` ({way.kind})"
        return f"the potential goes on through {called}, where places meet or move"
    return "no time step goes on from the potential that is compared"


def _with_a_value(arithmetic: Arithmetic, firing: Firing) -> bool:
    """Whether what is compared with 0 is one computed value less another."""
    op: Any = arithmetic.ops[firing.potential]
    inputs: list[Any] = [arithmetic.ops[name] for name in op.inputs]
    negated = any(each.kind == "scale" and each.factor == -1 for each in inputs)
    return firing.threshold == 0 and op.kind == "add" and negated


def _way_back(arithmetic: Arithmetic, firing: Firing) -> Any:
    """Return the first op that is not elementwise between two potentials of one line of code."""
    place = arithmetic.places[firing]
    waiting: list[tuple[str, Any]] = [(firing.potential, None)]
    seen: set[str] = set()
    while waiting:
        name, through = waiting.pop()
        for each in arithmetic.ops[name].inputs:
            here = arithmetic.firings.get(each, ())
            if through and any(arithmetic.places[f] == place for f in here):
                return through
            if each not in seen and each not in arithmetic.answers and not here:
                seen.add(each)
                op = arithmetic.ops[each]
                waiting.append((each, through or (None if arithmetic.is_elementwise(op) else op)))
    return None
