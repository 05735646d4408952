"""What snncc's own netx files keep beside what lava-dl reads, so that nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from snncc.diagnostics.core import SnnccError
from snncc.frontends.hdf5 import Leaf, Tree, fault
from snncc.frontends.netx.rules import NOT_NETX
from snncc.frontends.nir.file import Node, check_finite, numbers, text
from snncc.frontends.rules_of_exchange import UNKNOWN_VERSION
from snncc.ir.claims import MEANINGLESS, MOST_STEPS, hold_attributes, hold_types, is_too_long
from snncc.ir.domain import Grid
from snncc.ir.graph import Array, Graph, IRError
from snncc.ir.ops import Input
from snncc.ir.text import parse_claims


@dataclass(frozen=True)
class Form:
    """What a layer is in the graph, and by how many places its numbers were shifted."""

    kind: str
    places: int


FORMAT = "snncc.netx/1"
AS_IT_STANDS = Form("", 0)
_KINDS = ("conv", "dense", "pool")
_MOST_PLACES = 22


@dataclass(frozen=True)
class Own:
    """How the input is read, what each layer is, and all that is behind the last spikes.

    ``head`` is a step graph of its own that reads the spikes.
    """

    entry: Input
    forms: Mapping[str, Form]
    head: Graph

    @staticmethod
    def of(path: Path, tree: Tree, layers: Sequence[Node]) -> Own:
        """Return what the group ``snncc`` holds. Raises ``SnnccError``."""
        form = text(tree.get("format"))
        if form != FORMAT:
            message = (
                f"`{path}` holds a group `snncc` of the format `{form[:40]}`, wanted `{FORMAT}`"
            )
            raise fault(UNKNOWN_VERSION, path, message)
        stored = tree.get("weights")
        weights = _arrays(stored) if isinstance(stored, Mapping) else {}
        check_finite(path, Node("snncc.weights", "head", weights))
        if not all(np.isfinite(each).all() for each in weights.values()):
            raise damaged(path, "weights that are not finite")
        entry = cast(Input, _parsed(path, tree.get("input"), {}).ops[0])
        whole = isinstance(entry.domain, Grid) and entry.domain.step == 1
        if entry.scale is None or not whole or not 1e-30 < entry.scale < 1e30:
            raise damaged(path, "the scale of its input")
        head = _parsed(path, tree.get("head"), weights)
        return Own(entry, _forms(path, tree.get("layers"), layers), head)


def damaged(path: Path, reason: str) -> SnnccError:
    """Return the error of a group ``snncc`` that cannot be read."""
    return fault(NOT_NETX, path, f"`{path}`: the group `snncc` cannot be read: {reason[:80]}")


def _forms(path: Path, stated: Leaf | Tree | None, layers: Sequence[Node]) -> dict[str, Form]:
    """Read ``conv 3 dense 0 pool 0``: a word and the places of each layer behind the input."""
    if stated is None:
        return {}
    words = stated.split() if isinstance(stated, str) else []
    pairs = list(zip(words[::2], words[1::2], strict=False))
    if len(words) != 2 * len(layers) or not all(map(_is_form, pairs)):
        raise damaged(path, "the forms of its layers")
    forms = {}
    for node, (kind, places) in zip(layers, pairs, strict=True):
        forms[node.path] = Form(kind, int(places))
        if kind == "pool" and not _is_or(node):
            raise damaged(path, f"`{node.path}` is no max-pool of spikes")
    return forms


def _is_form(pair: tuple[str, str]) -> bool:
    kind, places = pair
    return kind in _KINDS and places.isdecimal() and len(places) < 3 and int(places) <= _MOST_PLACES


def _is_or(node: Node) -> bool:
    """Whether a layer adds up spikes of a channel each, and fires above zero, without memory."""
    config = node.fields.get("neuron")
    weight = numbers(node.fields.get("weight"))
    if node.type != "conv" or not isinstance(config, Mapping) or weight is None:
        return False
    ones = weight.ndim == 4 and weight.shape[1] == 1 and bool(np.all(weight == 1))
    wanted = {"vThMant": 0, "vDecay": 4096, "iDecay": 4096}
    fields = {name: numbers(config.get(name)) for name in wanted}
    same = all(
        found is not None and found.size == 1 and found.reshape(-1)[0] == wanted[name]
        for name, found in fields.items()
    )
    groups = numbers(node.fields.get("groups"))
    alone = groups is not None and groups.size == 1 and groups.reshape(-1)[0] == len(weight)
    return ones and same and alone and "bias" not in node.fields


def _parsed(path: Path, stored: Leaf | Tree | None, weights: Mapping[str, Array]) -> Graph:
    """Return a step graph, held to what is sane before anything is made of its numbers."""
    written = stored if isinstance(stored, str) else ""
    if is_too_long(written):
        raise damaged(path, f"a step graph of {len(written):,} characters")
    try:
        graph, stated = parse_claims(written, weights)
        hold_attributes(graph, MOST_STEPS)
        lost = [name for op in graph.ops for name in op.weight_names if name not in weights]
        if lost:
            raise IRError(f"the weight `{lost[0]}` is missing")
        hold_types(graph, stated)
    except MEANINGLESS as error:
        raise damaged(path, f"{error}") from None
    if not graph.ops or graph.ops[0].kind != "input" or len(graph.of_kind("input")) != 1:
        raise damaged(path, "it does not begin with its input")
    return graph


def _arrays(tree: Tree, prefix: str = "") -> dict[str, Array]:
    found: dict[str, Array] = {}
    for name, value in tree.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "iuf":
            found[f"{prefix}{name}"] = value
        elif isinstance(value, Mapping):
            found |= _arrays(value, f"{prefix}{name}/")
    return found
