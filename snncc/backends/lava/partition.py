"""Which ops of a step graph share a Lava process: always a partition without cycles.

Each part is a run of one topological order of the ops, so data only ever goes from a part to a
later one, and a network that receives before it sends cannot deadlock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from snncc.ir.graph import Graph, Op
from snncc.ir.ops import VIEWS

Granularity: TypeAlias = Literal["stage", "operator"]

OUTSIDE = ("input", "output", "constant")
"""Kinds that belong to no part: inputs come from a source, outputs go to a sink, constants to all
that read them."""

_PRODUCTS = ("matmul", "mask")
_MOVING = (*VIEWS, "scale")
_WITHIN_ATTENTION = (*_PRODUCTS, *_MOVING, "sum")
_PATH_DEPTH = 3


@dataclass(frozen=True)
class Part:
    """The ops of one Lava process in order, and the values that it takes from and gives to others.

    ``kind`` is that of its leading op, ``attention`` for a chain of products, ``stage`` for a mix.
    """

    name: str
    kind: str
    ops: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def partition(graph: Graph, granularity: Granularity) -> tuple[Part, ...]:
    """Return the parts of the graph in an order in which each reads only earlier ones."""
    inner = [op for op in graph.ops if op.kind not in OUTSIDE]
    if granularity == "stage":
        runs = _runs(_ordered(inner, _stage_keys(graph)))
    else:
        runs = [(_leading(group), group) for group in _operator_groups(graph, inner)]
    return tuple(_part(graph, name, ops) for name, ops in runs)


def stage_of(path: str) -> str:
    """Return the block or stage of a module path: up to its first number, else its first name.

    ``block.0.attn.q_conv`` is in ``block.0``, ``patch_embed.proj_conv`` in ``patch_embed``.
    """
    names = path.split(".")
    for depth, name in enumerate(names[:_PATH_DEPTH], start=1):
        if name.isdigit():
            return ".".join(names[:depth])
    return names[0]


def _stage_keys(graph: Graph) -> Mapping[str, str]:
    """The stage of each op; an op without a module path is in that of what it reads last."""
    keys: dict[str, str] = {}
    for op in graph.ops:
        before = [keys[name] for name in op.inputs if keys[name]]
        keys[op.name] = stage_of(op.source.module) or (before[-1] if before else "")
    return keys


def _ordered(ops: Sequence[Op], keys: Mapping[str, str]) -> list[tuple[str, Op]]:
    """Return the ops with their keys in a topological order that stays with a key while it can."""
    waiting, made = list(ops), _others(ops)
    order: list[tuple[str, Op]] = []
    while waiting:
        ready = [op for op in waiting if made.issuperset(op.inputs)]
        current = order[-1][0] if order else None
        op = next((op for op in ready if keys[op.name] == current), ready[0])
        waiting.remove(op)
        made.add(op.name)
        order.append((keys[op.name], op))
    return order


def _others(ops: Iterable[Op]) -> set[str]:
    """The values that the ops read and that none of them makes."""
    made = {op.name for op in ops}
    return {name for op in ops for name in op.inputs} - made


def _runs(order: Sequence[tuple[str, Op]]) -> list[tuple[str, list[Op]]]:
    """Cut the order where the key changes; a key that comes again gets a number."""
    runs: list[tuple[str, list[Op]]] = []
    times: dict[str, int] = {}
    for position, (key, op) in enumerate(order):
        if position == 0 or key != order[position - 1][0]:
            times[key] = times.get(key, 0) + 1
            suffix = f"#{times[key]}" if times[key] > 1 else ""
            runs.append(((key or "network") + suffix, []))
        runs[-1][1].append(op)
    return runs


def _operator_groups(graph: Graph, inner: Sequence[Op]) -> list[list[Op]]:
    """One group an op; chains of products in one, views with the op that makes what they move."""
    group = {op.name: op.name for op in inner}
    for op in reversed(inner):
        if op.kind in _PRODUCTS:
            _absorb_makers(graph, group, op)
    for op in inner:
        lone = group[op.name] == op.name and len(op.inputs) == 1
        if lone and op.kind in _MOVING and op.inputs[0] in group:
            _merge(group, op.name, group[op.inputs[0]])
    return _in_order(inner, group)


def _absorb_makers(graph: Graph, group: dict[str, str], op: Op) -> None:
    """Take into the op's group what only this group reads: no cycle can come of that."""
    waiting = list(op.inputs)
    while waiting:
        maker = graph[waiting.pop()]
        if maker.name not in group or maker.kind not in _WITHIN_ATTENTION:
            continue
        if all(group.get(user.name) == group[op.name] for user in graph.users[maker.name]):
            _merge(group, maker.name, group[op.name])
            waiting.extend(maker.inputs)


def _merge(group: dict[str, str], name: str, into: str) -> None:
    old = group[name]
    for member, leader in group.items():
        if leader == old:
            group[member] = into


def _in_order(inner: Sequence[Op], group: Mapping[str, str]) -> list[list[Op]]:
    """Return the groups, each whole, in a topological order."""
    members: dict[str, list[Op]] = {}
    for op in inner:
        members.setdefault(group[op.name], []).append(op)
    made, waiting, order = _others(inner), list(members.values()), []
    while waiting:
        ready = next(g for g in waiting if made.issuperset(_others(g)))
        waiting.remove(ready)
        made.update(op.name for op in ready)
        order.append(ready)
    return order


def _part(graph: Graph, name: str, ops: Sequence[Op]) -> Part:
    """Complete a part; it copies the constants that it reads."""
    made = {op.name for op in ops}
    read = list(dict.fromkeys(name for op in ops for name in op.inputs if name not in made))
    constants = [n for n in read if graph[n].kind == "constant"]
    outputs = [n for n in made if any(u.name not in made for u in graph.users[n])]
    return Part(
        name=name,
        kind=_kind(ops),
        ops=(*constants, *(op.name for op in ops)),
        inputs=tuple(n for n in read if n not in constants),
        outputs=tuple(op.name for op in ops if op.name in outputs),
    )


def _leading(ops: Sequence[Op]) -> str:
    """Return the name of the op that a group is called by: its last one that is no view."""
    working = [op for op in ops if op.kind not in _MOVING]
    return (working or ops)[-1].name


def _kind(ops: Sequence[Op]) -> str:
    working = [op.kind for op in ops if op.kind not in _MOVING]
    if set(working) & set(_PRODUCTS) and set(working) <= {*_PRODUCTS, "sum"}:
        return "attention"
    return working[0] if len(working) == 1 else "stage"
