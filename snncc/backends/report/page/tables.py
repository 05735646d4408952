"""The tables of a page: real ones, that can be read and copied without a script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from snncc.backends.report.page.markup import Child, Markup, element
from snncc.backends.report.page.network import Chip, Constant, Energy, Machine, Network
from snncc.backends.report.page.words import duration, letter_of, mj, percent_of
from snncc.backends.report.table import si
from snncc.mapping.check import CORE_LIMITS

_SHORT = 14
"""A text of so many characters is never broken."""


def table(
    heads: Sequence[tuple[str, bool]], rows: Iterable[Sequence[Child]], caption: str
) -> Markup:
    """Return a table; a heading says whether numbers stand under it."""
    head = element("tr", [_head(name, numeric=n) for name, n in heads])
    body = [
        element("tr", [_cell(cell, numeric=n) for cell, (_, n) in zip(row, heads, strict=True)])
        for row in rows
    ]
    inner = element(
        "table", element("caption", caption), element("thead", head), element("tbody", body)
    )
    return element("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)


def folded(title: str, *children: Child, is_open: bool = False) -> Markup:
    """Return what opens on a click, and without a script."""
    return element("details", element("summary", title), *children, open=is_open, class_="fold")


def _head(name: str, *, numeric: bool) -> Markup:
    return element("th", name, scope="col", class_="n" if numeric else None)


def _cell(cell: Child, *, numeric: bool) -> Markup:
    short = isinstance(cell, str) and len(cell) <= _SHORT
    return element("td", cell, class_="n" if numeric else "s" if short else None)


def products_table(network: Network) -> Markup:
    """Return every product with its verdict and its work."""
    models = list(dict.fromkeys(m for p in network.products for m in p.energy_mj or ()))
    heads = [("product", False), ("op", False), ("shape", False), ("reads", False),
             ("spike-driven", False), ("rate", True), ("operations", True),
             *((m, True) for m in models)]  # fmt: skip
    rows = [
        [
            p.path, p.op, " x ".join(map(str, p.shape)), p.reads,
            "yes" if p.driven else p.role or element("b", "no", class_="bad"),
            "-" if p.rate is None or not p.driven else percent_of(p.rate),
            "-" if p.synaptic_ops is None else si(p.synaptic_ops),
            *(mj((p.energy_mj or {})[m]) if m in (p.energy_mj or {}) else "-" for m in models),
        ]
        for p in network.products
    ]  # fmt: skip
    return table(heads, rows, f"Products of {network.name}, one sample")


def neurons_table(network: Network) -> Markup:
    """Return every layer of neurons: its rates by step, and what quantization changed."""
    steps = max((len(layer.rates) for layer in network.layers), default=0)
    heads = [("neurons", False), ("shape", False), ("firing rate", True),
             *((f"t={t}", True) for t in range(steps)), ("spikes that differ", True),
             ("largest potential", True), ("exact", False)]  # fmt: skip
    rows = [
        [
            layer.path, " x ".join(map(str, layer.shape)),
            "-" if layer.rate is None else percent_of(layer.rate),
            *(percent_of(rate) for rate in layer.rates),
            *["-"] * (steps - len(layer.rates)),
            "-" if layer.equal_spikes is None else percent_of(1 - layer.equal_spikes),
            "-" if layer.highest_potential is None else f"{layer.highest_potential:,}",
            "yes" if layer.exact else "rounds",
        ]
        for layer in network.layers
    ]  # fmt: skip
    return table(heads, rows, f"Layers of neurons of {network.name}")


def energies_table(networks: Sequence[Network]) -> Markup:
    """Return what a sample costs under every model."""
    several = len(networks) > 1
    models = list(dict.fromkeys(e.model for n in networks for e in n.energies))
    heads: list[tuple[str, bool]] = [("energy model", False), ("operations", False)]
    heads += [
        (f"energy, {letter_of(at)}" if several else "energy", True) for at, _ in enumerate(networks)
    ]
    heads += [("evidence of its constants", False), ("assumed", False)]
    rows = []
    for model in models:
        found = [n.energy(model) for n in networks]
        first = next(e for e in found if e)
        for precision in first.totals_mj:
            costs = [_total(e, precision) for e in found]
            rows.append(
                [f"{model}, {precision}", first.operations, *costs, ", ".join(first.evidence),
                 "; ".join(first.assumptions) or "nothing"]
            )  # fmt: skip
    return table(heads, rows, "Energy of one sample under each model")


def _total(energy: Energy | None, precision: str) -> str:
    value = energy.totals_mj.get(precision) if energy else None
    return "-" if value is None else mj(value)


def energy_layers_table(network: Network) -> Markup:
    """Return what each layer costs under every model, in its first precision."""
    paths = list(dict.fromkeys(p for e in network.energies for p, _, _ in e.layers))
    by_model = [_summed(e) for e in network.energies]
    heads = [("layer", False), *((f"{e.model}, {e.precision}", True) for e in network.energies)]
    rows = [[path, *(mj(m[path]) if path in m else "-" for m in by_model)] for path in paths]
    return table(heads, rows, f"Energy of each layer of {network.name}, one sample")


def _summed(energy: Energy) -> dict[str, float]:
    found: dict[str, float] = {}
    for path, _, cost in energy.layers:
        found[path] = found.get(path, 0.0) + cost
    return found


def left_out(networks: Sequence[Network]) -> Markup:
    """Return what each energy model does not count."""
    models = {e.model: e.leaves_out for n in networks for e in n.energies}
    return element(
        "dl",
        [
            [element("dt", m), [element("dd", line) for line in lines]]
            for m, lines in models.items()
        ],
    )


def constants_table(constants: Iterable[Constant], caption: str) -> Markup:
    """Return numbers with their unit, what they rest on and their source."""
    rows = [[c.key, str(c.value), c.unit, badge(c), c.source] for c in constants]
    heads = [
        ("constant", False),
        ("value", True),
        ("unit", False),
        ("evidence", False),
        ("source", False),
    ]
    return table(heads, rows, caption)


def badge(constant: Constant) -> Child:
    """Return the class of evidence; what is assumed is marked."""
    if constant.assumed:
        return element("mark", "assumed")
    return constant.evidence or "-"


def uses_table(chip: Chip) -> Markup:
    """Return how full the cores are."""
    heads = [("a core holds", False), ("mean", True), ("fullest", True), ("most", True),
             ("fullest, share", True), ("core", True)]  # fmt: skip
    rows = [
        [
            CORE_LIMITS[use.limit][1] if use.limit in CORE_LIMITS else use.limit,
            f"{use.mean:,.0f}", f"{use.fullest:,}",
            "not published" if use.most is None else f"{use.most:,}",
            "-" if not use.most else percent_of(use.fullest / use.most), str(use.core),
        ]
        for use in chip.uses
    ]  # fmt: skip
    return table(heads, rows, "How full the cores are")


def steps_table(chip: Chip, machine: Machine) -> Markup:
    """Return each step of the chip: its time, the term that binds, and the critical core."""
    heads = [("step", True), ("time", True), ("bound by", False), ("at", False),
             ("what stands there", False)]  # fmt: skip
    rows = [
        [
            str(at),
            duration(s.time_ns),
            s.binding,
            s.where or "everywhere",
            ", ".join(held(chip, s.where)),
        ]
        for at, s in enumerate(machine.steps)
    ]
    return table(heads, rows, "Steps of the chip, in a stream of samples")


def held(chip: Chip, where: str) -> list[str]:
    """Return what stands on a core that is named ``core 3``: at most three populations."""
    number = where.removeprefix("core ")
    if number == where or not number.isdecimal() or int(number) >= len(chip.cores):
        return []
    names = list(dict.fromkeys(name for name, _ in chip.cores[int(number)].parts))
    more = [f"{len(names) - 3} more"] if len(names) > 3 else []
    return names[:3] + more


_CORES = 64
"""Rows of the table of cores: of the busiest, where there are more."""


def cores_table(chip: Chip, machine: Machine) -> Markup:
    """Return the busiest cores: where each stands, what it holds, what it does."""
    heads = [("core", True), ("chip", True), ("tile", False), ("slot", True), ("neurons", True),
             ("operations", True), ("holds", False)]  # fmt: skip
    work = [sum(each) for each in zip(*machine.loads["operations"], strict=True)]
    busiest = sorted(range(len(work)), key=lambda at: -work[at])[:_CORES]
    rows = [_core_row(chip, at, work[at]) for at in busiest]
    return table(heads, rows, f"Cores in use, the {len(rows)} busiest of {len(chip.cores):,}")


def _core_row(chip: Chip, at: int, operations: int) -> list[str]:
    core = chip.cores[at]
    neurons = f"{sum(n for _, n in core.parts):,}"
    return [
        str(at), str(core.chip), f"{core.x},{core.y}", str(core.slot), neurons, si(operations),
        ", ".join(held(chip, f"core {at}")),
    ]  # fmt: skip


def made_of_table(network: Network) -> Markup:
    """Return what the artefact was made of."""
    return table([("", False), ("", False)], network.made_of, f"What {network.name} was made of")
