"""Comparisons of two networks for people, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from snncc.backends.report.energy_text import closing_lines, constant_lines, heading, totals_lines
from snncc.backends.report.table import count_of, energy, paragraph, percent, si, table
from snncc.diagnostics.render import printable
from snncc.energy.break_even import mean_rate_of
from snncc.energy.compare import ATTENTION, ENCODER, HEAD, NEURONS, ON_COUNTS, ON_REALS
from snncc.energy.events import EVENTS

Document = Mapping[str, Any]
COLUMNS = (
    "kind",
    "a_mac", "a_ac", "a_energy_mj",
    "b_mac", "b_ac", "b_energy_mj",
    "difference_mj", "ratio",
)  # fmt: skip
_SHOWN = 3
_PRICED = "priced so"
_WHATEVER = "priced alike whatever their value"


def compare_text(document: Document) -> str:
    """Return a ``snncc.compare/1`` document as text of at most 100 columns."""
    a, b = document["a"], document["b"]
    columns = (("kind of layer", False), ("A: MAC", True), ("AC", True), ("energy", True),
               ("B: MAC", True), ("AC", True), ("energy", True), ("B / A", True))  # fmt: skip
    rows = [(row["kind"], *_cells(row)) for row in document["kinds"]]
    rows.append(("all", *_cells(document["totals"])))
    if twins := _twins(document):
        rows.append(("as an ANN", *_cells(twins)))
    head = f"A: {heading(a)}\nB: {heading(b)}\nunder {document['energy_model']}, "
    said = [paragraph(sentence(document)), *(paragraph(each) for each in _remarks(document))]
    sides = (f"{name}: {line}" for name, of in (("A", a), ("B", b)) for line in totals_lines(of))
    parts = [f"{head}{document['precision']}\n", table(columns, rows), "".join(said)]
    return "\n".join([*parts, "".join([*sides, *constant_lines(a), *closing_lines(a)])])


def _twins(document: Document) -> Document | None:
    """Return what both networks cost in one pass without spikes, None where that is not known."""
    found = [document[side].get("twin") for side in "ab"]
    if not all(found):
        return None
    a, b = (each["totals_by_precision"][document["precision"]] for each in found)
    ratio = b["energy_mj"] / a["energy_mj"] if a["energy_mj"] else None
    return {"a": a, "b": b, "ratio": ratio}


def compare_csv(document: Document) -> str:
    """Return the kinds of layers as comma-separated values; the last row is ``all``."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in (*document["kinds"], {"kind": "all", **document["totals"]}):
        sides = (row[side][key] for side in "ab" for key in ("mac", "ac", "energy_mj"))
        ratio = "" if row["ratio"] is None else row["ratio"]
        writer.writerow([row["kind"], *sides, row["difference_mj"], ratio])
    return file.getvalue()


def sentence(document: Document) -> str:
    """Return which of the two costs less, by how much, and what most of the difference is from."""
    mine, theirs = (document["totals"][side]["energy_mj"] for side in "ab")
    if mine == theirs or document["cause"] is None:
        return f"Both cost {energy(mine)} a sample under {document['energy_model']}."
    less, more = ("A", "B") if mine < theirs else ("B", "A")
    low, high = min(mine, theirs), max(mine, theirs)
    cause = document["cause"]
    rest = abs(high - low) * (1 - cause["share"])
    others = f", {energy(abs(rest))} {'more' if rest > 0 else 'less'} for the rest" if rest else ""
    return (
        f"{less} ({printable(document[less.lower()]['model'])}) costs less: {energy(low)} against "
        f"{energy(high)} a sample, {percent(1 - low / high)} less. {more} pays "
        f"{energy((high - low) * cause['share'])} more for {cause['kind']}{others}: "
        f"{_why(document, cause['kind'], less, more)}."
    )


def _why(document: Document, kind: str, less: str, more: str) -> str:
    if kind in (ON_COUNTS, ON_REALS):
        layers = document["not_spike_driven"][more.lower()]
        reads = list(dict.fromkeys(layer["reads"] for layer in layers))
        then = ", so that each of their operations multiplies"
        if _by_events(document):
            then = f": {si(sum(layer['mac'] for layer in layers))} events, {_WHATEVER}"
        return (
            f"{count_of(len(layers), 'layer')} of {more} {_verb(layers)} no spikes but "
            f"{', '.join(reads[:_SHOWN])}{' ...' if len(reads) > _SHOWN else ''}{then}"
        )
    row = next(row for row in document["kinds"] if row["kind"] == kind)
    low, high = row[less.lower()], row[more.lower()]
    if kind == NEURONS:
        return f"{energy(low['energy_mj'])} in {less}, {energy(high['energy_mj'])} in {more}"
    key = "ac" if high["ac"] >= high["mac"] else "mac"
    work = f"{si(low[key])} {key.upper()} in {less}, {si(high[key])} in {more}"
    if kind in (ENCODER, HEAD, ATTENTION):
        return work
    rates = [percent(mean_rate_of(document[side.lower()]["layers"])) for side in (less, more)]
    return f"{work}, where spikes reach weights at {rates[0]} and {rates[1]}"


def _by_events(document: Document) -> bool:
    """Whether the model prices what took place on a chip, where no operation is a MAC."""
    return not EVENTS.keys().isdisjoint(document["a"].get("events", ()))


def _verb(layers: list[Any]) -> str:
    return "reads" if len(layers) == 1 else "read"


def _remarks(document: Document) -> Iterator[str]:
    """Yield what else a reader has to know of the two."""
    for side in "ab":
        layers = document["not_spike_driven"][side]
        if layers:
            mac = si(sum(layer["mac"] for layer in layers))
            then = f"operations are MACs in the papers' convention, and are {_PRICED}"
            yield (
                f"{side.upper()} is not spike-driven: {count_of(len(layers), 'layer')} "
                f"{_verb(layers)} what is no spike; their {mac} "
                f"{f'events are {_WHATEVER}' if _by_events(document) else then}."
            )
    ways = [document[side]["operations"] for side in "ab"]
    if ways[0] != ways[1]:
        yield f"Operations of A are {ways[0]}, those of B {ways[1]}: they differ by that too."
    samples = [document[side]["samples"] for side in "ab"]
    if samples[0] != samples[1]:
        yield "The two are not priced on the same samples."
    if paper := document["published"]:
        yield (
            f"Published: {paper['a_mj']} mJ for A, {paper['b_mj']} mJ for B: "
            f"{100 * paper['less']:.2f} % less."
        )


def _cells(row: Document) -> tuple[str, ...]:
    sides = [
        cell
        for side in "ab"
        for cell in (si(row[side]["mac"]), si(row[side]["ac"]), _energy(row[side]["energy_mj"]))
    ]
    return (*sides, "-" if row["ratio"] is None else f"{row['ratio']:.3g}")


def _energy(mj: float) -> str:
    return energy(mj) if mj else "0"
