"""A step graph on its way into ONNX: the values that are written, and what is proved of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import numpy as np
from onnx import helper

from snncc.backends.onnx.rules import ONNX_CANNOT_SAY
from snncc.backends.onnx.sheet import (
    DOUBLE,
    INT32,
    INT64,
    INTEGERS,
    UINT8,
    Sheet,
    Store,
    Tensor,
    kind_name,
    numpy_type,
)
from snncc.diagnostics.core import SnnccError
from snncc.execute.kernels.layer import Layer
from snncc.ir.domain import Grid, is_integer
from snncc.ir.graph import Array, Graph, Op, Shape
from snncc.ir.memory import STATEFUL
from snncc.ir.timing import timings

EXACT_FLOAT, EXACT_DOUBLE = 2**24, 2**53
"""Below these every integer is a float32, or a float64."""


class Draft:
    """What is known while a graph is written.

    ``root`` is the model's graph, ``sheet`` where nodes go now. ``varying`` are the values that
    differ from one time step to the next, ``late`` those that are made after the last one.
    """

    def __init__(self, graph: Graph, largest: int) -> None:
        """Start with nothing written; ``largest`` are the most bytes that are stored."""
        self.graph = graph
        self.when = timings(graph)
        self.varying, self.late = _varying(graph), _late(graph)
        self.store = Store(largest)
        self.root = Sheet(self.store)
        self.sheet = self.root
        self.values: dict[str, Tensor] = {}
        self.functions: set[str] = set()
        self.layers: dict[str, Layer] = {}
        self.kernels: dict[str, set[str]] = {}
        self._shapes: set[str] = set()

    def value(self, op: Op, operand: int = 0) -> Tensor:
        """Return an operand of an op."""
        return self.values[op.inputs[operand]]

    def weight(self, name: str) -> Array:
        """Return a stored array of the graph."""
        return cast(Array, self.graph.weights[name])

    def shape(self, name: str) -> Shape:
        """Return the shape of a value, without batch."""
        return self.graph.type_of(name).shape

    def whole(self, op: Op, operand: int = 0, kind: int | None = None) -> Tensor:
        """Return an operand as int32 or int64, or as ``kind``. Raises where it is no integer."""
        value, domain = self.value(op, operand), self.graph.type_of(op.inputs[operand]).domain
        if value.kind not in INTEGERS:
            raise refused(op, f"reads {domain}, wanted integers")
        return self.sheet.cast(value, kind or self.width(op.inputs[operand]))

    def width(self, name: str) -> int:
        """Return the integers that are proved to hold a value: int32, else int64."""
        return width_of(self.largest(name), self.graph[name])

    def largest(self, name: str) -> int:
        """Return the largest magnitude of an integer value."""
        domain = self.graph.type_of(name).domain
        if not (isinstance(domain, Grid) and is_integer(domain)):
            raise refused(self.graph[name], f"holds {domain}, wanted integers")
        return int(domain.largest)

    def span(self, name: str) -> tuple[int, int]:
        """Return the least and the largest integer of a value."""
        self.largest(name)
        domain = cast(Grid, self.graph.type_of(name).domain)
        return int(domain.minimum), int(domain.maximum)

    def is_whole(self, name: str) -> bool:
        """Whether a value is proved to be an integer."""
        return is_integer(self.graph.type_of(name).domain)

    def aligned(self, op: Op, values: Iterable[Tensor]) -> list[str]:
        """Return the operands with new axes behind the batch, so that all have one rank."""
        ranks = [len(self.shape(name)) for name in op.inputs]
        names = []
        for i, (value, rank) in enumerate(zip(values, ranks, strict=True)):
            missing = max(ranks) - rank
            axes = self.store.vector(range(1, missing + 1)) if missing else ""
            name = f"{op.name}/operand{i}"
            row = self.sheet.node("Unsqueeze", [value.name, axes], name) if missing else value.name
            names.append(row)
        return names

    def batch(self) -> str:
        """Return the name of the number of samples, a vector of one."""
        entry = self.graph.of_kind("input")[0]
        axis = int(bool(getattr(entry, "varies", False)))
        if self._first("[B]"):
            self.root.node("Shape", [entry.name], "[B]", start=axis, end=axis + 1)
        return "[B]"

    def batch_shape(self, shape: Shape) -> str:
        """Return the name of the vector ``[B, *shape]``."""
        name = f"[{','.join(('B', *map(str, shape)))}]"
        batch = self.batch()
        if self._first(name):
            self.root.node("Concat", [batch, self.store.vector(shape)], name, axis=0)
        return name

    def zeros(self, shape: Shape, kind: int) -> str:
        """Return the name of zeros ``[B, *shape]``, with which a state starts."""
        lengths = self.batch_shape(shape)
        name = f"zeros {lengths} {kind_name(kind)}"
        if self._first(name):
            zero = helper.make_tensor("zero", kind, [1], np.zeros(1, numpy_type(kind)))
            self.root.node("ConstantOfShape", [lengths], name, value=zero)
        return name

    def _first(self, name: str) -> bool:
        new = name not in self._shapes
        self._shapes.add(name)
        return new

    def put(self, op: Op, name: str, kind: int) -> None:
        """Take the result of an op from the current sheet; the value takes the op's name."""
        batched = any(self.values[i].batched for i in op.inputs if i in self.values)
        self.take(op, Tensor(self.sheet.renamed(name, op.name), kind, self.sheet, batched))

    def take(self, op: Op, value: Tensor) -> None:
        """Take a value as the result of an op, and note its type for readers of the file."""
        self.values[op.name] = value
        shape = ["batch" if value.batched else 1, *self.shape(op.name)]
        value.sheet.infos.append(helper.make_tensor_value_info(value.name, value.kind, shape))

    def used(self, kernel: str, op: Op) -> None:
        """Note by which kernel a product is computed."""
        self.kernels.setdefault(kernel, set()).add(op.name)


def refused(op: Op, reason: str, hint: str = "") -> SnnccError:
    """Return the error of an op that ONNX cannot say."""
    message = f"`{op.name}` ({op.kind}) {reason}"
    return SnnccError(ONNX_CANNOT_SAY.at(op.source, message, hint=hint, op=op.kind))


def width_of(largest: int, op: Op) -> int:
    """Return int32 or int64, whichever holds magnitudes up to ``largest``."""
    if largest >= 2**63:
        raise refused(op, f"reaches {largest}, beyond 64 bits")
    return INT32 if largest < 2**31 else INT64


def common(kinds: Iterable[int]) -> int:
    """Return the type that holds the values of all."""
    order = (UINT8, INT32, INT64, DOUBLE)
    return max(kinds, key=order.index)


def _varying(graph: Graph) -> frozenset[str]:
    found: set[str] = set()
    for op in graph.ops:
        own = op.kind in STATEFUL or bool(getattr(op, "varies", False))
        if own or (op.kind != "readout" and not found.isdisjoint(op.inputs)):
            found.add(op.name)
    return frozenset(found)


def _late(graph: Graph) -> frozenset[str]:
    found: set[str] = set()
    for op in graph.ops:
        if op.kind in ("readout", "output") or not found.isdisjoint(op.inputs):
            found.add(op.name)
    return frozenset(found)
