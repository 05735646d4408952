"""How a model was understood."""

from __future__ import annotations

from collections import Counter

from snncc.backends.report.table import paragraph, table
from snncc.compiler import Checked
from snncc.diagnostics.render import printable
from snncc.ir.graph import Weight


def inspect_text(checked: Checked) -> str:
    """Return the settings of a model with their origin, and what it is made of."""
    graph, model = checked.graph, checked.model
    settings = [(printable(s.name), printable(str(s.value)), s.origin) for s in model.provenance]
    kinds = Counter(op.kind for op in graph.ops)
    parameters = sum(_size(weight) for weight in graph.weights.values())
    made_of = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    head = (
        f"{checked.name}: input {'x'.join(map(str, model.input_shape))}, T={graph.steps}\n"
        f"{parameters:,} values in {len(graph.weights)} weights\n"
    )
    columns = (("setting", False), ("value", False), ("from", False))
    return head + paragraph(made_of) + ("\n" + table(columns, settings) if settings else "")


def _size(weight: Weight) -> int:
    size = 1
    for n in weight.shape:
        size *= n
    return size
