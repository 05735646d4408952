"""Integers back in: a file that ``write_onnx`` wrote, as the step graph that it was written from.

The graph stands in the file's properties as text, and its weights are the stored tensors. Neither
is believed: the graph is written again, and taken only where that gives the same file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, cast

import numpy as np
from onnx import ModelProto, TensorProto

from snncc import __version__
from snncc.backends.onnx.model import write_onnx
from snncc.backends.onnx.properties import (
    GRAPH,
    TARGET,
    TIME,
    UNROLLED,
    VERSION,
    WEIGHTS,
    of_the_origin,
)
from snncc.backends.onnx.stored import forms_of
from snncc.diagnostics.core import SnnccError
from snncc.frontends.model import Model, read_model
from snncc.frontends.onnx import limits
from snncc.frontends.onnx.proto import Place, short
from snncc.frontends.onnx.tensors import read_tensor
from snncc.frontends.rules_of_exchange import NOT_AS_WRITTEN
from snncc.ir.claims import MEANINGLESS, MOST_STEPS, hold_attributes, hold_types, is_too_long
from snncc.ir.graph import Array, Graph, IRError, Op
from snncc.ir.text import parse_claims

CALLED = "the file of integers"


def read_back(path: Path, proto: ModelProto) -> Model:
    """Return the model of integers in a file that snncc wrote. Raises ``SnnccError``."""
    place = Place(path)
    said = {each.key: each.value for each in proto.metadata_props}
    texts: tuple[Any, ...] = (*said.values(), proto.graph.name)
    if not all(isinstance(each, str) for each in texts):
        raise _refused(place, "a text in it is no UTF-8")
    if GRAPH not in said:
        written_by = short(proto.producer_version) or "an older version"
        raise _refused(place, f"snncc {written_by} wrote it without its step graph")
    name, target = proto.graph.name, said.get(TARGET, "")
    if not all(len(each) <= limits.LONGEST_NAME and each.isprintable() for each in (name, target)):
        raise _refused(place, "a name in it cannot be shown")
    graph = _graph(place, proto, said)
    written = _written_again(place, proto, graph, said)
    _require_same(place, proto, written, said)
    return read_model(graph, name, CALLED, target=target)


def _graph(place: Place, proto: ModelProto, said: Mapping[str, str]) -> Graph:
    """Return the graph that the file claims to hold, every size in it held to what is sane."""
    text = said[GRAPH]
    if is_too_long(text):
        raise place.too_large(f"has a step graph of {len(text):,} characters")
    if not all(line.isprintable() for line in text.split("\n")):
        raise _refused(place, "its step graph cannot be shown")
    try:
        claimed, stated = parse_claims(text, {})
        hold_attributes(claimed, MOST_STEPS)
        _hold_written_out(claimed, said)
    except IRError as error:
        raise _refused(place, f"its step graph means nothing: {short(str(error))}") from error
    weights = dict(_weights(place, proto, claimed, _kept(place, said)))
    graph = claimed.replace(claimed.ops, weights)
    try:
        hold_types(graph, stated)
    except MEANINGLESS as error:
        raise _refused(place, f"its step graph means nothing: {short(str(error))}") from error
    return graph


def _hold_written_out(graph: Graph, said: Mapping[str, str]) -> None:
    """Raise ``IRError`` where each time step has nodes of its own, and those are too many."""
    written = len(graph.ops) * (graph.steps if said.get(TIME) == UNROLLED else 1)
    if written > limits.MOST_NODES:
        raise IRError(f"{written:,} ops, wanted at most {limits.MOST_NODES:,}")


def _kept(place: Place, said: Mapping[str, str]) -> Mapping[str, tuple[str, tuple[int, ...]]]:
    """Return type and shape of each weight of the step graph."""
    try:
        entries = json.loads(said.get(WEIGHTS, ""))
        kept = {str(name): (str(kind), tuple(shape)) for name, kind, shape in entries}
    except (ValueError, TypeError, RecursionError) as error:
        raise _refused(place, "it does not list its weights") from error
    whole = all(isinstance(n, int) and n >= 0 for _, shape in kept.values() for n in shape)
    if not whole or not {kind for kind, _ in kept.values()} <= _KINDS:
        raise _refused(place, "it does not list its weights")
    return kept


_KINDS = {"bool", *(f"{sign}int{n}" for sign in ("", "u") for n in (8, 16, 32, 64))}
_KINDS |= {"float32", "float64"}


def _weights(
    place: Place, proto: ModelProto, graph: Graph, kept: Mapping[str, tuple[str, tuple[int, ...]]]
) -> Iterator[tuple[str, Array]]:
    """Yield the weights that the ops read, from the stored tensors."""
    stored = {each.name: each for each in proto.graph.initializer}
    for op in graph.ops:
        for field in op.weight_fields:
            if (name := getattr(op, field)) is not None:
                if name not in kept:
                    raise _refused(place, f"it does not list the weight `{short(name)}`")
                yield name, _weight(place, op, field, stored, *kept[name])


def _weight(
    place: Place, op: Op, field: str, stored: Mapping[str, TensorProto], kind: str,
    shape: tuple[int, ...],
) -> Array:  # fmt: skip
    for name, back in forms_of(op, field):
        if name in stored:
            array = back(cast(Any, read_tensor(place, stored[name])).numpy())
            if array.size != math.prod(shape):
                raise _refused(place, f"`{short(name)}` does not have the shape {shape}")
            return np.ascontiguousarray(array.astype(kind)).reshape(shape)
    raise _refused(place, f"the {field} of `{short(op.name)}` is missing")


def _written_again(
    place: Place, proto: ModelProto, graph: Graph, said: Mapping[str, str]
) -> ModelProto:
    """Return the file that the graph gives, which is no larger than the one that is there."""
    facts = of_the_origin(graph, said[TARGET]) if TARGET in said else {}
    try:
        return write_onnx(
            graph, name=proto.graph.name, unroll=said.get(TIME) == UNROLLED, metadata=facts,
            largest=_ROOM * proto.ByteSize() + _SPARE,
        )  # fmt: skip
    except (SnnccError, *MEANINGLESS) as error:
        reason = "; ".join(d.message for d in getattr(error, "diagnostics", ())) or str(error)
        reason = short(reason or type(error).__name__)
        raise _refused(place, f"its step graph cannot be written: {reason}") from error


_ROOM, _SPARE = 2, 4096
"""How much more than a file its weights may take, which are stored in half of their bits at best;
and bytes by which the name of a version may be longer."""


def _require_same(
    place: Place, proto: ModelProto, written: ModelProto, said: Mapping[str, str]
) -> None:
    """Raise ``SnnccError`` where two files differ in more than the version that wrote them."""
    found, wanted = (_without_version(each) for each in (proto, written))
    if found.SerializeToString(deterministic=True) == wanted.SerializeToString(deterministic=True):
        return
    version = said.get(VERSION, "")
    by = f"; snncc {short(version)} wrote it, this is {__version__}"
    reason = f"{_difference(found, wanted)} is not what its step graph gives"
    raise _refused(place, reason + (by if version != __version__ else ""))


def _without_version(proto: ModelProto) -> ModelProto:
    bare = ModelProto()
    bare.CopyFrom(proto)
    bare.ClearField("producer_version")
    for each in bare.metadata_props:
        if each.key == VERSION:
            each.value = ""
    return bare


def _difference(found: ModelProto, wanted: ModelProto) -> str:
    """Return the first thing in which two files differ."""
    parts = (
        ("node", found.graph.node, wanted.graph.node),
        ("stored tensor", found.graph.initializer, wanted.graph.initializer),
        ("function", found.functions, wanted.functions),
    )
    for what, ours, theirs in parts:
        for one, other in zip_longest(ours, theirs):
            if one != other:
                return f"the {what} `{short((one or other).name)}`"
    for one, other in zip_longest(found.metadata_props, wanted.metadata_props):
        if one != other:
            return f"the property `{short((one or other).key)}`"
    return "what it says of itself"


def _refused(place: Place, reason: str) -> SnnccError:
    message = f"`{place.path}` holds integers, and not as snncc writes them: {reason}"
    hint = "write it again: `snncc convert ARTEFACT OUT.onnx`"
    return place.fault(NOT_AS_WRITTEN, message, hint)
