"""Fold batch norms into the weights before or behind them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np

from snncc.diagnostics.core import Diagnostic
from snncc.ir.edit import Editor, is_absent
from snncc.ir.graph import Absent, Array, Graph, Shape, Weight
from snncc.ir.ops import WEIGHTED, BatchNorm
from snncc.ir.semantics import batch_norm_affine
from snncc.passes.base import Invariant, Pass, Result, well_formed
from snncc.passes.rules import UNFOLDED_BATCH_NORM


def no_batch_norm(graph: Graph) -> Iterator[Diagnostic]:
    """Each batch norm has been folded into weights; those that could not are the model's doing."""
    for op in graph.of_kind("batch_norm"):
        before = graph[op.inputs[0]]
        text = f"`{op.source.module or op.name}` cannot fold into weights"
        yield UNFOLDED_BATCH_NORM.at(
            op.source,
            text,
            because=(f"before it stands `{before.source.module or before.name}` ({before.kind})",),
            hint="put it directly behind a convolution or linear layer that nothing else reads",
            op=op.kind,
            domain=graph.type_of(before.name).domain,
        )


@dataclass(frozen=True)
class FoldBatchNorm(Pass):
    """Fold each batch norm into the weighted op before it, else into those behind it.

    With ``BN(x) = s x + o``, one of each a channel: before, ``W' = s W`` and ``b' = s b + o``;
    behind, ``W' = W s`` and ``b' = b + W o``, which zero padding forbids unless ``o`` is 0. Views
    that keep the channel axis whole may stand between, and where ``o`` is 0 a synaptic current may
    stand between the weighted op and the batch norm behind it. Sums are in float64, and so are the
    new weights; absent weights stay absent. What does not fold is reported.
    """

    name: ClassVar[str] = "fold-batch-norm"
    requires: ClassVar[tuple[Invariant, ...]] = (well_formed,)
    ensures: ClassVar[tuple[Invariant, ...]] = (well_formed,)

    def run(self, graph: Graph) -> Result:
        """Return the graph without the batch norms that fold."""
        edit = Editor(graph)
        for op in graph.of_kind("batch_norm"):
            norm = cast(BatchNorm, edit[op.name])
            if _fold_back(edit, norm) or _fold_ahead(edit, norm):
                edit.bypass(norm.name)
        folded = edit.graph()
        return Result(folded, tuple(no_batch_norm(folded)))


def _fold_back(edit: Editor, norm: BatchNorm) -> bool:
    """Fold into the weighted op that alone feeds the batch norm."""
    name, axis = norm.inputs[0], norm.axis
    while edit.only_user(name) is not None:
        op: Any = edit[name]
        if op.kind in WEIGHTED:
            if op.shift or axis != _channel_axis(edit, op):
                return False
            _scale_outputs(edit, op, norm)
            return True
        before = _axis_before(edit, op, axis)
        if before is None or (op.kind == "synaptic_current" and not _has_no_offset(edit, norm)):
            return False
        name, axis = op.inputs[0], before
    return False


def _channel_axis(edit: Editor, op: Any) -> int:
    """Return the axis of the channels that a weighted op makes."""
    rank = len(edit.shape(op.name))
    return rank - 1 if op.kind == "linear" else rank - 1 - len(op.stride)


def _axis_before(edit: Editor, op: Any, axis: int) -> int | None:
    """Return where an axis of a view's result stands in its input; None if it is cut there."""
    before, after = edit.shape(op.inputs[0]) if op.inputs else (), edit.shape(op.name)
    if op.kind in ("repeat", "synaptic_current"):
        return axis
    if op.kind == "permute":
        return int(op.order[axis])
    if op.kind == "reshape":
        return _same_axis(after, axis, before)
    if op.kind == "slice":
        return axis if axis != op.axis else None
    return None


def _axis_after(edit: Editor, op: Any, axis: int) -> int | None:
    """Return where an axis of a view's input stands in its result; None if it is cut there."""
    if op.kind == "permute":
        return int(op.order.index(axis))
    if op.kind == "reshape":
        return _same_axis(edit.shape(op.inputs[0]), axis, edit.shape(op.name))
    return axis if op.kind == "repeat" or (op.kind == "slice" and axis != op.axis) else None


