"""Values that are computed when somebody reads them: sums that a neuron will take as they are.

What a conv leaves are bare sums of products; shift, bias and the residual that is added are work
for the pass that runs the neurons. Who else reads such a value, settles it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np

from snncc.execute.kernels import neurons
from snncc.execute.kernels.matmul import multiply
from snncc.execute.kernels.memory import Order, flat, order_of, shaped, tiled
from snncc.ir.domain import Grid
from snncc.ir.graph import Array, Shape, Type


def width(kind: Type) -> type:
    """Return the integers that hold a value: int32 where its domain is proved to fit."""
    domain = kind.domain
    if isinstance(domain, Grid) and domain.largest < 2**31:
        return np.int32
    return np.int64


@dataclass
class Sum:
    """``(raw << shift) + bias + rest``, not yet computed; arrays are ``[T or 1, B, *shape]``.

    ``raw`` are integers, as such or in floats; ``bias`` is ``[*broadcastable]``; ``kind`` is the
    integer type that is proved to hold the sum.
    """

    raw: Array
    kind: type
    shift: int = 0
    bias: Array | None = None
    rest: Array | None = None

    @property
    def steps(self) -> int:
        """The time steps that differ: 1 where all are the same."""
        return max(len(self.raw), 1 if self.rest is None else len(self.rest))

    @property
    def shape(self) -> Shape:
        """The shape of one step of one sample."""
        return self.raw.shape[2:]

    @property
    def bare(self) -> bool:
        """Whether the products are the value."""
        return not self.shift and self.bias is None and self.rest is None

    @cached_property
    def order(self) -> Order:
        """How the sum will lie in memory: as the products do."""
        return order_of(self.raw)

    def plus(self, rest: Array, kind: type) -> Sum:
        """Return this sum with ``rest`` added."""
        if self.rest is not None:
            return Sum(self.settled(), kind, rest=rest)
        return replace(self, rest=rest, kind=kind)

    def current(self) -> neurons.Current:
        """Return the sum as the neurons' pass takes it, without its bias."""
        rest = np.empty((0, 0, 0), self.kind) if self.rest is None else flat(self.rest, self.order)
        return neurons.Current(flat(self.raw, self.order), self.shift, rest)

    @property
    def bias_row(self) -> Array:
        """The bias, zeros where there is none; broadcasts to ``[1, *shape]``."""
        return np.zeros((1,) * (len(self.shape) + 1)) if self.bias is None else self.bias[None]

    def settled(self) -> Array:
        """Return the value itself."""
        if self.bare:
            return self.raw if self.raw.dtype.kind == "i" else self.raw.astype(self.kind)
        bias = tiled(self.bias_row, self.shape, self.order)[0].astype(self.kind)
        total = neurons.settle(self.current(), bias, self.steps)
        return shaped(total, self.shape, self.order)


@dataclass
class Product:
    """``a @ b`` of integers, not yet computed: with a third factor the other order may be cheaper.

    ``largest`` are the largest magnitudes of both; ``kind`` is the type that holds the product.
    """

    a: Array
    b: Array
    largest: tuple[int, int]
    kind: type

    @property
    def bound(self) -> int:
        """The largest magnitude of a sum."""
        return self.a.shape[-1] * self.largest[0] * self.largest[1]

    def bare_sum(self) -> Sum:
        """Return the product, as its kernel leaves it."""
        return Sum(multiply(self.a, self.b, self.bound), self.kind)

    def settled(self) -> Array:
        """Return the product itself."""
        return self.bare_sum().settled()

    def times(self, c: Array, largest: int, kind: type) -> Sum:
        """Return ``(a @ b) @ c``, in the order that takes fewer multiplications."""
        rows, inner, columns = self.a.shape[-2], self.b.shape[-2], self.b.shape[-1]
        as_written = rows * columns * (inner + c.shape[-1])
        swapped = inner * c.shape[-1] * (columns + rows)
        bound = self.bound * columns * largest
        if as_written <= swapped:
            return Sum(multiply(multiply(self.a, self.b, self.bound), c, bound), kind)
        right = columns * self.largest[1] * largest
        return Sum(multiply(self.a, multiply(self.b, c, right), bound), kind)


Value: TypeAlias = "Array | Sum | Product"
"""What stands behind the name of an op while a graph runs."""
