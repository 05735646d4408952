"""Which values must share a quantization scale, and along which axis it may differ.

A value of the integer graph is a count; ``real = scale * count``. Spikes and what is counted from
them have a *fixed* scale. The result of a weighted op, a *current*, may have any: its weights are
divided by it and the thresholds that read it as well. Currents that are summed share one, so they
form a group, with one scale a channel wherever every member keeps its channels on one axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias, cast

import numpy as np

from snncc.diagnostics.core import Diagnostic
from snncc.ir.graph import Array, Graph, Op, Shape, Type
from snncc.ir.ops import (
    WEIGHTED,
    AvgPool,
    Concat,
    Constant,
    Input,
    Neuron,
    Permute,
    Reshape,
    Scale,
    Slice,
    Sum,
)
from snncc.ir.pad import Pad
from snncc.passes.rules_of_quantizing import UNQUANTIZABLE


@dataclass(frozen=True)
class Fixed:
    """``real = scale * count`` with a scale that is known: spikes and counts of spikes.

    ``lasting`` as in ``Current``.
    """

    scale: float
    lasting: bool = False


@dataclass(frozen=True)
class Current:
    """``real = group scale * factor * count``; ``axis`` holds the channels, if one does.

    A ``lasting`` one has been kept by the chip, which shifts left what reaches a neuron before it
    adds it to what is left: its counts are as fine as potentials, and nothing shifts them again.
    """

    group: str
    factor: float
    axis: int | None
    lasting: bool = False


Scaled: TypeAlias = Fixed | Current


class Unscalable(Exception):  # noqa: N818 - caught at once and turned into a diagnostic
    """An op without an integer form; the text says why."""


@dataclass
class ScaleGroups:
    """The scale of every value of a float step graph, up to one unknown a group."""

    graph: Graph
    current_shift: int
    values: dict[str, Scaled] = field(default_factory=dict)
    parents: dict[str, tuple[str, float]] = field(default_factory=dict)
    fixed: dict[str, float] = field(default_factory=dict)

    def root(self, group: str) -> tuple[str, float]:
        """Return (root, r): the group's scale is r times that of its root."""
        ratio = 1.0
        while group in self.parents:
            group, step = self.parents[group]
            ratio *= step
        return group, ratio

    def resolved(self, name: str) -> Scaled:
        """Return the scale of a value in terms of the root of its group."""
        value = self.values[name]
        if isinstance(value, Fixed):
            return value
        root, ratio = self.root(value.group)
        if root in self.fixed:
            return Fixed(self.fixed[root] * ratio * value.factor, value.lasting)
        return replace(value, group=root, factor=value.factor * ratio)

    def fix(self, value: Current, scale: float) -> bool:
        """Give stored constants the scale of the counts they meet, if they lie on their grid.

        A group with anything but constants has weights, which have a scale of their own.
        """
        root, ratio = self.root(value.group)
        unit = scale / (ratio * value.factor)
        for name in (root, *self.parents):
            (top, own), op = self.root(name), self.graph[name]
            if top != root:
                continue
            if not isinstance(op, Constant):
                return False
            counts = np.asarray(cast(Array, self.graph.weights[op.value])) / (unit * own)
            if not np.array_equal(counts, np.rint(counts)):
                return False
        self.fixed[root] = unit
        return True

    def unify(self, a: Current, b: Current) -> None:
        """Make two currents share one scale."""
        (root_a, ratio_a), (root_b, ratio_b) = self.root(a.group), self.root(b.group)
        factor = (a.factor * ratio_a) / (b.factor * ratio_b)
        if root_a != root_b:
            self.parents[root_b] = (root_a, factor)
        elif factor != 1.0:
            raise Unscalable("adds a value to a scaled copy of itself")


def scale_groups(
    graph: Graph, input_scale: float, current_shift: int
) -> tuple[ScaleGroups, tuple[Diagnostic, ...]]:
    """Return the scale groups of a folded float step graph, and what has no integer form.

    By ``current_shift`` bits the target shifts what it keeps of a current.
    """
    groups, found = ScaleGroups(graph, current_shift), []
    for op in graph.ops:
        inputs = [groups.resolved(name) for name in op.inputs]
        try:
            groups.values[op.name] = _scaled(op, inputs, groups, input_scale)
        except Unscalable as reason:
            found.append(UNQUANTIZABLE.at(op.source, f"`{op.name}` {reason}", op=op.kind))
            groups.values[op.name] = Fixed(1.0)
    return groups, tuple(found) or tuple(_circular(groups))


