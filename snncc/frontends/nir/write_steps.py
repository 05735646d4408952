"""Makes the ops of a step graph, one node of a NIR file after the other."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snncc.diagnostics.core import Rule, SnnccError
from snncc.frontends.nir.conventions import Reading
from snncc.frontends.nir.file import Node, numbers
from snncc.frontends.rules_of_nir import BEYOND_STEPS, NOT_NIR
from snncc.ir import ops
from snncc.ir.graph import Array, IRError, Op, Shape, Source, Type

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.]")


@dataclass
class Writer:
    """The ops made so far, their weights and types.

    ``file`` is what sources name, ``wrong`` the rule that a file of its format breaks.
    """

    file: str
    reading: Reading
    wrong: Rule = NOT_NIR
    ops: list[Op] = field(default_factory=list)
    weights: dict[str, Array] = field(default_factory=dict)
    types: dict[str, Type] = field(default_factory=dict)

    def emit(self, node: Node, op: type[Op], *inputs: str, **attributes: Any) -> str:
        """Append an op and return its name; an array among the attributes becomes a weight.

        Raises ``SnnccError`` where the op would mean nothing.
        """
        name = self._unique(node.path if op.kind not in _BESIDE else f"{node.path}.{op.kind}")
        for key, value in attributes.items():
            if isinstance(value, np.ndarray):
                attributes[key] = f"{name}.{key}"
                self.weights[f"{name}.{key}"] = np.ascontiguousarray(value)
        made = op(name=name, inputs=inputs, source=Source(node.path, self.file), **attributes)
        try:
            self.types[name] = made.infer(tuple(self.types[i] for i in inputs), self.weights)
        except (IRError, LookupError, ValueError, TypeError, ArithmeticError) as error:
            raise self.fault(self.wrong, node, f"{error}") from error
        if math.prod(self.shape(name)) > _MOST_VALUES:
            message = f"it makes a value of shape {self.shape(name)}, too large to be computed"
            raise self.fault(self.wrong, node, message)
        self.ops.append(made)
        return name

    def shape(self, name: str) -> Shape:
        """Return the shape of a value."""
        return self.types[name].shape

    def fault(self, rule: Rule, node: Node, message: str, hint: str = "") -> SnnccError:
        """Return the error of a finding in a node."""
        source = Source(node.path, self.file)
        return SnnccError(rule.at(source, f"`{node.path}` ({node.type}): {message}", hint=hint))

    def beyond(self, node: Node, message: str, hint: str = "") -> SnnccError:
        """Return the error of a node that has no form in time steps."""
        return self.fault(BEYOND_STEPS, node, message, hint)

    def array(self, node: Node, name: str) -> Array:
        """Return a field that holds numbers. Raises ``SnnccError``."""
        value = numbers(node.fields.get(name))
        if value is None or value.size == 0:
            raise self.fault(self.wrong, node, f"it has no numbers `{name}`")
        return value

    def integers(self, node: Node, name: str, axes: int, *, least: int) -> Shape:
        """Return a field of one whole number, or of one an axis. Raises ``SnnccError``."""
        value = self.array(node, name).reshape(-1)
        whole = value.size in (1, axes) and bool(np.all(value == np.rint(value)))
        if not whole or value.min() < least or value.max() > _WIDEST:
            found = ", ".join(map(str, value[:4]))
            numbers = "one whole number" if axes == 1 else f"{axes} whole numbers"
            wanted = f"wanted {numbers} from {least:,} to {_WIDEST:,}"
            raise self.fault(self.wrong, node, f"`{name}` is {found}: {wanted}")
        listed = [int(n) for n in value]
        return tuple(listed * axes if len(listed) == 1 else listed)

    def added(self, node: Node, inputs: tuple[str, ...]) -> str:
        """Return the sum of what a node reads: several edges into a node add up."""
        total = inputs[0]
        for other in inputs[1:]:
            if self.shape(total) != self.shape(other):
                shapes = f"{self.shape(total)} and {self.shape(other)}"
                raise self.fault(self.wrong, node, f"it adds values of shapes {shapes}")
            total = self.emit(node, ops.Add, total, other)
        return total

    def scaled(self, node: Node, value: str, factor: float) -> str:
        """Return a value times a constant."""
        return value if factor == 1 else self.emit(node, ops.Scale, value, factor=factor)

    def scaled_by_channel(self, node: Node, value: str, factors: Array) -> str:
        """Return a value times one constant a channel, as a batch norm that only scales."""
        ones = np.ones(factors.shape)
        return self.emit(
            node, ops.BatchNorm, value, gamma=factors, beta=None, mean=0 * ones, var=ones, eps=0.0,
            axis=0,
        )  # fmt: skip

    def _unique(self, wanted: str) -> str:
        stem = _NOT_IN_A_NAME.sub("_", wanted) or "node"
        name, number = stem, 0
        while name in self.types:
            number += 1
            name = f"{stem}_{number}"
        return name


_BESIDE = frozenset({"add", "scale", "batch_norm", "repeat", "readout", "synaptic_current"})
"""Kinds of which a node may make one beside the op that has its name."""
_WIDEST = 1 << 20
_MOST_VALUES = 1 << 28
