"""The way of a message: along one axis of the mesh, then along the other.

Chips stand beside each other, ``chip_columns`` in a row, and their meshes are joined at the edges
to one: how chips are wired is published for no chip, so this is assumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from snncc.ir.graph import Array
from snncc.mapping.placement import Placement
from snncc.targets.load import Mesh

Link: TypeAlias = tuple[str, int, int]
"""Direction and the tile that the link leaves, counted over all chips: ``("east", x, y)``."""

DIRECTIONS = ("east", "west", "north", "south")


def tiles_of(placement: Placement, mesh: Mesh) -> tuple[Array, Array]:
    """Return x and y of each core's tile on the joined mesh of all chips."""
    chips = np.array([core.seat.chip for core in placement.cores], np.int64)
    x = np.array([core.seat.x for core in placement.cores], np.int64)
    y = np.array([core.seat.y for core in placement.cores], np.int64)
    column, row = chips % placement.chip_columns, chips // placement.chip_columns
    return x + column * mesh.columns.value, y + row * mesh.rows.value


@dataclass(frozen=True)
class Routes:
    """What travels: hops ``[steps]``, chip crossings, and each step's busiest link.

    ``packets`` is, by direction, how many packets leave each tile there: ``[steps, x, y]``.
    """

    hops_east_west: Array
    hops_north_south: Array
    crossings: Array
    packets: dict[str, Array]

    def by_link(self) -> Iterator[tuple[Link, Array]]:
        """Yield each link that packets passed, with its packets ``[steps]``; the fullest first."""
        stacked = np.stack([self.packets[d] for d in DIRECTIONS], axis=1)
        most = stacked.max(axis=0, initial=0)
        order = np.argsort(-most, axis=None, kind="stable")
        for d, x, y in zip(*np.unravel_index(order, most.shape), strict=True):
            if not most[d, x, y]:
                return
            yield (DIRECTIONS[int(d)], int(x), int(y)), stacked[:, d, x, y]

    def busiest(self) -> tuple[Array, list[Link]]:
        """Return the packets on each step's busiest link, and which link that is."""
        stacked = np.stack([self.packets[d] for d in DIRECTIONS], axis=1)
        flat = stacked.reshape(len(stacked), -1)
        best = flat.argmax(axis=1)
        where = zip(*np.unravel_index(best, stacked.shape[1:]), strict=True)
        links: list[Link] = [(DIRECTIONS[int(d)], int(x), int(y)) for d, x, y in where]
        return flat[np.arange(len(flat)), best], links


def routes(
    placement: Placement, mesh: Mesh, senders: Array, receivers: Array, sent: Array
) -> Routes:
    """Return the hops and the load of every link; ``sent`` ``[steps, pairs]`` are messages."""
    x, y = tiles_of(placement, mesh)
    size = (int(x.max(initial=0)) + 1, int(y.max(initial=0)) + 1)
    x0, y0, x1, y1 = x[senders], y[senders], x[receivers], y[receivers]
    first_x = mesh.routing.value == "x_then_y"
    row, column = (y0, x1) if first_x else (y1, x0)
    packets = {
        "east": _along(x0, x1, row, sent, size),
        "west": _back(x0, x1, row, sent, size),
        "north": _turned(_along(y0, y1, column, sent, size[::-1])),
        "south": _turned(_back(y0, y1, column, sent, size[::-1])),
    }
    chips = np.array([core.seat.chip for core in placement.cores], np.int64)
    crossing = chips[senders] != chips[receivers]
    return Routes(
        sent @ np.abs(x1 - x0), sent @ np.abs(y1 - y0), sent[:, crossing].sum(axis=1), packets
    )


def _turned(load: Array) -> Array:
    return load.transpose(0, 2, 1)


def _along(a: Array, b: Array, lane: Array, sent: Array, size: tuple[int, int]) -> Array:
    """Return what leaves each place upward, ``[steps, place, lane]``, of ways from a to b > a."""
    up = b > a
    keys = [(p * size[1] + lane)[up] for p in (a, b)]
    loads = []
    for row in sent[:, up]:
        ends = [np.bincount(key, row, size[0] * size[1]).reshape(size) for key in keys]
        loads.append((ends[0] - ends[1]).cumsum(axis=0))
    return np.rint(np.array(loads).reshape(len(sent), *size)).astype(np.int64)


def _back(a: Array, b: Array, lane: Array, sent: Array, size: tuple[int, int]) -> Array:
    """Return what leaves each place downward: the way up, seen in a mirror."""
    last = size[0] - 1
    return _along(last - a, last - b, lane, sent, size)[:, ::-1]