def _circular(groups: ScaleGroups) -> Iterator[Diagnostic]:
    """Yield the weighted ops that read a current and add to it, directly or through others.

    Products of weights and a current count in its unit, so that it would have to be its own.
    """
    reads: dict[str, set[str]] = {}
    for op in _weighted(groups):
        root, read = (_group(groups, name) for name in (op.name, op.inputs[0]))
        if read:
            reads.setdefault(root, set()).add(read)
    for op in _weighted(groups):
        if _group(groups, op.name) in _reached(_group(groups, op.inputs[0]), reads):
            message = f"`{op.name}` adds to the current that it is made of, with no neuron between"
            yield UNQUANTIZABLE.at(op.source, message, op=op.kind)


def _weighted(groups: ScaleGroups) -> Iterator[Op]:
    return (op for op in groups.graph.ops if op.kind in WEIGHTED)


def _group(groups: ScaleGroups, name: str) -> str:
    """Return the root of a current's group, nothing for counts."""
    value = groups.resolved(name)
    return value.group if isinstance(value, Current) else ""


def _reached(root: str, reads: Mapping[str, set[str]]) -> set[str]:
    """Return a group, and those of whose units its own is made."""
    found, waiting = set[str](), [root] if root else []
    while waiting:
        group = waiting.pop()
        if group not in found:
            found.add(group)
            waiting += reads.get(group, ())
    return found


def _scaled(op: Op, inputs: list[Scaled], groups: ScaleGroups, input_scale: float) -> Scaled:
    if isinstance(op, Input):
        return Fixed(input_scale if op.scale is None else 1.0)
    if op.kind == "constant":
        return Current(op.name, 1.0, None)
    if op.kind in ("conv", "linear"):
        return Current(op.name, 1.0, _channel_axis(op, groups.graph))
    if isinstance(op, Neuron):
        return Fixed(1 / op.norm)
    if op.kind in ("add", "concat"):
        return _joined(op, inputs, groups)
    if op.kind in ("matmul", "mask"):
        return _product(op, inputs)
    if isinstance(op, Pad):
        return _bordered(op, inputs[0], groups.graph)
    if op.kind in _PASS_ON:
        return _passed_on(op, inputs[0], groups)
    raise Unscalable(f"({op.kind}) has no integer form")


_PASS_ON = (
    "scale", "max_pool", "avg_pool", "sum", "readout", "repeat",
    "reshape", "permute", "expand", "slice", "output", "synaptic_current",
)  # fmt: skip


def _channel_axis(op: Op, graph: Graph) -> int:
    shape = graph.type_of(op.name).shape
    weight = graph.weights[op.weight_names[0]]
    return len(shape) - 1 if op.kind == "linear" else len(shape) - (len(weight.shape) - 2) - 1


def _joined(op: Op, inputs: list[Scaled], groups: ScaleGroups) -> Scaled:
    counts = [i for i in inputs if isinstance(i, Fixed)]
    currents = [i for i in inputs if isinstance(i, Current)]
    if counts:
        if any(i.scale != counts[0].scale for i in counts):
            raise Unscalable("joins counts on different grids")
        if not all(groups.fix(i, counts[0].scale) for i in currents):
            raise Unscalable("joins a current with a count of spikes")
        return replace(counts[0], lasting=any(i.lasting for i in inputs))
    first = currents[0]
    for other in currents[1:]:
        groups.unify(first, other)
    axis = _shared_axis(op, groups)
    return Current(first.group, first.factor, axis, any(i.lasting for i in inputs))


def _shared_axis(op: Op, groups: ScaleGroups) -> int | None:
    """Return the axis of a result that holds the channels of all currents joined, if one does.

    A stored tensor that nothing else reads keeps its numbers as the current does that it is added
    to, where it has as many.
    """
    types, rank = groups.graph.types, len(groups.graph.type_of(op.name).shape)

    def behind(name: str) -> int:
        return rank - len(types[name].shape)

    given = {n: v for n in op.inputs if isinstance(v := groups.values[n], Current)}
    sizes = {
        (v.axis + behind(n), types[n].shape[v.axis]) for n, v in given.items() if v.axis is not None
    }
    if len(sizes) != 1:
        return None
    ((axis, size),) = sizes
    if isinstance(op, Concat):
        return None if op.axis == axis or None in {v.axis for v in given.values()} else axis
    for name, value in given.items():
        if value.axis is None:
            own, shape = axis - behind(name), types[name].shape
            alone = groups.graph[name].kind == "constant" and len(groups.graph.users[name]) == 1
            if not alone or own < 0 or shape[own] != size:
                return None
            groups.values[name] = replace(value, axis=own)
    return axis


