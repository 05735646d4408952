"""Where numbers come in and go out: pixels to counts, counts to answers, as the executor does."""

from __future__ import annotations

import numpy as np

from snncc.backends.onnx.draft import Draft, refused
from snncc.backends.onnx.sheet import DOUBLE, INT64, INTEGERS, UINT8, Tensor
from snncc.ir.domain import Grid, is_integer
from snncc.ir.ops import Input, Output
from snncc.ir.timing import Timing


def write_input(draft: Draft, op: Input, given: str) -> None:
    """``round(x / scale)``, halves to even, clipped to the domain: in float64."""
    domain = op.domain
    if op.scale is None or not (isinstance(domain, Grid) and is_integer(domain)):
        raise refused(op, f"reads {domain} as they are, wanted a scale to integers", "compile it")
    sheet, number = draft.sheet, draft.store.number
    wide = sheet.node("Cast", [given], f"{op.name}/double", to=DOUBLE)
    units = sheet.node("Div", [wide, number(op.scale, DOUBLE)], f"{op.name}/units")
    whole = sheet.node("Round", [units], f"{op.name}/rounded")
    bounds = [number(float(n), DOUBLE) for n in (domain.lo, domain.hi)]
    clipped = sheet.node("Clip", [whole, *bounds], f"{op.name}/clipped")
    kind = UINT8 if domain.lo >= 0 and domain.hi <= 255 else draft.width(op.name)
    counts = sheet.node("Cast", [clipped], f"{op.name}/counts", to=kind)
    draft.take(op, Tensor(counts, kind, sheet))


def write_output(draft: Draft, op: Output, shown: str | None = None) -> None:
    """``scale x`` in float64, or the integers themselves in int64.

    ``shown`` is the value at all time steps, where the answer is one for each.
    """
    value, sheet = draft.value(op), draft.sheet
    if not value.batched:
        raise refused(op, "does not depend on the input")
    if draft.when[op.name] is Timing.STEP:
        name = shown or _at_every_step(draft, op, value)
        value = Tensor(name, value.kind, sheet)
    if op.scale is None:
        kind = INT64 if value.kind in INTEGERS else value.kind
        sheet.node("Cast", [value.name], op.name, to=kind)
    else:
        kind, scale = DOUBLE, draft.weight(op.scale).astype(np.float64)
        row = draft.store.put(f"{op.name}.scale", scale)
        sheet.node("Mul", [sheet.cast(value, DOUBLE).name, row], op.name)
    draft.values[op.name] = Tensor(op.name, kind, sheet)


def _at_every_step(draft: Draft, op: Output, value: Tensor) -> str:
    """Return a value that is the same at all time steps, once for each."""
    sheet, store = draft.sheet, draft.store
    row = sheet.node("Unsqueeze", [value.name, store.vector([0])], f"{op.name}/row")
    ones = [1] * (len(draft.shape(op.name)) + 1)
    return sheet.node("Expand", [row, store.vector([draft.graph.steps, *ones])], f"{op.name}/steps")
