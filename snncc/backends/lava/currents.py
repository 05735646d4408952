"""What a neuron's current is made of: convolutions and linear layers, summed through views.

Every element of the current is traced to the one output element of each term that it holds, so that
a slice of neurons can be computed from slices of the terms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from snncc.ir.domain import Grid, is_spike
from snncc.ir.graph import Array, Graph, Op, Shape
from snncc.ir.ops import VIEWS, Conv, Linear
from snncc.ir.semantics import apply
from snncc.ir.synaptic_current import IntegerCurrent

MAX_TERMS = 64

_NO_STOCK = {
    "matmul": "an attention product: no stock process multiplies two computed values",
    "mask": "a product of two computed values: no stock process takes it",
    "max_pool": "a max-pool on currents: no stock process takes it",
    "avg_pool": "an average pool on currents: no stock process takes it",
}


@dataclass(frozen=True)
class Term:
    """One convolution or linear layer in a sum.

    ``elements[i]`` is the flat place, in the op's output, of what neuron i receives.
    """

    op: Conv | Linear
    elements: Array
    shape: Shape
    weight: Array

    @property
    def kernel(self) -> Shape:
        """The extent of the weight along each axis of positions."""
        return self.weight.shape[2:] if isinstance(self.op, Conv) else ()

    @property
    def pointwise(self) -> bool:
        """Whether each output position depends on the same input position alone."""
        if isinstance(self.op, Linear):
            return True
        once = set(self.kernel) | set(self.op.stride)
        return once == {1} and not any(self.op.padding)

    @property
    def inputs_per_channel(self) -> int:
        """How many input channels an output channel reads."""
        return int(self.weight.shape[1])

    @property
    def positions(self) -> Shape:
        """The shape of the op's output without its channels."""
        return self.shape[1:] if isinstance(self.op, Conv) else self.shape[:-1]

    @property
    def channels(self) -> int:
        """How many channels the op makes."""
        return self.shape[0] if isinstance(self.op, Conv) else self.shape[-1]

    def places(self, neurons: Array) -> tuple[Array, Array]:
        """Return (flat position, channel) of what these neurons receive."""
        flat = self.elements[neurons]
        if isinstance(self.op, Conv):
            channel, position = np.divmod(flat, int(np.prod(self.positions)))
            return position, channel
        position, channel = np.divmod(flat, self.channels)
        return position, channel


@dataclass(frozen=True)
class Received:
    """What reaches a neuron layer: element ``elements[i]`` of the value ``name`` neuron i.

    Where ``keeps`` is an op, the layer keeps what it receives as that op does, and ``bias``, in
    units of the potential, is added behind.
    """

    name: str
    elements: Array
    keeps: IntegerCurrent | None
    bias: Array


@dataclass(frozen=True)
class Current:
    """What a neuron layer receives: the terms, and a bias for each neuron, in units of X."""

    terms: tuple[Term, ...]
    bias: Array


def received_by(graph: Graph, neuron: Op) -> Received | str:
    """Return what reaches a neuron layer, or why a stock neuron does not keep it as this does."""
    name, elements = neuron.inputs[0], np.arange(int(np.prod(graph.type_of(neuron.name).shape)))
    bias: Array = np.zeros(len(elements), np.int64)
    leaves = list(_leaves(graph, name, elements))
    lasting = [(op, found) for op, found in leaves if isinstance(op, IntegerCurrent)]
    if not lasting:
        return Received(name, elements, None, bias)
    others = [op for op, _ in leaves if op.kind not in ("constant", "integer_current")]
    if len(lasting) > 1 or others:
        return "a sum of currents of which one lasts: stock neurons keep their own current alone"
    for op, found in leaves:
        if op.kind == "constant":
            bias += _stored(graph, op, found)
    ((keeps, found),) = lasting
    return Received(keeps.inputs[0], found, keeps, bias)


def current_of(graph: Graph, received: Received) -> Current | str:
    """Return the sum that reaches a layer, or why stock processes cannot compute it."""
    terms: list[Term] = []
    bias: Array = np.zeros(len(received.elements), np.int64)
    for op, elements in _leaves(graph, received.name, received.elements):
        if op.kind in ("conv", "linear"):
            term = _term(graph, cast("Conv | Linear", op), elements)
            terms.append(term)
            bias += _bias(graph, term)
        elif op.kind == "constant":
            bias += _stored(graph, op, elements)
        else:
            return _NO_STOCK.get(op.kind, f"its current comes from `{op.name}`, a {op.kind}")
        if len(terms) > MAX_TERMS:
            return f"its current is a sum of more than {MAX_TERMS} layers"
    if not terms:
        return "its current is constant"
    return _checked(graph, Current(tuple(terms), bias))


