"""The placement: which core holds which part of which population, and where it stands.

A part is a box of places of the population's home value. ``placement.json`` is this, and no more:
all that is derived (loads, traffic, times) is derived again by whoever needs it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from snncc.diagnostics.core import SnnccError
from snncc.files.kinds import kind_of
from snncc.ir.graph import Array, Graph, Source
from snncc.ir.sites import USUAL_SITES, Sites
from snncc.mapping.populations import Net, net_of
from snncc.mapping.rules import BAD_PLACEMENT
from snncc.mapping.views import NOWHERE, along

SCHEMA = "snncc.placement/1"

Box: TypeAlias = tuple[tuple[int, int], ...]
"""For each axis, the first place and the one after the last."""


@dataclass(frozen=True, order=True)
class Part:
    """A box of places of a population's home value."""

    population: str
    box: Box

    @property
    def neurons(self) -> int:
        """How many compartments it has."""
        return int(np.prod([stop - start for start, stop in self.box], dtype=np.int64))

    @property
    def index(self) -> tuple[slice, ...]:
        """What selects the part from an array of the home's shape."""
        return tuple(slice(start, stop) for start, stop in self.box)


@dataclass(frozen=True, order=True)
class Seat:
    """Where a core stands: its chip, its tile on the chip's mesh, and its number in the tile."""

    chip: int
    x: int
    y: int
    slot: int


@dataclass(frozen=True)
class Core:
    """A core in use."""

    seat: Seat
    parts: tuple[Part, ...]

    @property
    def neurons(self) -> int:
        """How many compartments it holds."""
        return sum(part.neurons for part in self.parts)


@dataclass(frozen=True)
class Placement:
    """Cores on chips of ``target``. Chips stand in ``chip_columns`` beside each other, row by row.

    ``sites`` says which end of the network the host runs, and ``inputs_on_cores`` whether the input
    is a population, too.
    """

    target: str
    cores: tuple[Core, ...]
    chip_columns: int = 1
    inputs_on_cores: bool = False
    sites: Sites = USUAL_SITES

    @property
    def chips(self) -> int:
        """How many chips are in use."""
        return len({core.seat.chip for core in self.cores})

    def net(self, graph: Graph) -> Net:
        """Return the populations of the graph that this places. Raises ``UnmappedError``."""
        return net_of(graph, sites=self.sites, inputs_on_cores=self.inputs_on_cores)

    def labels(self, net: Net) -> Mapping[str, Array]:
        """Return the core (its number here) of each place of each population's value."""
        found = {p.name: np.full(p.shape, NOWHERE, np.int64) for p in net.populations}
        for number, core in enumerate(self.cores):
            for part in core.parts:
                found[part.population][part.index] = number
        return {p.name: along(net.graph, p.path, found[p.name]) for p in net.populations}


def to_document(placement: Placement) -> dict[str, Any]:
    """Return the ``snncc.placement/1`` document."""
    return {
        "schema": SCHEMA,
        "target": placement.target,
        "chip_columns": placement.chip_columns,
        "encoder": placement.sites.encoder,
        "head": placement.sites.head,
        "inputs_on_cores": placement.inputs_on_cores,
        "cores": [
            {
                "chip": core.seat.chip,
                "tile": [core.seat.x, core.seat.y],
                "slot": core.seat.slot,
                "parts": [
                    {"population": p.population, "box": [list(span) for span in p.box]}
                    for p in core.parts
                ],
            }
            for core in placement.cores
        ],
    }


def from_document(document: Any, name: str = "placement.json") -> Placement:
    """Return the placement that a document describes.

    Raises ``SnnccError`` for what is no ``snncc.placement/1`` document. Whether the placement is
    one of a given network is the checker's question.
    """
    try:
        if document["schema"] != SCHEMA:
            raise ValueError(f"schema is {document['schema']!r}, wanted {SCHEMA!r}")
        cores = tuple(_core(core) for core in document["cores"])
        columns = _natural(document["chip_columns"])
        on_cores = document["inputs_on_cores"]
        sites = Sites(document["encoder"], document["head"])
        if columns < 1 or not isinstance(on_cores, bool) or not isinstance(document["target"], str):
            raise ValueError("chip_columns, inputs_on_cores or target has the wrong type")
    except KeyError as missing:
        raise _refusal(name, f"the key {missing} is missing") from None
    except (TypeError, ValueError) as fault:
        raise _refusal(name, str(fault)) from None
    return Placement(document["target"], cores, columns, on_cores, sites)


def read_placement(path: Path) -> Placement:
    """Return the placement in a JSON file. Raises ``SnnccError`` for one that cannot be used."""
    if what := kind_of(path):
        raise _refusal(str(path), what)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as fault:
        raise _refusal(str(path), f"cannot be read as JSON: {fault}") from None
    return from_document(document, str(path))


def _core(core: Any) -> Core:
    x, y = (_natural(n) for n in core["tile"])
    seat = Seat(_natural(core["chip"]), x, y, _natural(core["slot"]))
    return Core(seat, tuple(_part(part) for part in core["parts"]))


def _part(part: Any) -> Part:
    if not isinstance(part["population"], str):
        raise TypeError(f"the population {part['population']!r} is no name")
    spans = []
    for span in part["box"]:
        start, stop = (_natural(n) for n in span)
        if start >= stop:
            raise ValueError(f"the part of {part['population']} has the empty span {span}")
        spans.append((start, stop))
    return Part(part["population"], tuple(spans))


def _natural(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise TypeError(f"{number!r} is no whole number from 0 up")
    return number


def _refusal(name: str, reason: str) -> SnnccError:
    return SnnccError(BAD_PLACEMENT.at(Source(file=name), f"`{name}` is no placement: {reason}"))


def blocks(n: int, count: int) -> tuple[tuple[int, int], ...]:
    """Return ``count`` spans that cut ``n`` places as evenly as can be, longer ones first."""
    bounds = [0]
    for part in range(count):
        bounds.append(bounds[-1] + n // count + (part < n % count))
    return tuple((a, b) for a, b in itertools.pairwise(bounds) if b > a)


def whole(shape: Iterable[int]) -> Box:
    """Return the box of all places of a shape."""
    return tuple((0, n) for n in shape)
