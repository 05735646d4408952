"""``Einsum`` of two values, as one product of matrices."""

from __future__ import annotations

import math
import re
from typing import Any

from snncc.frontends.build import Dynamic, Static
from snncc.frontends.onnx.importer import Importer
from snncc.frontends.onnx.proto import Node

_TWO = re.compile(r"([A-Za-z]+),([A-Za-z]+)->([A-Za-z]*)")


def einsum(c: Importer, node: Node, x: list[Any]) -> Any:
    """Return ``bti,oi->bto`` and its like: axes that both have and the result has not are summed.

    Axes that all three have stay in front. A stored matrix multiplies the last axis, and all others
    of the other value stay as they are.
    """
    equation = str(node.attributes.get("equation", "")).replace(" ", "")
    found = _TWO.fullmatch(equation)
    left, right, out = terms = found.group(1, 2, 3) if found else ("", "", "")
    fits = len(x) == 2 and all(len(t) == len(v.shape) for t, v in zip(terms, x, strict=False))
    alone = any(len(set(term)) < len(term) for term in terms)
    if not fits or alone or set(terms[0]) ^ set(terms[1]) != set(terms[2]) - _both(terms):
        c.refuse(f"it computes {equation[:60] or 'nothing'}, wanted a product as `bti,oi->bto`")
    if isinstance(x[0], Static) and isinstance(x[1], Dynamic):
        return _product(c, right, left, out, x[::-1])
    return _product(c, left, right, out, x)


def _both(terms: tuple[str, ...]) -> set[str]:
    return set(terms[0]) & set(terms[1])


def _product(c: Importer, left: str, right: str, out: str, x: list[Any]) -> Any:
    """Return the product of two values whose axes have these letters."""
    shared = [n for n in left if n in right and n in out]
    summed = [n for n in left if n in right and n not in out]
    rows, columns = ([n for n in term if n not in _both((left, right))] for term in (left, right))
    places = dict(zip(left + right, (*x[0].shape, *x[1].shape), strict=True))
    kept = isinstance(x[1], Static) and not shared
    front = [[n] for n in rows] if kept else [*([n] for n in shared), rows]
    first = _arranged(c, x[0], left, [*front, summed], places)
    second = _arranged(c, x[1], right, [*([n] for n in shared), summed, columns], places)
    made = c.aten("matmul", first, second)
    order = [*shared, *rows, *columns]
    made = _reshaped(c, made, [places[n] for n in order])
    return _permuted(c, made, [order.index(n) for n in out])


def _arranged(
    c: Importer, x: Any, axes: str, groups: list[list[str]], places: dict[str, int]
) -> Any:
    """Return a value with its axes in the order of the groups, and each group as one axis."""
    moved = _permuted(c, x, [axes.index(n) for group in groups for n in group])
    return _reshaped(c, moved, [math.prod(places[n] for n in group) for group in groups])


def _permuted(c: Importer, x: Any, order: list[int]) -> Any:
    return x if order == sorted(order) else c.aten("permute", x, order)


def _reshaped(c: Importer, x: Any, shape: list[int]) -> Any:
    return x if tuple(shape) == tuple(x.shape) else c.aten("reshape", x, shape)
