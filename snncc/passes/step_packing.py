"""One op in the place of n equal ones: values of n time steps, stacked along a new first axis.

The ops of the steps must be of one kind with the same fields and weights, and so must all that they
read, up to slices of one value (the steps of what is computed already), to constants, or to
values that all steps share.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from snncc.ir.graph import Absent, Graph, Op, Shape, Weight
from snncc.ir.layouts import has_memory
from snncc.ir.memory import STATEFUL
from snncc.ir.ops import Constant, Expand, Permute, Reshape, Slice

Names: TypeAlias = tuple[str, ...]

ENDING = ".steps"
"""Behind the name of the first step's op: the name of the op for all of them, and of its views."""

_BROADCAST = ("add", "mask", "matmul")
"""Kinds that read one value for all steps as it is."""


class Packed(NamedTuple):
    """A stacked value; ``timely`` unless it was cut from an axis that is not known to be time."""

    name: str
    timely: bool


class Packer:
    """Adds stacked ops to ``ops``; ``is_time`` says of a slice whether it takes time steps."""

    def __init__(self, graph: Graph, is_time: Callable[[Op], bool]) -> None:
        self.graph = graph
        self.is_time = is_time
        self.ops: dict[str, Op] = dict(graph.by_name)
        self.weights: dict[str, Weight] = {}
        self.shape: dict[str, Shape] = {n: t.shape for n, t in graph.types.items()}
        self._packed: dict[Names, Packed | None] = {}

    def pack(self, names: Names) -> Packed | None:
        """Return the values stacked, or None where they are not alike."""
        if names not in self._packed:
            self._packed[names] = self._new_pack(names)
        return self._packed[names]

    def add(self, kind: type[Op], *inputs: str, like: Op, out: Shape, **fields: Any) -> str:
        """Add an op of result shape ``out`` for the steps of which ``like`` is the first."""
        stem = f"{like.name}{ENDING}" + ("" if kind is type(like) else f".{kind.kind}")
        name, count = stem, 1
        while name in self.ops:
            count += 1
            name = f"{stem}{count}"
        self.ops[name] = kind(name=name, inputs=inputs, source=like.source, **fields)
        self.shape[name] = out
        return name

    def reshaped(self, name: str, shape: Shape, like: Op) -> str:
        """Return a value in another shape."""
        if self.shape[name] == shape:
            return name
        return self.add(Reshape, name, like=like, out=shape, shape=shape)

    def moved(self, name: str, axis: int, to: int, like: Op) -> str:
        """Return a value with one axis taken out and put in at another place."""
        if axis == to:
            return name
        order = [i for i in range(len(self.shape[name])) if i != axis]
        order.insert(to, axis)
        shape = tuple(self.shape[name][i] for i in order)
        return self.add(Permute, name, like=like, out=shape, order=tuple(order))

    def aligned(self, name: str, op: Op, place: int, n: int) -> str:
        """Return a stacked input with as many axes behind the steps as the result has."""
        before, rank = self.shape[op.inputs[place]], len(self.shape[op.name])
        if name == op.inputs[place]:
            return name
        return self.reshaped(name, (n, *(1,) * (rank - len(before)), *before), op)

    def _new_pack(self, names: Names) -> Packed | None:
        ops: list[Any] = [self.graph[name] for name in names]
        first = ops[0]
        if len({self.shape[name] for name in names}) > 1:
            return None
        if self._are_one(ops):
            return self._repeated(first, len(ops))
        if any(op.kind != first.kind for op in ops):
            return None
        if first.kind == "constant":
            return self._constants(ops)
        found = self._slices(ops) if first.kind == "slice" else None
        return found or self._alike(ops)

    def _repeated(self, op: Op, n: int) -> Packed:
        """One value for all steps."""
        shape = (n, *self.shape[op.name])
        one = self.reshaped(op.name, (1, *self.shape[op.name]), op)
        return Packed(self.add(Expand, one, like=op, out=shape, shape=shape), True)

    def _are_one(self, ops: list[Any]) -> bool:
        """Whether values are one: of one name, or equal ops that read the same."""
        if len({op.name for op in ops}) == 1:
            return True
        stateful = ops[0].kind in (*STATEFUL, "input", "foreign")
        return not stateful and len({op.inputs for op in ops}) == 1 and self._same_fields(ops)

    def _same_fields(self, ops: list[Any]) -> bool:
        first = ops[0]
        wanted = first.attributes()
        return all(
            op.kind == first.kind
            and all(
                self._same_weight(op.attributes()[key], value)
                if key in first.weight_fields
                else op.attributes()[key] == value
                for key, value in wanted.items()
            )
            for op in ops[1:]
        )

    def _same_weight(self, a: str | None, b: str | None) -> bool:
        if a is None or b is None or a == b:
            return a == b
        x, y = self.graph.weights[a], self.graph.weights[b]
        if isinstance(x, Absent) or isinstance(y, Absent):
            return False
        return x.dtype == y.dtype and np.array_equal(x, y)

    def _constants(self, ops: list[Any]) -> Packed | None:
        values = [self.graph.weights[op.value] for op in ops]
        arrays = [v for v in values if not isinstance(v, Absent)]
        if len(arrays) < len(values):
            return None
        first, stored = ops[0], f"{ops[0].value}{ENDING}"
        self.weights[stored] = np.stack(arrays)
        shape = (len(ops), *self.shape[first.name])
        return Packed(self.add(Constant, like=first, out=shape, value=stored), True)

    def _slices(self, ops: list[Any]) -> Packed | None:
        """Places of one value that follow each other: the axis is split, steps come first."""
        first, axis, n = ops[0], ops[0].axis, len(ops)
        width = first.stop - first.start
        alike = len({(op.inputs, op.axis, op.step, op.stop - op.start) for op in ops}) == 1
        starts = [first.start + i * width for i in range(n)]
        if not alike or first.step != 1 or [op.start for op in ops] != starts:
            return None
        name = first.inputs[0]
        lead, rest = self.shape[name][:axis], self.shape[name][axis + 1 :]
        if self.shape[name][axis] != n * width:
            places = {"axis": axis, "start": first.start, "stop": first.start + n * width}
            name = self.add(Slice, name, like=first, out=(*lead, n * width, *rest), **places)
        name = self.reshaped(name, (*lead, n, width, *rest), first)
        return Packed(self.moved(name, axis, 0, first), self.is_time(first))

    def _alike(self, ops: list[Any]) -> Packed | None:
        """Ops that differ in what they read alone, which is alike in turn."""
        first = ops[0]
        remembers = first.kind == "neuron" and has_memory(first)
        if first.kind not in _RULES or remembers or not self._same_fields(ops):
            return None
        inputs, timely, apart = [], True, False
        for names in zip(*(op.inputs for op in ops), strict=True):
            shared = self._are_one([self.graph[name] for name in names])
            if shared and first.kind in _BROADCAST:
                inputs.append(names[0])
                continue
            packed = self.pack(names)
            if packed is None:
                return None
            inputs.append(packed.name)
            timely, apart = timely and packed.timely, True
        if not apart:
            return self._repeated(first, len(ops))
        made = _RULES[first.kind](self, first, inputs, len(ops))
        source = first.source.with_merged(*(op.source for op in ops[1:]))
        self.ops[made] = dataclasses.replace(self.ops[made], source=source)
        return Packed(made, timely)


