"""How many nodes a loop runs at the least, loops within it multiplied: known before it is run.

A loop counts with all its steps where its count is stored and its condition stays true, else with
none; a branch that is not decided yet counts with the shorter one.
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import onnx

from snncc.frontends.build import Static
from snncc.frontends.onnx.proto import Place
from snncc.frontends.onnx.tensors import read_tensor

Known: TypeAlias = ChainMap[str, Any]
"""What each name stands for: a ``Static``, a stored tensor, or anything else, which is unknown."""


def least_of_loop(
    place: Place, body: onnx.GraphProto, steps: int, values: Mapping[str, Any]
) -> int:
    """Return how many nodes the steps of a loop run at the least; ``values`` are known outside."""
    inside = _inside(ChainMap(dict(values)), body)
    return steps * _least(place, body, inside) if _goes_on(place, body, inside) else 0


def _least(place: Place, body: onnx.GraphProto, known: Known) -> int:
    return sum(1 + _within(place, node, known) for node in body.node)


def _within(place: Place, node: onnx.NodeProto, known: Known) -> int:
    """Return how many nodes the bodies of a node run at the least."""
    bodies = {each.name: each.g for each in node.attribute if each.HasField("g")}
    if node.op_type == "If" and node.input:
        return _of_branch(place, bodies, _number(place, known.get(node.input[0])), known)
    if node.op_type == "Loop" and node.input and "body" in bodies:
        inside = _inside(known, bodies["body"])
        steps = _number(place, known.get(node.input[0])) or 0
        if len(node.input) > 1 and node.input[1] and not _number(place, known.get(node.input[1])):
            return 0
        if steps < 1 or not _goes_on(place, bodies["body"], inside):
            return 0
        return steps * _least(place, bodies["body"], inside)
    return 0


def _of_branch(
    place: Place, bodies: Mapping[str, onnx.GraphProto], taken: int | None, known: Known
) -> int:
    names = ["then_branch"] if taken else ["else_branch"]
    names = ["then_branch", "else_branch"] if taken is None else names
    found = [bodies[name] for name in names if name in bodies]
    return min((_least(place, each, _inside(known, each)) for each in found), default=0)


def _inside(known: Known, body: onnx.GraphProto) -> Known:
    """Return what is known inside a body: what it takes and makes hides what is outside."""
    names: dict[str, Any] = dict.fromkeys(each.name for each in body.input)
    for node in body.node:
        names.update(dict.fromkeys(node.output))
        if node.op_type == "Constant" and node.output:
            names[node.output[0]] = _constant(node.attribute)
    names.update((each.name, each) for each in body.initializer)
    return known.new_child(names)


def _constant(attributes: Iterable[onnx.AttributeProto]) -> onnx.TensorProto | int | None:
    for each in attributes:
        if each.name in ("value", "value_int"):
            return each.t if each.name == "value" else int(each.i)
    return None


def _goes_on(place: Place, body: onnx.GraphProto, inside: Known) -> bool:
    """Whether the condition of a loop stays as it is, or is always true."""
    if len(body.input) < 2 or not body.output:
        return False
    given, name = body.input[1].name, body.output[0].name
    handed_on = {
        node.output[0]: node.input[0] for node in body.node
        if node.op_type == "Identity" and node.input and node.output
    }  # fmt: skip
    name = handed_on.get(name, name)
    return name == given or bool(_number(place, inside.get(name)))


def _number(place: Place, found: Any) -> int | None:
    """Return the one number that is known, None where there is none."""
    if isinstance(found, onnx.TensorProto):
        if math.prod(found.dims) != 1:
            return None
        found = Static(read_tensor(place, found, finite=False))
    if isinstance(found, Static):
        alone = found.tensor.numel() == 1 and not found.tensor.is_floating_point()
        return int(found.tensor) if alone else None
    return found if isinstance(found, int) else None
