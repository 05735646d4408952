"""An ONNX graph being written: nodes in order, stored tensors, and what type each value has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from snncc.backends.onnx.rules import ONNX_TOO_LARGE
from snncc.diagnostics.core import SnnccError
from snncc.ir.graph import Array, Shape, Source

UINT8, INT8 = int(TensorProto.UINT8), int(TensorProto.INT8)
INT32, INT64 = int(TensorProto.INT32), int(TensorProto.INT64)
FLOAT, DOUBLE = int(TensorProto.FLOAT), int(TensorProto.DOUBLE)

_NAMES = {
    UINT8: "uint8", INT8: "int8", INT32: "int32", INT64: "int64", FLOAT: "float", DOUBLE: "double",
}  # fmt: skip
INTEGERS = (UINT8, INT8, INT32, INT64)


@dataclass(frozen=True)
class Tensor:
    """A value of the ONNX graph: ``[B, *shape]``, or ``[1, *shape]`` where not ``batched``."""

    name: str
    kind: int
    sheet: Sheet = field(repr=False, compare=False)
    batched: bool = True


@dataclass
class Store:
    """The stored tensors of a model by name, in the order of first use: ``largest`` bytes at most.

    Views of one array count as often as they are stored.
    """

    largest: int
    arrays: dict[str, Array] = field(default_factory=dict)
    size: int = 0

    def put(self, name: str, value: Array) -> str:
        """Return the name under which an array is stored. Raises ``ValueError`` for two of one.

        Raises ``SnnccError`` where there is no room.
        """
        known = self.arrays.get(name)
        if known is None:
            self.arrays[name] = value
            self.size += value.nbytes
            if self.size > self.largest:
                message = f"more than {self.largest:,} bytes are to be stored"
                raise SnnccError(ONNX_TOO_LARGE.at(Source(), message))
        elif known is not value and not _same(known, value):
            raise ValueError(f"two arrays are to be stored as `{name}`")
        return name

    def once(self, name: str, make: Callable[[], Array]) -> str:
        """Return the name under which an array is stored, which is made for the first user."""
        return name if name in self.arrays else self.put(name, make())

    def protos(self) -> list[TensorProto]:
        """Return all of them for the file."""
        whole = ((n, np.ascontiguousarray(a).reshape(a.shape)) for n, a in self.arrays.items())
        return [numpy_helper.from_array(array, name) for name, array in whole]

    def vector(self, numbers: Sequence[int]) -> str:
        """Return the name of an int64 vector: a shape, axes, bounds."""
        name = f"[{','.join(map(str, numbers))}]"
        return self.put(name, np.array(numbers, np.int64).reshape(len(numbers)))

    def number(self, value: float, kind: int) -> str:
        """Return the name of a scalar."""
        return self.put(f"{_NAMES[kind]}({value})", np.array(value, numpy_type(kind)))


class Sheet:
    """Where nodes are written: the model's graph, or the body of its loop over time.

    ``prefix`` stands before the name of each node and value; sheets with ``nodes`` of one list are
    time steps one after the other.
    """

    def __init__(
        self,
        store: Store,
        prefix: str = "",
        nodes: list[NodeProto] | None = None,
        infos: list[ValueInfoProto] | None = None,
    ) -> None:
        """Start an empty sheet, or write on where ``nodes`` and ``infos`` end.

        ``infos`` are the types of the values that have a name in the step graph.
        """
        self.store = store
        self.prefix = prefix
        self.nodes: list[NodeProto] = [] if nodes is None else nodes
        self.infos: list[ValueInfoProto] = [] if infos is None else infos
        self.casts: dict[tuple[str, int], Tensor] = {}

    def node(
        self, op_type: str, inputs: Sequence[str], name: str, doc: str = "", **fields: Any
    ) -> str:
        """Write a node and return the name of its one result, which is its own name."""
        return self.nodes_of(op_type, inputs, (name,), doc, **fields)[0]

    def nodes_of(
        self,
        op_type: str,
        inputs: Sequence[str],
        names: Sequence[str],
        doc: str = "",
        named: str = "",
        **fields: Any,
    ) -> list[str]:
        """Write a node with several results, called ``named`` or as the first of them."""
        results = [self.prefix + name for name in names]
        called = self.prefix + named if named else results[0]
        made = helper.make_node(
            op_type, list(inputs), results, name=called, doc_string=doc or None, **fields
        )
        self.nodes.append(made)
        return results

    def renamed(self, value: str, name: str) -> str:
        """Give the last node's result, if ``value`` is that, another name; return its name."""
        last = self.nodes[-1] if self.nodes else None
        if last is None or list(last.output) != [value]:
            return value
        last.name = last.output[0] = self.prefix + name
        return last.name

    def cast(self, value: Tensor, kind: int) -> Tensor:
        """Return a value in another type: cast once, where the value was made."""
        if value.kind == kind:
            return value
        home = value.sheet
        key = value.name, kind
        if key not in home.casts:
            bare = value.name.removeprefix(home.prefix)
            name = home.node("Cast", [value.name], f"{bare}/{_NAMES[kind]}", to=kind)
            home.casts[key] = Tensor(name, kind, home, value.batched)
        return home.casts[key]

    def stored(self, name: str, value: Array) -> Tensor:
        """Return a stored array as a value that has no batch; an array has the type it is in."""
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        return Tensor(self.store.put(name, value), kind, self, batched=False)

    def reshaped(self, value: Tensor, shape: Shape, name: str) -> Tensor:
        """Return a value in another shape; 0 keeps an axis, -1 is what is left."""
        made = self.node("Reshape", [value.name, self.store.vector(shape)], name)
        return Tensor(made, value.kind, self, value.batched)


def _same(a: Array, b: Array) -> bool:
    alike = a.dtype == b.dtype and a.shape == b.shape
    seen = a.ctypes.data == b.ctypes.data and a.strides == b.strides
    return alike and (seen or np.array_equal(a, b))


def kind_name(kind: int) -> str:
    """Return what an ONNX type is called."""
    return _NAMES[kind]


def numpy_type(kind: int) -> np.dtype[Any]:
    """Return numpy's name of an ONNX type."""
    return helper.tensor_dtype_to_np_dtype(kind)
