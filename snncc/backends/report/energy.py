"""Energy documents of a model or an artefact, on data or from firing rates."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from snncc.artefact import Artefact
from snncc.energy.break_even import break_even, break_even_document, mean_rate
from snncc.energy.conventions import SPIKINGFORMER, Rates, estimates, rates_of
from snncc.energy.detail import layer_details, other_ops, readings, work_of
from snncc.energy.events import event_document
from snncc.energy.load import (
    EnergyModel,
    available_energy_models,
    load_energy_model,
    precisions_of,
)
from snncc.energy.memory import memory_document, spiking_energy_mj, twin_energy_mj
from snncc.energy.price import MJ_PER_PJ, Load, counted, document
from snncc.energy.published import published_document
from snncc.energy.statistics import statistics
from snncc.energy.twin import twin_loads
from snncc.execute.counts import Counts
from snncc.execute.shards.counting import count_sharded
from snncc.execute.shards.job import RunShards, run_whole
from snncc.ir.graph import Array, Graph

if TYPE_CHECKING:
    from snncc.compiler import Checked

COUNTED = ("estimated_ops", "counted_ops")
DIFFERENCE = ("bias", "padding", "placement", "partner")
COLUMNS = (
    "path", "op", "name", "rate", "dense_ops", "mac", "ac", "energy_mj", "role", "reads",
    *COUNTED, *DIFFERENCE,
)  # fmt: skip
"""Of a CSV of layers; the last six are empty without data, and where they have no meaning."""
ENERGIES_COLUMNS = ("energy_model", "precision", "operations", "mac", "ac", "energy_mj")


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


@dataclass
class Subject:
    """A network to price, on samples ``x`` of ``[N, *shape]`` or from rates, or from neither.

    ``written`` is the float step graph, which estimates are of; ``deployed`` is what is counted,
    the integers of an artefact or the same graph. Each is counted once, when it is first needed,
    in shards that ``run`` runs.
    """

    name: str
    written: Graph
    deployed: Graph
    x: Array | None = None
    rates: Rates | None = None
    run: RunShards = run_whole
    _counts: dict[int, Counts] = field(default_factory=dict, init=False, repr=False)

    def counts(self, graph: Graph) -> Counts:
        """Return the counts of one of the two graphs. Raises ``ValueError`` without samples."""
        if self.x is None:
            raise ValueError(f"nothing to count: {self.name} has no samples")
        if id(graph) not in self._counts:
            self._counts[id(graph)] = count_sharded(graph, self.x, self.run)
        return self._counts[id(graph)]

    def counted_as(self, counts: Counts) -> Subject:
        """Return this network with the counts of its deployed form, which are known already."""
        self._counts[id(self.deployed)] = counts
        return self

    @property
    def by_rates(self) -> bool:
        """Whether it is priced from firing rates, without data."""
        return self.rates is not None

    def fits(self, model: EnergyModel) -> bool:
        """Whether there is what the model prices: some need spikes that took place."""
        needs = model.scope.operations.value
        if needs == "dense":
            return True
        return self.x is not None or (self.by_rates and needs in ("estimated", "counted"))


def subject_of(checked: Checked, x: Array | None = None, rates: Rates | None = None) -> Subject:
    """Return a float model as a network to price."""
    return Subject(checked.name, checked.graph, checked.graph, x, rates)


def subject_of_artefact(artefact: Artefact, x: Array | None = None) -> Subject:
    """Return an artefact as a network to price: counts are of its integers, estimates of floats."""
    name = str(artefact.manifest.get("model", ""))
    return Subject(name, artefact.floating or artefact.integer, artefact.integer, x)


def energy_document(
    subject: Subject, model: EnergyModel, way: Way = USUAL_WAY, *, details: bool = True
) -> dict[str, Any]:
    """Return the ``snncc.energy/1`` document of a network under one model.

    ``details`` says of each layer what it did, where there are data.
    """
    kind = model.scope.operations.value
    estimated = subject.by_rates or kind in ("estimated", "dense")
    graph = subject.written if estimated else subject.deployed
    found = _priced(subject, graph, model, way)
    said = readings(graph)
    for layer in found["layers"]:
        layer.update({"role": "", "reads": "", **said.get(layer["name"], {})})
    if subject.x is not None and kind != "dense" and details:
        _detail(found, graph, subject.counts(graph))
    return found


def _priced(subject: Subject, graph: Graph, model: EnergyModel, way: Way) -> dict[str, Any]:
    kind = model.scope.operations.value
    if kind == "dense":
        shapes = {"samples": 0, "time_steps": subject.written.steps}
        return document(subject.name, twin_loads(subject.written), model, shapes)
    if subject.rates is not None:
        of = estimates(graph, subject.rates, way.convention, way.counter_heads)
        shapes = {"samples": 0, "time_steps": graph.steps, **_said(subject.name, way)}
        found = document(subject.name, of, model, {"operations": "estimated", **shapes})
        return {**found, **_beside(subject, of, model, found)}
    counts = subject.counts(graph)
    facts: dict[str, Any] = {"samples": counts.samples, "time_steps": counts.steps}
    if kind == "events":
        return event_document(subject.name, counts, model, facts)
    if kind == "memory":
        return _with_memory(subject, graph, counts, model, facts)
    if kind == "counted":
        of = counted(counts)
    else:
        of = estimates(graph, rates_of(counts, graph), way.convention, way.counter_heads)
        facts = {**facts, **_said(subject.name, way)}
    found = document(subject.name, of, model, facts)
    return {**found, **_beside(subject, of, model, found)}


def _beside(
    subject: Subject, of: tuple[Load, ...], model: EnergyModel, found: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the twin under the same prices, and the rate of break-even with it."""
    twin = sum(load.mac for load in twin_loads(subject.written))
    prices = {p: model.constants[f"mac_{p}"].value * MJ_PER_PJ for p in precisions_of(model)}
    first = next(iter(prices))
    spiking = found["totals"]["ac"] * model.constants[f"ac_{first}"].value * MJ_PER_PJ
    even = break_even(mean_rate(of), found["totals"]["energy_mj"], spiking, twin * prices[first])
    totals = {p: {"mac": twin, "ac": 0.0, "energy_mj": twin * mj} for p, mj in prices.items()}
    return {
        "twin": {"totals_by_precision": totals},
        "break_even": break_even_document(even, subject.written.steps),
    }


