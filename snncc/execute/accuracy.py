"""The share of samples on which a network gives the right answer."""

from __future__ import annotations

import numpy as np

from snncc.execute.counts import BATCH, batches
from snncc.execute.executor import Executor
from snncc.ir.graph import Array, Graph


def outputs_of(graph: Graph, x: Array, batch: int = BATCH) -> Array:
    """Return the output ``[N, ...]`` of a step graph on samples ``[N, *shape]``."""
    executor = Executor(graph)
    return np.concatenate([executor.run(part).output for part in batches(graph, x, batch)])


def chosen(outputs: Array) -> Array:
    """Return the place of the largest output of each sample, ``[N]`` for ``[N, ...]``.

    Of outputs with several axes it is the place in their order in memory.
    """
    return np.asarray(outputs.reshape(len(outputs), -1).argmax(axis=-1))


def right_share(outputs: Array, labels: Array) -> float:
    """Return the share of outputs ``[N, classes]`` whose largest is the label's."""
    return float((chosen(outputs) == labels).mean())
