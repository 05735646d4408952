"""The charts of a page as Vega-Lite specifications: data, never programs.

Whatever text comes from a model stands in ``values`` and is read by field; no expression holds any
of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from snncc.backends.report.page.colours import SERIES
from snncc.backends.report.page.network import Layer, Machine, Network
from snncc.backends.report.table import cut

Spec: TypeAlias = dict[str, Any]

_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
WIDTH = 760
HALF = 480
LABEL = 240
"""Pixels of a label of a layer before it is cut."""
LABEL_CHARACTERS = 38
BOTH, ONLY_FLOAT, ONLY_INTEGER = "both", "float only", "integer only"


def chart(values: Sequence[Mapping[str, Any]], **parts: Any) -> Spec:
    """Return a chart of values, each a row of plain data."""
    return {"$schema": _SCHEMA, "data": {"values": list(values)}, "width": WIDTH, **parts}


def field(name: str, kind: str, title: str | None = None, **more: Any) -> dict[str, Any]:
    """Return how a field of the values is shown."""
    return {"field": name, "type": kind, "title": title, **more}


def rates_chart(network: Network) -> Spec:
    """Return the firing rates, layer by time step, as a heat map."""
    names = unique_names(network.layers)
    values = [
        {"layer": name, "path": layer.path, "step": step, "rate": rate, "percent": 100 * rate}
        for name, layer in zip(names, network.layers, strict=True)
        for step, rate in enumerate(layer.rates)
    ]
    return chart(
        values,
        height={"step": 17},
        mark={"type": "rect", "stroke": None},
        encoding={
            "x": field("step", "ordinal", "time step", axis={"labelAngle": 0}),
            "y": field("layer", "nominal", None, sort=names, axis={"labelLimit": LABEL}),
            "color": field(
                "percent",
                "quantitative",
                "firing rate, %",
                scale={"range": "heatmap", "domainMin": 0},
                legend={"gradientLength": 160},
            ),
            "tooltip": [
                field("path", "nominal", "layer"),
                field("step", "ordinal", "time step"),
                field("percent", "quantitative", "firing rate, %", format=".3f"),
            ],
        },
    )


def unique_names(layers: Iterable[Layer]) -> list[str]:
    """Return a short name for each layer that no other has: the order on an axis needs one."""
    found: list[str] = []
    for layer in layers:
        name = cut(layer.path, LABEL_CHARACTERS)
        found.append(name if name not in found else f"{name} ({len(found)})")
    return found


def raster_values(layer: Layer, sample: int) -> list[dict[str, Any]]:
    """Return the spikes of one sample: step, neuron, and which of the two networks fired."""
    mine = layer.spikes[sample]
    theirs = layer.float_spikes[sample] if sample < len(layer.float_spikes) else mine
    return [
        {"step": step, "neuron": layer.shown[at], "at": at, "fired": _fired(a, b)}
        for step, (row, twin) in enumerate(zip(mine, theirs, strict=True))
        for at, (a, b) in enumerate(zip(row, twin, strict=True))
        if a != "0" or b != "0"
    ]


def _fired(mine: str, theirs: str) -> str:
    if mine != "0" and theirs != "0":
        return BOTH
    return ONLY_FLOAT if mine == "0" else ONLY_INTEGER


def raster_chart(network: Network, layer: int = 0, sample: int = 0) -> Spec:
    """Return the spikes of the neurons shown of one layer, on one sample."""
    chosen = network.layers[layer]
    steps = list(range(len(chosen.spikes[sample])))
    return chart(
        raster_values(chosen, sample),
        name="raster",
        width=HALF,
        height={"step": max(8, min(48, 200 // len(steps)))},
        mark={
            "type": "tick",
            "thickness": 2,
            "opacity": 1,
            "bandSize": max(6, min(36, 150 // len(steps))),
        },
        encoding={
            "x": field(
                "at",
                "quantitative",
                "neuron, spread evenly over the layer",
                scale={"domain": [0, max(len(chosen.shown), 1)], "nice": False},
            ),
            "y": field("step", "ordinal", "time step", scale={"domain": steps}),
            "color": field(
                "fired",
                "nominal",
                "fired in",
                scale={
                    "domain": [BOTH, ONLY_FLOAT, ONLY_INTEGER],
                    "range": [SERIES[0], SERIES[6], SERIES[1]],
                },
                legend={"orient": "top"},
            ),
            "tooltip": [
                field("neuron", "quantitative", "neuron"),
                field("step", "ordinal", "time step"),
                field("fired", "nominal", "fired in"),
            ],
        },
    )


def potential_values(network: Network, layer: Layer) -> list[dict[str, Any]]:
    """Return both histograms as shares of all potentials, bin by bin, the open ends with them."""
    per, lowest, _ = network.bins
    found = []
    for kind, counts in (("float", layer.float_potentials), ("integer", layer.potentials)):
        total = sum(counts) or 1
        found += [
            {
                "from": lowest + (at - 1) / per,
                "to": lowest + at / per,
                "share": 100 * count / total,
                "network": kind,
            }
            for at, count in enumerate(counts)
        ]
    return found


_THRESHOLD = (
    {
        "data": {"values": [{"at": 1}]},
        "mark": {"type": "rule", "strokeDash": [5, 3], "strokeWidth": 1.5},
        "encoding": {"x": field("at", "quantitative")},
    },
    {
        "data": {"values": [{"at": 1, "word": "fires →"}]},
        "mark": {"type": "text", "align": "left", "dx": 5, "y": 9},
        "encoding": {"x": field("at", "quantitative"), "text": {"field": "word"}},
    },
)
"""A line at the threshold, and what lies beyond it."""


def potentials_chart(network: Network, layer: int = 0) -> Spec:
    """Return how potentials are spread against the threshold, before and after quantization."""
    bars = {
        "mark": {"type": "area", "interpolate": "step-after", "opacity": 0.45, "line": True},
        "encoding": {
            "x": field(
                "from",
                "quantitative",
                "potential at the compare, in parts of the threshold",
                scale={"zero": False, "nice": False},
            ),
            "y": field("share", "quantitative", "% of neurons and steps", stack=None),
            "color": field(
                "network",
                "nominal",
                "network",
                scale={"domain": ["float", "integer"], "range": [SERIES[6], SERIES[0]]},
                legend={"orient": "top"},
            ),
            "tooltip": [
                field("network", "nominal"),
                field("from", "quantitative", "from", format=".1f"),
                field("to", "quantitative", "to", format=".1f"),
                field("share", "quantitative", "%", format=".3f"),
            ],
        },
    }
    spec = chart(
        potential_values(network, network.layers[layer]), name="potentials", width=HALF, height=200
    )
    return {**spec, "layer": [bars, *_THRESHOLD]}


def _times(machine: Machine) -> list[dict[str, Any]]:
    return [
        {
            "step": number,
            "term": term,
            "us": ns / 1000,
            "binds": "binds" if term == step.binding else "hidden behind it",
            "where": step.where if term == step.binding else "",
        }
        for number, step in enumerate(machine.steps)
        for term, ns in step.terms.items()
    ]


def timeline_chart(machine: Machine) -> Spec:
    """Return the terms of each step's time; the one that binds is the step's."""
    terms = list(machine.steps[0].terms) if machine.steps else []
    return chart(
        _times(machine),
        name="timeline",
        height=200,
        mark={"type": "bar"},
        encoding={
            "x": field("step", "ordinal", "step of the chip", axis={"labelAngle": 0}),
            "xOffset": field("term", "nominal", sort=terms),
            "y": field("us", "quantitative", "time, µs (estimated)"),
            "color": field(
                "term",
                "nominal",
                "term",
                sort=terms,
                scale={"domain": terms, "range": list(SERIES[: len(terms)])},
                legend={"orient": "top"},
            ),
            "opacity": field(
                "binds",
                "ordinal",
                "the step lasts as long as what",
                scale={"domain": ["binds", "hidden behind it"], "range": [1, 0.35]},
                legend={"orient": "top"},
            ),
            "tooltip": [
                field("step", "ordinal", "step"),
                field("term", "nominal", "term"),
                field("us", "quantitative", "µs", format=".4~f"),
                field("binds", "nominal", "which"),
                field("where", "nominal", "of"),
            ],
        },
    )
