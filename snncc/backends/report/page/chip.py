"""The floor plan: chips, their meshes, cores by how full they are, links by their traffic."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from snncc.backends.report.page.colours import LOAD_CLASSES, class_of
from snncc.backends.report.page.markup import Markup, element
from snncc.backends.report.page.network import Chip, Machine, Network
from snncc.mapping.check import CORE_LIMITS

_STEPS = {"east": (1, 0), "west": (-1, 0), "north": (0, 1), "south": (0, -1)}
MEASURES = {
    "neurons_per_core": "neurons",
    "synaptic_memory_bytes_per_core": "stored weights",
    "memory_bytes_per_core": "weights and counters",
    "operations": "operations",
    "messages_out": "messages sent",
}
"""What cores can be coloured by, and its name."""


def measures_of(chip: Chip) -> dict[str, str]:
    """Return what the cores of this chip can be coloured by."""
    known = chip.machine.loads if chip.machine else {}
    return {key: name for key, name in MEASURES.items() if key in known}


def shares(machine: Machine, measure: str) -> list[float]:
    """Return how full each core is, by its limit; where there is none, by the busiest core."""
    loads = machine.loads[measure]
    values = (
        list(loads)
        if measure.endswith("_core")
        else [sum(each) for each in zip(*loads, strict=True)]
    )
    limit = machine.limits.get(measure)
    most = float(limit.value) if limit else max(values, default=0)
    return [value / most if most else 0.0 for value in values]


def _class(share: float) -> str:
    return class_of(share, LOAD_CLASSES)


class Drawing:
    """The floor plan of one network, its sizes worked out from the mesh."""

    def __init__(self, network: Network, chip: Chip, machine: Machine, number: int) -> None:
        """Work out the sizes: a few chips are drawn large, many small."""
        self.network, self.chip, self.machine, self.number = network, chip, machine, number
        mesh = {key: int(machine.mesh[key].value) for key in ("columns", "rows", "cores_per_tile")}
        self.columns, self.rows, self.slots = mesh["columns"], mesh["rows"], mesh["cores_per_tile"]
        self.wide = math.ceil(math.sqrt(self.slots))
        chips = [core.chip for core in chip.cores]
        self.across = min(chip.chip_columns, max(chips, default=0) + 1)
        self.down = max(chips, default=0) // chip.chip_columns + 1
        self.cell = 20 if self.across * self.down <= 2 else 9 if self.across <= 4 else 6
        self.tile = self.wide * self.cell
        self.pitch = self.tile + self.cell
        self.margin, self.title = 10, 22
        self.chip_width = self.columns * self.pitch + self.cell + self.margin
        self.chip_height = self.rows * self.pitch + self.cell + self.title + self.margin

    def svg(self) -> Markup:
        """Return the drawing."""
        width = self.across * self.chip_width + self.margin
        height = self.down * self.chip_height + self.margin
        return element(
            "svg", list(self._chips()), list(self._links()), list(self._cores()),
            list(self._names()),
            xmlns="http://www.w3.org/2000/svg", width=f"{width:g}", height=f"{height:g}",
            viewBox=f"0 0 {width:g} {height:g}", role="group", class_="floor",
            aria_label=f"{len(self.chip.cores)} cores of {self.network.target}",
            data_floor=self.number,
        )  # fmt: skip

    def _origin(self, number: int) -> tuple[float, float]:
        column, row = number % self.chip.chip_columns, number // self.chip.chip_columns
        return (
            self.margin + column * self.chip_width,
            self.margin + (self.down - 1 - row) * self.chip_height,
        )

    def _tile(self, x: int, y: int) -> tuple[float, float]:
        """Return the corner of a tile of the joined mesh; north is up."""
        number = x // self.columns + y // self.rows * self.chip.chip_columns
        left, top = self._origin(number)
        row = self.rows - 1 - y % self.rows
        return (
            left + self.cell + x % self.columns * self.pitch,
            top + self.title + self.cell + row * self.pitch,
        )

    def _chips(self) -> Iterator[Markup]:
        for number in sorted({core.chip for core in self.chip.cores}):
            left, top = self._origin(number)
            size = {
                "width": self.chip_width - self.margin,
                "height": self.chip_height - self.margin,
            }
            yield element("rect", x=left, y=top, rx=6, class_="chip", **size)
            for tile in range(self.columns * self.rows):
                x = tile % self.columns + number % self.chip.chip_columns * self.columns
                y = tile // self.columns + number // self.chip.chip_columns * self.rows
                yield self._empty(*self._tile(x, y))

    def _names(self) -> Iterator[Markup]:
        for number in sorted({core.chip for core in self.chip.cores}):
            left, top = self._origin(number)
            yield element("text", f"chip {number}", x=left + 9, y=top + 16, class_="chip-name")

    def _empty(self, x: float, y: float) -> Markup:
        size = {"width": self.tile, "height": self.tile}
        return element("rect", x=f"{x:g}", y=f"{y:g}", rx=2, class_="tile", **size)

    def _cores(self) -> Iterator[Markup]:
        measure = next(iter(measures_of(self.chip)))
        full = shares(self.machine, measure)
        for at, core in enumerate(self.chip.cores):
            column, row = core.chip % self.chip.chip_columns, core.chip // self.chip.chip_columns
            x, y = self._tile(column * self.columns + core.x, row * self.rows + core.y)
            x, y = x + core.slot % self.wide * self.cell, y + core.slot // self.wide * self.cell
            yield element(
                "rect", element("title", f"core {at}"), x=f"{x + 1:g}", y=f"{y + 1:g}",
                width=self.cell - 2, height=self.cell - 2, rx=1.5, tabindex="0" if at < 1 else "-1",
                role="button", aria_label=f"core {at}", class_=f"core {_class(full[at])}",
                data_core=at, data_net=self.number,
            )  # fmt: skip

    def _links(self) -> Iterator[Markup]:
        totals = [sum(packets) for *_, packets in self.machine.links]
        most = max(totals, default=0)
        for at, (direction, x, y, _) in enumerate(self.machine.links):
            dx, dy = _STEPS[direction]
            (x0, y0), (x1, y1) = self._middle(x, y), self._middle(x + dx, y + dy)
            side = self.cell / 4 * (1 if direction in ("east", "north") else -1)
            sx, sy = (0.0, side) if dx else (side, 0.0)
            yield element(
                "line", element("title", f"{direction} of tile {x},{y}: {totals[at]:,} packets"),
                x1=f"{x0 + sx:g}", y1=f"{y0 + sy:g}", x2=f"{x1 + sx:g}", y2=f"{y1 + sy:g}",
                class_=f"link {_class(totals[at] / most if most else 0)}", data_link=at,
            )  # fmt: skip

    def _middle(self, x: int, y: int) -> tuple[float, float]:
        left, top = self._tile(x, y)
        return left + self.tile / 2, top + self.tile / 2


def chip_document(network: Network, chip: Chip, machine: Machine) -> dict[str, Any]:
    """Return what the page's script colours and tells: loads by core, packets by link."""
    populations = list(dict.fromkeys(name for core in chip.cores for name, _ in core.parts))
    place = {name: at for at, name in enumerate(populations)}
    return {
        "measures": measures_of(chip),
        "limits": {k: machine.limits[k].value for k in CORE_LIMITS if k in machine.limits},
        "loads": {key: machine.loads[key] for key in measures_of(chip)},
        "populations": populations,
        "parts": [[[place[name], n] for name, n in core.parts] for core in chip.cores],
        "seats": [[core.chip, core.x, core.y, core.slot] for core in chip.cores],
        "links": [[d, x, y, list(n)] for d, x, y, n in machine.links],
        "steps": [[s.time_ns, s.binding, s.where] for s in machine.steps],
    }
