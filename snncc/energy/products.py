"""The products of a step graph, from shapes alone: no data and no weights are needed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from snncc.execute.synapses import dense_ops
from snncc.ir.domain import is_spike
from snncc.ir.graph import Graph, Op
from snncc.ir.ops import WEIGHTED
from snncc.ir.synaptic_current import CURRENTS
from snncc.ir.timing import Timing, timings

_DYNAMIC = ("matmul", "mask")
_THROUGH = ("reshape", "permute", "expand", "slice", "repeat", "scale", "concat")
_TO_WEIGHT = (*_THROUGH, *CURRENTS, "batch_norm")


@dataclass(frozen=True)
class Operand:
    """One dynamic factor of a product.

    ``neuron`` is the layer that fires it, ``path`` that layer's module, ``weighted`` the conv or
    linear before that layer; each is empty where there is none. ``elements`` are of one step.
    """

    spike: bool
    elements: int
    neuron: str = ""
    path: str = ""
    weighted: str = ""


@dataclass(frozen=True)
class Product:
    """A conv, linear, matmul or mask of a network.

    ``runs`` is how often one sample runs it; ``dense_ops`` are its multiplications in one run and
    ``bias_ops`` its additions of a bias. ``heads`` is the leading axis of a matmul, else 1.
    """

    name: str
    path: str
    op: str
    runs: int
    dense_ops: int
    bias_ops: int
    operands: tuple[Operand, ...]
    heads: int = 1

    @property
    def driven(self) -> bool:
        """Whether some operand is spikes, so that it only adds."""
        return any(operand.spike for operand in self.operands)

    @property
    def is_attention(self) -> bool:
        """Whether both of its factors are values of the network, not weights."""
        return self.op in _DYNAMIC


def products(graph: Graph) -> tuple[Product, ...]:
    """Return the products of a step graph, in its order."""
    when = timings(graph)
    return tuple(
        _product(op, graph, graph.steps if when[op.name] is Timing.STEP else 1)
        for op in graph.ops
        if op.kind in (*WEIGHTED, *_DYNAMIC)
    )


def norm_elements(graph: Graph) -> Iterator[tuple[Op, int]]:
    """Yield each batch norm that is not folded, and what it scales in one sample."""
    when = timings(graph)
    for op in graph.of_kind("batch_norm"):
        runs = graph.steps if when[op.name] is Timing.STEP else 1
        yield op, runs * math.prod(graph.type_of(op.name).shape)


def _product(op: Op, graph: Graph, runs: int) -> Product:
    shape = graph.type_of(op.name).shape
    outputs = math.prod(shape)
    dynamic = op.kind in _DYNAMIC
    dense = dense_ops(op, graph)
    heads = math.prod(shape[:-2]) if op.kind == "matmul" else 1
    bias = outputs if getattr(op, "bias", None) is not None else 0
    read = op.inputs if dynamic else op.inputs[:1]
    operands = tuple(_operand(name, graph) for name in read)
    return Product(op.name, op.source.module, op.kind, runs, dense, bias, operands, heads)


def _operand(name: str, graph: Graph) -> Operand:
    kind = graph.type_of(name)
    spike, elements = is_spike(kind.domain), math.prod(kind.shape)
    neuron = _back(graph[name], graph, _THROUGH)
    if neuron.kind not in ("neuron", "integer_neuron"):
        return Operand(spike, elements)
    before = _back(graph[neuron.inputs[0]], graph, _TO_WEIGHT)
    weighted = before.name if before.kind in WEIGHTED else ""
    return Operand(spike, elements, neuron.name, neuron.source.module, weighted)


def source_of(name: str, graph: Graph) -> str:
    """Return what feeds a product and the weights straight before it: neurons, a sum, an input."""
    return _back(graph[name], graph, (*_TO_WEIGHT, *WEIGHTED)).name


def _back(op: Op, graph: Graph, through: tuple[str, ...]) -> Op:
    """Return the first op on the way back that does more than hand on or scale."""
    while op.kind in through:
        op = graph[op.inputs[0]]
    return op
