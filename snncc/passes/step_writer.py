"""The writing half of ``to_steps``: each op of a tensor graph as an op of the step graph.

Everything that a step graph cannot say has been refused before, except a value that is needed at
every time step and known only after the last one: those ops are returned beside the graph.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from typing import Any

from snncc.ir.graph import Absent, Array, Graph, Op, Shape, Weight
from snncc.ir.layouts import Roles
from snncc.ir.ops import Expand, Readout, Repeat, Reshape
from snncc.ir.timing import Timing


def write_steps(roles: Roles) -> tuple[Graph, list[Op]]:
    """Return the step graph, and the ops that need a sum over time before time is over."""
    writer = _Writer(roles)
    return writer.write(), writer.late


def is_steady(roles: Roles, op: Any) -> bool:
    """Whether a constant is known to be the same at all time steps and for all samples."""
    value = roles.found.graph.weights[op.value]
    if isinstance(value, Absent):
        return False
    steady = _without_time(roles, op, value)
    return bool((_by_atom(roles, op, value) == steady).all())


def _by_atom(roles: Roles, op: Op, value: Array) -> Array:
    leaves = [a for axis in roles.found.layouts[op.name] for a in roles.found.atoms.leaves(axis)]
    return value.reshape([roles.found.atoms.size(a) for a in leaves])


def _without_time(roles: Roles, op: Op, value: Array) -> Array:
    """Return what stands at the first step of the first sample, one axis an atom."""
    leaves = [a for axis in roles.found.layouts[op.name] for a in roles.found.atoms.leaves(axis)]
    taken = roles.time | roles.batch
    firsts = tuple(slice(0, 1) if a in taken else slice(None) for a in leaves)
    return _by_atom(roles, op, value)[firsts]


class _Writer:
    """The step graph under way.

    ``value`` says under which name a value of the tensor graph is found, ``shape`` and ``when``
    what is known of each value of the step graph.
    """

    def __init__(self, roles: Roles) -> None:
        self.roles = roles
        self.graph = roles.found.graph
        self.layouts = roles.found.layouts
        self.ops: list[Op] = []
        self.weights: dict[str, Weight] = {}
        self.value: dict[str, str] = {}
        self.shape: dict[str, Shape] = {}
        self.when: dict[str, Timing] = {}
        self.late: list[Op] = []
        self.taken = set(self.graph.by_name)

    def write(self) -> Graph:
        for op in self.graph.ops:
            last = _WRITERS[op.kind](self, op)
            last = self.fitted(op, last, self.natural(op.name))
            if self.has_time(op.name) and self.when[last] is not Timing.STEP:
                last = self.repeated(op, last)
            self.value[op.name] = last
        weights = {**self.graph.weights, **self.weights}
        return self.graph.replace(self.ops, weights, level="step", steps=self.roles.steps)

    def natural(self, name: str, forced: Collection[int] = ()) -> Shape:
        """Return the shape that a value has without time and batch."""
        return tuple(self.roles.kept(self.layouts[name], forced).values())

    def has_time(self, name: str, *, narrow: bool = False) -> bool:
        """Whether a value of the tensor graph has time on an axis; a single step if ``narrow``."""
        layout = self.layouts[name]
        return any(self.roles.holds(axis, self.roles.time, narrow=narrow) for axis in layout)

    def fresh(self, base: str) -> str:
        name, count = base, 1
        while name in self.taken:
            count += 1
            name = f"{base}.{count}"
        self.taken.add(name)
        return name

    def add(self, op: Op, shape: Shape, when: Timing | None = None) -> str:
        """Append an op; its timing is the latest of its inputs', where none is given."""
        met = {self.when[name] for name in op.inputs}
        if {Timing.STEP, Timing.SAMPLE} <= met:
            self.late.append(op)
        self.ops.append(op)
        self.shape[op.name] = shape
        self.when[op.name] = max(met, default=Timing.STATIC) if when is None else when
        return op.name

    def fitted(self, op: Op, name: str, shape: Shape) -> str:
        """Return ``name`` with the shape wanted."""
        if self.shape[name] == shape:
            return name
        new = self.fresh(f"{name}.shaped")
        return self.add(Reshape(name=new, inputs=(name,), source=op.source, shape=shape), shape)

    def repeated(self, op: Op, name: str) -> str:
        if self.when[name] is Timing.SAMPLE:
            self.late.append(op)
        new = Repeat(name=self.fresh(f"{name}.repeat"), inputs=(name,), source=op.source)
        return self.add(new, self.shape[name], Timing.STEP)

    def read(self, op: Op, place: int = 0, shape: Shape | None = None) -> str:
        """Return an input of ``op`` in the step graph, in the shape wanted."""
        name = self.value[op.inputs[place]]
        return name if shape is None else self.fitted(op, name, shape)

    def broadcast(self, op: Op, place: int, kept: dict[int, int], behind: int = 0) -> Shape:
        """Return the shape in which an input lines up with the axes that the result keeps.

        The last ``behind`` axes do not broadcast and keep their length.
        """
        before = self.graph.type_of(op.inputs[place]).shape
        result = self.graph.type_of(op.name).shape
        own = self.roles.kept(self.layouts[op.inputs[place]], range(len(before)))
        shape = []
        for i, n in enumerate(before):
            at = i + len(result) - len(before)
            if i >= len(before) - behind:
                shape.append(own[i])
            elif at in kept:
                shape.append(1 if n == 1 and result[at] > 1 else kept[at])
        return tuple(shape)


