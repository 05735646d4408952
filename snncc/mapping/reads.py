"""Which places of its operands a core reads, found by marking them one by one.

The checker's own geometry: it knows nothing of grids, sites or closed forms. A core's results are
given as flat places of what the op makes, what they read comes back as flat places of the operand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, cast

import numpy as np

from snncc.ir.graph import Array, Graph, Op, Shape
from snncc.ir.ops import Conv, Sum
from snncc.mapping.populations import Net, Projection
from snncc.mapping.views import NOWHERE, along, places


@dataclass(frozen=True)
class Held:
    """The places that a core holds of a value of this shape, flat and in order."""

    flat: Array
    shape: Shape


def at_start(net: Net, projection: Projection, cores: Array) -> Array:
    """Return the core that uses each place of what the op makes; ``NOWHERE`` where none does."""
    index = along(net.graph, projection.path, places(net.graph, projection.start))
    start = np.full(net.graph.type_of(projection.start).shape, NOWHERE, np.int64)
    start.reshape(-1)[index.reshape(-1)] = cores.reshape(-1)
    return start


def reads(
    net: Net, projection: Projection, operand: int, cores: Array
) -> Iterator[tuple[int, Array]]:
    """Yield (core, places of the operand that it reads, flat, each once).

    ``cores`` are those of the places of the population's value.
    """
    if projection.kind == "identity":
        index = along(net.graph, projection.path, places(net.graph, projection.start)).reshape(-1)
        for core, flat in _by_core(cores):
            yield core, np.unique(index[flat])
        return
    start = at_start(net, projection, cores)
    shape = net.graph.type_of(projection.reads[operand]).shape
    for core, flat in _by_core(start):
        held = Held(flat, start.shape)
        yield core, _read_by(net.graph, projection, operand, held, shape)


def _by_core(cores: Array) -> Iterator[tuple[int, Array]]:
    """Yield each core with its places, flat and in order."""
    flat = cores.reshape(-1) - NOWHERE
    width = int(flat.max(initial=0)) + 1
    order = np.argsort(flat.astype(np.min_scalar_type(width)), kind="stable")
    stops = np.bincount(flat, minlength=width).cumsum()
    for core in np.flatnonzero(np.diff(stops)):
        yield int(core), order[stops[core] : stops[core + 1]]


def _read_by(graph: Graph, projection: Projection, operand: int, held: Held, shape: Shape) -> Array:
    if projection.kind == "linear":
        return _rows(np.unique(held.flat // held.shape[-1]), shape[-1])
    op = graph[projection.op]
    if projection.kind == "mask":
        return _spread(held, shape)
    if projection.kind == "sum":
        return _summed(held, cast(Sum, op).axes, shape)
    if projection.kind == "matmul":
        return _factors(graph, projection, operand, held, shape)
    return _window(graph, op, held, shape)


def _rows(rows: Array, width: int) -> Array:
    """Return all places of some rows of so many places."""
    return (rows.reshape(-1, 1) * width + np.arange(width)).reshape(-1)


def _spread(held: Held, shape: Shape) -> Array:
    """Return the places of an operand that is repeated along axes which it has one place of."""
    coordinates = np.unravel_index(held.flat, held.shape)[len(held.shape) - len(shape) :]
    own = tuple(c if n > 1 else c * 0 for c, n in zip(coordinates, shape, strict=True))
    return np.unique(np.ravel_multi_index(own, shape))


def _summed(held: Held, axes: tuple[int, ...], shape: Shape) -> Array:
    """Return the places that are added up over ``axes``."""
    every = np.moveaxis(np.arange(math.prod(shape)).reshape(shape), axes, range(len(axes)))
    return every.reshape(-1, math.prod(held.shape))[:, held.flat].reshape(-1)


def _factors(graph: Graph, projection: Projection, operand: int, held: Held, shape: Shape) -> Array:
    """Of ``A @ B``, the rows of A and the columns of B; of an inner product, what it needs."""
    needed: tuple[str, ...] = ("rows", "columns")
    if projection.inner is not None:
        left = graph[projection.op].inputs[0] == projection.inner
        needed = ("rows", "block", "columns") if left else ("block", "columns", "rows")
    block, row, column = _in_blocks(held)
    height, width = shape[-2:]
    if needed[operand] == "block":
        return _rows(np.unique(block), height * width)
    if needed[operand] == "rows":
        return _rows(np.unique(block * height + row), width)
    lines = np.unique(block * width + column)
    tops = lines // width * height * width + lines % width
    return (tops.reshape(-1, 1) + np.arange(height) * width).reshape(-1)


def _in_blocks(held: Held) -> tuple[Array, Array, Array]:
    """Return (block, row, column) of each place, of matrices in the last two axes."""
    height, width = held.shape[-2:]
    lines = held.flat // width
    return lines // height, lines % height, held.flat % width


def _window(graph: Graph, op: Op, held: Held, shape: Shape) -> Array:
    """Return the places under the windows of a convolution or pool."""
    kernel = graph.weights[op.weight_names[0]].shape[2:] if isinstance(op, Conv) else _kernel(op)
    n = len(kernel)
    outer, inner = held.shape[-n:], shape[-n:]
    channels = math.prod(shape[:-n])
    groups = op.groups if isinstance(op, Conv) else channels
    made, size = math.prod(outer), math.prod(inner)
    group, pixel = np.divmod(_met(_pixels(held, groups, made), groups * made), made)
    read = []
    for tap in product(*(range(extent) for extent in kernel)):
        place, inside = _taken(op, tap, np.unravel_index(pixel, outer), inner)
        read.append(group[inside] * size + place[inside])
    group, pixel = np.divmod(_met(np.concatenate(read), groups * size), size)
    each = channels // groups
    first = group * each * size + pixel
    return (first + np.arange(each).reshape(-1, 1) * size).reshape(-1)


def _kernel(op: Op) -> tuple[int, ...]:
    return cast("tuple[int, ...]", cast(Any, op).kernel)


def _pixels(held: Held, groups: int, made: int) -> Array:
    """Return the group and pixel, as one number, of each place."""
    per_group = math.prod(held.shape) // groups
    return held.flat // per_group * made + held.flat % made


def _met(numbers: Array, top: int) -> Array:
    """Return the distinct numbers below ``top``, in order."""
    met = np.zeros(top, bool)
    met[numbers] = True
    return np.flatnonzero(met)


def _taken(
    op: Op, tap: tuple[int, ...], made: tuple[Array, ...], inner: Shape
) -> tuple[Array, Array]:
    """Return (the place that one tap of each result reads, whether it lies inside)."""
    settings = cast(Any, op)
    dilation = getattr(op, "dilation", (1,) * len(tap))
    place: Array = np.zeros(len(made[0]), np.int64)
    inside: Array = np.ones(len(made[0]), bool)
    for axis, k in enumerate(tap):
        at = made[axis] * settings.stride[axis] - settings.padding[axis] + k * dilation[axis]
        inside &= (at >= 0) & (at < inner[axis])
        place = place * inner[axis] + at
    return place, inside