def _kept(value: Scaled, current_shift: int) -> Scaled:
    """A count of what is kept is worth ``2**-current_shift`` of one of what comes in."""
    if value.lasting:
        return value
    share = 2.0**-current_shift
    if isinstance(value, Fixed):
        return Fixed(value.scale * share, lasting=True)
    return replace(value, factor=value.factor * share, lasting=True)


def _product(op: Op, inputs: list[Scaled]) -> Scaled:
    scale = 1.0
    for each in inputs:
        if isinstance(each, Current):
            raise Unscalable("multiplies a current by a computed value")
        scale *= each.scale
    return Fixed(scale)


def _bordered(op: Pad, value: Scaled, graph: Graph) -> Scaled:
    """A border of counts must lie on their grid, one of a current is put on it."""
    if op.value is None:
        border = np.zeros(())
    else:
        border = np.asarray(cast(Array, graph.weights[op.value]), np.float64)
    if not np.isfinite(border).all():
        raise Unscalable("has a border without an integer form")
    padded = len(graph.type_of(op.name).shape) - len(op.before)
    if isinstance(value, Current):
        kept = value.axis == padded - 1 or (op.value is None and (value.axis or 0) < padded)
        return replace(value, axis=value.axis if kept else None)
    counts = border / value.scale
    if not np.array_equal(counts, np.rint(counts)):
        raise Unscalable("has a border that lies on no count of spikes")
    return value


def _passed_on(op: Op, value: Scaled, groups: ScaleGroups) -> Scaled:
    graph, factor = groups.graph, 1.0
    if op.kind == "synaptic_current":
        return _kept(value, groups.current_shift)
    if isinstance(op, Scale):
        if op.factor == 0:
            raise Unscalable("multiplies by 0")
        factor = abs(op.factor)
    elif isinstance(op, AvgPool):
        factor = 1.0
        for k in op.kernel:
            factor /= k
    if isinstance(value, Fixed):
        return replace(value, scale=value.scale * factor)
    axis = moved_axis(op, value.axis, graph.type_of(op.inputs[0]), graph.type_of(op.name))
    return replace(value, factor=value.factor * factor, axis=axis)


def moved_axis(op: Op, axis: int | None, before: Type, after: Type) -> int | None:
    """Return where an axis of the input stands in the result, None where it is taken apart."""
    if axis is None:
        return None
    if isinstance(op, Permute):
        return op.order.index(axis)
    if isinstance(op, Reshape):
        return _reshaped_axis(axis, before.shape, after.shape)
    if isinstance(op, Sum):
        if axis in op.axes:
            return None
        return axis if op.keepdims else axis - sum(a < axis for a in op.axes)
    if op.kind == "expand":
        return axis + len(after.shape) - len(before.shape)
    if isinstance(op, Slice) and op.axis == axis:
        return None
    return axis


def _reshaped_axis(axis: int, before: Shape, after: Shape) -> int | None:
    """An axis survives where it has the same size and the same number of values before it."""
    ahead = 1
    for n in before[:axis]:
        ahead *= n
    passed = 1
    for i, n in enumerate(after):
        if passed == ahead and n == before[axis]:
            return i
        passed *= n
    return None


def made_to_last(graph: Graph) -> frozenset[str]:
    """Return the ops whose results reach a lasting current through sums and views alone."""
    found: set[str] = set()
    for op in reversed(graph.ops):
        if op.kind == "synaptic_current" or (op.name in found and op.kind in ("add", *_PASS_ON)):
            found.update(op.inputs)
    return frozenset(found)


def per_channel_roots(groups: ScaleGroups) -> frozenset[str]:
    """Return the roots of the groups whose members keep their channels on one axis of one size.

    An output has a scale for each place of its last axis alone.
    """
    sizes: dict[str, set[int]] = {}
    for name, value in groups.values.items():
        if isinstance(value, Current):
            found = sizes.setdefault(groups.root(value.group)[0], set())
            shape = groups.graph.type_of(name).shape
            answer = groups.graph[name].kind == "output" and value.axis != len(shape) - 1
            if value.axis is None or answer:
                found.update((-1, -2))
            else:
                found.add(shape[value.axis])
    return frozenset(root for root, found in sizes.items() if len(found) == 1)


def members(groups: ScaleGroups) -> Mapping[str, list[str]]:
    """Return, for each root, the weighted ops and constants that make its currents."""
    found: dict[str, list[str]] = {}
    for op in _makers(groups.graph):
        current = groups.resolved(op.name)
        if isinstance(current, Current):
            found.setdefault(current.group, []).append(op.name)
    return found


def _makers(graph: Graph) -> Iterator[Op]:
    return (op for op in graph.ops if op.kind in ("conv", "linear", "constant"))
