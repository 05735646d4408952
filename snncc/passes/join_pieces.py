"""Look through cutting and joining: what is cut from a joined value is the piece that was joined.

Code that goes through time in a loop writes each step into its place of a tensor, and reads it back
from there. Here such a place becomes the value that was written to it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, ClassVar, TypeAlias

from snncc.ir.graph import Absent, Graph, Op, Shape, Weights, reading, without_dead
from snncc.ir.memory import STATEFUL
from snncc.ir.ops import Concat, Expand, Reshape, Scale, Slice
from snncc.passes.base import Invariant, Pass, Result, well_formed

Piece: TypeAlias = tuple[str, int, int]
"""A value and the places of one axis that are meant: first, and behind the last."""

_NEVER_ONE = (*STATEFUL, "input", "output", "foreign")
"""Kinds of which two are two, even where they are equal."""

_MOST_PIECES = 4096
"""Pieces of one value, where no node joins more itself."""


@dataclass(frozen=True)
class JoinPieces(Pass):
    """Replace each slice of a concatenation by its piece, and join pieces that belong together.

    Sums with zeros go, as does what is added and taken off again (surrogate gradients are written
    so), products with one stored number become scales, and ops of one module that are equal and
    read the same become one. Values change by rounding alone.
    """

    name: ClassVar[str] = "join-pieces"
    requires: ClassVar[tuple[Invariant, ...]] = (well_formed,)
    ensures: ClassVar[tuple[Invariant, ...]] = (well_formed,)

    def run(self, graph: Graph) -> Result:
        """Return the graph without detours."""
        joining = _Joining(graph)
        for op in graph.ops:
            joining.value[op.name] = joining.visit(reading(op, joining.value))
        return Result(without_dead(graph.replace(joining.ops.values())))


def uniform(weights: Weights, op: Any) -> float | None:
    """Return the one number that a constant holds in all its places; None for any other op.

    None as well for infinity and NaN, with which no arithmetic is exact.
    """
    value = weights[op.value] if op.kind == "constant" else None
    if value is None or isinstance(value, Absent) or value.size == 0:
        return None
    first = value[(0,) * value.ndim]
    alike = not any(value.strides) or (value == first).all()
    return float(first) if alike and math.isfinite(first) else None


@dataclass
class _Joining:
    """The new graph under way; ``value`` is the new name of each value of the old one."""

    graph: Graph
    ops: dict[str, Op] = field(default_factory=dict)
    value: dict[str, str] = field(default_factory=dict)
    shape: dict[str, Shape] = field(default_factory=dict)
    known: dict[Hashable, str] = field(default_factory=dict)
    pieces: dict[str, tuple[Piece, ...]] = field(default_factory=dict)
    ends: dict[str, list[int]] = field(default_factory=dict)

    def visit(self, op: Op) -> str:
        """Add what an op is now; return its name."""
        shape = self.graph.type_of(op.name).shape
        if op.kind == "concat" or (op.kind == "slice" and getattr(op, "step", 1) == 1):
            return self._cut_or_joined(op, shape)
        if op.kind == "add":
            return self._add(op, shape)
        if op.kind == "mask":
            return self._mask(op, shape)
        return self.put(op, shape)

    def put(self, op: Op, shape: Shape) -> str:
        """Add an op, or return the equal one that is there."""
        if op.kind in _NEVER_ONE:
            self.ops[op.name], self.shape[op.name] = op, shape
            return op.name
        key = (op.kind, op.inputs, tuple(op.attributes().items()), op.source.module)
        name = self.known.setdefault(key, op.name)
        if name == op.name:
            self.ops[name], self.shape[name] = op, shape
        return name

    def fresh(self, base: str) -> str:
        """Return a name like ``base`` that is free."""
        name, count = base, 1
        while name in self.graph.by_name or name in self.ops:
            count += 1
            name = f"{base}.{count}"
        return name

    def number(self, name: str) -> float | None:
        """Return the number that a constant holds in all its places, None where it is none."""
        return uniform(self.graph.weights, self.ops[name])

    def _add(self, op: Op, shape: Shape) -> str:
        for i, name in enumerate(op.inputs):
            other = op.inputs[1 - i]
            if self.number(name) == 0 and self.shape[other] == shape:
                return other
            rest = self._without(other, name)
            if rest and self.shape[rest] == shape:
                return rest
        return self.put(op, shape)

    def _without(self, total: str, name: str) -> str | None:
        """Return what a sum is if a value is added that it holds with the other sign."""
        if self.ops[total].kind != "add":
            return None
        for i, each in enumerate(self.ops[total].inputs):
            if self._negated(each) == name or self._negated(name) == each:
                return self.ops[total].inputs[1 - i]
        return None

    def _negated(self, name: str) -> str | None:
        """Return the value that one is the negative of, None where it is not written so."""
        op = self.ops[name]
        return op.inputs[0] if op.kind == "scale" and getattr(op, "factor", 0) == -1 else None

    def _mask(self, op: Op, shape: Shape) -> str:
        for i, name in enumerate(op.inputs):
            factor, other = self.number(name), op.inputs[1 - i]
            if factor is not None and self.shape[other] == shape:
                scale = Scale(name=op.name, inputs=(other,), source=op.source, factor=factor)
                return self.put(scale, shape)
        return self.put(op, shape)

    def _cut_or_joined(self, op: Any, shape: Shape) -> str:
        if op.kind == "concat":
            found = self._joined(op)
        else:
            pieces = self._pieces_of(op.inputs[0], op.axis)
            ends = self.ends.get(op.inputs[0]) if len(pieces) > 1 else None
            found = _between(pieces, ends or _ends(pieces), op.start, op.stop)
        merged = _merged(found)
        if not merged:
            return self.put(op, shape)
        if len(merged) == 1 and self._is_whole(merged[0], op.axis):
            return merged[0][0]
        if len(merged) == 1:
            return self._slice(op, merged[0], op.name)
        names = [
            p[0] if self._is_whole(p, op.axis) else self._slice(op, p, self.fresh(f"{op.name}.at"))
            for p in merged
        ]
        joined = Concat(name=op.name, inputs=tuple(names), source=op.source, axis=op.axis)
        name = self.put(joined, shape)
        self.pieces[name], self.ends[name] = tuple(merged), _ends(merged)
        return name

    def _joined(self, op: Any) -> list[Piece]:
        """Return the pieces of a concatenation, those of its inputs where they are not too many.

        A thousand times a thousand pieces are a few nodes in a file, and no network.
        """
        count = sum(len(self.pieces.get(name, "1")) for name in op.inputs)
        if count > max(_MOST_PIECES, len(op.inputs)):
            return [(name, 0, self.shape[name][op.axis]) for name in op.inputs]
        return [piece for name in op.inputs for piece in self._pieces_of(name, op.axis)]

    def _pieces_of(self, name: str, axis: int) -> tuple[Piece, ...]:
        op: Any = self.ops[name]
        if op.kind == "concat" and op.axis == axis:
            return self.pieces[name]
        if op.kind == "slice" and op.axis == axis and op.step == 1:
            return ((op.inputs[0], op.start, op.stop),)
        return ((name, 0, self.shape[name][axis]),)

    def _is_whole(self, piece: Piece, axis: int) -> bool:
        name, start, stop = piece
        return (start, stop) == (0, self.shape[name][axis])

    def _slice(self, op: Any, piece: Piece, new: str) -> str:
        """Return some places of a value; of one that was expanded along the axis, all are alike."""
        name, start, stop = piece
        shape = self.shape[name]
        narrow = (*shape[: op.axis], stop - start, *shape[op.axis + 1 :])
        source, whole = op.source, self.ops[name]
        if whole.kind == "expand":
            before = whole.inputs[0]
            old = (1,) * (len(shape) - len(self.shape[before])) + self.shape[before]
            if old[op.axis] == 1:
                kind = Reshape if old == narrow else Expand
                return self.put(
                    kind(name=new, inputs=(before,), source=source, shape=narrow), narrow
                )
        cut = Slice(name=new, inputs=(name,), source=source, axis=op.axis, start=start, stop=stop)
        return self.put(cut, narrow)


def _ends(pieces: Iterable[Piece]) -> list[int]:
    """Return the places behind the last one of each piece, where all are joined."""
    return list(accumulate(last - first for _, first, last in pieces))


def _between(pieces: Sequence[Piece], ends: Sequence[int], start: int, stop: int) -> list[Piece]:
    """Return the places ``start`` to ``stop`` of joined pieces.

    The first one is searched for: what reads each of a thousand pieces meets each of them once.
    """
    found = []
    for number in range(bisect_right(ends, start), len(pieces)):
        name, first, last = pieces[number]
        at = ends[number] - (last - first)
        low, high = max(start - at, 0), min(stop - at, last - first)
        if low < high:
            found.append((name, first + low, first + high))
        if ends[number] >= stop:
            break
    return found


def _merged(pieces: list[Piece]) -> list[Piece]:
    """Join pieces of one value that follow each other."""
    found: list[Piece] = []
    for name, start, stop in pieces:
        if found and found[-1][0] == name and found[-1][2] == start:
            found[-1] = (name, found[-1][1], stop)
        else:
            found.append((name, start, stop))
    return found
