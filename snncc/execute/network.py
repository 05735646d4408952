"""A step graph made ready to run: kernels chosen, weights packed, neurons' parameters laid out."""

from __future__ import annotations

from functools import cached_property
from typing import Literal, TypeAlias, cast

import numpy as np

from snncc.execute.kernels import blas, products
from snncc.execute.kernels.layer import Layer, Run
from snncc.execute.kernels.memory import Order, tiled
from snncc.execute.kernels.neurons import Rule
from snncc.execute.values import Sum
from snncc.ir.domain import Grid, is_integer
from snncc.ir.graph import Array, Graph
from snncc.ir.io import input_varies
from snncc.ir.memory import neuron_weights
from snncc.ir.ops import Conv, IntegerNeuron, Linear
from snncc.ir.timing import Timing, timings

Precision: TypeAlias = Literal["float32", "float64"]
"""What float products and sums run in; potentials are always float64."""


class Network:
    """What a graph needs to run, made when it is first asked for and kept."""

    def __init__(self, graph: Graph, precision: Precision) -> None:
        """Look at each op once; weights are packed at the first run."""
        self.graph = graph
        self.precision = precision
        self.timing = timings(graph)
        self.last_use = {name: op.name for op in graph.ops for name in op.inputs}
        self._products: dict[str, Run] = {}
        self._rules: dict[tuple[str, Order, bool], Rule] = {}

    @cached_property
    def varies(self) -> bool:
        """Whether each time step has an input of its own."""
        return input_varies(self.graph)

    @cached_property
    def kind(self) -> type:
        """The float type of products and sums."""
        return np.float32 if self.precision == "float32" else np.float64

    def every_step(self, name: str) -> bool:
        """Whether a value is made at every time step."""
        return self.timing[name] is Timing.STEP

    def is_integral(self, op: Conv | Linear) -> bool:
        """Whether a layer computes integers."""
        weight = cast(Array, self.graph.weights[op.weight])
        return weight.dtype.kind == "i" and is_integer(self.graph.type_of(op.inputs[0]).domain)

    def product(self, op: Conv | Linear) -> Run:
        """Return the kernel of a weighted op, its weights packed."""
        if op.name not in self._products:
            self._products[op.name] = self._packed(op)
        return self._products[op.name]

    def _packed(self, op: Conv | Linear) -> Run:
        if self.is_integral(op):
            layer = products.integer_layer(op, self.graph)
            return products.choose(layer).prepare(layer)
        weight = cast(Array, self.graph.weights[op.weight])
        return blas.prepare(Layer(op, weight), self.kind)

    def rule(self, op: IntegerNeuron, current: Sum) -> Rule:
        """Return how a layer of neurons fires, its parameters laid out as its current is."""
        key = op.name, current.order, current.bias is None
        if key not in self._rules:
            self._rules[key] = self._rule(op, current)
        return self._rules[key]

    def _rule(self, op: IntegerNeuron, current: Sum) -> Rule:
        threshold, unit = neuron_weights(op, self.graph)
        levels = threshold[None] if op.levels == 1 else threshold
        taken = levels[:1] if unit is None else unit[None]
        parts = [_full_rank(rows, len(current.shape)) for rows in (current.bias_row, levels, taken)]
        shape = np.broadcast_shapes(*(rows.shape[1:] for rows in parts))
        rows = np.concatenate([np.broadcast_to(r, (len(r), *shape)) for r in parts])
        kind = self._state(op, int(np.abs(rows).max(initial=0)))
        row = tiled(rows.astype(kind), current.shape, current.order)
        return Rule(np.ascontiguousarray(row), op.decay, op.shift, op.reset == "hard")

    def _state(self, op: IntegerNeuron, largest: int) -> type:
        """Return the integers that hold the potential, however long it grows."""
        domain = self.graph.type_of(op.inputs[0]).domain
        if not isinstance(domain, Grid):
            return np.int64
        current = int(domain.largest) << op.shift
        most = self.graph.steps * (current + op.levels * largest) + largest
        return np.int32 if most < 2**30 else np.int64


def _full_rank(rows: Array, rank: int) -> Array:
    """Return ``[L, *broadcastable]`` with ``rank`` axes behind the first."""
    return rows.reshape(len(rows), *(1,) * (rank - rows.ndim + 1), *rows.shape[1:])