def _replaced(op: Op, inputs: tuple[str, ...], **fields: Any) -> Op:
    return dataclasses.replace(op, inputs=inputs, **fields)


def _write_input(writer: _Writer, op: Op) -> str:
    varies = writer.has_time(op.name, narrow=True)
    shape = writer.natural(op.name)
    when = Timing.STEP if varies else Timing.STATIC
    return writer.add(_replaced(op, (), shape=shape, varies=varies), shape, when)


def _write_constant(writer: _Writer, op: Any) -> str:
    shape, value = writer.natural(op.name), writer.graph.weights[op.value]
    if shape == value.shape:
        return writer.add(op, shape)
    new = f"{op.value}.step"
    if isinstance(value, Absent):
        writer.weights[new] = Absent(shape, value.dtype)
    else:
        writer.weights[new] = _without_time(writer.roles, op, value).reshape(shape)
    return writer.add(_replaced(op, (), value=new), shape)


def _write_output(writer: _Writer, op: Op) -> str:
    name = writer.read(op)
    if writer.roles.steps == 1 and writer.when[name] is Timing.STEP:
        name = _read_out(writer, op, name, writer.fresh(f"{name}.readout"))
    return writer.add(_replaced(op, (name,)), writer.shape[name])


def _read_out(writer: _Writer, op: Op, name: str, new: str) -> str:
    readout = Readout(name=new, inputs=(name,), source=op.source, steps=writer.roles.steps)
    return writer.add(readout, writer.shape[name], Timing.SAMPLE)


def _write_same(writer: _Writer, op: Op) -> str:
    inputs = tuple(writer.read(op, i) for i in range(len(op.inputs)))
    return writer.add(_replaced(op, inputs), writer.natural(op.name))


def _write_foreign(writer: _Writer, op: Op) -> str:
    inputs = tuple(writer.read(op, i) for i in range(len(op.inputs)))
    shape = writer.natural(op.name)
    return writer.add(_replaced(op, inputs, shape=shape), shape)


def _write_stateful(writer: _Writer, op: Op) -> str:
    name = writer.read(op)
    if writer.when[name] is not Timing.STEP:
        name = writer.repeated(op, name)
    return writer.add(_replaced(op, (name,)), writer.shape[name])


def _write_windowed(writer: _Writer, op: Any) -> str:
    """Convolutions and pools: axes in front are batch, or windows of their own."""
    layout = writer.layouts[op.inputs[0]]
    slides = len(op.stride) + (op.kind == "conv")
    forced = range(len(layout) - slides, len(layout))
    before = writer.natural(op.inputs[0], forced)
    after = writer.natural(op.name, forced)
    if op.kind == "conv":
        before, after = before[-slides:], after[-slides:]
    return writer.add(_replaced(op, (writer.read(op, 0, before),)), after)


def _write_pad(writer: _Writer, op: Any) -> str:
    layout = writer.layouts[op.inputs[0]]
    fixed = len(op.before) + (op.value is not None)
    forced = range(len(layout) - fixed, len(layout))
    name = writer.read(op, 0, writer.natural(op.inputs[0], forced))
    return writer.add(_replaced(op, (name,)), writer.natural(op.name, forced))


