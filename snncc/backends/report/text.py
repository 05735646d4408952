"""The report for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from snncc.backends.report.build import ProductRow, Report
from snncc.backends.report.table import count_of, energy, paragraph, percent, si, table
from snncc.diagnostics.render import printable
from snncc.passes.spike_causes import shown


def report_text(report: Report) -> str:
    """Return the report as text of at most 100 columns."""
    head = f"{report.model} on {count_of(report.samples, 'sample')}, T={report.steps}\n"
    parts = [head, _products(report), _neurons(report)]
    parts += ["".join(energy_lines(each)) for each in report.energies]
    accuracy = accuracy_line(report.accuracy)
    return "\n".join([*parts, *([f"{accuracy}\n"] if accuracy else [])])


def energy_text(document: Mapping[str, Any]) -> str:
    """Return a ``snncc.energy/1`` document as text."""
    columns = (("layer", False), ("op", False), ("rate", True), ("dense ops", True),
               ("MAC", True), ("AC", True), ("energy", True))  # fmt: skip
    rows = [
        (printable(layer["path"]), layer["op"], "-" if layer["mac"] else percent(layer["rate"]),
         si(layer["dense_ops"]), si(layer["mac"]), si(layer["ac"]), energy(layer["energy_mj"]))
        for layer in document["layers"]
    ]  # fmt: skip
    samples = count_of(document["samples"], "sample")
    of = f"the mean of {samples}" if document["samples"] else "from firing rates"
    head = f"{document['model']}, {of}, T={document['time_steps']}\n"
    return "\n".join([head, table(columns, rows), "".join(energy_lines(document))])


def energy_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the totals of an energy document, and what its model leaves out."""
    for precision, totals in document["totals_by_precision"].items():
        yield (
            f"{document['energy_model']}, {precision}: {totals['energy_mj']:.6g} mJ a sample, "
            f"{si(totals['mac'])} MAC and {si(totals['ac'])} AC {document['operations']}\n"
        )
    for event, of in document.get("events", {}).items():
        yield f"  {event}: {si(of['count'])}, {energy(of['energy_mj'])}\n"
    if document.get("convention"):
        heads = document.get("counter_heads")
        yield f"  convention: {document['convention']}" + (f", {heads} heads\n" if heads else "\n")
    if paper := document.get("published"):
        said = f"  published: {paper['energy_mj']} mJ ({paper['source']}). {paper['note']}"
        yield paragraph(said, "    ")
    yield paragraph("  leaves out: " + " ".join(document["leaves_out"]), "    ")


def accuracy_line(accuracy: Mapping[str, float | None]) -> str:
    """Return accuracies in percent, those that are known."""
    known = (f"{name} {100 * value:.2f} %" for name, value in accuracy.items() if value is not None)
    line = ", ".join(known)
    return f"accuracy: {line}" if line else ""


def _products(report: Report) -> str:
    models = [document["energy_model"] for document in report.energies]
    prices = [(name.removesuffix("-45nm"), True) for name in models]
    columns = (("product", False), ("shape", False), ("reads", False), ("driven", False),
               ("rate", True), ("syn. ops", True), *prices)  # fmt: skip
    return table(columns, [_product(row, models) for row in report.products])


def _product(row: ProductRow, models: list[str]) -> list[str]:
    spikes = row.verdict in ("spike", "scaled spike")
    driven = "yes" if spikes else row.role or "NO"
    return [
        printable(row.path if row.op in ("conv", "linear") else f"{row.path} {row.op}"),
        "x".join(map(str, row.shape)),
        ", ".join(dict.fromkeys(shown(domain) for domain in row.domains)),
        driven,
        percent(row.rate) if spikes else "-",
        si(row.synaptic_ops),
        *(energy(row.energy_mj[m]) if m in row.energy_mj else "-" for m in models),
    ]


def _neurons(report: Report) -> str:
    columns = (("neurons", False), ("shape", False), ("firing rate", True))
    rows = [
        (printable(row.path), "x".join(map(str, row.shape)), percent(row.rate))
        for row in report.neurons
    ]
    return table(columns, rows)
