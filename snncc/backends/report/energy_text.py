"""Energy documents for people: what each layer costs, what stands beside it, what it did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from snncc.backends.report.table import count_of, cut, energy, paragraph, percent, si, table
from snncc.diagnostics.render import printable

Document = Mapping[str, Any]
_UNDER = "    "
_READS = 18
_OPS = {"integer_neuron": "neuron"}


def energy_text(document: Document, *, details: bool = False) -> str:
    """Return a ``snncc.energy/1`` document as text; ``details`` adds what each layer did."""
    columns = (("layer", False), ("op", False), ("reads", False), ("rate", True),
               ("dense ops", True), ("MAC", True), ("AC", True), ("energy", True))  # fmt: skip
    rows = [
        (printable(layer["path"]), _OPS.get(layer["op"], layer["op"]),
         cut(layer["reads"], _READS), _rate(layer), si(layer["dense_ops"]),
         si(layer["mac"]), si(layer["ac"]), energy(layer["energy_mj"]))
        for layer in document["layers"]
    ]  # fmt: skip
    parts = [f"{heading(document)}\n", table(columns, rows)]
    if details and "work" in document:
        parts += [differences_text(document), *attention_text(document)]
    return "\n".join([*parts, "".join(energy_lines(document)), "".join(constant_lines(document))])


def heading(document: Document) -> str:
    """Return which network it is, on what."""
    of = "from shapes alone" if document["operations"] == "dense" else "from firing rates"
    if document["samples"]:
        of = f"the mean of {count_of(document['samples'], 'sample')}"
    return f"{printable(document['model'])}, {of}, T={document['time_steps']}"


def energies_text(documents: Sequence[Document]) -> str:
    """Return one network under several models: a row for each, and what each leaves out."""
    columns = (("energy model", False), ("numbers", False), ("operations", False), ("MAC", True),
               ("AC", True), ("energy", True), ("its ANN twin", True))  # fmt: skip
    rows = [
        (document["energy_model"], precision, document["operations"], si(totals["mac"]),
         si(totals["ac"]), energy(totals["energy_mj"]), _twin(document, precision))
        for document in documents
        for precision, totals in document["totals_by_precision"].items()
    ]  # fmt: skip
    data = max(documents, key=lambda d: (int(d["samples"]), d["operations"] != "dense"))
    notes = [
        "".join([f"{each['energy_model']}\n", *constant_lines(each), *closing_lines(each)])
        for each in documents
    ]
    even = "".join(line for each in documents for line in _break_even(each))
    even += "".join(_published_rates(next((d for d in documents if d.get("break_even")), {})))
    return "\n".join([f"{heading(data)}\n", table(columns, rows), even, "".join(notes)])


def energy_lines(document: Document) -> Iterator[str]:
    """Yield the totals of an energy document, what stands beside it, and what it leaves out."""
    yield from totals_lines(document)
    for event, of in document.get("events", {}).items():
        yield f"  {event}: {si(of['count'])}, {energy(of['energy_mj'])}\n"
    if document.get("convention"):
        heads = document.get("counter_heads")
        yield f"  convention: {document['convention']}" + (f", {heads} heads\n" if heads else "\n")
    yield from _published(document)
    yield from _beside(document)
    yield from _work(document)
    yield from closing_lines(document)


def totals_lines(document: Document) -> Iterator[str]:
    """Yield what one sample costs, in each precision."""
    for precision, totals in document["totals_by_precision"].items():
        yield (
            f"{document['energy_model']}, {precision}: {energy(totals['energy_mj'], 6)} a sample, "
            f"{si(totals['mac'])} MAC and {si(totals['ac'])} AC {document['operations']}\n"
        )


def constant_lines(document: Document) -> Iterator[str]:
    """Yield what each operation was charged, what that rests on, and where it is from."""
    for key, of in document["constants"].items():
        said = f"  {key} = {of['value']:g} {of['unit']}, {of['evidence']}: {of['source']}"
        yield paragraph(said, _UNDER)


def closing_lines(document: Document) -> Iterator[str]:
    """Yield what a model assumes and what it leaves out."""
    for each in document.get("assumptions", ()):
        yield paragraph(f"  assumes: {each}", _UNDER)
    yield paragraph("  leaves out: " + " ".join(document["leaves_out"]), _UNDER)


def _published(document: Document) -> Iterator[str]:
    paper = document.get("published")
    if not paper:
        return
    said = f"  published: {paper['energy_mj']} mJ ({paper['source']}). {paper['note']}"
    yield paragraph(said, _UNDER)
    if other := paper.get("compared_with"):
        less = f"{100 * other['less']:.2f} %"
        yield f"    published: {less} less than {other['model']} ({other['energy_mj']} mJ)\n"


def differences_text(document: Document) -> str:
    """Return, for each product with weights, the estimate, the count, and why they differ."""
    columns = (("layer", False), ("estimated", True), ("counted", True), ("bias", True),
               ("padding", True), ("placement", True), ("excess", True))  # fmt: skip
    rows = []
    for layer in document["layers"]:
        counts = layer["counts"]
        if "padding" in counts.get("difference", {}):
            parts = counts["difference"]
            said, found = counts["estimated_ops"], counts["counted_ops"]
            shares = [si(said), si(found), *(signed(parts[k]) for k in parts)]
            excess = f"{100 * (said / found - 1):+.1f} %" if found else "-"
            rows.append((printable(layer["path"]), *shares, excess))
    note = (
        "estimated = counted + bias + padding + placement: additions of a bias times the rate; taps"
        " on zero padding; spikes, or values other than zero, where fewer synapses are than on"
        " average.\n"
    )
    return table(columns, rows) + paragraph(note)


def attention_text(document: Document) -> Iterator[str]:
    """Yield the products of two values under each convention, where there are some."""
    columns = (("product", False), ("op", False), ("reads", False), ("heads", True),
               ("AND-accumulate", True), ("adds", True), ("a head", True),
               ("SSA formula", True))  # fmt: skip
    rows = []
    for layer in document["layers"]:
        if found := layer["counts"].get("attention"):
            formula = found["ssa_formula"]
            ways = (si(found["and_accumulate"]), si(found["adds"]), _range(found["adds_by_head"]))
            name, heads = printable(layer["path"]), str(found["heads"])
            last = "-" if formula is None else si(formula)
            rows.append((name, layer["op"], cut(layer["reads"], _READS), heads, *ways, last))
    if rows:
        yield table(columns, rows) + paragraph(
            "AND-accumulate: each spike meets every partner. adds: those whose partner is not zero."
            " SSA formula: the papers' T N D² / h times a firing rate, in either order of products."
        )


def _range(by_head: Sequence[float]) -> str:
    """Return the least and the most of several figures."""
    if not by_head:
        return "-"
    least, most = si(min(by_head)), si(max(by_head))
    return least if least == most else f"{least} to {most}"


def signed(number: float) -> str:
    """Return a number of operations with its sign."""
    return si(number) if number >= 0 else f"-{si(-number)}"


def _rate(layer: Document) -> str:
    return "-" if layer["mac"] else percent(layer["rate"])


def _twin(document: Document, precision: str) -> str:
    totals = (document.get("twin") or {}).get("totals_by_precision", {}).get(precision)
    return energy(totals["energy_mj"]) if totals else "-"


def _beside(document: Document) -> Iterator[str]:
    twin = document.get("twin")
    if twin:
        totals = twin["totals_by_precision"]
        prices = ", ".join(f"{p} {energy(t['energy_mj'])}" for p, t in totals.items())
        mac = next(iter(totals.values()))["mac"]
        yield f"  its ANN twin, one pass without spikes: {prices}; {si(mac)} MAC\n"
    yield from _break_even(document)
    yield from _published_rates(document)


def _break_even(document: Document) -> Iterator[str]:
    found = document.get("break_even")
    if not found:
        return
    name, rate = document["energy_model"], found["rate"]
    said = f"  break-even: spikes reach weights at a mean rate of {percent(found['mean_rate'])};"
    if rate is None or rate <= 0:
        said += f" at no rate does it cost less than its twin under {name}"
    elif rate >= 1:
        said += f" it costs less than its twin at every rate under {name}"
    else:
        said += f" below {percent(rate)} it costs less than its twin under {name}"
    yield paragraph(said + ".", _UNDER)


def _published_rates(document: Document) -> Iterator[str]:
    """Yield the rates of break-even that papers found, and where the network stands."""
    found = document.get("break_even") or {"published": ()}
    for each in found["published"]:
        fires = "below" if found["mean_rate"] < each["rate"] else "above"
        steps = document["time_steps"]
        other = "" if each["from_steps"] <= steps <= each["to_steps"] else f"; T is {steps} here"
        yield paragraph(
            f"    published: {percent(each['rate'])} ({each['source']}). It fires {fires} that"
            f"{other}.",
            "      ",
        )


def _work(document: Document) -> Iterator[str]:
    work = document.get("work")
    if not work:
        return
    for key, what in (("ac", "AC"), ("spikes", "spikes")):
        of = document["statistics"][key]
        low, middle, high = (si(n) for n in of["quantiles"].values())
        yield paragraph(
            f"  {what} a sample: {si(of['mean'])}, deviation {si(of['deviation'])}, {low} to {high}"
            f" in nine of ten, median {middle}; least {si(of['least'])}, most {si(of['most'])}",
            _UNDER,
        )
    words = ("weight_words", "potential_words")
    said = (
        f"  it did: {si(work['synaptic_ops'])} synaptic operations, {si(work['spikes'])} spikes,"
        f" {si(work['neuron_updates'])} neuron updates ({si(work['neuron_updates_active'])} with a"
        f" current), {si(work['bias_adds'])} additions of a bias, {si(work['residual_adds'])} of a"
        f" residual, {si(work['pool_ops'])} operations of pools; it touched"
        f" {si(work[words[0]])} words of weights and {si(work[words[1]])} of potentials."
    )
    yield paragraph(said, _UNDER)