def _same_axis(a: Shape, axis: int, b: Shape) -> int | None:
    """Return the axis of ``b`` that ``axis`` of ``a`` becomes by a reshape; None if it is cut."""
    stride, n = math.prod(a[axis + 1 :]), a[axis]
    behind = 1
    for other in reversed(range(len(b))):
        if behind == stride and b[other] == n:
            return other
        behind *= b[other]
    return None


def _scale_outputs(edit: Editor, op: Any, norm: BatchNorm) -> None:
    weight: Any = edit.weights[op.weight]
    bias: Any = edit.weights[op.bias] if op.bias else None
    channels = (weight.shape[0],)
    if _is_unknown(edit, norm, weight, bias):
        folded: tuple[Weight, Weight] = Absent(weight.shape), Absent(channels)
    else:
        scale, offset = _affine(edit, norm)
        folded = _scaled_rows(weight, scale), offset + (0 if bias is None else scale * bias)
    _put(edit, op, norm, *folded)


def _fold_ahead(edit: Editor, norm: BatchNorm) -> bool:
    """Fold into all that reads the batch norm, where that is weighted ops alone."""
    readers: list[Any] = []
    waiting = [(norm.name, norm.axis)]
    while waiting:
        name, axis = waiting.pop()
        if not edit.users(name):
            return False
        for user in edit.users(name):
            if user.kind in WEIGHTED:
                if not _takes(edit, user, norm, axis):
                    return False
                readers.append(user)
                continue
            after = _axis_after(edit, user, axis)
            if after is None:
                return False
            waiting.append((user.name, after))
    for op in readers:
        _scale_inputs(edit, op, norm)
    return True


def _takes(edit: Editor, op: Any, norm: BatchNorm, axis: int) -> bool:
    """Whether a weighted op sees the batch norm's channels as its own, and no zeros but its."""
    rank = len(edit.shape(op.inputs[0]))
    channels = rank - 1 if op.kind == "linear" else rank - 1 - len(op.stride)
    if op.shift or axis != channels:
        return False
    return op.kind == "linear" or not any(op.padding) or _has_no_offset(edit, norm)


def _has_no_offset(edit: Editor, norm: BatchNorm) -> bool:
    if not _is_unknown(edit, norm):
        return not _affine(edit, norm)[1].any()
    mean = edit.weights[norm.mean]
    return norm.beta is None and not isinstance(mean, Absent) and not mean.any()


def _scale_inputs(edit: Editor, op: Any, norm: BatchNorm) -> None:
    weight: Any = edit.weights[op.weight]
    bias: Any = edit.weights[op.bias] if op.bias else None
    if _is_unknown(edit, norm, weight, bias):
        _put(edit, op, norm, Absent(weight.shape), Absent(weight.shape[:1]))
        return
    scale, offset = _affine(edit, norm)
    groups = getattr(op, "groups", 1)
    rest = (1,) * (len(weight.shape) - 2)
    by_row = [
        np.repeat(each.reshape(groups, -1), weight.shape[0] // groups, axis=0)
        for each in (scale, offset)
    ]
    factors, offsets = (rows.reshape(*rows.shape, *rest) for rows in by_row)
    added = (weight * offsets).reshape(weight.shape[0], -1).sum(axis=1)
    _put(edit, op, norm, weight * factors, added + (0 if bias is None else bias))


def _affine(edit: Editor, norm: BatchNorm) -> tuple[Array, Array]:
    return batch_norm_affine(norm, cast(Mapping[str, Array], edit.weights))


def _is_unknown(edit: Editor, norm: BatchNorm, *others: Weight | None) -> bool:
    return is_absent(*(edit.weights[name] for name in norm.weight_names), *others)


def _scaled_rows(weight: Array, scale: Array) -> Array:
    return weight * scale.reshape(-1, *(1,) * (weight.ndim - 1))


def _put(edit: Editor, op: Any, norm: BatchNorm, weight: Weight, bias: Weight) -> None:
    folded = dataclasses.replace(
        op,
        weight=edit.add_weight(f"{op.name}.folded_weight", weight),
        bias=edit.add_weight(f"{op.name}.folded_bias", bias),
        source=op.source.with_merged(norm.source),
    )
    edit.replace(folded)