def _leaves(graph: Graph, name: str, elements: Array) -> Iterator[tuple[Op, Array]]:
    """Yield the ops whose sum, through views, a value is, each with the elements of it."""
    waiting = [(name, elements)]
    while waiting:
        name, elements = waiting.pop()
        op = graph[name]
        if op.kind in (*VIEWS, "add"):
            waiting += _inputs(graph, op, elements)
        else:
            yield op, elements


def _stored(graph: Graph, op: Op, elements: Array) -> Array:
    return apply(op, (), graph.weights, lead=0).reshape(-1)[elements]


def _term(graph: Graph, op: Conv | Linear, elements: Array) -> Term:
    return Term(op, elements, graph.type_of(op.name).shape, cast(Array, graph.weights[op.weight]))


def _inputs(graph: Graph, op: Op, elements: Array) -> list[tuple[str, Array]]:
    """Trace elements of a view or a sum to the elements of its inputs."""
    shape = graph.type_of(op.name).shape
    traced = []
    for name in op.inputs:
        source = graph.type_of(name).shape
        places = np.arange(int(np.prod(source))).reshape(source)
        moved = places if op.kind == "add" else apply(op, (places,), graph.weights, lead=0)
        traced.append((name, np.broadcast_to(moved, shape).reshape(-1)[elements]))
    return traced


def _bias(graph: Graph, term: Term) -> Array | int:
    if term.op.bias is None:
        return 0
    _, channel = term.places(np.arange(term.elements.size))
    bias = cast(Array, graph.weights[term.op.bias])
    return bias.astype(np.int64)[channel]


def _checked(graph: Graph, current: Current) -> Current | str:
    for term in current.terms:
        domain = graph.type_of(term.op.inputs[0]).domain
        if not isinstance(domain, Grid) or domain.step != 1:
            return f"`{term.op.name}` reads {domain}, neither spikes nor integers"
        if isinstance(term.op, Conv) and len(term.op.stride) > 2:
            return f"`{term.op.name}` has more than two dimensions"
    return current


def is_binary(graph: Graph, term: Term) -> bool:
    """Whether the term reads spikes, not graded payloads."""
    domain = graph.type_of(term.op.inputs[0]).domain
    return is_spike(domain)


@dataclass(frozen=True)
class Window:
    """The part of a term that a slice needs: channels in order, and positions in order.

    ``box`` is (start, stop) along each axis where the positions fill a box in row-major order.
    """

    channels: Array
    positions: Array
    box: tuple[tuple[int, int], ...] | None


def neuron_grid(term: Term) -> tuple[Array, Array, Array] | None:
    """Return (neurons [positions, channels], positions, channels) in the layout of a term.

    None where the neurons do not fill such a grid, each place once.
    """
    position, channel = term.places(np.arange(term.elements.size))
    positions, row = np.unique(position, return_inverse=True)
    channels, column = np.unique(channel, return_inverse=True)
    grid: Array = np.full((len(positions), len(channels)), -1)
    grid[row, column] = np.arange(term.elements.size)
    full = grid.size == term.elements.size and grid.min() >= 0
    return (grid, positions, channels) if full else None


def window_of(term: Term, neurons: Array) -> Window | None:
    """Return what neurons ``[positions, channels]`` need of a term, None in another layout."""
    position, channel = term.places(neurons)
    if np.any(position != position[:, :1]) or np.any(channel != channel[:1]):
        return None
    return Window(channel[0], position[:, 0], _box(position[:, 0], term.positions))


def _box(positions: Array, shape: Shape) -> tuple[tuple[int, int], ...] | None:
    if not shape:
        return ()
    places = np.unravel_index(positions, shape)
    box = tuple((int(axis.min()), int(axis.max()) + 1) for axis in places)
    filled = np.ravel_multi_index(np.meshgrid(*(range(*b) for b in box), indexing="ij"), shape)
    return box if np.array_equal(filled.reshape(-1), positions) else None


def leading(terms: Sequence[Term]) -> Term:
    """Return the term whose layout a slice is cut in: the most spatial one."""
    return max(terms, key=lambda t: (isinstance(t.op, Conv), len(t.positions)))
