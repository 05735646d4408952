"""Files of firing rates: JSON or CSV, one rate a layer.

A plain CSV has the columns ``path`` and ``rate``; the JSON has ``layers`` with ``name`` and
``input_firing_rate``, and ``attention`` with ``q``, ``k`` and ``v`` for each ``block``. What
``snncc energy`` writes, ``snncc.energy/1``, can be read again, and no other document of snncc's:
its numbers are of something else. Only rates are taken from a file: what a layer costs when it is
dense is the network's own.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from snncc.energy.conventions import Rates
from snncc.energy.price import SCHEMA
from snncc.energy.products import Operand, Product, products
from snncc.files.kinds import kind_of
from snncc.ir.graph import Graph

_OLD_NAMES = (
    (re.compile(r"^(patch_embed\.)proj_conv(\d)$"), r"\1proj\2_conv"),
    (re.compile(r"^(patch_embed\.)rpe_conv$"), r"\1proj4_conv"),
    (re.compile(r"^(block\.\d+\.mlp\.)fc(\d)_conv$"), r"\1mlp\2_conv"),
)
"""Names in Spikingformer's published logs, and those in its code today."""

_RATE_KEYS = ("rate", "input_firing_rate")
_FEW = 3
_OWN = "snncc."
"""How the schemas of snncc's own documents begin."""


class RateError(ValueError):
    """A file of rates that cannot be used, and why."""


def read_rates(path: Path, graph: Graph) -> Rates:
    """Return the rates that a file gives for a network. Raises ``RateError``."""
    return match(_rows(path), graph)


def match(rows: Iterable[tuple[str, object]], graph: Graph) -> Rates:
    """Return rates by operand of the network's products. Raises ``RateError``.

    Each spike operand has to have its rate and each name has to be one of the network's. What is
    no spikes needs none.
    """
    found = products(graph)
    known = _names(found, graph)
    given: dict[str, float] = {}
    surplus = []
    for name, rate in rows:
        here = name if name in known else _today(name)
        if here not in known:
            surplus.append(name)
        elif here in given:
            raise RateError(f"`{name}` is given twice")
        else:
            given[here] = _checked(name, rate)
    if surplus:
        raise RateError(f"the network has no layer {_few(surplus)}")
    return _rates(found, given)


def _rates(found: tuple[Product, ...], given: Mapping[str, float]) -> Rates:
    rates: dict[tuple[str, int], float] = {}
    missing = []
    for product in found:
        for place, operand in enumerate(product.operands):
            if not operand.spike:
                continue
            name = next((k for k in _keys(product, operand) if k in given), None)
            if name is None:
                missing.append(_keys(product, operand)[0])
            else:
                rates[product.name, place] = given[name]
    if missing:
        raise RateError(f"there is no rate of {_few(list(dict.fromkeys(missing)))}")
    return rates


def _keys(product: Product, operand: Operand) -> tuple[str, ...]:
    """Return the names under which a file may give an operand's rate, the usual one first."""
    if not product.is_attention:
        return (product.path, product.name)
    return tuple(key for key in (operand.path, operand.neuron, product.name) if key)


def _names(found: tuple[Product, ...], graph: Graph) -> frozenset[str]:
    neurons = (*graph.of_kind("neuron"), *graph.of_kind("integer_neuron"))
    names = {name for op in neurons for name in (op.name, op.source.module)}
    names |= {name for p in found if not p.is_attention for name in (p.name, p.path)}
    return frozenset((names | {p.name for p in found}) - {""})


def _today(name: str) -> str:
    for old, new in _OLD_NAMES:
        name = old.sub(new, name)
    return name


def _checked(name: str, rate: object) -> float:
    wrong = f"the rate of `{name}` is {rate!r}, wanted a number"
    if isinstance(rate, bool):
        raise RateError(wrong)
    try:
        value = float(rate)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise RateError(wrong) from None
    if not 0 <= value <= 1:
        raise RateError(f"the rate of `{name}` is {rate}, wanted a number from 0 to 1")
    return value


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(f"`{name}`" for name in names[:_FEW]) + more


def _rows(path: Path) -> list[tuple[str, object]]:
    if what := kind_of(path):
        raise RateError(what)
    try:
        text = path.read_bytes().decode("utf-8-sig")
        rows = list(_of_json(json.loads(text)) if path.suffix == ".json" else _of_csv(text))
    except OSError as fault:
        raise RateError(f"cannot be read: {fault.strerror}") from fault
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error, RecursionError) as fault:
        raise RateError(f"is neither JSON nor CSV of rates: {fault}") from fault
    if not rows:
        raise RateError("holds no rates")
    return rows


def _of_csv(text: str) -> Iterator[tuple[str, object]]:
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True, strict=True)
    columns = reader.fieldnames or ()
    if not ({"path", "name"} & set(columns) and set(_RATE_KEYS) & set(columns)):
        raise RateError("wanted a heading with the columns `path` and `rate`")
    for row in reader:
        yield _row(row)


def _of_json(document: Any) -> Iterator[tuple[str, object]]:
    layers = document.get("layers") if isinstance(document, dict) else None
    schema = document.get("schema") if isinstance(document, dict) else None
    if isinstance(schema, str) and schema.startswith(_OWN) and schema != SCHEMA:
        raise RateError(f"its schema is `{schema[:40]}`, wanted `{SCHEMA}` or none of snncc's")
    if not isinstance(layers, list):
        raise RateError("wanted an object with a list `layers`")
    for layer in layers:
        if not isinstance(layer, dict):
            raise RateError(f"a layer is {layer!r}, wanted an object")
        yield _row(layer)
    attention = document.get("attention", [])
    for each in attention if isinstance(attention, list) else [attention]:
        if not (isinstance(each, dict) and {"block", "q", "k", "v"} <= each.keys()):
            raise RateError("each of `attention` has to have `block`, `q`, `k` and `v`")
        for letter in "qkv":
            yield f"block.{each['block']}.attn.{letter}_lif", each[letter]


def _row(row: Mapping[str, Any]) -> tuple[str, object]:
    name = row.get("name") or row.get("path")
    rate = next((row[key] for key in _RATE_KEYS if key in row), None)
    if not isinstance(name, str) or not name:
        raise RateError("a layer has no name")
    return name.strip(), rate
