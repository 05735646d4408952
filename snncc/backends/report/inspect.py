"""How a model was understood."""

from __future__ import annotations

from collections import Counter

from snncc.backends.report.table import paragraph, table
from snncc.compiler import Checked
from snncc.diagnostics.render import printable
from snncc.frontends.load import Model
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


def assumptions_text(model: Model) -> str:
    """Return what a checkpoint's weights do not tell, each with its value and where it is from.

    Empty for a model whose numbers are not read from weights.
    """
    if not any(setting.origin == "shapes" for setting in model.provenance):
        return ""
    by_origin: dict[str, list[str]] = {}
    for setting in model.provenance:
        if setting.origin != "shapes":
            by_origin.setdefault(setting.origin, []).append(f"{setting.name} = {setting.value}")
    lines = [f"  {printable(', '.join(each))}: {origin}" for origin, each in by_origin.items()]
    told = "what the weights do not tell; `--set NAME=VALUE` gives another value\n"
    return told + "".join(paragraph(line, "    ") for line in lines)


def _size(weight: Weight) -> int:
    size = 1
    for n in weight.shape:
        size *= n
    return size
