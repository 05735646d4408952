"""Clean-up: views that do nothing go, views in a row become one, means become sums."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from snncc.ir.graph import Absent, Graph, Op, Shape, Weight, reading, without_dead
from snncc.ir.inference import window_positions
from snncc.ir.ops import VIEWS, Constant, Expand, Repeat, Scale, Sum
from snncc.ir.timing import Timing, timings
from snncc.passes.base import Invariant, Pass, Result, well_formed


@dataclass(frozen=True)
class Canonicalise(Pass):
    """Bring a graph of either level into normal form, changing no value.

    Reshapes, permutes, expansions and scales in a row merge; those that change nothing go, as do
    slices of everything and ops that nothing reads. An average over all positions is a ``Sum`` and
    a ``Scale``; the same value joined n times is an ``Expand``; views of a constant are a constant.
    A reshape that is undone goes, where a value is repeated in between, too. A synaptic current
    that keeps nothing of itself goes.
    What alone divides the counts of integer-firing neurons becomes their ``norm``. With
    ``keep_scales`` no factors are multiplied, which rounds.
    """

    name: ClassVar[str] = "canonicalise"
    requires: ClassVar[tuple[Invariant, ...]] = (well_formed,)
    ensures: ClassVar[tuple[Invariant, ...]] = (well_formed,)

    keep_scales: bool = False

    def run(self, graph: Graph) -> Result:
        """Return the graph in normal form."""
        rewriting = _Rewriting(graph, keep_scales=self.keep_scales)
        for op in graph.ops:
            now = reading(op, rewriting.value)
            rewriting.value[op.name] = _RULES.get(op.kind, _kept)(rewriting, now)
        ops, weights = rewriting.ops.values(), {**graph.weights, **rewriting.weights}
        return Result(without_dead(graph.replace(ops, weights)))


@dataclass
class _Rewriting:
    """The new graph under way; ``value`` is the new name of each value of the old one."""

    graph: Graph
    ops: dict[str, Op] = field(default_factory=dict)
    value: dict[str, str] = field(default_factory=dict)
    shape: dict[str, Shape] = field(default_factory=dict)
    weights: dict[str, Weight] = field(default_factory=dict)
    keep_scales: bool = False

    def add(self, op: Op, shape: Shape | None = None) -> str:
        self.ops[op.name] = op
        self.shape[op.name] = self.graph.type_of(op.name).shape if shape is None else shape
        return op.name

    def fresh(self, base: str) -> str:
        name, count = base, 1
        while name in self.graph.by_name or name in self.ops:
            count += 1
            name = f"{base}.{count}"
        return name

    def input(self, op: Op) -> Op:
        return self.ops[op.inputs[0]]

    def every_step(self, name: str) -> bool:
        """Whether a value has time steps: on the tensor level an axis of it, else its own."""
        if self.graph.level == "tensor":
            return True
        so_far = self.graph.replace(self.ops.values(), {**self.graph.weights, **self.weights})
        return timings(so_far)[name] is Timing.STEP

    def through(self, op: Op, **fields: Any) -> Op:
        """Return ``op`` reading what its input reads, with the input's place noted."""
        before = self.input(op)
        source = op.source.with_merged(before.source)
        return dataclasses.replace(op, inputs=before.inputs, source=source, **fields)


def _kept(now: _Rewriting, op: Op) -> str:
    return now.add(op)


def _reshape(now: _Rewriting, op: Any) -> str:
    if now.input(op).kind == "reshape":
        op = now.through(op)
    if now.shape[op.inputs[0]] == op.shape:
        return str(op.inputs[0])
    whole = _before_repeat(now, op)
    if whole is not None:
        return now.add(Repeat(name=op.name, inputs=(whole,), source=op.source))
    return _of_constant(now, op, lambda value: value.reshape(op.shape))


def _before_repeat(now: _Rewriting, op: Any) -> str | None:
    """Return what a reshape puts back together that was reshaped before it was repeated."""
    repeat = now.input(op)
    before = now.input(repeat) if repeat.kind == "repeat" else repeat
    if before is repeat or before.kind != "reshape":
        return None
    return before.inputs[0] if now.shape[before.inputs[0]] == op.shape else None


def _permute(now: _Rewriting, op: Any) -> str:
    before: Any = now.input(op)
    if before.kind == "permute":
        op = now.through(op, order=tuple(before.order[a] for a in op.order))
    if op.order == tuple(range(len(op.order))):
        return str(op.inputs[0])
    return _of_constant(now, op, lambda value: value.transpose(op.order))


