"""Whether a float step graph is the network it came from: every spike, and the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from snncc.execute.executor import Executor
from snncc.ir.graph import Array, Graph
from snncc.ir.ops import Neuron
from snncc.ir.semantics import neuron_step

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
    graph: Graph, x: Array, spikes: Mapping[str, Sequence[Array]], output: Array
) -> Agreement:
    """Compare a float step graph on ``x`` (the executor's layout) with recorded spikes."""
    neurons = [cast(Neuron, op) for op in graph.of_kind("neuron")]
    keep = {op.name for op in neurons} | {op.inputs[0] for op in neurons}
    run = Executor(graph).run(x, keep=keep)
    compared = differing = ties = 0
    unmatched = []
    for op in neurons:
        recorded = spikes.get(op.source.module, ())
        mine = run.values[op.name]
        if len(recorded) != 1 or recorded[0].size != mine.size:
            unmatched.append(op.source.module)
            continue
        apart = mine != recorded[0].reshape(mine.shape)
        compared += mine.size
        differing += int(apart.sum())
        if apart.any():
            ties += int((apart & _near_threshold(op, run.values[op.inputs[0]])).sum())
    error = float(np.abs(run.output.reshape(output.shape) - output).max())
    return Agreement(len(output), compared, differing, ties, error, tuple(unmatched))


def _near_threshold(op: Neuron, current: Array) -> Array:
    state, near = None, []
    for x in current:
        _, potential, state = neuron_step(op, x, state)
        near.append(np.abs(potential - op.v_threshold) <= NEAR * abs(op.v_threshold))
    return np.stack(near)