def _again(now: Packer, op: Op, inputs: list[str], n: int, **changed: Any) -> str:
    """The op itself, on stacked values."""
    out = (n, *now.shape[op.name])
    return now.add(type(op), *inputs, like=op, out=out, **{**op.attributes(), **changed})


def _aligned(now: Packer, op: Op, inputs: list[str], n: int) -> str:
    return _again(now, op, [now.aligned(name, op, i, n) for i, name in enumerate(inputs)], n)


def _with_shape(now: Packer, op: Op, inputs: list[str], n: int) -> str:
    return _again(now, op, inputs, n, shape=(n, *now.shape[op.name]))


def _expand(now: Packer, op: Op, inputs: list[str], n: int) -> str:
    return _with_shape(now, op, [now.aligned(inputs[0], op, 0, n)], n)


def _along(now: Packer, op: Any, inputs: list[str], n: int) -> str:
    return _again(now, op, inputs, n, axis=op.axis + 1)


def _permute(now: Packer, op: Any, inputs: list[str], n: int) -> str:
    return _again(now, op, inputs, n, order=(0, *(a + 1 for a in op.order)))


def _sum(now: Packer, op: Any, inputs: list[str], n: int) -> str:
    return _again(now, op, inputs, n, axes=tuple(a + 1 for a in op.axes))


def _conv(now: Packer, op: Any, inputs: list[str], n: int) -> str:
    """Steps go into the batch axis, in front of the samples."""
    before, after = now.shape[op.inputs[0]], now.shape[op.name]
    if len(before) == len(op.stride) + 1:
        return _again(now, op, inputs, n)
    images = n * before[0]
    x = now.reshaped(inputs[0], (images, *before[1:]), op)
    made = now.add(type(op), x, like=op, out=(images, *after[1:]), **op.attributes())
    return now.reshaped(made, (n, *after), op)


_RULES: Mapping[str, Callable[[Packer, Any, list[str], int], str]] = {
    "add": _aligned,
    "mask": _aligned,
    "matmul": _aligned,
    "scale": _again,
    "compare": _again,
    "count": _again,
    "linear": _again,
    "neuron": _again,
    "conv": _conv,
    "batch_norm": _along,
    "max_pool": _again,
    "avg_pool": _again,
    "pad": _again,
    "sum": _sum,
    "reshape": _with_shape,
    "permute": _permute,
    "expand": _expand,
    "slice": _along,
    "concat": _along,
    "foreign": _with_shape,
}


def joined(now: Packer, packed: str, axis: int, like: Op) -> str:
    """Return stacked values one after the other along one of their own axes."""
    n, *shape = now.shape[packed]
    moved = now.moved(packed, 0, axis, like)
    merged = (*shape[:axis], n * shape[axis], *shape[axis + 1 :])
    return now.reshaped(moved, merged, like)
