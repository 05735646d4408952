"""How exporters write the step function that spiking neurons fire with, in a roundabout way.

``Where(Equal(x, 0), v, Where(Less(x, 0), 0, 1))`` is how ``torch.heaviside(x, v)`` is exported; it
becomes one comparison.
"""

from __future__ import annotations

from typing import Any

from snncc.frontends.aten_compare import as_number
from snncc.frontends.build import Static
from snncc.frontends.onnx.importer import Importer
from snncc.frontends.onnx.proto import Node


def heaviside(c: Importer, node: Node, x: list[Any]) -> Any:
    """Return the comparison that a choice is, None where it is another choice."""
    condition, inner = c.made_by(node.inputs[0], "Equal"), c.made_by(node.inputs[2], "Where")
    if condition is None or inner is None:
        return None
    below = c.made_by(inner.inputs[0], "Less")
    at_zero, low, high = (_number(c, name) for name in (node.inputs[1], *inner.inputs[1:]))
    if (
        below is None
        or below.inputs[0] != condition.inputs[0]
        or (low, high) != (0.0, 1.0)
        or at_zero not in (0.0, 1.0)
    ):
        return None
    if {_number(c, name) for name in (condition.inputs[1], below.inputs[1])} != {0.0}:
        return None
    return _above_zero(c, condition.inputs[0], strict=at_zero == 0.0)


def _above_zero(c: Importer, name: str, *, strict: bool) -> Any:
    return c.aten("gt.Scalar" if strict else "ge.Scalar", c.value(name), 0.0)


def _number(c: Importer, name: str) -> float | None:
    value = c.value(name)
    return as_number(value) if isinstance(value, Static) else None
