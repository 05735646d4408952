"""Runs a step graph over whole batches and all time steps at once.

Every op computes all its time steps before the next op starts; only neurons walk through time.
The integers are those of the interpreter, value for value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from snncc.ir.graph import Array, Graph, IRError, Op
from snncc.ir.interpret import neuron_weights, read_input, write_output
from snncc.ir.ops import Input, IntegerNeuron, Neuron, Output
from snncc.ir.semantics import apply, integer_neuron_step, neuron_step
from snncc.ir.timing import Timing, timings

Observer = Callable[[Op, tuple[Array, ...], Array], None]
"""Called after each op with its inputs and result; values of a time step are ``[T, B, ...]``."""


@dataclass(frozen=True)
class Run:
    """What a run returns: the output ``[B, ...]`` and the values that were asked for.

    Values made at every time step are ``[T, B, *shape]``, others ``[B, *shape]``. ``potentials``
    is, for each integer neuron layer, the least and the largest potential that occurred.
    """

    output: Array
    values: Mapping[str, Array]
    potentials: Mapping[str, tuple[int, int]]


class Executor:
    """Runs one step graph. Raises ``IRError`` where an op cannot be computed."""

    def __init__(self, graph: Graph) -> None:
        """Prepare a graph of level ``step``."""
        if graph.level != "step":
            raise IRError(f"the executor runs step graphs, not level {graph.level}")
        self.graph = graph
        self.timing = timings(graph)
        self.last_use = {name: op.name for op in graph.ops for name in op.inputs}

    def run(self, x: Array, keep: Collection[str] = (), observe: Observer | None = None) -> Run:
        """Run ``x``, ``[B, *shape]``, or ``[T, B, *shape]`` where the input varies."""
        values: dict[str, Array] = {}
        kept: dict[str, Array] = {}
        potentials: dict[str, tuple[int, int]] = {}
        output = x
        for op in self.graph.ops:
            inputs = tuple(self._at(name, op, values) for name in op.inputs)
            value = self._compute(op, inputs, x, potentials)
            values[op.name] = value
            if observe:
                observe(op, inputs, value)
            if op.name in keep:
                kept[op.name] = value
            if op.kind == "output":
                output = value
            for name in dict.fromkeys(op.inputs):
                if self.last_use[name] == op.name:
                    del values[name]
        return Run(output, kept, potentials)

    def _at(self, name: str, op: Op, values: Mapping[str, Array]) -> Array:
        """Return an input as this op needs it: a static value shown at every time step."""
        value = values[name]
        if self.timing[op.name] is Timing.STEP and self.timing[name] is Timing.STATIC:
            return np.broadcast_to(value, (self.graph.steps, *value.shape))
        return value

    def _compute(
        self,
        op: Op,
        inputs: tuple[Array, ...],
        x: Array,
        potentials: dict[str, tuple[int, int]],
    ) -> Array:
        if op.kind == "input":
            return read_input(cast(Input, op), x)
        if op.kind == "neuron":
            return _neuron(cast(Neuron, op), inputs[0])
        if op.kind == "integer_neuron":
            value, potentials[op.name] = _integer_neuron(
                cast(IntegerNeuron, op), inputs[0], self.graph
            )
            return value
        if op.kind == "readout":
            integral = inputs[0].dtype.kind in "iub"
            return np.asarray(inputs[0].sum(axis=0, dtype=np.int64 if integral else None))
        lead = 2 if self.timing[op.name] is Timing.STEP else 1
        result = apply(op, inputs, self.graph.weights, lead)
        return write_output(cast(Output, op), result, self.graph) if op.kind == "output" else result


def _neuron(op: Neuron, x: Array) -> Array:
    state, out = None, []
    for current in x.astype(np.float64, copy=False):
        fired, _, state = neuron_step(op, current, state)
        out.append(fired)
    return np.stack(out)


def _integer_neuron(op: IntegerNeuron, x: Array, graph: Graph) -> tuple[Array, tuple[int, int]]:
    threshold, unit = neuron_weights(op, graph)
    spikes = np.empty(x.shape, np.int8)
    state, lowest, highest = None, 0, 0
    for t, current in enumerate(x):
        spikes[t], potential, state = integer_neuron_step(op, threshold, current, state, unit)
        lowest = min(lowest, int(potential.min(initial=0)))
        highest = max(highest, int(potential.max(initial=0)))
    return spikes, (lowest, highest)
