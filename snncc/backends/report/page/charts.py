"""The charts of a page as Vega-Lite specifications: data, never programs.

Whatever text comes from a model stands in ``values`` and is read by field; no expression holds any
of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from snncc.backends.report.page.colours import KIND_COLOURS, SERIES
from snncc.backends.report.page.network import Energy, Layer, Machine, Network
from snncc.backends.report.page.words import letter_of, mj
from snncc.backends.report.table import cut
from snncc.energy.compare import KINDS

Spec: TypeAlias = dict[str, Any]

_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
WIDTH = 760
_HALF = 480
_LABEL = 240
"""Pixels of a label of a layer before it is cut."""
_LABEL_CHARACTERS = 38
BOTH, ONLY_FLOAT, ONLY_INTEGER = "both", "float only", "integer only"


def _chart(values: Sequence[Mapping[str, Any]], **parts: Any) -> Spec:
    return {"$schema": _SCHEMA, "data": {"values": list(values)}, "width": WIDTH, **parts}


def _field(name: str, kind: str, title: str | None = None, **more: Any) -> dict[str, Any]:
    return {"field": name, "type": kind, "title": title, **more}


def rates_chart(network: Network) -> Spec:
    """Return the firing rates, layer by time step, as a heat map."""
    names = unique_names(network.layers)
    values = [
        {"layer": name, "path": layer.path, "step": step, "rate": rate, "percent": 100 * rate}
        for name, layer in zip(names, network.layers, strict=True)
        for step, rate in enumerate(layer.rates)
    ]
    return _chart(
        values,
        height={"step": 17},
        mark={"type": "rect", "stroke": None},
        encoding={
            "x": _field("step", "ordinal", "time step", axis={"labelAngle": 0}),
            "y": _field("layer", "nominal", None, sort=names, axis={"labelLimit": _LABEL}),
            "color": _field(
                "percent",
                "quantitative",
                "firing rate, %",
                scale={"range": "heatmap", "domainMin": 0},
                legend={"gradientLength": 160},
            ),
            "tooltip": [
                _field("path", "nominal", "layer"),
                _field("step", "ordinal", "time step"),
                _field("percent", "quantitative", "firing rate, %", format=".3f"),
            ],
        },
    )


def unique_names(layers: Iterable[Layer]) -> list[str]:
    """Return a short name for each layer that no other has: the order on an axis needs one."""
    found: list[str] = []
    for layer in layers:
        name = cut(layer.path, _LABEL_CHARACTERS)
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
    return _chart(
        raster_values(chosen, sample),
        name="raster",
        width=_HALF,
        height={"step": max(8, min(48, 200 // len(steps)))},
        mark={
            "type": "tick",
            "thickness": 2,
            "opacity": 1,
            "bandSize": max(6, min(36, 150 // len(steps))),
        },
        encoding={
            "x": _field(
                "at",
                "quantitative",
                "neuron, spread evenly over the layer",
                scale={"domain": [0, max(len(chosen.shown), 1)], "nice": False},
            ),
            "y": _field("step", "ordinal", "time step", scale={"domain": steps}),
            "color": _field(
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
                _field("neuron", "quantitative", "neuron"),
                _field("step", "ordinal", "time step"),
                _field("fired", "nominal", "fired in"),
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


def potentials_chart(network: Network, layer: int = 0) -> Spec:
    """Return how potentials are spread against the threshold, before and after quantization."""
    bars = {
        "mark": {"type": "area", "interpolate": "step-after", "opacity": 0.45, "line": True},
        "encoding": {
            "x": _field(
                "from",
                "quantitative",
                "potential at the compare, in parts of the threshold",
                scale={"zero": False, "nice": False},
            ),
            "y": _field("share", "quantitative", "% of neurons and steps", stack=None),
            "color": _field(
                "network",
                "nominal",
                "network",
                scale={"domain": ["float", "integer"], "range": [SERIES[6], SERIES[0]]},
                legend={"orient": "top"},
            ),
            "tooltip": [
                _field("network", "nominal"),
                _field("from", "quantitative", "from", format=".1f"),
                _field("to", "quantitative", "to", format=".1f"),
                _field("share", "quantitative", "%", format=".3f"),
            ],
        },
    }
    threshold = {
        "data": {"values": [{"at": 1, "word": "threshold: fires"}]},
        "mark": {"type": "rule", "strokeDash": [5, 3], "strokeWidth": 1.5},
        "encoding": {"x": _field("at", "quantitative")},
    }
    word = {
        "data": {"values": [{"at": 1, "word": "fires →"}]},
        "mark": {"type": "text", "align": "left", "dx": 5, "y": 9},
        "encoding": {"x": _field("at", "quantitative"), "text": {"field": "word"}},
    }
    spec = _chart(
        potential_values(network, network.layers[layer]), name="potentials", width=_HALF, height=200
    )
    return {**spec, "layer": [bars, threshold, word]}


def kind_colours(energies: Iterable[Energy]) -> dict[str, Any]:
    """Return a scale that gives each kind of layer the same colour in every chart."""
    found = {kind for energy in energies for _, kind, _ in energy.layers}
    kinds = [k for k in KINDS if k in found] + sorted(found - set(KINDS))
    return {"domain": kinds, "range": [KIND_COLOURS.get(k, SERIES[5]) for k in kinds]}


def energy_chart(networks: Sequence[Network], *, share: bool = True) -> Spec:
    """Return for each energy model a bar of its layers, stacked; of two networks two bars."""
    several = len(networks) > 1
    models = list(dict.fromkeys(e.model for n in networks for e in n.energies))
    values = [
        {
            "model": _model_label(energy, several=several),
            "layer": path,
            "kind": kind,
            "mj": cost,
            "energy": mj(cost),
            "order": at,
            "network": letter_of(number) if several else "",
            "bar": f"{mj(energy.total_mj)}",
        }
        for number, network in enumerate(networks)
        for energy in network.energies
        for at, (path, kind, cost) in enumerate(_in_kinds(energy))
        if cost > 0
    ]
    order = [
        _model_label(e, several=several) for m in models if (e := _first(networks, m)) is not None
    ]
    x = _field("mj", "quantitative", "share of the energy" if share else "energy of a sample, mJ")
    x["stack"] = "normalize" if share else "zero"
    encoding: dict[str, Any] = {
        "y": _field("model", "nominal", None, sort=order, axis={"labelLimit": _LABEL}),
        "x": x,
        "color": _field(
            "kind",
            "nominal",
            "kind of layer",
            scale=kind_colours(e for n in networks for e in n.energies),
            legend={"orient": "top", "columns": 4},
        ),
        "order": {"field": "order", "type": "quantitative"},
        "tooltip": [
            _field("model", "nominal", "energy model"),
            _field("layer", "nominal", "layer"),
            _field("kind", "nominal", "kind"),
            _field("energy", "nominal", "energy of a sample"),
            _field("bar", "nominal", "whole network"),
        ],
    }
    if several:
        encoding["yOffset"] = _field("network", "nominal", "network")
        encoding["tooltip"].insert(0, _field("network", "nominal", "network"))
    mark = {"type": "bar", "stroke": "white", "strokeWidth": 0.4}
    return _chart(
        values, name="energy", height={"step": 46 if several else 28}, mark=mark, encoding=encoding
    )


def _model_label(energy: Energy, *, several: bool) -> str:
    """Return the name of a model, with the whole network's energy where there is one network."""
    total = "" if several else f": {mj(energy.total_mj)}"
    return f"{energy.model}, {energy.precision}{total}"


