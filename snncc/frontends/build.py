"""Makes ops with readable names, and keeps the weights that they read."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from snncc.frontends.neuron_parameters import MOST_LEVELS, Rounding
from snncc.ir.domain import REAL
from snncc.ir.graph import Absent, Op, Shape, Source, Type, Weight
from snncc.ir.ops import Constant

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.]")
_MODULE_OPS = frozenset({"conv", "linear", "batch_norm", "neuron", "max_pool", "avg_pool"})
"""Kinds of which a module makes one, which is then called as the module is."""


@dataclass(frozen=True)
class Dynamic:
    """A value that the network computes: the result of the op of that name."""

    name: str
    shape: Shape


@dataclass(frozen=True)
class Static:
    """A value known before the network runs; ``name`` if it is a parameter or a buffer as stored.

    On the meta device only its shape is known.
    """

    tensor: Tensor
    name: str = ""

    @property
    def shape(self) -> Shape:
        """The tensor's shape."""
        return tuple(self.tensor.shape)

    @property
    def is_known(self) -> bool:
        """Whether the numbers are there."""
        return not self.tensor.is_meta


Value: TypeAlias = Dynamic | Static

Cut: TypeAlias = Rounding | Literal["up", "down"]
"""How a value becomes whole: rounded, or the next whole number above or below it."""


@dataclass(frozen=True)
class Border:
    """A value with a border around its last axes, which code writes to part by part.

    ``parts`` are the vectors that stand in each part, one number or one a channel. A part is named
    by its side on each padded axis: -1 before, 0 along, 1 behind.
    """

    inner: Dynamic
    before: Shape
    after: Shape
    parts: Mapping[Shape, Static]


@dataclass(frozen=True)
class Signed:
    """What a value is that depends on another's sign: below a mark of ``x``, at it and above it."""

    x: Dynamic
    mark: float
    values: tuple[float, float, float]


@dataclass(frozen=True)
class Bounded:
    """What a value is: ``clip(x, low, high)``, where ``rounding`` is given of ``x`` rounded."""

    x: Dynamic
    low: float = -math.inf
    high: float = math.inf
    rounding: Cut | None = None

    def within(self, low: float, high: float) -> Bounded:
        """Return the value bounded again."""
        least, most = (min(max(end, low), high) for end in (self.low, self.high))
        return replace(self, low=least, high=most)

    def rounded(self, how: Cut) -> Bounded | None:
        """Return the value rounded, once for all; None where a bound is no whole number."""
        whole = all(math.isinf(end) or end.is_integer() for end in (self.low, self.high))
        return replace(self, rounding=self.rounding or how) if whole else None

    @property
    def levels(self) -> int | None:
        """The most spikes that are counted, None for what is no count."""
        most = 1 if self.rounding == "up" else MOST_LEVELS
        counts = self.rounding is not None and self.low == 0 and self.high.is_integer()
        return int(self.high) if counts and 1 <= self.high <= most else None


