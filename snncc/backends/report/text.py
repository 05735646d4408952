"""The report for people."""

from __future__ import annotations

from collections.abc import Mapping

from snncc.backends.report.build import ProductRow, Report
from snncc.backends.report.energy_text import energy_lines
from snncc.backends.report.table import count_of, energy, percent, si, table
from snncc.diagnostics.render import printable
from snncc.passes.spike_causes import shown


def report_text(report: Report, more: str = "") -> str:
    """Return the report as text of at most 100 columns; ``more`` stands before the accuracies."""
    head = f"{report.model} on {count_of(report.samples, 'sample')}, T={report.steps}\n"
    parts = [head, _products(report), _neurons(report)]
    parts += ["".join(energy_lines(each)) for each in report.energies]
    parts += [more] if more else []
    accuracy = accuracy_line(report.accuracy)
    return "\n".join([*parts, *([f"{accuracy}\n"] if accuracy else [])])


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