def _write_linear(writer: _Writer, op: Op) -> str:
    last = (len(writer.layouts[op.name]) - 1,)
    name = writer.read(op, 0, writer.natural(op.inputs[0], last))
    return writer.add(_replaced(op, (name,)), writer.natural(op.name, last))


def _write_batch_norm(writer: _Writer, op: Any) -> str:
    kept = writer.roles.kept(writer.layouts[op.name], (op.axis,))
    name = writer.read(op, 0, tuple(kept.values()))
    return writer.add(_replaced(op, (name,), axis=list(kept).index(op.axis)), tuple(kept.values()))


def _write_elementwise(writer: _Writer, op: Op) -> str:
    kept = writer.roles.kept(writer.layouts[op.name])
    shapes = (writer.broadcast(op, i, kept) for i in range(len(op.inputs)))
    inputs = tuple(writer.read(op, i, shape) for i, shape in enumerate(shapes))
    return writer.add(_replaced(op, inputs), tuple(kept.values()))


def _write_matmul(writer: _Writer, op: Op) -> str:
    rank = len(writer.layouts[op.name])
    kept = writer.roles.kept(writer.layouts[op.name], (rank - 2, rank - 1))
    shapes = (writer.broadcast(op, i, kept, behind=2) for i in range(2))
    inputs = tuple(writer.read(op, i, shape) for i, shape in enumerate(shapes))
    return writer.add(_replaced(op, inputs), tuple(kept.values()))


def _write_sum(writer: _Writer, op: Any) -> str:
    name = writer.read(op)
    kept = writer.roles.kept(writer.layouts[op.inputs[0]])
    axes = tuple(at for at, i in enumerate(kept) if i in op.axes)
    timely = any(
        writer.roles.holds(writer.layouts[op.inputs[0]][i], writer.roles.time, narrow=True)
        for i in op.axes
    )
    timely = timely and writer.when[name] is Timing.STEP
    if axes:
        before = enumerate(writer.shape[name])
        left = tuple(1 if i in axes else n for i, n in before if op.keepdims or i not in axes)
        new = writer.fresh(f"{op.name}.places") if timely else op.name
        name = writer.add(_replaced(op, (name,), name=new, axes=axes), left)
    return _read_out(writer, op, name, op.name) if timely else name


def _write_reshape(writer: _Writer, op: Op) -> str:
    name, shape = writer.read(op), writer.natural(op.name)
    if writer.shape[name] == shape:
        return name
    return writer.add(_replaced(op, (name,), shape=shape), shape)


def _write_permute(writer: _Writer, op: Any) -> str:
    name = writer.read(op)
    kept = list(writer.roles.kept(writer.layouts[op.inputs[0]]))
    order = tuple(kept.index(i) for i in op.order if i in kept)
    if order == tuple(range(len(order))):
        return name
    return writer.add(_replaced(op, (name,), order=order), writer.natural(op.name))


def _write_expand(writer: _Writer, op: Op) -> str:
    kept = writer.roles.kept(writer.layouts[op.name])
    name = writer.read(op, 0, writer.broadcast(op, 0, kept))
    shape = tuple(kept.values())
    return (
        name
        if writer.shape[name] == shape
        else writer.add(Expand(name=op.name, inputs=(name,), source=op.source, shape=shape), shape)
    )


def _write_along_axis(writer: _Writer, op: Any) -> str:
    """Slices and concatenations."""
    kept = writer.roles.kept(writer.layouts[op.name], (op.axis,))
    inputs = tuple(
        writer.read(op, i, writer.natural(name, (op.axis,))) for i, name in enumerate(op.inputs)
    )
    return writer.add(_replaced(op, inputs, axis=list(kept).index(op.axis)), tuple(kept.values()))


_WRITERS: dict[str, Callable[[_Writer, Any], str]] = {
    "input": _write_input,
    "output": _write_output,
    "constant": _write_constant,
    "conv": _write_windowed,
    "linear": _write_linear,
    "batch_norm": _write_batch_norm,
    "neuron": _write_stateful,
    "synaptic_current": _write_stateful,
    "add": _write_elementwise,
    "scale": _write_same,
    "max_pool": _write_windowed,
    "avg_pool": _write_windowed,
    "matmul": _write_matmul,
    "mask": _write_elementwise,
    "sum": _write_sum,
    "pad": _write_pad,
    "reshape": _write_reshape,
    "permute": _write_permute,
    "expand": _write_expand,
    "slice": _write_along_axis,
    "concat": _write_along_axis,
    "foreign": _write_foreign,
}
