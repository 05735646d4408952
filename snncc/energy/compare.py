"""Two networks under one energy model: what each kind of layer costs, and what the difference is.

Layers are sorted into kinds by what they read. A weight that meets a count of spikes is multiplied
with it: those layers are what makes a network not spike-driven, and in the papers' convention their
operations are MACs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snncc.energy.published import published, reduction

SCHEMA = "snncc.compare/1"
ENCODER, HEAD = "encoder", "head"
ON_SPIKES, ON_COUNTS, ON_REALS = "weights on spikes", "weights on counts", "weights on reals"
WEIGHTS, ATTENTION, NEURONS = "weights", "attention", "neurons"
KINDS = (ENCODER, ON_SPIKES, ON_COUNTS, ON_REALS, WEIGHTS, ATTENTION, NEURONS, HEAD)
"""The kinds of layers, in the order in which they are shown; others come after them."""

_KEYS = ("mac", "ac", "energy_mj")
Document = Mapping[str, Any]


def kind_of(layer: Document, operations: str) -> str:
    """Return the kind of a layer of an energy document."""
    if layer["op"] in ("matmul", "mask"):
        return ATTENTION
    if layer["op"] in ("neuron", "integer_neuron"):
        return NEURONS
    if layer["op"] not in ("conv", "linear"):
        return str(layer["op"])
    if layer["role"] in (ENCODER, HEAD):
        return str(layer["role"])
    if operations == "dense":
        return WEIGHTS
    if not layer["mac"]:
        return ON_SPIKES
    return ON_REALS if layer["reads"] == "real" else ON_COUNTS


def compare_document(a: Document, b: Document) -> dict[str, Any]:
    """Return the ``snncc.compare/1`` document of two energy documents under the same model.

    ``ratio`` is B's energy by A's, None where A's is 0.
    """
    of_a, of_b = _by_kind(a), _by_kind(b)
    rows = [
        {"kind": kind, **_pair(_sum(of_a.get(kind, ())), _sum(of_b.get(kind, ())))}
        for kind in _ordered({**of_a, **of_b})
    ]
    totals = _pair({k: a["totals"][k] for k in _KEYS}, {k: b["totals"][k] for k in _KEYS})
    found = {
        "schema": SCHEMA,
        "energy_model": a["energy_model"],
        "precision": a["precision"],
        "totals": totals,
        "kinds": rows,
        "not_spike_driven": {"a": _multiplied(of_a), "b": _multiplied(of_b)},
        "published": _published(a["model"], b["model"]),
        "a": a,
        "b": b,
    }
    found["cause"] = _cause(rows, totals)
    return found


def _by_kind(document: Document) -> dict[str, list[Document]]:
    kinds: dict[str, list[Document]] = {}
    for layer in document["layers"]:
        kinds.setdefault(kind_of(layer, document["operations"]), []).append(layer)
    return kinds


def _ordered(kinds: Mapping[str, Any]) -> list[str]:
    return [*(k for k in KINDS if k in kinds), *(k for k in kinds if k not in KINDS)]


def _sum(layers: Any) -> dict[str, float]:
    return {key: sum(layer[key] for layer in layers) for key in _KEYS}


def _pair(a: dict[str, float], b: dict[str, float]) -> dict[str, Any]:
    mine, theirs = a["energy_mj"], b["energy_mj"]
    return {
        "a": a,
        "b": b,
        "difference_mj": theirs - mine,
        "ratio": theirs / mine if mine else None,
    }


def _multiplied(kinds: Mapping[str, list[Document]]) -> list[dict[str, Any]]:
    """Return the layers whose weights meet what is no spike, encoder and head left out."""
    return [
        {"path": layer["path"], "reads": layer["reads"], "mac": layer["mac"]}
        for kind in (ON_COUNTS, ON_REALS)
        for layer in kinds.get(kind, ())
    ]


def _cause(rows: list[dict[str, Any]], totals: Document) -> dict[str, Any] | None:
    """Return the kind that the most of the difference is from, None where there is none.

    ``share`` is above 1 where other kinds make up for a part of it.
    """
    difference = totals["difference_mj"]
    if not difference:
        return None
    most = max(rows, key=lambda row: row["difference_mj"] / difference)
    return {"kind": most["kind"], "share": most["difference_mj"] / difference}


def _published(a: str, b: str) -> dict[str, Any] | None:
    """Return what papers print for both, and by which share the lower is below the other."""
    mine, theirs = published(a), published(b)
    if mine is None or theirs is None:
        return None
    low, high = sorted((mine, theirs), key=lambda paper: paper.table_mj)
    return {"a_mj": mine.table_mj, "b_mj": theirs.table_mj, "less": reduction(low, high)}
