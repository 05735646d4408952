"""Single figures of a page, for papers: charts, blocks of the network map, the floor plan."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeAlias

import vl_convert

from snncc.backends.report.page import charts, energy_charts
from snncc.backends.report.page.chip import Drawing
from snncc.backends.report.page.colours import LIGHT
from snncc.backends.report.page.draw import named, png_of, svg_of
from snncc.backends.report.page.map import drawing
from snncc.backends.report.page.network import Network
from snncc.backends.report.page.rules import UNKNOWN_FIGURE
from snncc.diagnostics.core import SnnccError
from snncc.ir.graph import Source

_Draw: TypeAlias = "Callable[[], Mapping[str, Any] | str]"
"""What makes a figure: a chart's specification, or the text of an SVG."""
_SCALE = 2.0


def figures_of(networks: Sequence[Network]) -> dict[str, _Draw]:
    """Return what makes each figure, by name. Of two networks those of the second end in ``-b``."""
    found: dict[str, _Draw] = {}
    if any(network.energies for network in networks):
        found["energy"] = lambda: energy_charts.energy_chart(networks)
        found["energy-mj"] = lambda: energy_charts.energy_chart(networks, share=False)
    for model in energy_charts.models_of(networks):
        found[f"layers:{model}"] = lambda model=model: energy_charts.layers_chart(networks, model)  # type: ignore[misc]
    for number, network in enumerate(networks):
        end = "-b" if number else ""
        found |= {f"{name}{end}": draw for name, draw in _of_one(network).items()}
    return found


def _of_one(network: Network) -> dict[str, _Draw]:
    found: dict[str, _Draw] = {}
    if network.profiled:
        found["rates"] = lambda: charts.rates_chart(network)
    for at, layer in enumerate(network.layers):
        if layer.spikes:
            found[f"raster:{layer.path}"] = lambda at=at: charts.raster_chart(network, at)  # type: ignore[misc]
        if layer.potentials:
            found[f"potentials:{layer.path}"] = lambda at=at: charts.potentials_chart(network, at)  # type: ignore[misc]
    for group in dict.fromkeys(node.group for node in network.nodes):
        found[f"network:{group}"] = lambda group=group: drawing(network, 0, group)  # type: ignore[misc]
    chip = network.chip
    machine = chip.machine if chip else None
    if chip and machine and chip.cores:
        found["timeline"] = lambda: charts.timeline_chart(machine)
        found["floor"] = lambda: Drawing(network, chip, machine, 0).svg()
    return found


def figure_of(networks: Sequence[Network], form: str, name: str | None) -> bytes:
    """Return one figure as ``png`` or ``svg``. Raises ``SnnccError``, which lists the names."""
    known = figures_of(networks)
    if name is None or name not in known:
        raise _refusal(name, list(known))
    drawn = known[name]()
    if isinstance(drawn, str):
        whole = standalone(drawn)
        return whole.encode() if form == "svg" else vl_convert.svg_to_png(whole, scale=_SCALE)
    return named(svg_of(drawn), "figure").encode() if form == "svg" else png_of(drawn, _SCALE)


def _refusal(name: str | None, known: list[str]) -> SnnccError:
    close = get_close_matches(name or "", known, n=1)
    meant = f", did you mean `{close[0]}`?" if close else ""
    found = f"there is no figure `{name}`{meant}" if name else "--figure NAME is wanted"
    hint = f"one of {_grouped(known)}" if known else "this artefact has none: compile with --data"
    return SnnccError(UNKNOWN_FIGURE.at(Source(), found, hint=hint))


def _grouped(known: Sequence[str]) -> str:
    """Return the names, each layer once: ``rates; raster: or potentials: with lif, ...``."""
    ends: dict[str, list[str]] = {}
    for name in known:
        start, _, end = name.partition(":")
        ends.setdefault(start, []).append(end)
    alike: dict[tuple[str, ...], list[str]] = {}
    for start, of in ends.items():
        alike.setdefault(tuple(of), []).append(start)
    whole = ", ".join(alike.pop(("",), []))
    parts = (
        f"{' or '.join(f'{start}:' for start in starts)} with {', '.join(of)}"
        for of, starts in alike.items()
    )
    return "; ".join([*([whole] if whole else []), *parts])


_RULES = (
    ".box{{fill:{other};stroke:{edge}}}.v-spike .box{{fill:{spike}}}.v-counts .box{{fill:{counts}}}"
    ".v-real .box{{fill:{real}}}.v-encoder .box,.v-head .box{{fill:{encoder}}}"
    ".v-neuron .box{{fill:{neuron}}}.name,.kind,.chip-name{{fill:{ink};font-family:DejaVu Sans,"
    "Verdana,sans-serif;text-anchor:middle}}.name{{font-size:12px;font-weight:bold}}"
    ".kind{{font-size:10px;fill:{soft}}}.chip-name{{text-anchor:start;font-size:12px}}"
    ".port{{fill:none;stroke:{edge};stroke-dasharray:4 3}}.port-name{{font-size:10px;"
    "font-weight:normal;font-style:italic;fill:{soft}}}.edge{{fill:none;stroke:{edge}}}"
    ".tip{{fill:{edge}}}.chip{{fill:{card};stroke:{line}}}.tile{{fill:{page};stroke:{line}}}"
    ".core{{stroke:{edge};stroke-width:.5}}.link{{stroke-width:2.4}}"
)  # fmt: skip


def standalone(svg: str) -> str:
    """Return a drawing of the page with the colours that its style sheet gave it."""
    loads = "".join(
        f".core.{name}{{fill:{LIGHT[name]}}}.link.{name}{{stroke:{LIGHT[name]}}}"
        for name in ("u0", "u1", "u2", "u3", "u4", "u5")
    )
    style = f"<style>{_RULES.format(**LIGHT)}{loads}</style>"
    ground = f'<rect width="100%" height="100%" fill="{LIGHT["page"]}"/>'
    return re.sub(r"(<svg [^>]*>)", lambda found: found[1] + style + ground, svg, count=1)
