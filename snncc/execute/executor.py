"""Runs a step graph over whole batches and all time steps at once.

Every op computes all its time steps before the next op starts; only neurons walk through time.
The integers are those of the interpreter, value for value, whatever the size of the batch and the
number of threads. Samples are run in blocks whose layers stay near the processor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from snncc.execute.arithmetic import compute
from snncc.execute.block import Block, Seen
from snncc.execute.network import Network, Precision
from snncc.ir.graph import Array, Graph, IRError, Op

Observer: TypeAlias = Callable[[Op, Seen], None]
"""Called after each op of each block of samples, in order."""

_BLOCK_BYTES = 2**24
"""What the largest layer of a block may take, all time steps in 32 bits; one sample always."""


@dataclass(frozen=True)
class Run:
    """What a run returns: the output ``[B, ...]`` and the values that were asked for.

    Values made at every time step are ``[T, B, *shape]``, others ``[B, *shape]``. ``potentials``
    is, for each integer neuron layer, the least and the largest potential that occurred, 0 among
    them.
    """

    output: Array
    values: Mapping[str, Array]
    potentials: Mapping[str, tuple[int, int]]


class Executor:
    """Runs one step graph. Raises ``IRError`` where an op cannot be computed."""

    def __init__(
        self, graph: Graph, precision: Precision = "float64", block: int | None = None
    ) -> None:
        """Prepare a graph of level ``step``.

        ``precision`` is that of float products and sums; ``block`` how many samples run at once.
        """
        if graph.level != "step":
            raise IRError(f"the executor runs step graphs, not level {graph.level}")
        self.graph = graph
        self.network = Network(graph, precision)
        self.timing = self.network.timing
        self.block = block or _block_size(graph)

    def run(self, x: Array, keep: Collection[str] = (), observe: Observer | None = None) -> Run:
        """Run ``x``, ``[B, *shape]``, or ``[T, B, *shape]`` where the input varies."""
        runs = [self._run_block(part, keep, observe) for part in self._parts(x)]
        if len(runs) == 1:
            return runs[0]
        kept = {name: self._joined([r.values[name] for r in runs], name) for name in runs[0].values}
        spans = {
            name: (
                min(r.potentials[name][0] for r in runs),
                max(r.potentials[name][1] for r in runs),
            )
            for name in runs[0].potentials
        }
        return Run(np.concatenate([r.output for r in runs]), kept, spans)

    def _run_block(self, x: Array, keep: Collection[str], observe: Observer | None) -> Run:
        block = Block(self.network, x, frozenset(keep))
        for op in self.graph.ops:
            compute(block, op)
            if observe:
                observe(op, block.seen(op))
            block.release(op)
        return Run(block.output, block.kept, block.potentials)

    def _parts(self, x: Array) -> Iterator[Array]:
        axis = int(self.network.varies)
        count = x.shape[axis]
        for start in range(0, max(count, 1), self.block):
            yield x[:, start : start + self.block] if axis else x[start : start + self.block]

    def _joined(self, parts: list[Array], name: str) -> Array:
        return np.concatenate(parts, axis=int(self.network.every_step(name)))


def _block_size(graph: Graph) -> int:
    largest = max((math.prod(graph.type_of(op.name).shape) for op in graph.ops), default=1)
    return max(1, _BLOCK_BYTES // (4 * graph.steps * max(1, largest)))
