"""The report of a network on data: per product and per neuron layer what it is, does and costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from snncc.compiler import Compiled
from snncc.diagnostics.render import domain_document
from snncc.energy.load import load_energy_model
from snncc.energy.price import document, loads
from snncc.execute.accuracy import right_share
from snncc.execute.counts import Counts, count, counts_for
from snncc.execute.dataset import Dataset
from snncc.ir.domain import Domain
from snncc.ir.graph import Graph, Shape
from snncc.passes.check_spikes import Verdict, verdicts

SCHEMA = "snncc.report/1"
OF_OPERATIONS = ("counted-45nm", "paper-45nm")
"""The energy models that a report shows side by side: both price additions and multiplications."""


@dataclass(frozen=True)
class ProductRow:
    """One product: what it reads, whether that is spikes, and the work of one sample.

    ``synaptic_ops`` are counted on the integer network; ``energy_mj`` is by energy model and
    precision, ``paper-45nm fp32``.
    """

    name: str
    path: str
    op: str
    role: str
    shape: Shape
    domains: tuple[Domain, ...]
    verdict: str
    rate: float
    synaptic_ops: float
    energy_mj: Mapping[str, float]


@dataclass(frozen=True)
class NeuronRow:
    """One layer of neurons: its shape, and the share of neurons that fire in a time step."""

    name: str
    path: str
    shape: Shape
    rate: float


@dataclass(frozen=True)
class Report:
    """A network on ``samples`` samples. ``energies`` are ``snncc.energy/1`` documents."""

    model: str
    samples: int
    steps: int
    products: tuple[ProductRow, ...]
    neurons: tuple[NeuronRow, ...]
    energies: tuple[Mapping[str, Any], ...]
    accuracy: Mapping[str, float | None]


def build_report(compiled: Compiled, dataset: Dataset) -> Report:
    """Return the report on the samples that a model was calibrated with.

    The papers' estimate is of the float step graph as the model has it; what is deployed is
    counted. Accuracies are told where there are labels.
    """
    written, whole = compiled.checked.graph, compiled.whole.counts
    real = counts_for(compiled.real.counts, written) or count(written, dataset.inputs)
    energies = tuple(_energy(compiled.name, name, real, whole) for name in OF_OPERATIONS)
    return Report(
        model=compiled.name,
        samples=whole.samples,
        steps=whole.steps,
        products=tuple(_product(v, written, whole, energies) for v in verdicts(written)),
        neurons=tuple(_neurons(compiled.integer, whole)),
        energies=energies,
        accuracy=_accuracies(compiled, dataset),
    )


def _accuracies(compiled: Compiled, dataset: Dataset) -> dict[str, float | None]:
    """Return the accuracy of the float and of the integer network; empty without labels."""
    if dataset.labels is None:
        return {}
    return {
        "float": right_share(compiled.real.outputs, dataset.labels),
        "integer": right_share(compiled.whole.outputs, dataset.labels),
    }


def report_document(report: Report) -> dict[str, Any]:
    """Return the ``snncc.report/1`` document."""
    return {
        "schema": SCHEMA,
        "model": report.model,
        "samples": report.samples,
        "time_steps": report.steps,
        "accuracy": dict(report.accuracy),
        "products": [_product_document(row) for row in report.products],
        "neurons": [
            {"name": row.name, "path": row.path, "shape": list(row.shape), "rate": row.rate}
            for row in report.neurons
        ],
        "energy": [dict(energy) for energy in report.energies],
    }


def _energy(model: str, name: str, real: Counts, whole: Counts) -> dict[str, Any]:
    """Return one energy document: the estimate is of the float network, as the papers make it."""
    energy_model = load_energy_model(name)
    estimated = energy_model.scope.operations.value == "estimated"
    work = loads(real if estimated else whole, energy_model)
    facts = {"samples": whole.samples, "time_steps": whole.steps}
    return document(model, work, energy_model, facts)


def _product(
    verdict: Verdict, written: Graph, whole: Counts, energies: tuple[Mapping[str, Any], ...]
) -> ProductRow:
    counted = whole.ops.get(verdict.name)
    layers = {e["energy_model"]: _layer_of(e, verdict.name) for e in energies}
    rates = [layer["rate"] for layer in layers.values() if layer]
    return ProductRow(
        name=verdict.name,
        path=verdict.path,
        op=verdict.kind,
        role=verdict.role,
        shape=written.type_of(verdict.name).shape,
        domains=verdict.domains,
        verdict=verdict.verdict,
        rate=rates[0] if rates else 0.0,
        synaptic_ops=int(counted.event_ops.sum()) / whole.samples if counted else 0.0,
        energy_mj={name: layer["energy_mj"] for name, layer in layers.items() if layer},
    )


def _layer_of(energy: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    return next((layer for layer in energy["layers"] if layer["name"] == name), None)


def _neurons(integer: Graph, whole: Counts) -> list[NeuronRow]:
    return [
        NeuronRow(
            op.name, op.source.module, integer.type_of(op.name).shape, whole.rate_out(op.name)
        )
        for op in integer.of_kind("integer_neuron")
    ]


def _product_document(row: ProductRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "path": row.path,
        "op": row.op,
        "role": row.role,
        "shape": list(row.shape),
        "domains": [domain_document(domain) for domain in row.domains],
        "verdict": row.verdict,
        "rate": row.rate,
        "synaptic_ops": row.synaptic_ops,
        "energy_mj": dict(row.energy_mj),
    }
