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
_SIZE = re.compile(r'<svg ([^>]*?)width="([\d.]+)" height="([\d.]+)"')


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
        "legend": {**words, "titleFontWeight": "normal", "labelLimit": 260},
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

    The specification goes to the script by name, in ``page.SPECS``.
    """
    return element(
        "figure",
        element("figcaption", title),
        element("div", Markup(_fluid(svg_of(spec))), class_="chart scroll", data_chart=name,
                tabindex="0", role="group", aria_label=title),
    )  # fmt: skip


def _fluid(svg: str) -> str:
    """Return the drawing such that it shrinks with the page."""
    return _SIZE.sub(r'<svg \1width="\2" height="\3" style="max-width:100%;height:auto"', svg, 1)
