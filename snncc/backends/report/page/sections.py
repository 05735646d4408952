"""The sections of a page, each from the one or two networks that it shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from snncc.backends.report.page import charts, energy_charts, tables
from snncc.backends.report.page.chip import Drawing, measures_of
from snncc.backends.report.page.draw import figure
from snncc.backends.report.page.headline import Fact, evidence_of, headline, warnings
from snncc.backends.report.page.map import VERDICTS, map_section
from snncc.backends.report.page.markup import Child, Markup, element
from snncc.backends.report.page.network import Chip, Finding, Machine, Network
from snncc.backends.report.page.prose import html_of, inline
from snncc.backends.report.page.words import letter_of
from snncc.backends.report.table import count_of

Networks = Sequence[Network]

COSTS = {
    "u0": "none", "u1": "< 1 %", "u2": "1-5 %", "u3": "5-20 %", "u4": "20-50 %", "u5": "> 50 %",
}  # fmt: skip
LOADS = {
    "u0": "none", "u1": "< 20 %", "u2": "20-40 %", "u3": "40-60 %", "u4": "60-80 %", "u5": "> 80 %",
}  # fmt: skip


def headline_section(networks: Networks) -> Markup:
    """Return the figures that come first, and what of them is assumed."""
    return _section("headline", "Headline", _sides(networks, _headline))


def _headline(network: Network, number: int) -> Child:
    told = [element("li", inline(line)) for line in warnings(network)]
    notes = element(
        "aside", element("h3", "Assumed or missing"), element("ul", told), class_="warnings"
    )
    return [
        element("div", [_card(fact) for fact in headline(network)], class_="cards"),
        notes if told else None,
    ]


def _card(fact: Fact) -> Markup:
    mark = (
        element("mark", "assumed", title="a constant behind it is a guess") if fact.assumed else ""
    )
    return element(
        "div",
        element("h3", fact.name, " ", mark),
        element("p", fact.value, class_=f"figure {fact.state}".strip()),
        [element("p", note, class_="soft") for note in fact.notes],
        class_="card",
    )


def network_section(networks: Networks) -> Markup:
    """Return the network maps with their legend, and the products as a table."""
    return _section(
        "network",
        "Network",
        element(
            "p",
            "The step graph: what happens in one time step for one sample. A block opens "
            "and closes; an operation shows what is known of it.",
            class_="soft",
        ),
        _map_tools(),
        _sides(networks, map_section),
        [
            tables.folded(
                _titled("All products as a table", networks, n), tables.products_table(each)
            )
            for n, each in enumerate(networks)
        ],
    )


def _map_tools() -> Markup:
    return element(
        "div",
        _choice("colour", "Colour by", (("verdict", "verdict"), ("cost", "cost")), "verdict"),
        element("button", "Open all blocks", type="button", data_blocks="open"),
        element("button", "Close all blocks", type="button", data_blocks="close"),
        element(
            "span",
            [element("span", element("i", class_=f"swatch v-{v}"), words) for v, words in VERDICTS],
            class_="legend by-verdict",
        ),
        element(
            "span",
            element("span", "operations of a sample, share of the largest:"),
            [
                element("span", element("i", class_=f"swatch c-{c}"), words)
                for c, words in COSTS.items()
            ],
            class_="legend by-cost",
        ),
        class_="tools",
    )


def activity_section(networks: Networks) -> Markup:
    """Return firing rates, spikes and potentials."""
    return _section(
        "activity",
        "Activity",
        element(
            "p",
            "Rates are of all samples; spikes and potentials of the first ones, and of "
            "neurons that are spread evenly over the layer.",
            class_="soft",
        ),
        _sides(networks, _activity),
        [
            tables.folded(
                _titled("All layers of neurons as a table", networks, n), tables.neurons_table(each)
            )
            for n, each in enumerate(networks)
        ],
    )


def _activity(network: Network, number: int) -> Child:
    if not network.profiled:
        return element("p", "Nothing was recorded: compile with --data.", class_="soft")
    layers = [(str(at), layer.path) for at, layer in enumerate(network.layers)]
    samples = [(str(s), _sample_name(network, s)) for s in range(len(network.layers[0].spikes))]
    return [
        figure(
            "Firing rates by layer and time step", charts.rates_chart(network), f"rates-{number}"
        ),
        element(
            "div",
            _select(f"layer-{number}", "Layer", layers),
            _select(f"sample-{number}", "Sample", samples),
            class_="tools needs-script",
        ),
        element(
            "div",
            figure("Spikes of one sample", charts.raster_chart(network), f"raster-{number}"),
            figure(
                "Potentials against the threshold, before and after quantization",
                charts.potentials_chart(network),
                f"potentials-{number}",
            ),
            class_="pair",
        ),
    ]


def _sample_name(network: Network, sample: int) -> str:
    answer = f"answer {network.answers[sample]}" if sample < len(network.answers) else ""
    label = f"class {network.labels[sample]}, " if sample < len(network.labels) else ""
    return f"{sample} ({label}{answer})"


def energy_section(networks: Networks) -> Markup:
    """Return what a sample costs, by energy model, kind of layer and layer."""
    models = energy_charts.models_of(networks)
    if not models:
        return _section(
            "energy", "Energy", element("p", "Nothing was priced: compile with --data.")
        )
    first = "counted-45nm" if "counted-45nm" in models else models[0]
    return _section(
        "energy",
        "Energy",
        element(
            "div",
            _choice("stack", "Bars show", (("share", "shares"), ("mj", "mJ")), "share"),
            class_="tools needs-script",
        ),
        figure(
            "Energy of one sample under each model, stacked by layer",
            energy_charts.energy_chart(networks),
            "energy",
        ),
        tables.energies_table(networks),
        element(
            "div",
            _select("layers-model", "Energy model", [(m, m) for m in models], first),
            class_="tools needs-script",
        ),
        figure("Energy of each layer", energy_charts.layers_chart(networks, first), "layers"),
        [
            tables.folded(
                _titled("Energy of each layer as a table", networks, n),
                tables.energy_layers_table(each),
            )
            for n, each in enumerate(networks)
        ],
        tables.folded("What each model leaves out", tables.left_out(networks)),
        tables.folded("Constants of the energy models, with their sources", _constants(networks)),
    )


def _constants(networks: Networks) -> list[Markup]:
    known = {e.model: e.constants for n in networks for e in n.energies}
    return [tables.constants_table(c, f"Constants of {model}") for model, c in known.items()]


def chip_section(networks: Networks) -> Markup:
    """Return the floor plans, the time line of steps, and what they are made of."""
    return _section("chip", "Chip", _sides(networks, _chip))


def _chip(network: Network, number: int) -> Child:
    chip = network.chip
    if chip is None or not chip.cores:
        return element("p", f"Nothing of it stands on {network.target}.", class_="soft")
    machine = chip.machine
    if machine is None:
        return [
            element("p", "No data, so no loads: compile with --data.", class_="soft"),
            tables.uses_table(chip),
        ]
    return [_floor(network, chip, machine, number), *_times(chip, machine, number)]


def _floor(network: Network, chip: Chip, machine: Machine, number: int) -> Markup:
    steps = [("all", "all steps"), *((str(at), f"step {at}") for at in range(len(machine.steps)))]
    return element(
        "div",
        element(
            "div",
            _select(f"floor-measure-{number}", "Cores by", list(measures_of(chip).items())),
            _select(f"floor-step-{number}", "Step", steps),
            class_="tools needs-script",
        ),
        element(
            "div",
            element("div", Drawing(network, chip, machine, number).svg(), class_="scroll"),
            element(
                "aside",
                element("p", "Select a core to see what stands on it.", class_="soft"),
                class_="panel",
                data_core_panel=number,
                aria_live="polite",
            ),
            class_="floor-plan",
        ),
        element(
            "p",
            "A square is a core, a line a link between tiles. Share of the limit, or of the "
            "busiest: ",
            [
                element("span", element("i", class_=f"swatch c-{c}"), f" {words}  ")
                for c, words in LOADS.items()
            ],
            element("span", class_="critical-key"),
            " critical core or link of the step",
            class_="soft",
        ),
        class_="chip-plan",
    )


def _times(chip: Chip, machine: Machine, number: int) -> Iterator[Markup]:
    yield figure(
        "Time line of steps, with the term that binds",
        charts.timeline_chart(machine),
        f"timeline-{number}",
    )
    yield tables.steps_table(chip, machine)
    yield tables.uses_table(chip)
    yield tables.folded("Cores as a table", tables.cores_table(chip, machine))
    every = [*machine.mesh.values(), *machine.limits.values(), *machine.speeds]
    guessed = f"Constants of times and floor plan: {evidence_of(every)}"
    yield tables.folded(guessed, tables.constants_table(every, "Constants of the chip"))
    if machine.prices:
        words = f"Energies of {machine.energy_of}: {evidence_of(machine.prices)}"
        yield tables.folded(words, tables.constants_table(machine.prices, "Energies of events"))


def diagnostics_section(networks: Networks) -> Markup:
    """Return what was found, each with its cause and the explanation of its rule."""
    return _section("diagnostics", "Diagnostics", _sides(networks, _diagnostics))


def _diagnostics(network: Network, number: int) -> Child:
    if not network.findings:
        return element("p", "Nothing was found.")
    explained = {f.code: f for f in network.findings}
    return [
        element("p", count_of(len(network.findings), "finding"), class_="soft"),
        [_finding(f) for f in network.findings],
        element("h3", "What the rules say"),
        [
            tables.folded(f"{f.code} {f.name}", html_of(f.explanation))
            for f in explained.values()
            if f.explanation
        ],
    ]


def _finding(finding: Finding) -> Markup:
    place = f"{finding.file}:{finding.line}" if finding.line else finding.file
    rows = [
        ("module", finding.path),
        ("source", place),
        ("allowed by", finding.allowed_by),
        ("help", finding.hint),
    ]
    return element(
        "details",
        element(
            "summary",
            element("span", f"{finding.severity} {finding.code}", class_=f"tag {finding.severity}"),
            " ",
            inline(finding.message),
        ),
        element(
            "dl",
            [[element("dt", k), element("dd", inline(v))] for k, v in rows if v],
            class_="facts",
        ),
        _chain(finding.because),
        class_="finding",
    )


def _chain(because: Iterable[str]) -> Markup | None:
    lines = [element("li", inline(line)) for line in because]
    return (
        element("div", element("p", "because"), element("ol", lines), class_="chain")
        if lines
        else None
    )


def origin_section(networks: Networks) -> Markup:
    """Return what each artefact was made of."""
    return _section(
        "origin", "Origin", _sides(networks, lambda network, _: tables.made_of_table(network))
    )


def _section(name: str, title: str, *children: Child) -> Markup:
    return element("section", element("h2", title), *children, id=name)


def _sides(networks: Networks, show: object) -> Markup:
    """Return what is shown of each network, two beside each other."""
    sides = [
        element(
            "div",
            element("h3", f"{letter_of(number)}: {each.name}", class_="side-name")
            if len(networks) > 1
            else None,
            show(each, number),  # type: ignore[operator]
            class_="side",
        )
        for number, each in enumerate(networks)
    ]
    return element("div", sides, class_="sides" if len(networks) > 1 else "one")


def _titled(words: str, networks: Networks, number: int) -> str:
    return f"{words}: {letter_of(number)}" if len(networks) > 1 else words


def _select(
    name: str, label: str, options: Sequence[tuple[str, str]], chosen: str | None = None
) -> Markup:
    items = [element("option", words, value=v, selected=v == chosen) for v, words in options]
    return element("label", f"{label} ", element("select", items, id=name, autocomplete="off"))


def _choice(name: str, label: str, options: Sequence[tuple[str, str]], chosen: str) -> Markup:
    items = [
        element(
            "label",
            element(
                "input",
                type="radio",
                name=name,
                value=value,
                checked=value == chosen,
                autocomplete="off",
            ),
            words,
        )
        for value, words in options
    ]
    return element("fieldset", element("legend", label), items, class_="choice needs-script")
