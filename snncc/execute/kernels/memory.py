"""How values lie in memory: axes in any order, time and samples outermost, no holes.

A value has one logical shape, ``[T, B, *shape]``, and lies as the kernel that made it left it:
convolutions leave the channels last. Kernels that look at each element alone walk through memory as
it lies, so no value is turned around only to be turned back.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from snncc.ir.graph import Array, Shape

Order: TypeAlias = tuple[int, ...]
"""The axes behind time and samples, outermost first."""

CHUNK = 4096
"""How many neurons are walked through time before the next: they stay in the first cache."""


def order_of(x: Array) -> Order:
    """Return the order in which the axes of ``[T, B, *shape]`` lie in memory."""
    strides = x.strides[2:]
    return tuple(sorted(range(len(strides)), key=lambda axis: -strides[axis]))


def flat(x: Array, order: Order) -> Array:
    """Return ``[T, B, M]``, each sample's elements in an order; a view where they lie so."""
    turned = x.transpose(0, 1, *(axis + 2 for axis in order))
    return np.ascontiguousarray(turned).reshape(*x.shape[:2], -1)


def shaped(x: Array, shape: Shape, order: Order) -> Array:
    """Return ``[T, B, M]`` as ``[T, B, *shape]``: what ``flat`` undoes."""
    turned = x.reshape(*x.shape[:2], *(shape[axis] for axis in order))
    back = sorted(range(len(order)), key=lambda axis: order[axis])
    return turned.transpose(0, 1, *(axis + 2 for axis in back))


def tiled(rows: Array, shape: Shape, order: Order) -> Array:
    """Return one row of parameters that serves every chunk of a sample, ``[L, P]``.

    ``rows`` is ``[L, *broadcastable]``. Where the parameters repeat, as one a channel does in
    memory with channels last, ``P`` is a multiple of their period of about ``CHUNK``; else it is
    the number of elements of a sample. ``chunk_of`` says how long a chunk is.
    """
    full = np.broadcast_to(rows, (len(rows), *shape))
    turned = full.transpose(0, *(axis + 1 for axis in order))
    strides = turned.strides[1:]
    sizes = turned.shape[1:]
    varies = [s != 0 and n > 1 for s, n in zip(strides, sizes, strict=True)]
    inner = sizes[-1] if varies and varies[-1] else 1
    if any(varies[:-1]) or inner > CHUNK:
        return np.ascontiguousarray(turned).reshape(len(rows), -1)
    row = turned.reshape(len(rows), -1)[:, :inner]
    return np.tile(row, (1, max(1, CHUNK // inner)))


def chunk_of(period: int) -> int:
    """Return how many elements are one chunk, for parameters of ``tiled``."""
    return min(period, CHUNK)
