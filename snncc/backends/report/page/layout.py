"""Where the ops of one block of the network map stand: layers from top to bottom.

An op stands below all that it reads. Within a layer it stands near the middle of what it reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from snncc.backends.report.page.network import Node

WIDTH, HEIGHT = 154, 40
GAP_X, GAP_Y = 14, 24
_LANE = 12
"""Between edges that pass by other ops, on the right side."""
_BEND = 7
_SWEEPS = 4


@dataclass(frozen=True)
class Place:
    """The upper left corner of an op, or of a name of what stands in another block."""

    x: float
    y: float

    @property
    def middle(self) -> float:
        """Its middle from left to right."""
        return self.x + WIDTH / 2


@dataclass(frozen=True)
class Plan:
    """A block: its size, its ops' places, and its edges as paths of SVG.

    ``enters`` are the places of values that come from other blocks, ``leaves`` of those that go
    there. Edges are (from, to, path); one that leaves goes nowhere, ``""``.
    """

    width: float
    height: float
    places: Mapping[str, Place]
    enters: Mapping[str, Place]
    leaves: Mapping[str, Place]
    edges: tuple[tuple[str, str, str], ...]


def plan_of(nodes: Iterable[Node], leaving: Iterable[str]) -> Plan:
    """Return where the ops of one block stand; ``leaving`` are those that other blocks read."""
    reads = {(node.name, ""): [(name, "") for name in node.inputs] for node in nodes}
    inside = list(reads)
    outer = dict.fromkeys(r for each in reads.values() for r in each if r not in reads)
    layers = _layers(reads, outer)
    last = max(layers.values()) + 1
    for name in leaving:
        reads[name, "out"], layers[name, "out"] = [(name, "")], last
    rows = _rows(layers, reads)
    columns = max(len(row) for row in rows)
    width = columns * (WIDTH + GAP_X) - GAP_X
    places = {
        key: Place((columns - len(row) + 2 * at) * (WIDTH + GAP_X) / 2, level * (HEIGHT + GAP_Y))
        for level, row in enumerate(rows)
        for at, key in enumerate(row)
    }
    edges, lanes = _edges(reads, places, layers, width)
    return Plan(
        width + lanes, len(rows) * (HEIGHT + GAP_Y) - GAP_Y,
        {name: places[name, ""] for name, _ in inside},
        {name: places[name, ""] for name, _ in outer},
        {name: place for (name, out), place in places.items() if out},
        edges,
    )  # fmt: skip


_Key = tuple[str, str]
"""A value, and ``out`` for the name of it where it leaves."""


def _layers(reads: Mapping[_Key, list[_Key]], outer: Iterable[_Key]) -> dict[_Key, int]:
    found = dict.fromkeys(outer, 0)
    for key, sources in reads.items():  # in topological order
        found[key] = max((found[s] + 1 for s in sources), default=0)
    return found


def _rows(layers: Mapping[_Key, int], reads: Mapping[_Key, list[_Key]]) -> list[list[_Key]]:
    rows: list[list[_Key]] = [[] for _ in range(max(layers.values()) + 1)]
    for key, level in layers.items():
        rows[level].append(key)
    at = {key: i - (len(row) - 1) / 2 for row in rows for i, key in enumerate(row)}
    for _ in range(_SWEEPS):
        for row in rows[1:]:
            middle = {key: _mean([at[s] for s in reads.get(key, ())], at[key]) for key in row}
            row.sort(key=lambda key: middle[key])
            at |= {key: i - (len(row) - 1) / 2 for i, key in enumerate(row)}
    return [row for row in rows if row]


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _edges(
    reads: Mapping[_Key, list[_Key]],
    places: Mapping[_Key, Place],
    layers: Mapping[_Key, int],
    width: float,
) -> tuple[tuple[tuple[str, str, str], ...], float]:
    """Return the edges, and how much room those that pass by others take on the right."""
    found, lane = [], width
    for key, sources in reads.items():
        to = "" if key[1] else key[0]
        for source in sources:
            if layers[key] - layers[source] == 1:
                path = _line(places[source], places[key])
            else:
                lane += _LANE
                path = _around(places[source], places[key], lane)
            found.append((source[0], to, path))
    return tuple(found), lane - width + (_LANE / 2 if lane > width else 0)


def _line(a: Place, b: Place) -> str:
    x0, y0, x1, y1 = a.middle, a.y + HEIGHT, b.middle, b.y
    if x0 == x1:
        return f"M{x0:g},{y0:g}V{y1:g}"
    middle = (y0 + y1) / 2
    return f"M{x0:g},{y0:g}C{x0:g},{middle:g} {x1:g},{middle:g} {x1:g},{y1:g}"


def _around(a: Place, b: Place, lane: float) -> str:
    """Return a way that leaves one op below, goes down a lane on the right, and enters another."""
    x0, y0, x1, y1 = a.middle + 12, a.y + HEIGHT, b.middle + 12, b.y
    out, back, r = y0 + _BEND, y1 - _BEND - 2, _BEND
    return (
        f"M{x0:g},{y0:g}Q{x0:g},{out:g} {x0 + r:g},{out:g}H{lane - r:g}"
        f"Q{lane:g},{out:g} {lane:g},{out + r:g}V{back - r:g}"
        f"Q{lane:g},{back:g} {lane - r:g},{back:g}H{x1 + r:g}"
        f"Q{x1:g},{back:g} {x1:g},{back + r:g}V{y1:g}"
    )