@dataclass
class Builder:
    """Ops in order, made one at a time for the node that ``at`` was told of last.

    ``arrays`` are stored tensors as weights; several graphs of one file share them.
    """

    ops: list[Op] = field(default_factory=list)
    weights: dict[str, Weight] = field(default_factory=dict)
    emitted: dict[str, Dynamic] = field(default_factory=dict)
    borders: dict[str, Border] = field(default_factory=dict)
    bounded: dict[str, Bounded] = field(default_factory=dict)
    signs: dict[str, Signed] = field(default_factory=dict)
    arrays: dict[int, tuple[Tensor, Weight]] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)
    _numbers: Counter[str] = field(default_factory=Counter)
    _places: dict[str, int] = field(default_factory=dict)
    _constants: dict[str, Dynamic] = field(default_factory=dict)
    _source: Source = field(default_factory=Source)
    _owner: bool = False

    def at(self, source: Source, *, owner: bool) -> None:
        """Say where the next ops come from, and whether their module does that one thing only."""
        self._source, self._owner = source, owner

    def emit(self, op: type[Op], *inputs: Value, **attributes: Any) -> Dynamic:
        """Append an op and return its value. Raises ``IRError`` where it would mean nothing.

        An attribute that is a ``Static`` becomes a weight of the op.
        """
        read = [self.dynamic(value) for value in inputs]
        module = self._source.module
        whole = self._owner and op.kind in _MODULE_OPS and bool(module)
        name = self.unique(module if whole else f"{module}.{op.kind}".lstrip("."))
        for key, value in attributes.items():
            if isinstance(value, Static):
                attributes[key] = self.weight(value, f"{name}.{key}")
        made = op(name=name, inputs=tuple(v.name for v in read), source=self._source, **attributes)
        shape = made.infer(tuple(Type(v.shape, REAL) for v in read), self.weights).shape
        self.ops.append(made)
        self.emitted[name] = Dynamic(name, shape)
        return self.emitted[name]

    def made(self, value: Dynamic) -> Op:
        """Return the op that makes a value."""
        for place in range(len(self._places), len(self.ops)):
            self._places[self.ops[place].name] = place
        return self.ops[self._places[value.name]]

    def dynamic(self, value: Value) -> Dynamic:
        """Return the value as an op's result: a ``Constant`` for what is static."""
        if isinstance(value, Dynamic):
            return value
        if value.name in self._constants:
            return self._constants[value.name]
        name = self.unique(value.name or f"{self._source.module}.constant".lstrip("."))
        stored = self.weight(value, f"{name}.value")
        self.ops.append(Constant(name=name, source=self._source, value=stored))
        made = Dynamic(name, value.shape)
        if value.name:
            self._constants[value.name] = made
        return made

    def weight(self, value: Static, name: str) -> str:
        """Store a tensor, under its own name if it has one, and return the name.

        One tensor that is an attribute of many ops is stored once.
        """
        name = value.name or name
        if name not in self.weights:
            key = id(value.tensor)
            if key not in self.arrays:
                self.arrays[key] = value.tensor, as_weight(value.tensor)
            self.weights[name] = self.arrays[key][1]
        return name

    def unique(self, wanted: str) -> str:
        """Return the name as it can stand in a graph, with a number where it is taken."""
        stem = _NOT_IN_A_NAME.sub("_", wanted)
        number = self._numbers[stem]
        name = f"{stem}_{number}" if number else stem
        while name in self._names:
            number += 1
            name = f"{stem}_{number}"
        self._numbers[stem] = number
        self._names.add(name)
        return name


def as_weight(tensor: Tensor) -> Weight:
    """Return the tensor's numbers, or what is known of them; 16-bit floats become float32.

    One number shown in many places stays one number.
    """
    tensor = tensor.detach()
    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    if tensor.is_meta:
        return Absent(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
    if tensor.numel() > 1 and is_one_number(tensor):
        return np.broadcast_to(tensor[(0,) * tensor.ndim].cpu().numpy(), tuple(tensor.shape))
    return np.array(tensor.cpu().numpy(), order="C")


def is_one_number(tensor: Tensor) -> bool:
    """Whether all places of a tensor are the same place in memory."""
    axes = zip(tensor.shape, tensor.stride(), strict=True)
    return not any(step for places, step in axes if places != 1)


def number(value: float) -> Static:
    """Return a scalar constant; a small integer is stored as one, so that its domain is known."""
    exact = float(value).is_integer() and abs(value) < 2**15
    return Static(torch.tensor(value, dtype=torch.int16 if exact else torch.float64))


def sizes(value: int | Sequence[int], axes: int) -> Shape:
    """Return one size an axis from a number, a list of one, or a list of all."""
    listed = [value] if isinstance(value, int) else list(value)
    return tuple(int(n) for n in (listed * axes if len(listed) == 1 else listed))
