"""The page: one HTML file with all that it needs inside it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

from snncc import __version__
from snncc.backends.report.page import charts, energy_charts, sections
from snncc.backends.report.page.chip import chip_document
from snncc.backends.report.page.colours import DARK, LIGHT, LOAD_CLASSES
from snncc.backends.report.page.difference import difference_section
from snncc.backends.report.page.draw import THEMES, library
from snncc.backends.report.page.markup import Markup, element, script_json
from snncc.backends.report.page.network import Network
from snncc.backends.report.table import count_of

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data:; font-src data:; base-uri 'none'; form-action 'none'"
)
"""What a browser lets the page do: run what is in it, and ask nobody for anything.

The charting library compiles its own expressions, which is why ``unsafe-eval`` stands there.
"""


def page(networks: Sequence[Network]) -> str:
    """Return one network, or two side by side, as an HTML document."""
    title = " and ".join(network.name for network in networks)
    shown = [
        sections.headline_section(networks),
        *([difference_section(networks[0], networks[1])] if len(networks) > 1 else []),
        sections.network_section(networks),
        sections.activity_section(networks),
        sections.energy_section(networks),
        sections.chip_section(networks),
        sections.diagnostics_section(networks),
        sections.origin_section(networks),
    ]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="generator", content=f"snncc {__version__}"),
        element("title", f"{title} - snncc report"),
        element("style", Markup(_style())),
    )
    body = element(
        "body",
        element("a", "Skip to the report", href="#headline", class_="skip"),
        _top(title, networks),
        element("main", shown),
        element(
            "footer",
            f"snncc {__version__}. Every figure is counted, derived or cited; "
            "what is assumed says so.",
            class_="soft",
        ),
        element("script", script_json(_data(networks)), type="application/json", id="data"),
        element("script", Markup(library().replace("</script", "<\\/script"))),
        element("script", Markup(_static("page.js"))),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _top(title: str, networks: Sequence[Network]) -> Markup:
    compared = [("difference", "Difference")] if len(networks) > 1 else []
    links = [
        ("headline", "Headline"),
        *compared,
        ("network", "Network"),
        ("activity", "Activity"),
        ("energy", "Energy"),
        ("chip", "Chip"),
        ("diagnostics", "Diagnostics"),
        ("origin", "Origin"),
    ]
    about = " | ".join(
        f"{n.target}, T={n.time_steps}, {n.weight_bits}-bit weights, "
        f"{count_of(n.samples, 'sample')}"
        for n in networks
    )
    return element(
        "header",
        element("div", element("h1", title), element("p", about, class_="soft"), class_="title"),
        element(
            "nav",
            [element("a", words, href=f"#{name}") for name, words in links],
            element("button", "Dark", type="button", id="theme", class_="needs-script"),
            aria_label="Sections",
        ),
    )


def _data(networks: Sequence[Network]) -> dict[str, Any]:
    """Return what the script draws and shows."""
    specs: dict[str, Any] = {}
    models = energy_charts.models_of(networks)
    for number, network in enumerate(networks):
        if network.profiled:
            specs[f"rates-{number}"] = charts.rates_chart(network)
            specs[f"raster-{number}"] = charts.raster_chart(network)
            specs[f"potentials-{number}"] = charts.potentials_chart(network)
        if network.chip and network.chip.machine and network.chip.cores:
            specs[f"timeline-{number}"] = charts.timeline_chart(network.chip.machine)
    if models:
        specs["energy"] = energy_charts.energy_chart(networks)
        specs["energy-mj"] = energy_charts.energy_chart(networks, share=False)
        specs |= {f"layers:{m}": energy_charts.layers_chart(networks, m) for m in models}
    return {
        "specs": specs,
        "themes": THEMES,
        "networks": [_network_data(network) for network in networks],
        "classes": [list(each) for each in LOAD_CLASSES],
    }


def _network_data(network: Network) -> dict[str, Any]:
    chip = network.chip
    machine = chip.machine if chip else None
    return {
        "nodes": {
            node.name: {"label": node.label, "facts": node.facts, "because": node.because}
            for node in network.nodes
        },
        "bins": network.bins,
        "layers": [
            {
                "shown": layer.shown,
                "spikes": layer.spikes,
                "twin": layer.float_spikes,
                "potentials": layer.potentials,
                "before": layer.float_potentials,
            }
            for layer in network.layers
        ],
        "chip": chip_document(network, chip, machine) if chip and machine else None,
    }


def _style() -> str:
    light, dark = (
        "".join(f"--{name}:{colour};" for name, colour in table.items()) for table in (LIGHT, DARK)
    )
    return (
        f":root{{color-scheme:light;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light])"
        f"{{color-scheme:dark;{dark}}}}}\n"
        f"@media screen{{:root[data-theme=dark]{{color-scheme:dark;{dark}}}}}\n"
        + _static("page.css")
    )


def _static(name: str) -> str:
    folder = resources.files("snncc.backends.report.page") / "static"
    return (folder / name).read_text(encoding="utf-8")
