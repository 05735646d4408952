"""Take time and batch off a tensor graph: what is left happens in one step, for one sample.

``snncc.ir.layouts`` follows every axis through the network. The first axis of a neuron's input is
time, the batch is where the input says it is. A network whose neurons have no memory and that has
no time is one of a single step. An op that connects one time step with another, or
one sample with another, has no place in a step graph: all such ops are reported at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from snncc.diagnostics.core import Diagnostic, SnnccError
from snncc.ir.graph import Graph, Op
from snncc.ir.layouts import Along, Roles, track
from snncc.passes.base import Invariant, Pass, Result, no_comparisons, well_formed
from snncc.passes.late_steps import layers_of_steps, read_late
from snncc.passes.rules import (
    BATCH_MIXED,
    NO_TIME_AXIS,
    SAMPLES_IN_TIME,
    TIME_AXES_DIFFER,
    TIME_MIXED,
    UNREADABLE_AXES,
)
from snncc.passes.step_writer import is_steady, write_steps

_NO_SINGLE_STEPS = (
    "neurons alone go from step to step: in place of the last step, or of a leaky sum of them,"
    " answer with the sum or the mean of all steps"
)


@dataclass(frozen=True)
class ToSteps(Pass):
    """Turn a tensor graph into the graph of one time step of one sample.

    A neuron that reads ``[T * B, ...]`` is taken for what it is with one sample, with a warning.
    ``batch_axis`` is where the inputs have the batch. Raises ``SnnccError`` with every op that
    mixes time steps or samples, or puts them where a step graph cannot have them.
    """

    name: ClassVar[str] = "to-steps"
    requires: ClassVar[tuple[Invariant, ...]] = (well_formed, no_comparisons)
    ensures: ClassVar[tuple[Invariant, ...]] = (well_formed,)

    batch_axis: int = 0

    def run(self, graph: Graph) -> Result:
        """Return the step graph."""
        roles = Roles(track(graph, self.batch_axis))
        _refuse(_faults(roles))
        steps, late = write_steps(roles)
        _refuse([TIME_MIXED.at(op.source, _late(op), op=op.kind) for op in late])
        return Result(steps, tuple(_notes(roles)))


def _refuse(faults: list[Diagnostic]) -> None:
    if faults:
        raise SnnccError(*dict.fromkeys(faults))


def _called(op: Op) -> str:
    return f"`{op.source.module or op.name}` ({op.kind})"


def _notes(roles: Roles) -> Iterator[Diagnostic]:
    """Every neuron that goes from the last time step of a sample on to the next sample."""
    for op, axis in roles.timed:
        if roles.is_shared(axis):
            text = f"{_called(op)} takes all samples of a batch for time steps of one"
            read = f"its first axis is [T * B] with T={roles.steps}, where [T] belongs"
            hint = "taken as with one sample; reshape to [T, B, ...] before the neuron"
            yield SAMPLES_IN_TIME.at(op.source, text, because=(read,), hint=hint, op=op.kind)


def _late(op: Op) -> str:
    return f"{_called(op)} needs at every time step what is known after the last one"


def _faults(roles: Roles) -> list[Diagnostic]:
    """Every op that has no place in a step graph, in the order of the graph."""
    graph = roles.found.graph
    if not roles.found.times:
        last = graph.ops[-1].source if graph.ops else None
        return [NO_TIME_AXIS.at(last, "the network has no spiking neuron")] if last else []
    found = [*_neuron_faults(roles), *_cut_faults(roles), *_lead_faults(roles)]
    for along in roles.found.along:
        found += _along_faults(roles, along)
    for op in graph.of_kind("input"):
        found += _input_faults(roles, op)
    for op in graph.of_kind("constant"):
        found += _constant_faults(roles, op)
    place = {op.name: i for i, op in enumerate(graph.ops)}
    faults = [diagnostic for _, diagnostic in sorted(found, key=lambda f: place[f[0]])]
    is_mixed = any(fault.rule is TIME_MIXED for fault in faults)
    return [*(read_late(graph) if is_mixed else ()), *faults]


Fault = tuple[str, Diagnostic]


def _neuron_faults(roles: Roles) -> Iterator[Fault]:
    for op, axis in roles.timed:
        length = roles.length(axis)
        if roles.is_shared(axis):
            continue
        hint = "give the neuron [T, B, ...]: its first axis is time"
        if roles.holds(axis, roles.batch):
            text = f"{_called(op)} takes the batch for time"
            hint += "; where the network itself is given [T, B, ...], `--set batch_axis=1`"
        elif not roles.is_clear(axis):
            text = f"{_called(op)} takes several axes, flattened to one, for time"
        elif length != roles.steps:
            text = f"{_called(op)} has {length} time steps, the first neurons have {roles.steps}"
        else:
            continue
        yield op.name, TIME_AXES_DIFFER.at(op.source, text, hint=hint, op=op.kind)


def _cut_faults(roles: Roles) -> Iterator[Fault]:
    atoms, graph = roles.found.atoms, roles.found.graph
    for _, axis in roles.timed:
        for cut in filter(None, (atoms.cut_by(a) for a in axis)):
            op = graph[cut]
            yield cut, TIME_MIXED.at(op.source, f"{_called(op)} cuts time in pieces", op=op.kind)
    for cut in filter(None, (atoms.cut_by(a) for a in roles.found.batch)):
        op = graph[cut]
        yield cut, BATCH_MIXED.at(op.source, f"{_called(op)} cuts the batch in pieces", op=op.kind)


def _along_faults(roles: Roles, along: Along) -> Iterator[Fault]:
    op = along.op
    if not along.sums and roles.holds(along.axis, roles.time):
        text = f"{_called(op)} mixes time steps: {along.what} holds time"
        because = layers_of_steps(roles.found.graph, op)
        hint = _NO_SINGLE_STEPS if op.kind == "slice" else ""
        yield op.name, TIME_MIXED.at(op.source, text, because=because, hint=hint, op=op.kind)
    if roles.holds(along.axis, roles.batch):
        text = f"{_called(op)} mixes samples: {along.what} holds the batch"
        yield op.name, BATCH_MIXED.at(op.source, text, op=op.kind)


def _lead_faults(roles: Roles) -> Iterator[Fault]:
    for op, axis in roles.found.leads:
        if roles.others(axis) > 1:
            text = (
                f"{_called(op)} has {roles.others(axis)} places beside time and batch"
                " in its batch axis"
            )
            yield op.name, UNREADABLE_AXES.at(op.source, text, op=op.kind)


def _input_faults(roles: Roles, op: Op) -> Iterator[Fault]:
    layout = roles.found.layouts[op.name]
    first = next((i for i, a in enumerate(layout) if not roles.holds(a, roles.batch)), 0)
    for i, axis in enumerate(layout):
        timely = roles.holds(axis, roles.time, narrow=True)
        if timely and (i != first or roles.others(axis) > 1):
            text = f"`{op.name}` has time in axis {i}, wanted as the first axis after the batch"
            yield op.name, UNREADABLE_AXES.at(op.source, text, op=op.kind)


def _constant_faults(roles: Roles, op: Op) -> Iterator[Fault]:
    layout = roles.found.layouts[op.name]
    taken = roles.time | roles.batch
    if any(roles.holds(axis, taken) for axis in layout) and not is_steady(roles, op):
        text = f"{_called(op)} is a stored tensor with values of its own for each step or sample"
        yield op.name, UNREADABLE_AXES.at(op.source, text, op=op.kind)
