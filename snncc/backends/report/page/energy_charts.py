"""Charts of energy: under each model, and of each layer; of one network or of two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from snncc.backends.report.page.charts import (
    HALF,
    LABEL,
    LABEL_CHARACTERS,
    WIDTH,
    Spec,
    chart,
    field,
)
from snncc.backends.report.page.colours import KIND_COLOURS, SERIES
from snncc.backends.report.page.network import Energy, Network
from snncc.backends.report.page.words import letter_of, mj
from snncc.backends.report.table import cut
from snncc.energy.compare import KINDS

Networks = Sequence[Network]


def energy_chart(networks: Networks, *, share: bool = True) -> Spec:
    """Return for each energy model a bar of its layers, stacked; of two networks two bars.

    Shares are of the network's whole energy, of two networks of the larger: so both can be
    compared under each model, and models that are far apart stand on one page.
    """
    values = list(_stacked(networks))
    several = len(networks) > 1
    whole = "energy, share of the larger of the two" if several else "share of the energy"
    encoding = {
        "y": field(
            "bar", "nominal", None, sort=list(dict.fromkeys(v["bar"] for v in values)),
            axis={"labelLimit": LABEL},
        ),
        "x": field(
            "share" if share else "mj", "quantitative",
            whole if share else "energy of a sample, mJ", stack="zero",
            **({"axis": {"format": "%"}, "scale": {"domain": [0, 1]}} if share else {}),
        ),
        "color": _kinds(networks),
        "order": {"field": "order", "type": "quantitative"},
        "tooltip": [
            field("bar", "nominal", "energy model"), field("layer", "nominal", "layer"),
            field("kind", "nominal", "kind"), field("energy", "nominal", "energy of a sample"),
        ],
    }  # fmt: skip
    mark = {"type": "bar", "stroke": "white", "strokeWidth": 0.4}
    return chart(values, name="energy", height={"step": 24}, mark=mark, encoding=encoding)


def _stacked(networks: Networks) -> Iterator[dict[str, Any]]:
    """Yield the layers of each bar, models one after the other, in each model A before B."""
    for model in models_of(networks):
        found = [network.energy(model) for network in networks]
        most = max((e.total_mj for e in found if e), default=0.0) or 1.0
        for number, energy in enumerate(found):
            letter = f"{letter_of(number)}: " if len(networks) > 1 else ""
            for at, (path, kind, cost) in enumerate(_in_kinds(energy)):
                if energy and cost > 0:
                    yield {
                        "bar": f"{letter}{model}, {energy.precision}: {mj(energy.total_mj)}",
                        "layer": path, "kind": kind, "mj": cost, "share": cost / most,
                        "energy": mj(cost), "order": at,
                    }  # fmt: skip


def models_of(networks: Networks) -> list[str]:
    """Return the energy models that any of the networks is priced by."""
    return list(dict.fromkeys(e.model for n in networks for e in n.energies))


def _in_kinds(energy: Energy | None) -> list[tuple[str, str, float]]:
    order = {kind: at for at, kind in enumerate(KINDS)}
    layers = energy.layers if energy else ()
    return sorted(layers, key=lambda layer: order.get(layer[1], len(order)))


def _kinds(networks: Networks) -> dict[str, Any]:
    """Return a scale that gives each kind of layer the same colour in every chart."""
    found = {kind for n in networks for energy in n.energies for _, kind, _ in energy.layers}
    kinds = [k for k in KINDS if k in found] + sorted(found - set(KINDS))
    scale = {"domain": kinds, "range": [KIND_COLOURS.get(k, SERIES[5]) for k in kinds]}
    legend = {"orient": "top", "columns": 4}
    return field("kind", "nominal", "kind of layer", scale=scale, legend=legend)


def layers_chart(networks: Networks, model: str) -> Spec:
    """Return what each layer costs under one model; of two networks side by side."""
    several = len(networks) > 1
    values = [
        {
            "layer": cut(path, LABEL_CHARACTERS), "path": path, "kind": kind, "uj": cost * 1000,
            "energy": mj(cost), "network": f"{letter_of(number)}: {network.name}",
        }
        for number, network in enumerate(networks)
        if (energy := network.energy(model)) is not None
        for path, kind, cost in energy.layers
    ]  # fmt: skip
    encoding = {
        "y": field("layer", "nominal", None, sort=None, axis={"labelLimit": LABEL}),
        "x": field("uj", "quantitative", "energy of a sample, µJ", aggregate="sum"),
        "color": _kinds(networks),
        "tooltip": [
            field("path", "nominal", "layer"), field("kind", "nominal", "kind"),
            field("energy", "nominal", "energy of a sample"),
        ],
    }  # fmt: skip
    if several:
        encoding["column"] = field("network", "nominal", None)
    return chart(
        values, name="layers", width=HALF if several else WIDTH, height={"step": 15},
        mark={"type": "bar"}, encoding=encoding,
        **({"resolve": {"scale": {"y": "independent"}}} if several else {}),
    )  # fmt: skip
