"""What a Lava process computes in a time step: its ops in order, each by ``ir.semantics``.

No Lava here: the same engine runs in a process model and in a test.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from snncc.ir.domain import Domain, Grid, is_integer
from snncc.ir.graph import Array, Graph, Op, Shape
from snncc.ir.memory import STATEFUL, step
from snncc.ir.semantics import apply
from snncc.ir.timing import Timing, timings

_WIDTHS = (np.int8, np.int16, np.int32, np.int64)


def wire_dtype(domain: Domain) -> npt.DTypeLike:
    """Return the narrowest type that holds every value of the domain, for a channel."""
    if isinstance(domain, Grid) and is_integer(domain):
        lo, hi = int(domain.minimum), int(domain.maximum)
        for width in _WIDTHS:
            if np.iinfo(width).min <= lo and hi <= np.iinfo(width).max:
                return width
    return np.float64


def shared_zeros(shape: Shape, dtype: npt.DTypeLike) -> Array:
    """Return an array of zeros that a forked child writes and its parent reads.

    It is anonymous memory: no file to clean up, whatever happens to the program.
    """
    count = int(np.prod(shape))
    size = max(1, count * np.dtype(dtype).itemsize)
    return np.frombuffer(mmap.mmap(-1, size), dtype, count=count).reshape(shape)


@dataclass
class Tape:
    """Where values are recorded: ``arrays[name]`` is ``[T or 1, samples, *shape]``, shared."""

    steps: int
    batch: int
    arrays: dict[str, Array] = field(default_factory=dict)

    def add(self, name: str, timed: bool, samples: int, shape: Shape, dtype: Any) -> None:
        """Make room for a value: at every time step where ``timed``, else once a sample."""
        self.arrays[name] = shared_zeros((self.steps if timed else 1, samples, *shape), dtype)

    def write(self, name: str, step: int, value: Array) -> None:
        """Record a value at a step of the whole run; of an untimed one the last step stays."""
        array = self.arrays[name]
        block, t = divmod(step, self.steps)
        places = slice(block * self.batch, (block + 1) * self.batch)
        array[t if array.shape[0] > 1 else 0, places] = value


class Engine:
    """The ops of one part, run one time step at a time, sample after sample.

    State is reset at the first time step of each sample, when static values are made, too.
    Values that are made once a sample appear at its last time step.
    """

    def __init__(self, graph: Graph, names: Sequence[str]) -> None:
        self._graph = graph
        self._ops = [graph[name] for name in names]
        self._when = timings(graph)
        self._static: dict[str, Array] = {}
        self._states: dict[str, Array | None] = {}
        self._seen: dict[str, list[Array]] = {}

    def step(self, t: int, received: Mapping[str, Array]) -> dict[str, Array]:
        """Return the values that are due at time step ``t`` of a sample."""
        if t == 0:
            self._static, self._states, self._seen = {}, {}, {}
        values = {**self._static, **received}
        for op in self._ops:
            due = self._due(op, t)
            if op.kind == "readout":
                self._seen.setdefault(op.name, []).append(values[op.inputs[0]])
            if due:
                values[op.name] = self._value(op, values)
            if due and self._when[op.name] is Timing.STATIC:
                self._static[op.name] = values[op.name]
        return values

    def _due(self, op: Op, t: int) -> bool:
        when = self._when[op.name]
        if when is Timing.STATIC:
            return t == 0
        return when is Timing.STEP or t == self._graph.steps - 1

    def _value(self, op: Op, values: Mapping[str, Array]) -> Array:
        if op.kind == "readout":
            return _sum_over_time(self._seen.pop(op.name))
        inputs = tuple(values[name] for name in op.inputs)
        if op.kind in STATEFUL:
            state = self._states.get(op.name)
            result, self._states[op.name] = step(op, self._graph, inputs[0], state)
            return result
        return apply(op, inputs, self._graph.weights, lead=1)


def _sum_over_time(seen: Sequence[Array]) -> Array:
    stacked = np.stack(seen)
    exact = stacked.dtype.kind in "iub"
    return np.asarray(stacked.astype(np.int64 if exact else np.float64).sum(axis=0))
