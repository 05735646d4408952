"""When the values of a step graph are made: once, at every time step, or after the last one."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from snncc.ir.graph import Graph, IRError, Op
from snncc.ir.memory import STATEFUL


class Timing(IntEnum):
    """How often a value is made for one sample."""

    STATIC = 0
    """Once, before the first time step."""
    STEP = 1
    """At every time step."""
    SAMPLE = 2
    """Once, after the last time step."""


def timings(graph: Graph) -> Mapping[str, Timing]:
    """Return when each value of a step graph is made.

    Raises ``IRError`` where a value of a time step meets one that is made after the last.
    """
    found: dict[str, Timing] = {}
    for op in graph.ops:
        found[op.name] = _timing(op, [found[name] for name in op.inputs])
    return found


def _timing(op: Op, inputs: list[Timing]) -> Timing:
    if op.kind == "input":
        return Timing.STEP if getattr(op, "varies", False) else Timing.STATIC
    if op.kind == "repeat" or op.kind in STATEFUL:
        if Timing.SAMPLE in inputs:
            raise IRError(f"`{op.name}` needs time steps, its input comes after the last one")
        return Timing.STEP
    if op.kind == "readout":
        return Timing.SAMPLE
    if Timing.SAMPLE in inputs and Timing.STEP in inputs:
        raise IRError(f"`{op.name}` mixes values of a time step with values after the last")
    return max(inputs, default=Timing.STATIC)
