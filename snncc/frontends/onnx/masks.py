"""What code writes where a mask holds, ``v[v > 1] = 0``: a choice between a number and the value.

Exporters write the places of the mask as a list, and the number as often as it has places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from snncc.frontends.build import Static
from snncc.frontends.onnx.importer import Importer
from snncc.frontends.onnx.proto import Node, read_in_bodies

WRITTEN = "ScatterND where a mask holds"
"""What a node is called that reads a mask, one number, and what is written over."""

_REPEATED = ("Expand", "Reshape", "Identity")
_LISTS = ("NonZero", "Transpose", "Cast", "ReduceSum", "Shape", *_REPEATED)


def with_masks(
    nodes: tuple[Node, ...], stored: Collection[str], ends: Collection[str]
) -> tuple[Node, ...]:
    """Return the nodes with each list of a mask's places replaced by the mask itself.

    What made the lists is left out where nothing else reads it.
    """
    maker = {name: node for node in nodes if not node.domain for name in node.outputs if name}
    known = {*stored, *(node.result for node in nodes if node.operator == "Constant")}
    made = [_with_mask(node, maker, known) for node in nodes]
    lists = [node for node, new in zip(nodes, made, strict=True) if node is not new]
    if not lists:
        return nodes
    loose = _behind(lists, maker)
    uses = Counter((*ends, *read_in_bodies(nodes), *(n for node in made for n in node.inputs)))
    kept = []
    for node in reversed(made):
        if node.result in loose and not any(uses[name] for name in node.outputs if name):
            uses.subtract(node.inputs)
        else:
            kept.append(node)
    return tuple(reversed(kept))


def _with_mask(node: Node, maker: Mapping[str, Node], known: Collection[str]) -> Node:
    """Return a node, or what it is where it writes one number to all places of a mask."""
    if node.operator != "ScatterND" or node.domain or len(node.inputs) != 3:
        return node
    data, index, rows = node.inputs
    places, number = _read(maker.get(index), "Transpose"), _repeated(rows, maker)
    mask = _read(maker.get(places), "NonZero")
    turned = maker[index].attributes.get("perm", [1, 0]) if mask else None
    plain = node.attributes.get("reduction", "none") == "none"
    if not mask or turned != [1, 0] or not plain or number not in known:
        return node
    return replace(node, operator=WRITTEN, inputs=(mask, number, data), attributes={})


def _read(node: Node | None, operator: str) -> str:
    """Return what a node of an operator reads; nothing of another node."""
    return node.inputs[0] if node and node.operator == operator and node.inputs else ""


def _repeated(name: str, maker: Mapping[str, Node]) -> str:
    """Return what a value is made of that only repeats it."""
    seen = set[str]()
    while (node := maker.get(name)) and node.operator in _REPEATED and name not in seen:
        seen.add(name)
        name = node.inputs[0] if node.inputs else ""
    return name


def _behind(lists: Iterable[Node], maker: Mapping[str, Node]) -> Collection[str]:
    """Return the results that list the places of a mask, or count them."""
    waiting, found = [name for node in lists for name in node.inputs[1:]], set[str]()
    while waiting:
        node = maker.get(waiting.pop())
        if node and node.operator in _LISTS and node.result not in found:
            found.add(node.result)
            waiting += node.inputs
    return found


def written(c: Importer, node: Node, x: list[Any]) -> Any:
    """Return a value with one number where the mask holds, which is as large as it."""
    mask, number, data = x
    if mask.shape != data.shape:
        c.refuse(f"it writes where a mask of shape {mask.shape} holds to a value of {data.shape}")
    if not isinstance(number, Static) or number.tensor.numel() != 1:
        c.refuse(f"it writes values of shape {number.shape} where a mask holds, wanted one number")
    return c.aten("where.self", mask, Static(number.tensor.reshape(())), data)
