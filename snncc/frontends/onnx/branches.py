"""``If`` whose condition is known before the network runs: the branch stands in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snncc.frontends.build import Static
from snncc.frontends.onnx import limits
from snncc.frontends.onnx.importer import Importer
from snncc.frontends.onnx.proto import Node, branch_nodes
from snncc.frontends.onnx.tensors import read_tensor
from snncc.frontends.onnx.views import Inputs, Operator


def with_branches(operators: Mapping[str, Operator]) -> Mapping[str, Operator]:
    """Return a table of operators with ``If``, whose branches are made of the same operators."""
    depth = 0

    def convert(c: Importer, node: Node, x: Inputs) -> Any:
        nonlocal depth
        condition = x[0]
        if not isinstance(condition, Static) or condition.tensor.numel() != 1:
            c.refuse("which branch is taken depends on values that the network computes")
        taken = node.bodies.get("then_branch" if bool(condition.tensor) else "else_branch")
        if taken is None or depth >= limits.DEEPEST:
            raise c.fault_of_file("it has no such branch")
        stored = {each.name: Static(read_tensor(c.place, each)) for each in taken.initializer}
        outer = dict(c.values)
        c.values.update(stored)
        depth += 1
        c.run(table, branch_nodes(c.place, taken))
        depth -= 1
        results = [c.value(each.name) for each in taken.output]
        c.values, c.node = outer, node
        return results

    table: dict[str, Operator] = {**operators, "If": convert}
    return table
