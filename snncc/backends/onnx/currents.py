"""Currents that outlast a time step as an ONNX function: what is kept, and what comes in.

::

    kept = KeptCurrent(current, before)

``kept = rz(before numerator / denominator) + gain current``, with ``rz`` rounding toward zero as
ONNX's integer ``Div`` does.
"""

from __future__ import annotations

from onnx import FunctionProto, OperatorSetIdProto, helper

from snncc.backends.onnx.draft import Draft, width_of
from snncc.backends.onnx.neurons import DOMAIN, PARAMETERS, charge, fraction_kept
from snncc.backends.onnx.sheet import Tensor
from snncc.ir.synaptic_current import IntegerCurrent

KEPT_CURRENT = "KeptCurrent"
_TEXT = "One time step of a synaptic current: leak toward zero, add."


def current_kind(draft: Draft, op: IntegerCurrent) -> int:
    """Return the integers that hold a current, times the numerator of its leak."""
    return width_of(draft.largest(op.name) * max(fraction_kept(op)[0], 1), op)


def write_current(draft: Draft, op: IntegerCurrent, before: str) -> str:
    """Write one step of a current; return the name of what goes to the next step."""
    kind, sheet = current_kind(draft, op), draft.sheet
    numerator, denominator = fraction_kept(op)
    name = sheet.nodes_of(
        KEPT_CURRENT, [draft.whole(op, 0, kind).name, before], [op.name], op.source.module,
        domain=DOMAIN, numerator=numerator, denominator=denominator, gain=1 << op.shift,
    )[0]  # fmt: skip
    draft.take(op, Tensor(name, kind, sheet))
    draft.functions.add(KEPT_CURRENT)
    return sheet.node("Identity", [name], f"{op.name}/kept")


def kept_current(opset: OperatorSetIdProto) -> FunctionProto:
    """Return the body of the function."""
    made = helper.make_function(
        DOMAIN, KEPT_CURRENT, ["current", "potential"], ["h"], charge(), [opset], list(PARAMETERS)
    )
    made.doc_string = _TEXT
    return made
