"""Where cores stand: first on which chip, then on which tile of its mesh.

Cores come in the order of the network. Chips are stretches of that order, cut where the least
traffic crosses (exactly, by dynamic programming). On a chip, cores start along a winding path, and
pairs swap seats as long as that shortens the ways of the messages. All of it is deterministic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from snncc.ir.graph import Array
from snncc.mapping.placement import Seat
from snncc.targets.load import Target

Edges: TypeAlias = tuple[Array, Array, Array]
"""Senders, receivers and what is sent, side by side."""

SWAPS = 150
"""The most swaps tried on one chip."""


@dataclass(frozen=True)
class Seating:
    """The seat of each core, and how many chips stand in a row."""

    seats: tuple[Seat, ...]
    chip_columns: int


def between(senders: Array, receivers: Array, traffic: Array) -> Edges:
    """Return (senders, receivers, traffic) of what leaves its core."""
    apart = senders != receivers
    return senders[apart], receivers[apart], traffic[apart].astype(np.float64)


def seated(stretches: list[tuple[int, int]], edges: Edges, target: Target) -> Seating:
    """Return seats for cores whose chips are ``stretches`` of their order."""
    count = stretches[-1][1] if stretches else 0
    columns = max(1, math.isqrt(max(0, len(stretches) - 1)) + 1)
    chips = [_winding(n, columns) for n in range(len(stretches))]
    yard = _Yard(target, columns)
    x, y = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for chip, (start, stop) in zip(chips, stretches, strict=True):
        x[start:stop], y[start:stop] = yard.start(chip, stop - start)
    for start, stop in stretches:
        _improve(x, y, range(start, stop), edges)
    chip_of = np.concatenate(
        [np.full(b - a, chip) for chip, (a, b) in zip(chips, stretches, strict=True)]
    )
    return Seating(yard.seats(chip_of, x, y), columns)


def chip_stretches(count: int, edges: Edges, most: int) -> list[tuple[int, int]]:
    """Return the stretches of cores that share a chip: the fewest chips, the least traffic between.

    ``best[k, j]`` is the most traffic that the first ``j`` cores keep inside ``k`` chips.
    """
    chips = max(1, -(-count // most))
    inside = _inside(count, edges, most)
    best = np.full((chips + 1, count + 1), -np.inf)
    best[0, 0] = 0.0
    cut = np.zeros((chips + 1, count + 1), np.int64)
    for k in range(1, chips + 1):
        for stop in range(1, count + 1):
            low = max(0, stop - most)
            kept = best[k - 1, low:stop] + inside[stop, : stop - low][::-1]
            at = int(kept.argmax())
            best[k, stop], cut[k, stop] = kept[at], low + at
    stretches, stop = [], count
    for k in range(chips, 0, -1):
        stretches.append((int(cut[k, stop]), stop))
        stop = int(cut[k, stop])
    return stretches[::-1]


def _inside(count: int, edges: Edges, most: int) -> Array:
    """Return the traffic inside the ``n + 1`` cores before ``stop``, ``[stop, n]``."""
    low, high = np.minimum(*edges[:2]), np.maximum(*edges[:2])
    near = high - low < most
    band = np.zeros((count + 1, most))
    np.add.at(band, (high[near] + 1, (high - low)[near]), edges[2][near])
    own = band.cumsum(axis=1)
    inside = own.copy()
    for stop in range(1, count + 1):
        inside[stop, 1:] += inside[stop - 1, :-1]
    return inside


def _winding(number: int, columns: int) -> int:
    """Return the number of the chip, so that one after the other stand side by side."""
    row, column = divmod(number, columns)
    return row * columns + (columns - 1 - column if row % 2 else column)


@dataclass(frozen=True)
class _Yard:
    """Chips in rows, and the tiles of each on the joined mesh."""

    target: Target
    columns: int

    @property
    def _size(self) -> tuple[int, int]:
        return self.target.mesh.columns.value, self.target.mesh.rows.value

    def start(self, chip: int, count: int) -> tuple[Array, Array]:
        """Return tiles for so many cores, along a path that winds over the chip."""
        width, height = self._size
        row, column = divmod(chip, self.columns)
        tile = np.arange(count) // self.target.mesh.cores_per_tile.value
        x, step = tile // height, tile % height
        y = np.where(x % 2 == 0, step, height - 1 - step)
        x = width - 1 - x if row % 2 else x
        return x + column * width, y + row * height

    def seats(self, chips: Array, x: Array, y: Array) -> tuple[Seat, ...]:
        """Return the seats on these tiles; cores of one tile are numbered in order."""
        width, height = self._size
        taken: dict[tuple[int, int], int] = {}
        seats = []
        for chip, a, b in zip(chips, x, y, strict=True):
            slot = taken.get((int(a), int(b)), 0)
            taken[int(a), int(b)] = slot + 1
            seats.append(Seat(int(chip), int(a % width), int(b % height), slot))
        return tuple(seats)


def _improve(x: Array, y: Array, own: range, edges: Edges) -> None:
    """Swap seats within one chip, best swap first, until none shortens the ways; in place."""
    senders, receivers, traffic = edges
    a, n = own.start, len(own)
    touched = ((senders >= a) & (senders < a + n)) | ((receivers >= a) & (receivers < a + n))
    s, r, w = senders[touched], receivers[touched], traffic[touched]
    inner = ((s >= a) & (s < a + n)) & ((r >= a) & (r < a + n))
    weights = np.zeros((n, n))
    np.add.at(weights, (s[inner] - a, r[inner] - a), w[inner])
    weights += weights.T
    outer = _pull(x, y, own, (s[~inner], r[~inner], w[~inner]))
    for _ in range(SWAPS):
        px, py = x[a : a + n], y[a : a + n]
        ways = np.abs(px[:, None] - px) + np.abs(py[:, None] - py)
        cost = weights @ ways + outer(px, py)
        now = np.diag(cost)
        gain = now[:, None] + now - cost - cost.T - 2 * weights * ways
        i, j = np.unravel_index(int(gain.argmax()), gain.shape)
        if gain[i, j] <= 1e-9 * max(1.0, float(now.sum())):
            return
        for axis in (x, y):
            axis[[a + i, a + j]] = axis[[a + j, a + i]]


def _pull(x: Array, y: Array, own: range, edges: Edges) -> _Pull:
    s, r, w = edges
    mine = (s >= own.start) & (s < own.stop)
    core = np.where(mine, s, r) - own.start
    other = np.where(mine, r, s)
    return _Pull(len(own), core, x[other].copy(), y[other].copy(), w)


@dataclass(frozen=True)
class _Pull:
    """What cores elsewhere pull at those of a chip: seats x, y -> cost ``[core, seat]``."""

    count: int
    core: Array
    x: Array
    y: Array
    weight: Array

    def __call__(self, px: Array, py: Array) -> Array:
        cost = np.zeros((self.count, len(px)))
        for places, spots in ((self.x, px), (self.y, py)):
            top = int(max(places.max(initial=0), spots.max(initial=0))) + 1
            pull = np.zeros((self.count, top))
            np.add.at(pull, (self.core, places), self.weight)
            steps = np.abs(np.arange(top)[:, None] - spots)
            cost += pull @ steps
        return cost
