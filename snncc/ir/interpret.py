"""The meaning of a graph: slow, obvious, in numpy. Everything else is held to this.

Float graphs run in float64, integer graphs in exact integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from snncc.ir.domain import Grid
from snncc.ir.graph import Array, Graph, IRError, Op
from snncc.ir.memory import STATEFUL, all_steps, step
from snncc.ir.ops import Input, Output
from snncc.ir.semantics import apply
from snncc.ir.timing import Timing, timings


def interpret(graph: Graph, x: Array) -> dict[str, Array]:
    """Return every value of the graph for an input.

    On the tensor level ``x`` has the input's shape and so has every value its own. On the step
    level ``x`` is ``[B, *shape]``, or ``[T, B, *shape]`` where the input varies; values made at
    every time step are ``[T, B, *shape]``, all others ``[B, *shape]``. An integer graph takes real
    input and reads it on its own grid. Raises ``IRError`` for what cannot be computed.
    """
    if graph.level == "tensor":
        return _interpret_tensor(graph, x)
    when = timings(graph)
    values: dict[str, Array] = {}
    states: dict[str, Array | None] = {}
    for op in graph.ops:
        if when[op.name] is Timing.STATIC:
            values[op.name] = _value(op, graph, values, x)
    for t in range(graph.steps):
        at_t = {n: v[t] if when[n] is Timing.STEP else v for n, v in values.items()}
        for op in graph.ops:
            if when[op.name] is Timing.STEP:
                at_t[op.name] = _step_value(op, graph, at_t, x, t, states)
                _store(values, op.name, at_t[op.name], t, graph.steps)
    for op in graph.ops:
        if when[op.name] is Timing.SAMPLE:
            values[op.name] = _value(op, graph, values, x)
    return values


def _store(values: dict[str, Array], name: str, value: Array, t: int, steps: int) -> None:
    if t == 0:
        values[name] = np.empty((steps, *value.shape), value.dtype)
    values[name][t] = value


def _value(op: Op, graph: Graph, values: Mapping[str, Array], x: Array) -> Array:
    if op.kind == "input":
        return read_input(cast(Input, op), x)
    inputs = tuple(values[name] for name in op.inputs)
    if op.kind == "readout":
        return np.asarray(inputs[0].astype(_sum_type(inputs[0])).sum(axis=0))
    result = apply(op, inputs, graph.weights, lead=1)
    return write_output(cast(Output, op), result, graph) if op.kind == "output" else result


def _step_value(
    op: Op,
    graph: Graph,
    at_t: Mapping[str, Array],
    x: Array,
    t: int,
    states: dict[str, Array | None],
) -> Array:
    if op.kind == "input":
        return read_input(cast(Input, op), x[t])
    inputs = tuple(at_t[name] for name in op.inputs)
    if op.kind in STATEFUL:
        result, states[op.name] = step(op, graph, inputs[0], states.get(op.name))
        return result
    return apply(op, inputs, graph.weights, lead=1)


def _sum_type(x: Array) -> type:
    return np.int64 if x.dtype.kind in "iub" else np.float64


def read_input(op: Input, x: Array) -> Array:
    """Return the input as the graph reads it: float64, or ``round(x / scale)`` on its grid."""
    if op.scale is None:
        return x.astype(np.float64)
    if not isinstance(op.domain, Grid):
        raise IRError(f"`{op.name}` has a scale, but reads {op.domain}")
    counts = np.rint(x.astype(np.float64) / op.scale)
    return np.clip(counts, op.domain.lo, op.domain.hi).astype(np.int64)


def write_output(op: Output, x: Array, graph: Graph) -> Array:
    """Return what the user gets: ``scale * x`` in float64 where the output has a scale."""
    return x if op.scale is None else x * cast(Array, graph.weights[op.scale])


def _interpret_tensor(graph: Graph, x: Array) -> dict[str, Array]:
    values: dict[str, Array] = {}
    for op in graph.ops:
        inputs = tuple(values[name] for name in op.inputs)
        if op.kind == "input":
            values[op.name] = read_input(cast(Input, op), x)
        elif op.kind in STATEFUL:
            values[op.name] = all_steps(op, graph, inputs[0])
        else:
            values[op.name] = apply(op, inputs, graph.weights, lead=0)
    return values
