"""Whether a float step graph is the network it came from: every spike, and the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from snncc.execute.block import Seen
from snncc.execute.executor import Executor
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.io import input_varies
from snncc.ir.memory import grain_of, neuron_step
from snncc.ir.ops import Neuron

NEAR = 1e-6
"""A potential this near to its threshold, in parts of the threshold, may fall on either side."""


@dataclass(frozen=True)
class Agreement:
    """The comparison of a float step graph with the module that it was traced from.

    ``near_threshold`` of the ``differing`` spikes have a potential within 1e-6 of the threshold:
    sums in another order may fall on either side of it. ``unmatched`` are layers that could not
    be compared because the module calls them more than once or not by name.
    """

    samples: int
    spikes_compared: int
    differing: int
    near_threshold: int
    output_error: float
    unmatched: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether every spike is the same but for ties, and the answers agree within 1e-5."""
        return self.differing == self.near_threshold and self.output_error <= 1e-5


def agreement(
    graph: Graph,
    x: Array,
    spikes: Mapping[str, Sequence[Array]],
    output: Array,
    *,
    counts: bool = False,
) -> Agreement:
    """Compare a float step graph on ``x`` (the executor's layout) with recorded spikes.

    Where ``counts`` are recorded, a layer's results are compared before it divides them.
    """
    neurons = [cast(Neuron, op) for op in graph.of_kind("neuron")]
    samples = x.shape[int(input_varies(graph))]
    theirs = {
        op.name: spikes[op.source.module][0].reshape(graph.steps, samples, *shape)
        for op in neurons
        if _comparable(spikes.get(op.source.module, ()), samples, graph, op)
        for shape in (graph.type_of(op.name).shape,)
    }
    compared = _Compared(graph, theirs, counts)
    answer = Executor(graph).run(x, observe=compared.observe).output
    unmatched = tuple(op.source.module for op in neurons if op.name not in theirs)
    error = float(np.abs(answer.reshape(output.shape) - output).max())
    size = sum(each.size for each in theirs.values())
    return Agreement(len(output), size, compared.differing, compared.ties, error, unmatched)


def _comparable(recorded: Sequence[Array], samples: int, graph: Graph, op: Neuron) -> bool:
    size = graph.steps * samples * math.prod(graph.type_of(op.name).shape)
    return len(recorded) == 1 and recorded[0].size == size


@dataclass
class _Compared:
    """Spikes of each layer, ``[T, B, *shape]``, held to a run block by block."""

    graph: Graph
    theirs: Mapping[str, Array]
    counts: bool = False
    start: int = 0
    differing: int = 0
    ties: int = 0

    def observe(self, op: Op, seen: Seen) -> None:
        """Compare one layer on one block of samples."""
        if op.name in self.theirs:
            mine = self.theirs[op.name][:, self.start : self.start + seen.samples]
            norm = cast(Neuron, op).norm if self.counts else 1.0
            apart = (seen.result if norm == 1 else np.rint(seen.result * norm)) != mine
            self.differing += int(apart.sum())
            if apart.any():
                neuron = cast(Neuron, op)
                near = _near_threshold(neuron, seen.inputs[0], grain_of(neuron, self.graph))
                self.ties += int((apart & near).sum())
        if op.kind == "output":
            self.start += seen.samples


def _near_threshold(op: Neuron, current: Array, grain: Array | None) -> Array:
    state, near = None, []
    for x in current:
        _, potential, state = neuron_step(op, x, state, grain)
        near.append(np.abs(potential - op.v_threshold) <= NEAR * abs(op.v_threshold))
    return np.stack(near)
