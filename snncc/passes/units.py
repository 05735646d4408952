"""The size of one count of every current, so that weights fill their bits and widths hold.

Producers that meet in one residual stream share a unit. One whose weights are larger by about
``2**e`` gets the shift ``e``; one that reads wide payloads makes finer products than the stream
needs, and gets a negative shift.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import cast

import numpy as np

from snncc.ir.graph import Array, Graph, Op
from snncc.ir.ops import WEIGHTED, Conv, Linear, Neuron
from snncc.ir.timing import Timing, timings
from snncc.passes.exact_units import Group, Kept, Member
from snncc.passes.neuron_integers import falls_between_counts, potential_goal
from snncc.passes.scales import (
    Current,
    Fixed,
    Scaled,
    ScaleGroups,
    members,
    per_channel_roots,
)
from snncc.targets.load import Arithmetic

_WIDEST_SPREAD = 2.0**10
"""A channel whose weights are smaller than that part of the largest gets no finer unit."""

_MOST_SHIFT = 8
"""A producer smaller than the largest of its stream by more bits than that loses its lowest."""

_PIXEL_BITS = 8
_SAME = 1e-9
"""Units that differ by no more are one: they are quotients of floats."""

PAYLOAD_BITS = 16
"""Width of a graded spike that carries a current: two bytes."""


@dataclass
class Units:
    """Chooses units on demand, group by group, as the integer graph is written.

    ``coarser`` says how many times larger units have to be for layers of neurons, see ``Quantize``.
    ``widths`` holds the bits of each current that has been written; the writer fills it. ``kept``
    says, for the root of each group, in which units its weights are whole already, or why not.
    """

    graph: Graph
    groups: ScaleGroups
    arithmetic: Arithmetic
    by_channel: bool
    peak: int
    coarser: Mapping[str, Array] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)
    kept: dict[str, Kept | str] = field(default_factory=dict)
    shifts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Collect who makes each group's currents, and which neurons read them."""
        self._makers = members(self.groups)
        self._readers = self._neurons()
        self._fine = per_channel_roots(self.groups) if self.by_channel else frozenset()
        self._timing = timings(self.graph)
        self._least = {root: self._least_unit(read) for root, read in self._readers.items()}
        self._units: dict[str, Array] = {}

    def _neurons(self) -> dict[str, list[tuple[Neuron, Current]]]:
        """Return, for the root of each group, the neurons that read its currents, and what of."""
        found: dict[str, list[tuple[Neuron, Current]]] = {}
        for op in self.graph.of_kind("neuron"):
            value = self.groups.resolved(op.inputs[0])
            if isinstance(value, Current):
                found.setdefault(value.group, []).append((cast(Neuron, op), value))
        return found

    def _least_unit(self, read: Sequence[tuple[Neuron, Current]]) -> float:
        """Return the unit below which a threshold outgrows its register."""
        largest = 1 << self.arithmetic.threshold_bits.value
        goals = [
            potential_goal(neuron) * neuron.levels / self._received(value) for neuron, value in read
        ]
        return max(goals) / (largest - 1)

    def _received(self, value: Current) -> float:
        """Return the factor of a current, where it lasts of what it received: that is coarser."""
        return value.factor * 2.0 ** (self.arithmetic.current_shift.value if value.lasting else 0)

    def of(self, value: Scaled) -> Array:
        """Return the real value of one count: ``(1,)``, or one a channel."""
        if isinstance(value, Fixed):
            return np.array([value.scale])
        if value.group not in self._units:
            self._units[value.group] = self._choose(value.group)
        return self._units[value.group] * value.factor

    def _choose(self, root: str) -> Array:
        """Return the unit of a group, and note the shifts of its weighted ops."""
        kept = self.kept[root] = self._keep(root)
        if isinstance(kept, Kept):
            self.shifts.update(kept.shifts)
            same = bool(np.all(kept.unit == kept.unit[0]))
            return kept.unit[:1] if same else kept.unit
        return self._fill(root)

    def _keep(self, root: str) -> Kept | str:
        """Return the units in which a group's weights are whole numbers, or why there are none."""
        made = [self.graph[name] for name in self._makers[root]]
        weighted = [op for op in made if op.kind in WEIGHTED]
        if self._coarser(root).max() > 1:
            return "in their unit a potential could leave the target's width"
        wide = [op.name for op in weighted if self.payload_shift(op) or self._excess_bits(op)]
        if wide or not weighted:
            return f"`{wide[0]}` reads currents" if wide else "nothing is multiplied"
        members = [self._member(cast(Conv | Linear, op), root in self._fine) for op in weighted]
        values = [self._rows(op, root) for op in made if op.kind == "constant"]
        given = self._given(root, len(members[0].rows))
        if isinstance(given, str):
            return given
        least = self._least.get(root, 0.0)
        kept = Group(members, values, given, least, self.peak, self._levels(root)).kept()
        steps = "" if given is None else self._read_in_steps(weighted)
        if not steps or (isinstance(kept, Kept) and kept.given):
            return kept
        return replace(kept, reason=steps) if isinstance(kept, Kept) else steps

    def _read_in_steps(self, weighted: Sequence[Op]) -> str:
        """Return which op reads what is no whole number, as pixels in 0..1; nothing if none does.

        Weights of whole numbers then make currents that are none.
        """
        for op in weighted:
            read = self.groups.resolved(op.inputs[0])
            if isinstance(read, Fixed) and read.scale % 1:
                return (
                    f"`{op.name}` reads an input in steps of {read.scale:.4g}, wanted whole numbers"
                )
        return ""

    def _levels(self, root: str) -> list[float]:
        """Return the thresholds of a group's neurons that are rounded to a count."""
        return [
            potential_goal(neuron) / self._received(value)
            for neuron, value in self._readers.get(root, ())
            if falls_between_counts(neuron, self.graph.steps, lasting=value.lasting)
        ]

    def _member(self, op: Conv | Linear, by_channel: bool) -> Member:
        current = cast(Current, self.groups.resolved(op.name))
        weight = self.effective_weight(op) / current.factor
        bias = np.zeros(len(weight))
        if op.bias is not None:
            bias = cast(Array, self.graph.weights[op.bias]).astype(np.float64) / current.factor
        rows = len(weight) if by_channel else 1
        read = self.groups.resolved(op.inputs[0])
        whole = read.scale / current.factor if isinstance(read, Fixed) else 0.0
        return Member(op.name, weight.reshape(rows, -1), bias.reshape(rows, -1), whole)

    def _stored(self, op: Op) -> Array:
        """Return a constant in real units of its group."""
        current = cast(Current, self.groups.resolved(op.name))
        return cast(Array, self.graph.weights[op.weight_names[0]]) / current.factor

    def _rows(self, op: Op, root: str) -> Array:
        """Return a constant in real units of its group, with a row for each channel or in one."""
        axis, stored = cast(Current, self.groups.resolved(op.name)).axis, self._stored(op)
        if axis is None or root not in self._fine:
            return stored.reshape(1, -1)
        return np.moveaxis(stored, axis, 0).reshape(stored.shape[axis], -1)

    def _given(self, root: str, rows: int) -> Array | str | None:
        """Return the unit of which the grain of a group's neurons is so many places."""
        found: Array | None = None
        for neuron, value in self._readers.get(root, ()):
            if neuron.grain is None:
                continue
            grain = cast(Array, self.graph.weights[neuron.grain]).reshape(-1)
            unit = grain * 2.0**neuron.places / self._received(value)
            unit = unit[:1] if np.allclose(unit, unit[0], rtol=_SAME, atol=0) else unit
            if unit.size not in (1, rows):
                others = (
                    "what meets there has one unit" if self.by_channel else "the target has one"
                )
                return f"the thresholds of `{neuron.name}` differ, and {others} a layer"
            if found is not None and not np.allclose(unit, found, rtol=_SAME, atol=0):
                return "the neurons that read them round in different places"
            found = unit
        return found

    def _fill(self, root: str) -> Array:
        """Return the unit in which the largest weights fill their bits."""
        peaks = {n: self._peaks(n, root in self._fine) for n in self._makers[root]}
        levels = {n: _level(p) for n, p in peaks.items() if self.graph[n].kind in WEIGHTED}
        if not levels:
            return np.max(np.stack(list(peaks.values())), axis=0) / self.peak
        excess = {n: self._excess_bits(self.graph[n]) for n in levels}
        each = [level + excess[n] for n, level in levels.items()]
        floor = max(min(each), max(each) - _MOST_SHIFT)
        self.shifts.update({n: max(round(v - floor), -excess[n]) for n, v in levels.items()})
        ideal = [peaks[n] / (self.peak * 2.0 ** self.shifts[n]) for n in levels]
        unit = np.max(np.stack(ideal), axis=0)
        least = max((unit.max() or 1.0) / _WIDEST_SPREAD, self._least.get(root, 0.0))
        coarser = self._coarser(root)
        coarser = coarser if coarser.size == unit.size else coarser.max(keepdims=True)
        return np.asarray(np.maximum(unit, least) * coarser)

    def _coarser(self, root: str) -> Array:
        """Return how many times larger a group's unit has to be, one number or one a channel."""
        asked = [self.coarser.get(neuron.name) for neuron, _ in self._readers.get(root, ())]
        return reduce(np.maximum, [each for each in asked if each is not None], np.ones(1))

    def _peaks(self, name: str, by_channel: bool) -> Array:
        """Return the largest absolute weight of each output channel in units of the group."""
        op = self.graph[name]
        if op.kind == "constant":
            return np.abs(self._stored(op)).max(initial=0.0, keepdims=True).reshape(1)
        current = cast(Current, self.groups.resolved(name))
        weight = np.abs(self.effective_weight(op))
        peaks = weight.reshape(len(weight), -1).max(axis=1) / current.factor
        return peaks if by_channel else peaks.max(keepdims=True)

    def effective_weight(self, op: Op) -> Array:
        """Return a weight with the scale of what it reads multiplied in, in float64."""
        weight = cast(Array, self.graph.weights[op.weight_names[0]]).astype(np.float64)
        value = self.groups.resolved(op.inputs[0])
        if isinstance(value, Fixed):
            return weight * value.scale
        unit = self.of(value) * 2 ** self.payload_shift(op)
        if unit.size == 1:
            return weight * unit[0]
        groups = op.groups if isinstance(op, Conv) else 1
        per_group = unit.reshape(groups, 1, -1, *(1,) * (weight.ndim - 2))
        split = weight.reshape(groups, -1, *weight.shape[1:])
        return cast(Array, (split * per_group).reshape(weight.shape))

    def payload_shift(self, op: Op) -> int:
        """Return by how many bits a current must shrink to travel to a weighted op as a payload.

        What only the readout feeds is on the host, where integers are wide.
        """
        return max(0, self._width_read(op) - (PAYLOAD_BITS - 1))

    def _excess_bits(self, op: Op) -> int:
        """Return by how many bits the current that an op reads is wider than a pixel."""
        return max(0, self._width_read(op) - self.payload_shift(op) - _PIXEL_BITS)

    def _width_read(self, op: Op) -> int:
        if self._timing[op.name] is Timing.SAMPLE:
            return 0
        if isinstance(self.groups.resolved(op.inputs[0]), Fixed):
            return 0
        return self.widths.get(op.inputs[0], 0)


def _level(peaks: Array) -> float:
    """Return the binary logarithm of the geometric mean of the positive peaks; 0 without any."""
    positive = peaks[peaks > 0]
    return math.log2(math.exp(float(np.log(positive).mean()))) if positive.size else 0.0
