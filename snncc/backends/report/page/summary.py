"""The report as Markdown, short: what a CI job shows of a compiled network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from snncc.backends.report.compare import sentence
from snncc.backends.report.page.difference import comparisons
from snncc.backends.report.page.headline import headline, warnings
from snncc.backends.report.page.network import Network
from snncc.backends.report.page.words import letter_of, mj, percent_of
from snncc.backends.report.table import si
from snncc.diagnostics.render import printable
from snncc.energy.compare import kind_of

_SHOWN = 10
_MEANT = "\\`*_{}[]<>()#+!|~$&@"


def summary(networks: Sequence[Network]) -> str:
    """Return one network, or two, as Markdown: headline, findings, kinds of layers, energy."""
    lines: list[str] = []
    for number, network in enumerate(networks):
        letter = f"{letter_of(number)}: " if len(networks) > 1 else ""
        lines += [f"## {letter}{plain(network.name)}", "", *_one(network)]
    if len(networks) > 1:
        lines += ["## Difference", ""]
        for model, document in comparisons(networks[0], networks[1]).items():
            lines += [f"- **{plain(model)}**: {plain(sentence(document).replace('uJ', 'µJ'))}"]
        lines.append("")
    return "\n".join(lines)


def _one(network: Network) -> Iterator[str]:
    rows = [
        (fact.name, f"**{plain(fact.value)}**{' (assumed)' if fact.assumed else ''}",
         plain("; ".join(fact.notes)))
        for fact in headline(network)
    ]  # fmt: skip
    yield from _table(("", "", ""), rows)
    told = warnings(network)
    if told:
        yield from (f"> {plain(line)}  " for line in told)
        yield ""
    yield from _findings(network)
    yield from _kinds(network)
    yield from _energies(network)


def _findings(network: Network) -> Iterator[str]:
    if not network.findings:
        return
    yield f"### Findings: {len(network.findings)}"
    yield ""
    for finding in network.findings[:_SHOWN]:
        place = f"{finding.file}:{finding.line}" if finding.line else finding.file
        where = f" ({plain(place)})" if place else ""
        allowed = f", allowed by {plain(finding.allowed_by)}" if finding.allowed_by else ""
        said = plain(finding.message.replace("`", ""))
        yield f"- **{finding.severity} {plain(finding.code)}** {said}{where}{allowed}"
    if len(network.findings) > _SHOWN:
        yield f"- … and {len(network.findings) - _SHOWN} more"
    yield ""


def _kinds(network: Network) -> Iterator[str]:
    counted = network.energy("counted-45nm")
    if counted is None:
        return
    kinds: dict[str, list[float]] = {}
    for layer in counted.document["layers"]:
        total = kinds.setdefault(kind_of(layer, counted.operations), [0, 0.0, 0.0, 0.0])
        for at, value in enumerate((1, layer["mac"], layer["ac"], layer["energy_mj"])):
            total[at] += value
    whole = counted.total_mj or 1.0
    rows = [
        (plain(kind), f"{n:.0f}", si(mac), si(ac), mj(cost), percent_of(cost / whole))
        for kind, (n, mac, ac, cost) in kinds.items()
    ]
    heads = ("kind of layer", "layers", "MAC", "AC", f"energy, {counted.model}", "share")
    yield from _table(heads, rows, numbers=5)


def _energies(network: Network) -> Iterator[str]:
    rows = [
        (f"{plain(e.model)}, {plain(p)}", e.operations, mj(cost), ", ".join(e.evidence))
        for e in network.energies for p, cost in e.totals_mj.items()
    ]  # fmt: skip
    if rows:
        yield from _table(("energy model", "operations", "energy of a sample", "evidence"), rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> Iterator[str]:
    rules = ["---"] * (len(heads) - numbers) + ["---:"] * numbers
    for row in (heads, rules, *rows):
        yield f"| {' | '.join(row)} |"
    yield ""


def plain(words: str) -> str:
    """Return text that Markdown shows as it is: names come from files of strangers."""
    return "".join(f"\\{c}" if c in _MEANT else c for c in printable(words))
