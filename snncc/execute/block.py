"""One block of samples on its way through a graph: its values, and what is seen of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from snncc.execute.network import Network
from snncc.execute.values import Product, Sum, Value
from snncc.ir.graph import Array, Op


@dataclass(frozen=True)
class Firing:
    """What a layer of neurons did, ``[T, B]``: its spikes, and neurons with a current."""

    spikes: Array
    active: Array


class Block:
    """The values of one block of samples, each until its last reader is done.

    Inside, a value is ``[T, B, *shape]``, with 1 for T where all time steps are the same.
    """

    def __init__(self, network: Network, x: Array, keep: frozenset[str]) -> None:
        """Start with the input ``x``, ``[B, *shape]``, or ``[T, B, *shape]`` where it varies."""
        self.network = network
        self.graph = network.graph
        self.x = x
        self.keep = keep
        self.output = x
        self.kept: dict[str, Array] = {}
        self.potentials: dict[str, tuple[int, int]] = {}
        self.firing: dict[str, Firing] = {}
        self.values: dict[str, Value] = {}

    @property
    def samples(self) -> int:
        """How many samples the block has."""
        return self.x.shape[int(self.network.varies)]

    def put(self, op: Op, value: Value) -> None:
        """Take the value of an op."""
        self.values[op.name] = value
        if op.name in self.keep:
            self.kept[op.name] = self.shown(op.name)
        if op.kind == "output":
            self.output = self.shown(op.name)

    def release(self, op: Op) -> None:
        """Drop what nobody reads any more."""
        self.firing.pop(op.name, None)
        for name in dict.fromkeys(op.inputs):
            if self.network.last_use[name] == op.name:
                del self.values[name]

    def seen(self, op: Op) -> Seen:
        """Return what an observer may look at after an op."""
        return Seen(self, op)

    def settled(self, name: str) -> Array:
        """Return a value, computing it now if it was not; 1 for T where steps are the same."""
        value = self.values[name]
        if isinstance(value, Sum | Product):
            value = self.values[name] = value.settled()
        return value

    def shown(self, name: str) -> Array:
        """Return a value as the graph states it: ``[T, B, *shape]`` or ``[B, *shape]``."""
        value = self.settled(name)
        if not self.network.every_step(name):
            return value[0]
        return np.broadcast_to(value, (self.graph.steps, *value.shape[1:]))


class Seen:
    """What an observer may look at after an op; a value is computed when it is looked at."""

    def __init__(self, block: Block, op: Op) -> None:
        """Look at ``op`` in ``block``, until the next op is computed."""
        self._block = block
        self._op = op

    @cached_property
    def inputs(self) -> tuple[Array, ...]:
        """The operands, ``[T, B, *shape]`` or ``[B, *shape]``, steps as the result has them."""
        shown = []
        for name in self._op.inputs:
            value = self._block.shown(name)
            both = self._block.network.every_step
            if both(self._op.name) and not both(name):
                value = np.broadcast_to(value, (self._block.graph.steps, *value.shape))
            shown.append(value)
        return tuple(shown)

    @property
    def current(self) -> Array:
        """The first operand, ``[T, B, *shape]``; what is not computed yet stays so."""
        name = self._op.inputs[0]
        value = self._block.values[name]
        array = value.settled() if isinstance(value, Sum | Product) else value
        return np.broadcast_to(array, (self._block.graph.steps, *array.shape[1:]))

    @property
    def result(self) -> Array:
        """The result, ``[T, B, *shape]`` or ``[B, *shape]``."""
        return self._block.shown(self._op.name)

    @property
    def samples(self) -> int:
        """How many samples the block has."""
        return self._block.samples

    @property
    def firing(self) -> Firing:
        """What a layer of neurons did."""
        return self._block.firing[self._op.name]
