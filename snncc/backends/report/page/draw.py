"""Charts drawn by the bundled library: as SVG before any script runs, and as PNG."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import vl_convert

from snncc.backends.report.page.colours import DARK, LIGHT
from snncc.backends.report.page.markup import Markup, element

_FONT = "DejaVu Sans, Verdana, sans-serif"
_ID = re.compile(r'(?<=id=")(gradient|clip)_?\d+(?=")|(?<=url\(#)(gradient|clip)_?\d+(?=\))')


def config(colours: Mapping[str, str]) -> dict[str, Any]:
    """Return how charts look on a page of these colours."""
    ink, soft, line = (colours[key] for key in ("ink", "soft", "line"))
    words = {"labelColor": ink, "titleColor": ink, "labelFont": _FONT, "titleFont": _FONT}
    return {
        "background": "transparent",
        "font": _FONT,
        "view": {"stroke": line},
        "axis": {**words, "gridColor": line, "domainColor": soft, "tickColor": soft,
                 "titleFontWeight": "normal"},
        "legend": {**words, "titleFontWeight": "normal", "labelLimit": 260,
                   "symbolBaseFillColor": soft},
        "header": {"labelColor": ink, "labelFont": _FONT, "labelFontSize": 12,
                   "labelFontWeight": "bold"},
        "range": {"heatmap": [colours[f"u{n}"] for n in range(6)]},
        "rule": {"color": ink},
        "text": {"color": ink, "font": _FONT},
    }  # fmt: skip


THEMES = {"light": config(LIGHT), "dark": config(DARK)}


@cache
def library() -> str:
    """Return the charting library as one script that asks no network for anything."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def svg_of(spec: Mapping[str, Any]) -> str:
    """Return a chart as SVG on a light ground."""
    return vl_convert.vegalite_to_svg({**spec, "config": THEMES["light"]})


def png_of(spec: Mapping[str, Any], scale: float = 2.0) -> bytes:
    """Return a chart as PNG on white; ``scale`` is pixels a point."""
    white = {**THEMES["light"], "background": LIGHT["page"]}
    return vl_convert.vegalite_to_png({**spec, "config": white}, scale=scale)


def figure(title: str, spec: Mapping[str, Any], name: str) -> Markup:
    """Return a chart with its title: drawn already, and drawn again by a script where there is one.

    The script knows its specification by ``name``.
    """
    return element(
        "figure",
        element("figcaption", title),
        element("div", Markup(named(svg_of(spec), name)), class_="chart scroll", data_chart=name,
                tabindex="0", role="group", aria_label=title),
    )  # fmt: skip


def named(svg: str, name: str) -> str:
    """Return a drawing whose parts are called after it: the library numbers those of a process.

    So a page is the same each time, and no name stands in it twice.
    """
    numbers: dict[str, str] = {}

    def renamed(found: re.Match[str]) -> str:
        return numbers.setdefault(found[0], f"{name}-part-{len(numbers)}")

    return _ID.sub(renamed, svg)
