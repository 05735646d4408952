"""The axes of every value of a tensor graph, and which ops work along which of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from snncc.ir.axes import Atoms, Axis, Layout
from snncc.ir.graph import Graph, Op, Shape


@dataclass(frozen=True)
class Along:
    """``op`` combines or selects values along ``axis``; ``what`` names the axis in a sentence.

    ``sums`` marks a plain sum, which time steps may have and samples may not.
    """

    op: Op
    axis: Axis
    what: str
    sums: bool = False


@dataclass
class Tracking:
    """What following the axes has found.

    ``batch`` are the atoms of the inputs' batch axes, ``times`` the first axes of all neurons,
    ``along`` who works along what, and ``leads`` the batch axes of convolutions.
    """

    graph: Graph
    batch_axis: int
    atoms: Atoms = field(default_factory=Atoms)
    layouts: dict[str, Layout] = field(default_factory=dict)
    batch: list[int] = field(default_factory=list)
    times: list[tuple[Op, Axis]] = field(default_factory=list)
    along: list[Along] = field(default_factory=list)
    leads: list[tuple[Op, Axis]] = field(default_factory=list)

    def shape(self, name: str) -> Shape:
        """Return the shape of a value."""
        return self.graph.type_of(name).shape

    def of(self, op: Op, place: int = 0) -> Layout:
        """Return the layout of an input of an op."""
        return self.layouts[op.inputs[place]]

    def works_along(self, op: Op, axis: Axis, what: str, *, sums: bool = False) -> None:
        """Note that ``op`` works along ``axis``."""
        self.along.append(Along(op, axis, what, sums))


def track(graph: Graph, batch_axis: int = 0) -> Tracking:
    """Follow all axes from the inputs to the outputs of a tensor graph."""
    tracking = Tracking(graph, batch_axis)
    for op in graph.ops:
        tracking.layouts[op.name] = _RULES[op.kind](tracking, op)
    return tracking


def _fresh(found: Tracking, op: Op) -> Layout:
    return found.atoms.axes(found.shape(op.name))


def _input(found: Tracking, op: Op) -> Layout:
    layout = _fresh(found, op)
    if len(layout) > found.batch_axis:
        found.batch += layout[found.batch_axis]
    return layout


def _foreign(found: Tracking, op: Op) -> Layout:
    """Keep the leading axes as long as their lengths are those of the first input."""
    shape = found.shape(op.name)
    layout = list(_fresh(found, op))
    if op.inputs:
        before = found.shape(op.inputs[0])
        for i, (n, m) in enumerate(zip(shape, before, strict=False)):
            if n != m:
                break
            layout[i] = found.of(op)[i]
    return tuple(layout)


def _same(found: Tracking, op: Op) -> Layout:
    return found.of(op)


def _conv(found: Tracking, op: Any) -> Layout:
    before, after = found.of(op), _fresh(found, op)
    lead = len(before) - len(op.stride) - 1
    for axis in before[:lead]:
        found.leads.append((op, axis))
    found.works_along(op, before[lead], "its channel axis")
    for axis in before[lead + 1 :]:
        found.works_along(op, axis, "an axis that it slides along")
    return (*before[:lead], *after[lead:])


def _pool(found: Tracking, op: Any) -> Layout:
    before, after = found.of(op), _fresh(found, op)
    lead = len(before) - len(op.kernel)
    for axis in before[lead:]:
        found.works_along(op, axis, "an axis that it slides along")
    return (*before[:lead], *after[lead:])


def _pad(found: Tracking, op: Any) -> Layout:
    before, after = found.of(op), _fresh(found, op)
    first = len(before) - len(op.before)
    if op.value and found.graph.weights[op.value].shape:
        found.works_along(op, before[first - 1], "its channel axis")
    layout = list(before)
    for i, sides in enumerate(zip(op.before, op.after, strict=True), start=first):
        if any(sides):
            found.works_along(op, before[i], "an axis that it pads")
            layout[i] = after[i]
    return tuple(layout)


def _linear(found: Tracking, op: Op) -> Layout:
    before = found.of(op)
    found.works_along(op, before[-1], "its feature axis")
    return (*before[:-1], _fresh(found, op)[-1])


def _batch_norm(found: Tracking, op: Any) -> Layout:
    found.works_along(op, found.of(op)[op.axis], "its channel axis")
    return found.of(op)


def _stateful(found: Tracking, op: Op) -> Layout:
    found.times.append((op, found.of(op)[0]))
    return found.of(op)


def has_memory(op: Any) -> bool:
    """Whether a state outlasts a time step: with tau 1 all of a neuron's potential leaks."""
    return bool(op.keep != 0 if op.kind == "synaptic_current" else op.tau != 1)


