"""The graph: frozen ops in topological order, their weights, and the types derived from them.

One op makes one value and both carry one name. A graph stands on one of two levels:

- ``tensor``: as imported; time and batch are axes of the tensors.
- ``step``: what happens in one time step for one sample; ``steps`` is the number of time steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from snncc.ir.domain import Domain

Shape: TypeAlias = tuple[int, ...]
Array: TypeAlias = npt.NDArray[Any]
Level: TypeAlias = Literal["tensor", "step"]


class IRError(ValueError):
    """A graph that means nothing: a missing input, shapes that do not meet, a bad attribute."""


@dataclass(frozen=True)
class Absent:
    """A weight of which only shape and type are known: the network without its values."""

    shape: Shape
    dtype: str = "float32"


Weight: TypeAlias = Array | Absent
Weights: TypeAlias = Mapping[str, Weight]


@dataclass(frozen=True)
class Source:
    """Where an op comes from: the module path in the model and the line of its code.

    ``node`` is what a file calls it, for where it says neither; it takes no part in equality.
    ``merged`` are the module paths of the ops that rewrites have folded into this one.
    """

    module: str = ""
    file: str = ""
    line: int = 0
    merged: tuple[str, ...] = ()
    node: str = field(default="", compare=False)

    @property
    def place(self) -> str:
        """The file, and the line where it is known; empty where neither is."""
        return f"{self.file}:{self.line}" if self.line else self.file

    def with_merged(self, *others: Source) -> Source:
        """Return this source with the module paths of ``others`` added."""
        paths = [p for o in others for p in (o.module, *o.merged) if p]
        known = (self.module, *self.merged)
        new = dict.fromkeys(p for p in paths if p not in known)
        return dataclasses.replace(self, merged=(*self.merged, *new))


@dataclass(frozen=True)
class Type:
    """The shape of a value and the numbers that it can hold."""

    shape: Shape
    domain: Domain

    def __str__(self) -> str:
        return f"<{'x'.join(map(str, self.shape)) or 'scalar'}; {self.domain}>"


@dataclass(frozen=True, kw_only=True)
class Op:
    """One operation. Its name is also the name of its result."""

    kind: ClassVar[str]
    weight_fields: ClassVar[tuple[str, ...]] = ()

    name: str
    inputs: tuple[str, ...] = ()
    source: Source = field(default=Source(), compare=False)

    def infer(self, inputs: tuple[Type, ...], weights: Weights) -> Type:
        """Return the type of the result: shape and proved domain. Raises ``IRError``."""
        raise NotImplementedError

    @property
    def weight_names(self) -> tuple[str, ...]:
        """The names of the weights that this op reads."""
        named = (getattr(self, f) for f in self.weight_fields)
        return tuple(n for n in named if n is not None)

    def attributes(self) -> dict[str, Any]:
        """The fields that are this op's own: all but name, inputs and source."""
        own = (f for f in dataclasses.fields(self) if f.name not in ("name", "inputs", "source"))
        return {f.name: getattr(self, f.name) for f in own}


@dataclass(frozen=True, eq=False)
class Graph:
    """Ops in topological order with their weights. Types are derived on first use.

    Two graphs are equal when level, steps, ops and weights are; ``source`` takes no part.
    """

    ops: tuple[Op, ...]
    weights: Weights = field(default_factory=dict)
    level: Level = "tensor"
    steps: int = 1

    @cached_property
    def by_name(self) -> Mapping[str, Op]:
        """The op that makes each value."""
        return {op.name: op for op in self.ops}

    @cached_property
    def users(self) -> Mapping[str, tuple[Op, ...]]:
        """The ops that read each value, in order; an op that reads it twice counts once."""
        users: dict[str, list[Op]] = {op.name: [] for op in self.ops}
        for op in self.ops:
            for name in dict.fromkeys(op.inputs):
                users[name].append(op)
        return {name: tuple(ops) for name, ops in users.items()}

    @cached_property
    def types(self) -> Mapping[str, Type]:
        """The type of each value. Raises ``IRError`` naming the op that has none."""
        types: dict[str, Type] = {}
        for op in self.ops:
            try:
                inputs = tuple(types[name] for name in op.inputs)
                types[op.name] = op.infer(inputs, self.weights)
            except KeyError as missing:
                raise IRError(f"`{op.name}` reads {missing}, which is not made before it") from None
            except IRError as error:
                raise IRError(f"`{op.name}` ({op.kind}, {op.source.module}): {error}") from None
        return types

    def __getitem__(self, name: str) -> Op:
        return self.by_name[name]

    def __iter__(self) -> Iterator[Op]:
        return iter(self.ops)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Graph):
            return NotImplemented
        same = (self.level, self.steps, self.ops) == (other.level, other.steps, other.ops)
        return same and _same_weights(self.weights, other.weights)

    __hash__ = None  # type: ignore[assignment]

    def type_of(self, name: str) -> Type:
        """Return the type of a value."""
        return self.types[name]

    def of_kind(self, *kinds: str) -> tuple[Op, ...]:
        """Return the ops of these kinds in order."""
        return tuple(op for op in self.ops if op.kind in kinds)

    def replace(self, ops: Iterable[Op], weights: Weights | None = None, **fields: Any) -> Graph:
        """Return a graph of these ops that keeps only the weights that they read."""
        kept = tuple(ops)
        pool = self.weights if weights is None else {**self.weights, **weights}
        used = dict.fromkeys(name for op in kept for name in op.weight_names)
        chosen = {name: pool[name] for name in used if name in pool}
        return dataclasses.replace(self, ops=kept, weights=chosen, **fields)


def _same_weights(a: Weights, b: Weights) -> bool:
    return a.keys() == b.keys() and all(_same_weight(a[name], b[name]) for name in a)


def _same_weight(a: Weight, b: Weight) -> bool:
    if isinstance(a, Absent) or isinstance(b, Absent):
        return a == b
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)


def reading(op: Op, renamed: Mapping[str, str]) -> Op:
    """Return ``op`` with each input that ``renamed`` knows read under its new name."""
    inputs = tuple(renamed.get(name, name) for name in op.inputs)
    return op if inputs == op.inputs else dataclasses.replace(op, inputs=inputs)


def without_dead(graph: Graph) -> Graph:
    """Return the graph without the ops that no output depends on; inputs stay."""
    live = {op.name for op in graph.ops if op.kind in ("output", "input")}
    for op in reversed(graph.ops):
        if op.name in live:
            live.update(op.inputs)
    return graph.replace(op for op in graph.ops if op.name in live)