def _first(networks: Sequence[Network], model: str) -> Energy | None:
    return next((e for n in networks if (e := n.energy(model)) is not None), None)


def _in_kinds(energy: Energy) -> list[tuple[str, str, float]]:
    order = {kind: at for at, kind in enumerate(KINDS)}
    return sorted(energy.layers, key=lambda layer: order.get(layer[1], len(order)))


def layers_chart(networks: Sequence[Network], model: str) -> Spec:
    """Return what each layer costs under one model; of two networks side by side."""
    values = [
        {
            "layer": cut(path, _LABEL_CHARACTERS),
            "path": path,
            "kind": kind,
            "uj": cost * 1000,
            "network": letter_of(number) if len(networks) > 1 else "",
            "energy": mj(cost),
        }
        for number, network in enumerate(networks)
        if (energy := network.energy(model)) is not None
        for path, kind, cost in energy.layers
    ]
    encoding: dict[str, Any] = {
        "y": _field(
            "layer",
            "nominal",
            None,
            sort=None,
            axis={"labelLimit": _LABEL},
        ),
        "x": _field("uj", "quantitative", "energy of a sample, µJ", aggregate="sum"),
        "color": _field(
            "kind",
            "nominal",
            "kind of layer",
            scale=kind_colours(e for n in networks for e in n.energies),
            legend={"orient": "top", "columns": 4},
        ),
        "tooltip": [
            _field("path", "nominal", "layer"),
            _field("kind", "nominal", "kind"),
            _field("energy", "nominal", "energy of a sample"),
        ],
    }
    if len(networks) > 1:
        encoding["yOffset"] = _field("network", "nominal", "network")
        encoding["opacity"] = _field(
            "network",
            "ordinal",
            "network",
            scale={"domain": ["A", "B"], "range": [1.0, 0.55]},
            legend={"orient": "top"},
        )
    step = 22 if len(networks) > 1 else 15
    return _chart(
        values, name="layers", height={"step": step}, mark={"type": "bar"}, encoding=encoding
    )


def timeline_chart(machine: Machine) -> Spec:
    """Return the terms of each step's time; the one that binds is the step's."""
    terms = list(machine.steps[0].terms) if machine.steps else []
    values = [
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
    return _chart(
        values,
        name="timeline",
        height=200,
        mark={"type": "bar"},
        encoding={
            "x": _field(
                "step",
                "ordinal",
                "step of the chip, in a stream of samples",
                axis={"labelAngle": 0},
            ),
            "xOffset": _field("term", "nominal", sort=terms),
            "y": _field("us", "quantitative", "time, µs (estimated)"),
            "color": _field(
                "term",
                "nominal",
                "term",
                sort=terms,
                scale={"domain": terms, "range": list(SERIES[: len(terms)])},
                legend={"orient": "top"},
            ),
            "opacity": _field(
                "binds",
                "ordinal",
                "the step lasts as long as what",
                scale={"domain": ["binds", "hidden behind it"], "range": [1, 0.35]},
                legend={"orient": "top"},
            ),
            "tooltip": [
                _field("step", "ordinal", "step"),
                _field("term", "nominal", "term"),
                _field("us", "quantitative", "µs", format=".4~f"),
                _field("binds", "nominal", "which"),
                _field("where", "nominal", "of"),
            ],
        },
    )
