"""Energy documents of a model or an artefact on data."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from snncc.artefact import Artefact
from snncc.energy.load import EnergyModel
from snncc.energy.price import document, loads
from snncc.execute.counts import count
from snncc.ir.graph import Array, Graph

if TYPE_CHECKING:
    from snncc.compiler import Checked

COLUMNS = ("path", "op", "name", "rate", "dense_ops", "mac", "ac", "energy_mj")


def measured(checked: Checked, x: Array, model: EnergyModel) -> dict[str, Any]:
    """Return the ``snncc.energy/1`` document of a float model on samples ``[N, *shape]``."""
    return _measured(checked.name, checked.graph, x, model)


def measured_artefact(artefact: Artefact, x: Array, model: EnergyModel) -> dict[str, Any]:
    """Return the document of an artefact: counts are of its integers, estimates of its floats."""
    estimates = model.scope.operations.value == "estimated" and artefact.floating is not None
    graph = artefact.floating if estimates and artefact.floating else artefact.integer
    return _measured(str(artefact.manifest.get("model", "")), graph, x, model)


def energy_csv(energy: Mapping[str, Any]) -> str:
    """Return the layers of an energy document as comma-separated values, with a heading."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(energy["layers"])
    return file.getvalue()


def _measured(name: str, graph: Graph, x: Array, model: EnergyModel) -> dict[str, Any]:
    counts = count(graph, x)
    facts = {"samples": counts.samples, "time_steps": counts.steps}
    return document(name, loads(counts, model), model, facts)
