"""A graph of one sample as the same graph of several.

One sample looks like any other axis of one place, so that nothing tells the batch from it. A file
that was exported with one is therefore read for two.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from snncc.ir.graph import Graph, IRError, Op, Shape, Type
from snncc.ir.memory import STATEFUL


def of_samples(graph: Graph, samples: int) -> Graph:
    """Return a tensor graph of one sample, its batch in front, as the same graph of ``samples``.

    Each value that depends on the input has ``samples`` times as many places along one axis. Raises
    ``IRError`` where it cannot be told along which, or where an op would mix samples.
    """
    types: dict[str, Type] = {}
    ops: list[Op] = []
    for op in graph.ops:
        before = [graph.type_of(name).shape for name in op.inputs]
        now = [types[name].shape for name in op.inputs]
        made = _restated(op, before, now, samples)
        found = made.infer(tuple(types[name] for name in op.inputs), graph.weights)
        wanted = [samples] if op.kind == "input" or before != now else []
        if _factors(graph.type_of(op.name).shape, found.shape) != wanted:
            raise _mixes(op)
        ops.append(made)
        types[op.name] = found
    return dataclasses.replace(graph, ops=tuple(ops))


def _restated(op: Any, before: list[Shape], now: list[Shape], samples: int) -> Op:
    """Return an op, the numbers that it states put right. Raises ``IRError``."""
    if op.kind == "input":
        return _with(op, shape=(op.shape[0] * samples, *op.shape[1:]))
    if before == now:
        return _with(op)
    for place, (one, several) in enumerate(zip(before, now, strict=True)):
        if one != several and _joins(op, place, _grown(one, several), len(one)):
            raise _mixes(op)
    restate = _RESTATED.get(op.kind)
    return _with(op) if restate is None else restate(op, before[0], now[0])


def _joins(op: Any, place: int, grown: int, rank: int) -> bool:
    """Whether an op adds up, or takes for time steps, what stands along the axis of the batch."""
    if op.kind == "matmul":
        return grown == (rank - 1 if place == 0 else rank - 2)
    if op.kind == "sum":
        return grown in op.axes
    if op.kind == "concat":
        return bool(grown == op.axis)
    return op.kind == "foreign" or (op.kind in STATEFUL and grown == 0)


def _reshape(op: Any, before: Shape, now: Shape) -> Op:
    return _with(op, shape=tuple(stated_shape(before, now, list(op.shape))))


def _expand(op: Any, before: Shape, now: Shape) -> Op:
    grown = _grown(before, now)
    axis = len(op.shape) - len(before) + grown
    if op.shape[axis] != before[grown]:
        raise _mixes(op)
    return _with(op, shape=(*op.shape[:axis], now[grown], *op.shape[axis + 1 :]))


def _slice(op: Any, before: Shape, now: Shape) -> Op:
    """Places of an axis that holds the batch behind something else, ``[T * B]``."""
    grown = _grown(before, now)
    if op.axis != grown:
        return _with(op)
    if op.step != 1:
        raise _mixes(op)
    times = now[grown] // before[grown]
    return _with(op, start=op.start * times, stop=op.stop * times)


_RESTATED: Mapping[str, Callable[[Any, Shape, Shape], Op]] = {
    "reshape": _reshape, "expand": _expand, "slice": _slice,
}  # fmt: skip


def _with(op: Any, **fields: Any) -> Op:
    made: Op = dataclasses.replace(op, **fields)
    return made


def _grown(before: Shape, now: Shape) -> int:
    """Return the one axis along which a value has more places now."""
    return next(i for i, (n, m) in enumerate(zip(before, now, strict=True)) if n != m)


def _factors(before: Shape, now: Shape) -> list[float]:
    """Return by what each axis has grown that has."""
    if len(before) != len(now):
        return [math.nan]
    return [m / n for n, m in zip(before, now, strict=True) if n != m]


def _mixes(op: Op) -> IRError:
    return IRError(f"`{op.name}` ({op.kind}, {op.source.module}) takes one sample for an axis")


def stated_shape(before: Shape, now: Shape, wanted: list[int]) -> list[int]:
    """Return a shape that is stated for one sample as it is for as many as there are.

    The batch stands behind the places of the axes in front of it. The axis of ``wanted`` that
    begins there, if it has one place, is the batch; of several of one place it is the last that is
    not behind the batch. Else, or where the axes from there on are those behind the batch, it has
    been flattened into the axis in front of it (``[T * B]``). Of an axis ``[B * T]``, which is
    taken apart behind one place, that place is the batch.
    """
    grown = [i for i, (n, m) in enumerate(zip(before, now, strict=False)) if n != m]
    if len(grown) != 1 or len(before) != len(now) or not wanted:
        return wanted
    ahead, behind = math.prod(before[: grown[0] + 1]), list(before[grown[0] + 1 :])
    samples = now[grown[0]] // before[grown[0]]
    at = _place_of_batch(wanted, ahead, behind)
    return [*wanted[:at], wanted[at] * samples, *wanted[at + 1 :]]


def _place_of_batch(wanted: list[int], ahead: int, behind: list[int]) -> int:
    front = 1
    for i, n in enumerate(wanted):
        if front == ahead:
            narrow, own = _narrow(wanted[i:]), _narrow(behind)
            first = i + narrow
            if narrow > own and wanted[first : first + 1] == behind[own : own + 1]:
                return first - own - 1
            if wanted[i:] == behind and i > 1 and wanted[0] == 1:
                return 0
            flattened = n != 1 or wanted[i:] == behind
            return i - 1 if flattened and i > 0 else i
        if front * n > ahead:
            return i
        front *= n
    return len(wanted) - 1


def _narrow(shape: list[int]) -> int:
    """Return how many axes of one place there are in front."""
    return next((i for i, n in enumerate(shape) if n != 1), len(shape))
