"""Two networks side by side: what differs, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from snncc.backends.report.compare import sentence
from snncc.backends.report.page.headline import COUNTED, PAPER
from snncc.backends.report.page.markup import Markup, element
from snncc.backends.report.page.network import Network
from snncc.backends.report.page.tables import table
from snncc.backends.report.page.words import mj
from snncc.backends.report.table import si
from snncc.energy.compare import compare_document


def comparisons(a: Network, b: Network) -> dict[str, dict[str, Any]]:
    """Return the comparison under each energy model that both are priced by, usual ones first."""
    found = {}
    for mine in sorted(a.energies, key=lambda e: e.model not in (COUNTED, PAPER)):
        theirs = b.energy(mine.model)
        if theirs is not None and theirs.precision == mine.precision:
            found[mine.model] = compare_document(mine.document, theirs.document)
    return found


def difference_section(a: Network, b: Network) -> Markup:
    """Return which of two networks costs less under each energy model, and why."""
    found = comparisons(a, b)
    said = [
        element("li", element("b", f"{model}: "), sentence(document).replace("uJ", "µJ"))
        for model, document in found.items()
    ]
    return element(
        "section",
        element("h2", "Difference"),
        element("ul", said, class_="said")
        if said
        else element("p", "Nothing to compare: no data."),
        [_kinds(model, document) for model, document in found.items()],
        id="difference",
    )


def _kinds(model: str, document: dict[str, Any]) -> Markup:
    heads = [
        ("kind of layer", False),
        ("A: MAC", True),
        ("AC", True),
        ("energy", True),
        ("B: MAC", True),
        ("AC", True),
        ("energy", True),
        ("B - A", True),
        ("B / A", True),
    ]
    rows = [[row["kind"], *_numbers(row)] for row in document["kinds"]]
    rows.append(["all", *_numbers(document["totals"])])
    shown = table(heads, rows, f"{model}, {document['precision']}: kinds of layers of A and of B")
    summary = element("summary", f"{model}: kinds of layers")
    return element("details", summary, shown, open=model == COUNTED, class_="fold")


def _numbers(row: dict[str, Any]) -> Iterator[str]:
    for side in "ab":
        yield si(row[side]["mac"])
        yield si(row[side]["ac"])
        yield mj(row[side]["energy_mj"])
    sign = "-" if row["difference_mj"] < 0 else "+"
    yield f"{sign}{mj(abs(row['difference_mj']))}" if row["difference_mj"] else "0"
    yield "-" if row["ratio"] is None else f"{row['ratio']:.3g}"
