"""How exporters write what spiking neurons fire with: a step, in a roundabout way, and counts.

The step function becomes one comparison:

- ``Where(Equal(x, 0), v, Where(Less(x, 0), 0, 1))`` is how ``torch.heaviside(x, v)`` is exported;
- ``Relu(Sign(x))`` and ``Clip(Sign(x), 0, 1)`` are 1 above 0, and else 0.

``Round(Clip(x, 0, L))`` and ``Floor(Clip(x, 0, L) + 0.5)``, L whole, are integer-firing neurons
without memory, by their very equation: ``S = round(clip(H, 0, L))`` with ``H = X``.
"""

from __future__ import annotations

from typing import Any

from snncc.frontends.aten_compare import as_number
from snncc.frontends.build import Dynamic, Static
from snncc.frontends.integer_neurons import MOST_LEVELS, integer_firing
from snncc.frontends.neuron_parameters import Rounding
from snncc.frontends.onnx.importer import Importer
from snncc.frontends.onnx.proto import Node
from snncc.ir.ops import Neuron


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


def positive_sign(c: Importer, node: Node, x: list[Any]) -> Any:
    """Return the comparison that the positive part of a sign is, None for that of another value."""
    sign = c.made_by(node.inputs[0], "Sign")
    return None if sign is None else _above_zero(c, sign.inputs[0], strict=True)


def rounded_counts(c: Importer, node: Node, x: list[Any]) -> Any:
    """Return the counts that a rounding gives, None for the rounding of another value."""
    return _counts(c, node.inputs[0], "half_even")


def floored_counts(c: Importer, node: Node, x: list[Any]) -> Any:
    """Return the counts that a rounding by half an offset gives, None for another floor."""
    moved = c.made_by(node.inputs[0], "Add")
    if moved is None:
        return None
    clipped, half = moved.inputs if _number(c, moved.inputs[1]) == 0.5 else moved.inputs[::-1]
    return _counts(c, clipped, "half_up") if _number(c, half) == 0.5 else None


def _counts(c: Importer, name: str, rounding: Rounding) -> Any:
    clip = c.made_by(name, "Clip")
    if clip is None or len(clip.inputs) < 3:
        return None
    low, high = (_number(c, each) for each in clip.inputs[1:3])
    value = c.value(clip.inputs[0])
    if low != 0 or high is None or not isinstance(value, Dynamic):
        return None
    if not high.is_integer() or not 1 <= high <= MOST_LEVELS:
        return None
    found = integer_firing(int(high), 1.0, rounding, None)
    return c.build.emit(Neuron, value, **found.of_neuron())


def _above_zero(c: Importer, name: str, *, strict: bool) -> Any:
    return c.aten("gt.Scalar" if strict else "ge.Scalar", c.value(name), 0.0)


def _number(c: Importer, name: str) -> float | None:
    value = c.value(name)
    return as_number(value) if isinstance(value, Static) else None
