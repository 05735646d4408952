"""``If`` and ``Loop`` where they are decided before the network runs: their bodies are written out.

TorchScript exports a loop over time as a ``Loop`` with a constant count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import onnx
import torch

from snncc.frontends.build import Static
from snncc.frontends.onnx import limits
from snncc.frontends.onnx.extents import least_of_loop
from snncc.frontends.onnx.importer import Importer
from snncc.frontends.onnx.proto import Node, body_nodes
from snncc.frontends.onnx.tensors import read_tensor
from snncc.frontends.onnx.views import Inputs, Operator, optional


def with_bodies(operators: Mapping[str, Operator]) -> Mapping[str, Operator]:
    """Return a table of operators with ``If`` and ``Loop``, whose bodies use the same table."""
    bodies = _Bodies(operators)
    return bodies.operators


class _Bodies:
    """Converts bodies; ``depth`` is how many stand within each other."""

    def __init__(self, operators: Mapping[str, Operator]) -> None:
        self.operators = {**operators, "If": self.branch, "Loop": self.loop}
        self.depth = 0

    def branch(self, c: Importer, node: Node, x: Inputs) -> Any:
        """Return the results of the branch that is taken."""
        if not isinstance(x[0], Static) or x[0].tensor.numel() != 1:
            c.refuse("which branch is taken depends on values that the network computes")
        taken = node.bodies.get("then_branch" if bool(x[0].tensor) else "else_branch")
        if taken is None:
            raise c.fault_of_file("it has no such branch")
        return self._run(c, node, taken, [])

    def loop(self, c: Importer, node: Node, x: Inputs) -> Any:
        """Return what is carried out of the last step, and what all steps give, put together."""
        body, count = node.bodies.get("body"), optional(x, 0)
        if body is None or len(body.output) < len(x) - 1:
            raise c.fault_of_file("it has no body, or one that gives less than it takes")
        goes_on, carried = optional(x, 1), list(x[2:])
        steps = limits.MOST_STEPS if count is None else c.ints(count, "number of steps")[0]
        if steps > limits.MOST_STEPS:
            message = f"has a loop of {steps:,} steps, more than {limits.MOST_STEPS:,}"
            raise c.place.too_large(message, node=node.called)
        if self.depth == 0 and (goes_on is None or self._known(c, goes_on)):
            self._hold(c, body, steps)
        scanned: list[list[Any]] = [[] for _ in body.output[len(x) - 1 :]]
        for step in range(steps):
            if goes_on is not None and not self._known(c, goes_on):
                break
            given = [Static(torch.tensor(step)), goes_on, *carried]
            goes_on, *made = self._run(c, node, body, given)
            carried, given_out = made[: len(carried)], made[len(carried) :]
            for every, each in zip(scanned, given_out, strict=True):
                every.append(c.aten("unsqueeze", each, 0))
        else:
            if count is None:
                c.refuse(f"it does not end within {limits.MOST_STEPS:,} steps")
        if not all(scanned):
            c.refuse("it runs no step")
        return [*carried, *(c.aten("cat", every, 0) for every in scanned)]

    @staticmethod
    def _hold(c: Importer, body: onnx.GraphProto, steps: int) -> None:
        """Raise ``SnnccError`` for more nodes than are run, before one of them is."""
        nodes = least_of_loop(c.place, body, steps, c.values)
        if nodes > limits.MOST_NODES:
            message = f"has a loop that runs {nodes:,} nodes, more than {limits.MOST_NODES:,}"
            raise c.place.too_large(message, node=c.node.called)

    @staticmethod
    def _known(c: Importer, condition: Any) -> bool:
        if not isinstance(condition, Static) or condition.tensor.numel() != 1:
            c.refuse("how often it runs depends on values that the network computes")
        return bool(condition.tensor)

    def _run(self, c: Importer, node: Node, body: onnx.GraphProto, given: list[Any]) -> list[Any]:
        """Return the results of a body; what it makes is not seen outside."""
        if self.depth >= limits.DEEPEST:
            raise c.fault_of_file("bodies stand within each other without end")
        nodes = body_nodes(c.place, body)
        taken = [each.name for each in (*body.input, *body.initializer)]
        own = {*taken, *(name for each in nodes for name in each.outputs)} - {""}
        values = _taken_out(c.values, own)
        c.values.update(zip((each.name for each in body.input), given, strict=False))
        for each in body.initializer:
            c.values[each.name] = Static(read_tensor(c.place, each))
        self.depth += 1
        c.run(self.operators, nodes)
        self.depth -= 1
        results = [c.value(each.name) for each in body.output]
        for name in own:
            c.values.pop(name, None)
        c.values.update(values)
        c.values[""], c.node = None, node
        return results


def _taken_out(held: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return what stands under some names, which stands there no longer."""
    return {name: held.pop(name) for name in names if name in held}
