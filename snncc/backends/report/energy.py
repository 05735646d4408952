"""Energy documents of a model or an artefact, on data or from firing rates."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snncc.artefact import Artefact
from snncc.energy.conventions import SPIKINGFORMER, Rates, estimates, rates_of
from snncc.energy.events import event_document
from snncc.energy.load import EnergyModel
from snncc.energy.price import document, loads
from snncc.energy.published import published
from snncc.execute.counts import count
from snncc.ir.graph import Array, Graph

if TYPE_CHECKING:
    from snncc.compiler import Checked

COLUMNS = ("path", "op", "name", "rate", "dense_ops", "mac", "ac", "energy_mj")


@dataclass(frozen=True)
class Way:
    """How operations are estimated: a paper's convention, and the heads its counter was set to."""

    convention: str = SPIKINGFORMER
    counter_heads: int | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What a document says of it."""
        return {"convention": self.convention, "counter_heads": self.counter_heads}


USUAL_WAY = Way()


def rated(
    checked: Checked, rates: Rates, model: EnergyModel, way: Way = USUAL_WAY
) -> dict[str, Any]:
    """Return the ``snncc.energy/1`` document of a network from firing rates, without data."""
    of = estimates(checked.graph, rates, way.convention, way.counter_heads)
    facts = {"operations": "estimated", "samples": 0, "time_steps": checked.graph.steps}
    return document(checked.name, of, model, {**facts, **_said(checked.name, way)})


def measured(
    checked: Checked, x: Array, model: EnergyModel, way: Way = USUAL_WAY
) -> dict[str, Any]:
    """Return the ``snncc.energy/1`` document of a float model on samples ``[N, *shape]``."""
    return _measured(checked.name, checked.graph, x, model, way)


def measured_artefact(
    artefact: Artefact, x: Array, model: EnergyModel, way: Way = USUAL_WAY
) -> dict[str, Any]:
    """Return the document of an artefact: counts are of its integers, estimates of its floats."""
    priced = model.scope.operations.value == "estimated" and artefact.floating is not None
    graph = artefact.floating if priced and artefact.floating else artefact.integer
    return _measured(str(artefact.manifest.get("model", "")), graph, x, model, way)


def energy_csv(energy: Mapping[str, Any]) -> str:
    """Return the layers of an energy document as comma-separated values, with a heading."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(energy["layers"])
    return file.getvalue()


def _measured(name: str, graph: Graph, x: Array, model: EnergyModel, way: Way) -> dict[str, Any]:
    counts = count(graph, x)
    facts = {"samples": counts.samples, "time_steps": counts.steps}
    if model.scope.operations.value == "events":
        return event_document(name, counts, model, facts)
    if model.scope.operations.value == "counted":
        return document(name, loads(counts, model), model, facts)
    of = estimates(graph, rates_of(counts, graph), way.convention, way.counter_heads)
    return document(name, of, model, {**facts, **_said(name, way)})


def _said(name: str, way: Way) -> dict[str, Any]:
    """Return how a document's operations were estimated, and what a paper prints for it."""
    paper = published(name)
    beside = None
    if paper is not None:
        beside = {"energy_mj": paper.energy_mj, "source": paper.source, "note": paper.note}
    return {**way.facts, "published": beside}
