"""A balanced step graph run as a chip runs it: one clock step at a time, samples back to back.

Nothing here knows of samples but the resets. Every connection and every delay is a register that
holds what was read before; whatever is in the registers at the start runs through the network and
is gone when the first sample arrives, for each neuron layer is reset at the clock step at which
the first frame of a sample reaches it. So that is what the tests show, and not what is assumed:
``pipelined(x)[t + L] == step_graph(x)[t]``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import cast

import numpy as np

from snncc.ir.delay import Delay
from snncc.ir.graph import Array, IRError, Op
from snncc.ir.interpret import read_input, write_output
from snncc.ir.latency import Pipeline
from snncc.ir.memory import STATEFUL, step
from snncc.ir.ops import Input, Output
from snncc.ir.semantics import apply
from snncc.ir.timing import Timing, timings


class Clockwork:
    """Some ops of a pipeline, or all of them, run one clock step after the other.

    A step has two halves, as Lava's stock connections have them: ``held`` is what registers have
    ready before anything is read, ``react`` reads, computes, and loads the registers again. Values
    are ``[1, *shape]``.
    """

    def __init__(self, pipeline: Pipeline, names: Collection[str]) -> None:
        self._graph, self._late = pipeline.graph, pipeline.latency_of
        chosen = [op for op in pipeline.graph.ops if op.name in names and op.kind != "input"]
        self._delayed = [op for op in chosen if pipeline.steps[op.name]]
        self._direct = [op for op in chosen if not pipeline.steps[op.name]]
        self._still = self._constants()
        self._lines = {op.name: self._line(op) for op in self._delayed}
        self._states: dict[str, Array | None] = {}

    def _constants(self) -> dict[str, Array]:
        """What never changes, made once; the ops that make it stand in every graph before us."""
        still: dict[str, Array] = {}
        for op in self._graph.ops:
            if self._late[op.name] is None and op.kind != "input":
                still[op.name] = self._applied(op, still)
        self._delayed = [op for op in self._delayed if op.name not in still]
        self._direct = [op for op in self._direct if op.name not in still]
        return still

    def _line(self, op: Op) -> deque[Array]:
        zeros = np.zeros((1, *self._graph.type_of(op.name).shape), np.int64)
        steps = cast(Delay, op).steps if op.kind == "delay" else 1
        return deque([zeros] * steps, maxlen=steps)

    def held(self) -> dict[str, Array]:
        """Return what connections and delays answer in this step: made of what was read before."""
        return {name: line[0] for name, line in self._lines.items()}

    def react(self, clock: int, received: Mapping[str, Array]) -> dict[str, Array]:
        """Return all values of the clock step, given those that others make."""
        values = {**self._still, **received, **self.held()}
        for op in self._direct:
            values[op.name] = self._direct_value(op, clock, values)
        for op in self._delayed:
            ready = values[op.inputs[0]] if op.kind == "delay" else self._applied(op, values)
            self._lines[op.name].append(ready)
        return values

    def _direct_value(self, op: Op, clock: int, values: Mapping[str, Array]) -> Array:
        t = (clock - (self._late[op.name] or 0)) % self._graph.steps
        if op.kind == "readout":
            return self._summed(op, t, values[op.inputs[0]])
        if op.kind not in STATEFUL:
            return self._applied(op, values)
        state = None if t == 0 else self._states.get(op.name)
        x = values[op.inputs[0]]
        result, self._states[op.name] = step(op, self._graph, x, state)
        return result

    def _summed(self, op: Op, t: int, x: Array) -> Array:
        """Return the sum over a sample at its last time step, zeros before."""
        wide = x.astype(np.int64 if x.dtype.kind in "iub" else np.float64)
        before = None if t == 0 else self._states.get(op.name)
        total = self._states[op.name] = wide if before is None else before + wide
        return total if t == self._graph.steps - 1 else np.zeros_like(total)

    def _applied(self, op: Op, values: Mapping[str, Array]) -> Array:
        inputs = tuple(values[name] for name in op.inputs)
        result = apply(op, inputs, self._graph.weights, lead=1)
        if op.kind == "output":
            return write_output(cast(Output, op), result, self._graph)
        return result


def frames(pipeline: Pipeline, x: Array) -> dict[str, Array]:
    """Return what each input shows, ``[B * T, 1, *shape]``: T frames a sample, back to back.

    ``x`` is ``[B, *shape]``, or ``[T, B, *shape]`` where the input varies.
    """
    shown: dict[str, Array] = {}
    for op in pipeline.graph.of_kind("input"):
        entry = cast(Input, op)
        counts = read_input(entry, x)
        in_turn = counts.swapaxes(0, 1) if entry.varies else np.repeat(counts, pipeline.interval, 0)
        shown[op.name] = in_turn.reshape(-1, 1, *entry.shape)
    return shown


def clock_steps(pipeline: Pipeline, samples: int) -> int:
    """Return how many clock steps it takes until every value of every sample is made."""
    deepest = max((late for late in pipeline.latency_of.values() if late is not None), default=0)
    return samples * pipeline.interval + deepest


def stream(pipeline: Pipeline, x: Array, keep: Collection[str]) -> dict[str, Array]:
    """Run samples through the pipeline; return ``[clock steps, *shape]`` of the values to keep.

    Behind the last sample the inputs show zeros. Raises ``IRError`` for a value that there is not.
    """
    unknown = [name for name in keep if name not in pipeline.graph.by_name]
    if unknown:
        raise IRError(f"the pipeline has no value `{unknown[0]}`")
    shown = frames(pipeline, x)
    length = len(next(iter(shown.values())))
    network = Clockwork(pipeline, [op.name for op in pipeline.graph.ops])
    tape: dict[str, list[Array]] = {name: [] for name in keep}
    for clock in range(clock_steps(pipeline, length // pipeline.interval)):
        now = {n: f[clock] if clock < length else np.zeros_like(f[0]) for n, f in shown.items()}
        values = network.react(clock, now)
        for name, recorded in tape.items():
            recorded.append(values[name][0])
    return {name: np.stack(recorded) for name, recorded in tape.items()}


def aligned(pipeline: Pipeline, tape: Mapping[str, Array]) -> dict[str, Array]:
    """Return a tape of clock steps as ``interpret`` returns values, latencies taken off.

    Values of a time step are ``[T, B, *shape]``; those that are made once a sample are read at its
    last time step, ``[B, *shape]``. Constants have no samples and are left out.
    """
    when, steps = timings(pipeline.graph), pipeline.interval
    found: dict[str, Array] = {}
    for name, recorded in tape.items():
        late = pipeline.latency_of[name]
        if late is None:
            continue
        samples = (len(recorded) - late) // steps
        whole = recorded[late : late + samples * steps]
        in_turn = whole.reshape(samples, steps, *recorded.shape[1:])
        timed = when[name] is Timing.STEP
        found[name] = in_turn.swapaxes(0, 1) if timed else in_turn[:, -1]
    return found


def run_pipelined(pipeline: Pipeline, x: Array, keep: Sequence[str]) -> dict[str, Array]:
    """Return values as ``interpret`` does, each made by the pipeline in its own clock step."""
    samples = len(next(iter(frames(pipeline, x).values()))) // pipeline.interval
    found = aligned(pipeline, stream(pipeline, x, keep))
    when = timings(pipeline.graph)
    return {
        name: value[:, :samples] if when[name] is Timing.STEP else value[:samples]
        for name, value in found.items()
    }
