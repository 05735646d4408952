"""The loop over time: a ``Scan`` over states, or its steps written out.

States are potentials, currents that last, and sums over time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
from onnx import ValueInfoProto, helper

from snncc.backends.onnx.currents import current_kind, write_current
from snncc.backends.onnx.draft import Draft
from snncc.backends.onnx.ends import write_input
from snncc.backends.onnx.neurons import potential_kind, write_neuron
from snncc.backends.onnx.sheet import DOUBLE, FLOAT, INT64, Sheet, Tensor
from snncc.ir.graph import Op, Shape
from snncc.ir.ops import Input, IntegerNeuron, Readout
from snncc.ir.synaptic_current import IntegerCurrent

Write: TypeAlias = Callable[[Draft, Op], None]
"""Writes an op that has no state."""


_STATES = {"integer_neuron": "potential", "integer_current": "current", "readout": "sum"}


@dataclass(frozen=True)
class State:
    """What goes from one step to the next: potentials, currents, the sum of a readout."""

    op: Op
    kind: int
    shape: Shape

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.op.name}/{_STATES[self.op.kind]}"


@dataclass(frozen=True)
class Shown:
    """What comes out of the loop: last states by op, and values at all steps, ``[T, B, ...]``."""

    last: Mapping[str, Tensor]
    every: Mapping[str, str]


def write_steps(draft: Draft, write: Write, *, unroll: bool) -> Shown:
    """Write all time steps on the model's graph."""
    states = tuple(_states(draft))
    shown = [op for op in draft.graph.of_kind("output") if op.inputs[0] in draft.varying]
    if not states and not shown:
        return Shown({}, {})
    done = _unrolled(draft, write, states, shown) if unroll else _scan(draft, write, states, shown)
    draft.sheet = draft.root
    return done


def _states(draft: Draft) -> Iterator[State]:
    for op in draft.graph.ops:
        shape = draft.shape(op.name)
        if op.kind == "integer_neuron":
            yield State(op, potential_kind(draft, cast(IntegerNeuron, op)), shape)
        elif op.kind == "integer_current":
            yield State(op, current_kind(draft, cast(IntegerCurrent, op)), shape)
        elif op.kind == "readout" and op.inputs[0] in draft.varying:
            whole = draft.is_whole(op.name)
            yield State(op, draft.width(op.name) if whole else DOUBLE, shape)


def _one_step(
    draft: Draft, write: Write, states: tuple[State, ...], before: Mapping[str, str], given: str
) -> dict[str, str]:
    """Write one step on the current sheet; return the states after it."""
    after: dict[str, str] = {}
    for op in draft.graph.ops:
        if op.name not in draft.varying or op.kind == "output":
            continue
        if op.kind == "input":
            write_input(draft, cast(Input, op), given)
        elif op.kind == "integer_neuron":
            after[op.name] = write_neuron(draft, cast(IntegerNeuron, op), before[op.name])
        elif op.kind == "integer_current":
            after[op.name] = write_current(draft, cast(IntegerCurrent, op), before[op.name])
        else:
            write(draft, op)
    for state in states:
        if state.op.kind == "readout":
            term = draft.sheet.cast(draft.value(state.op), state.kind)
            inputs = [before[state.op.name], term.name]
            after[state.op.name] = draft.sheet.node("Add", inputs, state.name)
    return after


def _unrolled(draft: Draft, write: Write, states: tuple[State, ...], shown: list[Op]) -> Shown:
    at = {s.op.name: draft.zeros(s.shape, s.kind) for s in states}
    every: dict[str, list[str]] = {op.name: [] for op in shown}
    entry = cast(Input, draft.graph.of_kind("input")[0])
    for t in range(draft.graph.steps):
        draft.sheet = Sheet(draft.store, f"t{t}/", draft.root.nodes, draft.root.infos)
        given = entry.name
        if entry.varies:
            inputs = [entry.name, draft.store.number(t, INT64)]
            given = draft.sheet.node("Gather", inputs, f"{entry.name}/given", axis=0)
        at = _one_step(draft, write, states, at, given)
        for op in shown:
            row = [draft.value(op).name, draft.store.vector([0])]
            every[op.name].append(draft.sheet.node("Unsqueeze", row, f"{op.name}/row"))
    draft.sheet = draft.root
    joined = {
        name: draft.root.node("Concat", rows, f"{name}/steps", axis=0)
        for name, rows in every.items()
    }
    return Shown({s.op.name: Tensor(at[s.op.name], s.kind, draft.root) for s in states}, joined)


def _scan(draft: Draft, write: Write, states: tuple[State, ...], shown: list[Op]) -> Shown:
    first = [draft.zeros(s.shape, s.kind) for s in states]
    entry = cast(Input, draft.graph.of_kind("input")[0])
    body = draft.sheet = Sheet(draft.store)
    before = {s.op.name: f"{s.name}/before" for s in states}
    given = f"{entry.name}/given" if entry.varies else entry.name
    after = _one_step(draft, write, states, before, given)
    rows = [
        (body.node("Identity", [draft.value(op).name], f"{op.name}/row"), draft.value(op), op)
        for op in shown
    ]
    inputs = [_info(before[s.op.name], s.kind, s.shape) for s in states]
    inputs.append(
        _info(given, FLOAT, entry.shape)
        if entry.varies
        else helper.make_tensor_value_info("time step", INT64, [])
    )
    outputs = [_info(after[s.op.name], s.kind, s.shape) for s in states]
    outputs += [_info(row, value.kind, draft.shape(op.name)) for row, value, op in rows]
    steps = np.arange(draft.graph.steps)
    over = entry.name if entry.varies else draft.store.put("time steps", steps)
    last = [f"{s.name}/last" for s in states]
    every = {op.name: f"{op.name}/steps" for op in shown}
    draft.root.nodes_of(
        "Scan", [*first, over], [*last, *every.values()], "All time steps.", named="time",
        body=helper.make_graph(body.nodes, "time step", inputs, outputs, value_info=body.infos),
        num_scan_inputs=1,
    )  # fmt: skip
    ends = zip(states, last, strict=True)
    return Shown({s.op.name: Tensor(name, s.kind, draft.root) for s, name in ends}, every)


def _info(name: str, kind: int, shape: Shape) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, ["batch", *shape])


def write_readout(draft: Draft, op: Readout, shown: Shown) -> None:
    """The sum over time: the loop's, or T times what is the same at every step."""
    if op.name in shown.last:
        draft.values[op.name] = shown.last[op.name]
        return
    value = draft.value(op)
    whole = draft.is_whole(op.name)
    kind = draft.width(op.name) if whole else DOUBLE
    times = draft.store.number(draft.graph.steps, kind)
    operand = draft.sheet.cast(value, kind).name
    draft.put(op, draft.sheet.node("Mul", [operand, times], f"{op.name}/made"), kind)