def _expand(now: _Rewriting, op: Any) -> str:
    if now.input(op).kind == "expand":
        op = now.through(op)
    return str(op.inputs[0]) if now.shape[op.inputs[0]] == op.shape else now.add(op)


def _slice(now: _Rewriting, op: Any) -> str:
    if op.start == 0 and op.step == 1 and op.stop == now.shape[op.inputs[0]][op.axis]:
        return str(op.inputs[0])
    places = (slice(None),) * op.axis + (slice(op.start, op.stop, op.step),)
    return _of_constant(now, op, lambda value: value[places])


def _scale(now: _Rewriting, op: Any) -> str:
    before: Any = now.input(op)
    if before.kind == "scale" and not now.keep_scales:
        op = now.through(op, factor=before.factor * op.factor)
    alike = op.factor == 1 or _divided(now, op)
    return str(op.inputs[0]) if alike else now.add(op)


def _divided(now: _Rewriting, op: Any) -> bool:
    """Divide the counts that a neuron gives, where a scale alone reads them; whether it does."""
    reader: Any = now.graph[op.name]
    names = [reader.inputs[0]]
    while now.graph[names[-1]].kind in VIEWS:
        names += now.graph[names[-1]].inputs
    neuron: Any = now.ops.get(names[-1])
    norm = round(1 / op.factor) if 0 < op.factor <= 0.5 else 1
    if (
        neuron is None or neuron.kind != "neuron" or neuron.levels == 1 or neuron.norm != 1
        or norm == 1 or op.factor != 1 / norm or any(len(now.graph.users[n]) > 1 for n in names)
    ):  # fmt: skip
        return False
    source = neuron.source.with_merged(op.source)
    now.ops[neuron.name] = dataclasses.replace(neuron, norm=float(norm), source=source)
    return True


def _concat(now: _Rewriting, op: Any) -> str:
    if len(op.inputs) == 1:
        return str(op.inputs[0])
    if len(set(op.inputs)) == 1 and now.shape[op.inputs[0]][op.axis] == 1:
        shape = now.graph.type_of(op.name).shape
        return now.add(Expand(name=op.name, inputs=op.inputs[:1], source=op.source, shape=shape))
    return now.add(op)


def _sum(now: _Rewriting, op: Any) -> str:
    return now.add(op) if op.axes else str(op.inputs[0])


def _avg_pool(now: _Rewriting, op: Any) -> str:
    """Add a pool, as a sum where one window is all there is, without modes that change nothing."""
    before = now.shape[op.inputs[0]]
    first = len(before) - len(op.kernel)
    ones, places = (1,) * len(op.kernel), now.graph.type_of(op.name).shape[first:]
    whole = window_positions(before[first:], op.kernel, op.stride, op.padding, ones) == places
    if whole and (op.count_include_pad or not any(op.padding)):
        op = dataclasses.replace(op, ceil_mode=False, count_include_pad=True)
    if any(op.padding) or op.kernel != before[first:]:
        return now.add(op)
    axes = tuple(range(first, len(before)))
    total = Sum(
        name=now.fresh(f"{op.name}.sum"),
        inputs=op.inputs,
        source=op.source,
        axes=axes,
        keepdims=True,
    )
    shape = now.graph.type_of(op.name).shape
    name = now.add(total, shape)
    factor = 1 / math.prod(op.kernel)
    return now.add(Scale(name=op.name, inputs=(name,), source=op.source, factor=factor))


def _current(now: _Rewriting, op: Any) -> str:
    """Add a current, or what it is made of where nothing of it lasts."""
    if op.keep != 0:
        return now.add(op)
    if now.every_step(op.inputs[0]):
        return str(op.inputs[0])
    return now.add(Repeat(name=op.name, inputs=op.inputs, source=op.source))


def _of_constant(now: _Rewriting, op: Op, view: Callable[[Any], Any]) -> str:
    """Add a view, or the constant that it is where it looks at one."""
    before: Any = now.input(op)
    if before.kind != "constant":
        return now.add(op)
    value = {**now.graph.weights, **now.weights}[before.value]
    weight = f"{op.name}.value"
    if isinstance(value, Absent):
        now.weights[weight] = Absent(now.graph.type_of(op.name).shape, value.dtype)
    else:
        now.weights[weight] = np.ascontiguousarray(view(value))
    source = op.source.with_merged(before.source)
    return now.add(Constant(name=op.name, source=source, value=weight))


_RULES: dict[str, Callable[[_Rewriting, Any], str]] = {
    "reshape": _reshape,
    "permute": _permute,
    "expand": _expand,
    "slice": _slice,
    "scale": _scale,
    "concat": _concat,
    "sum": _sum,
    "avg_pool": _avg_pool,
    "synaptic_current": _current,
}