def _with_memory(
    subject: Subject, graph: Graph, counts: Counts, model: EnergyModel, facts: dict[str, Any]
) -> dict[str, Any]:
    found = memory_document(subject.name, counts, graph, model, facts)
    spiking, twin = (of(counts, graph, model) for of in (spiking_energy_mj, twin_energy_mj))
    total = found["totals"]["energy_mj"]
    even = break_even(mean_rate(counted(counts)), total, spiking, twin)
    dense = sum(load.mac for load in twin_loads(graph) if load.op in ("conv", "linear"))
    totals = {found["precision"]: {"mac": dense, "ac": 0.0, "energy_mj": twin}}
    found["twin"] = {"totals_by_precision": totals}
    found["break_even"] = break_even_document(even, subject.written.steps)
    return found


def _detail(found: dict[str, Any], graph: Graph, counts: Counts) -> None:
    """Add what each layer did, and what the network did in all."""
    details = layer_details(graph, counts)
    for layer in found["layers"]:
        layer["counts"] = details.get(layer["name"], {})
    others = other_ops(graph, counts)
    found["others"] = list(others)
    found["work"] = work_of(details, others)
    found["statistics"] = statistics(counts)


def energy_csv(energy: Mapping[str, Any]) -> str:
    """Return the layers of an energy document as comma-separated values, with a heading."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for layer in energy["layers"]:
        counts = layer.get("counts", {})
        writer.writerow({**layer, **counts, **counts.get("difference", {})})
    return file.getvalue()


def _said(name: str, way: Way) -> dict[str, Any]:
    """Return how a document's operations were estimated, and what a paper prints for it."""
    return {**way.facts, "published": published_document(name)}


def energies_document(subject: Subject, way: Way = USUAL_WAY) -> dict[str, Any]:
    """Return the ``snncc.energies/1`` document: a network under every model that fits it."""
    found = [energy_document(subject, model, way) for model in all_models(subject)]
    return {"schema": "snncc.energies/1", "model": subject.name, "energies": found}


def energies_csv(document: Mapping[str, Any]) -> str:
    """Return the totals under every model as comma-separated values, with a heading."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(ENERGIES_COLUMNS)
    for each in document["energies"]:
        for precision, totals in each["totals_by_precision"].items():
            numbers = (totals[key] for key in ("mac", "ac", "energy_mj"))
            writer.writerow((each["energy_model"], precision, each["operations"], *numbers))
    return file.getvalue()


def all_models(subject: Subject) -> tuple[EnergyModel, ...]:
    """Return the energy models that ship with snncc and that the network can be priced by."""
    found = (load_energy_model(name) for name in available_energy_models())
    return tuple(model for model in found if subject.fits(model))