def _elementwise(found: Tracking, op: Op) -> Layout:
    return _broadcast(found, op, [found.of(op, i) for i in range(len(op.inputs))])


def _broadcast(found: Tracking, op: Op, layouts: list[Layout]) -> Layout:
    """Align from the right; axes that are equally long are one."""
    rank = max(len(layout) for layout in layouts)
    result = list(next(layout for layout in layouts if len(layout) == rank))
    for layout in layouts:
        for back in range(1, len(layout) + 1):
            mine, theirs = layout[-back], result[-back]
            if _length(found, theirs) == 1 and _length(found, mine) > 1:
                result[-back] = mine
            elif mine is not theirs and _length(found, mine) == _length(found, theirs):
                _unify(found, op, mine, theirs)
    return tuple(result)


def _unify(found: Tracking, op: Op, a: Axis, b: Axis) -> None:
    if not found.atoms.unify(a, b, op.name):
        found.works_along(op, a, "an axis that it lays over another")
        found.works_along(op, b, "an axis that it lays over another")


def _length(found: Tracking, axis: Axis) -> int:
    length = 1
    for atom in axis:
        length *= found.atoms.size(found.atoms.find(atom))
    return length


def _matmul(found: Tracking, op: Op) -> Layout:
    a, b = found.of(op, 0), found.of(op, 1)
    for axis in (*a[-2:], *b[-2:]):
        found.works_along(op, axis, "an axis of the product")
    return (*_broadcast(found, op, [a[:-2], b[:-2]]), a[-2], b[-1])


def _sum(found: Tracking, op: Any) -> Layout:
    before = found.of(op)
    for i in op.axes:
        found.works_along(op, before[i], "an axis that it sums over", sums=True)
    kept = [(found.atoms.new(1),) if i in op.axes else axis for i, axis in enumerate(before)]
    return tuple(axis for i, axis in enumerate(kept) if op.keepdims or i not in op.axes)


def _reshape(found: Tracking, op: Any) -> Layout:
    layout, mixed = found.atoms.regroup(found.of(op), op.shape, op.name)
    found.works_along(op, mixed, "an axis that it cuts across")
    return layout


def _permute(found: Tracking, op: Any) -> Layout:
    return tuple(found.of(op)[i] for i in op.order)


def _expand(found: Tracking, op: Any) -> Layout:
    before, layout = found.of(op), list(_fresh(found, op))
    for back in range(1, len(before) + 1):
        if _length(found, before[-back]) == op.shape[-back]:
            layout[-back] = before[-back]
    return tuple(layout)


def _slice(found: Tracking, op: Any) -> Layout:
    before = found.of(op)
    if found.shape(op.name) == found.shape(op.inputs[0]):
        return before
    taken, places = _fresh(found, op)[op.axis], found.shape(op.name)[op.axis]
    found.works_along(op, before[op.axis], "the axis that it takes places from")
    if places > 1:  # one alone may be all the steps that there are
        found.works_along(op, taken, f"what it takes of {_length(found, before[op.axis])} places")
    return (*before[: op.axis], taken, *before[op.axis + 1 :])


def _concat(found: Tracking, op: Any) -> Layout:
    first = found.of(op)
    for i in range(len(op.inputs)):
        layout = found.of(op, i)
        found.works_along(op, layout[op.axis], "the axis that it joins along")
        for at, axis in enumerate(layout):
            if at != op.axis and axis is not first[at]:
                _unify(found, op, first[at], axis)
    joined = _fresh(found, op)[op.axis]
    found.works_along(op, joined, "the axis that it joins along")
    return (*first[: op.axis], joined, *first[op.axis + 1 :])


_RULES: dict[str, Callable[[Tracking, Any], Layout]] = {
    "input": _input,
    "output": _same,
    "constant": _fresh,
    "conv": _conv,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "neuron": _stateful,
    "synaptic_current": _stateful,
    "add": _elementwise,
    "scale": _same,
    "compare": _same,
    "count": _same,
    "max_pool": _pool,
    "avg_pool": _pool,
    "matmul": _matmul,
    "mask": _elementwise,
    "sum": _sum,
    "pad": _pad,
    "reshape": _reshape,
    "permute": _permute,
    "expand": _expand,
    "slice": _slice,
    "concat": _concat,
    "foreign": _foreign,
}


class Roles:
    """Which atoms are time and which are batch, once everything has been followed.

    ``timed`` are the neurons whose first axis has to be time, with that axis. A neuron without
    memory does not care what its first axis is. A network of such neurons alone that begin with
    the batch has no time: all of it happens in one step.
    """

    def __init__(self, found: Tracking) -> None:
        self.found = found
        self.batch = set(found.atoms.leaves(tuple(found.batch)))
        self.timed = self._timed()
        clear = [axis for _, axis in self.timed if self.is_clear(axis)]
        self.time = {atom for axis in clear for atom in self._timely(axis)} - self.batch
        self.steps = self.length((clear or [axis for _, axis in self.timed] or [()])[0])

    def _timed(self) -> list[tuple[Op, Axis]]:
        keeping = [(op, axis) for op, axis in self.found.times if has_memory(op)]
        if keeping:
            return keeping
        if any(set(self.found.atoms.leaves(axis)) <= self.batch for _, axis in self.found.times):
            return []
        return [(op, axis) for op, axis in self.found.times if not self.holds(axis, self.batch)]

    def is_clear(self, axis: Axis) -> bool:
        """Whether the first axis of a neuron is one axis, and not the batch."""
        wide = [atom for atom in axis if self.is_wide(atom)]
        return len(wide) <= 1 and not self.holds(axis, self.batch)

    def is_shared(self, axis: Axis) -> bool:
        """Whether the first axis of a neuron is time beside the batch: with one sample, time."""
        length = self.length(tuple(a for a in self.found.atoms.leaves(axis) if a in self.time))
        alone = self.others(axis) == 1 and length == self.steps
        return self.holds(axis, self.batch) and alone

    def _timely(self, axis: Axis) -> Axis:
        leaves = self.found.atoms.leaves(axis)
        return tuple(a for a in leaves if self.is_wide(a)) or leaves

    def is_wide(self, atom: int) -> bool:
        """Whether an atom has more than one place."""
        return self.found.atoms.size(atom) > 1

    def length(self, axis: Axis) -> int:
        """Return how many places an axis has."""
        return math.prod(self.found.atoms.size(atom) for atom in axis)

    def holds(self, axis: Axis, atoms: set[int], *, narrow: bool = False) -> bool:
        """Whether the axis has one of the atoms; those of one place count where ``narrow``."""
        found = self.found.atoms.leaves(axis)
        return any(a in atoms and (narrow or self.is_wide(a)) for a in found)

    def others(self, axis: Axis) -> int:
        """Return how many places the axis has without time and batch."""
        leaves = self.found.atoms.leaves(axis)
        taken = self.time | self.batch
        return self.length(tuple(a for a in leaves if a not in taken))

    def kept(self, layout: Layout, forced: Collection[int] = ()) -> dict[int, int]:
        """Return the axes that are left without time and batch, each with its length.

        An axis goes where nothing but time and batch stood on it, unless it is ``forced``.
        """
        taken = self.time | self.batch
        lengths = ((i, axis, self.others(axis)) for i, axis in enumerate(layout))
        return {
            i: n
            for i, axis, n in lengths
            if n > 1 or i in forced or not self.holds(axis, taken, narrow=True)
        }
