"""Where a constant factor can go: the ops that can take it up, ahead of a scale or behind it.

Weighted ops, batch norms, constants and the output take up any factor. A neuron that resets to 0
or softly takes up a positive one: it is homogeneous, ``LIF_theta(f x) = LIF_(theta / f)(x)``.
Views, sums, currents and products hand a factor on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from snncc.diagnostics.core import Diagnostic
from snncc.ir.edit import Editor
from snncc.ir.graph import Graph, Op
from snncc.ir.ops import VIEWS, WEIGHTED, Scale
from snncc.passes.spike_rules import UNFOLDED_SCALE

_LINEAR = (*VIEWS, "avg_pool", "sum", "readout", "scale", "synaptic_current")
"""Kinds with ``f(c x) = c f(x)`` for every c, and one input."""

_PRODUCTS = ("matmul", "mask")
"""Kinds that are linear in each of two inputs."""


@dataclass(frozen=True)
class Path:
    """The ops that take up the factor, or the one that ``blocks`` the way."""

    takers: tuple[Op, ...] = ()
    blocks: Op | None = None

    def __bool__(self) -> bool:
        return self.blocks is None and bool(self.takers)


def ahead(edit: Editor, scale: Scale, *, into_output: bool = True) -> Path:
    """Return what can take up the factor among the ops that the scaled value leads to."""
    takers: dict[str, Op] = {}
    passed: set[str] = set()
    waiting = [scale.name]
    while waiting:
        name = waiting.pop()
        for user in edit.users(name):
            if _takes_ahead(edit, user, scale.factor, into_output=into_output):
                takers[user.name] = user
            elif user.name not in passed and _hands_on(user, name, scale.factor):
                passed.add(user.name)
                waiting.append(user.name)
            else:
                return Path(blocks=user)
    return Path(tuple(takers.values()))


def _takes_ahead(edit: Editor, op: Any, factor: float, *, into_output: bool) -> bool:
    if not math.isfinite(factor):
        return False
    if op.kind == "neuron":
        return factor > 0 and not op.v_reset
    if op.kind == "batch_norm":
        return factor != 0
    return _is_float(edit, op) or (op.kind == "output" and into_output)


def _is_float(edit: Editor, op: Any) -> bool:
    """Whether this is a weighted op of a float graph."""
    if op.kind not in WEIGHTED:
        return False
    dtype = str(edit.weights[op.weight].dtype)
    return op.shift == 0 and dtype.startswith("float")


def _hands_on(op: Op, name: str, factor: float) -> bool:
    if op.kind in _PRODUCTS:
        return op.inputs.count(name) == 1
    zeros_around = op.kind == "pad" and not op.weight_names
    return op.kind in _LINEAR or zeros_around or (op.kind == "max_pool" and factor > 0)


def behind(edit: Editor, scale: Scale) -> Path:
    """Return what can take up the factor among the ops that alone make the scaled value."""
    takers: list[Op] = []
    waiting = [(scale.inputs[0], scale.name)]
    while waiting:
        name, reader = waiting.pop()
        op = edit[name]
        only = edit.only_user(name)
        if only is None or only.name != reader or edit[reader].inputs.count(name) > 1:
            return Path(blocks=op)
        if _is_float(edit, op) or op.kind == "batch_norm" or _is_float_constant(edit, op):
            takers.append(op)
        elif op.kind in ("add", "concat") or _hands_on(op, "", scale.factor):
            waiting += [(made, name) for made in op.inputs]
        else:
            return Path(blocks=op)
    return Path(tuple(takers)) if math.isfinite(scale.factor) else Path(blocks=scale)


def _is_float_constant(edit: Editor, op: Any) -> bool:
    return op.kind == "constant" and str(edit.weights[op.value].dtype).startswith("float")


def unfolded_scales(graph: Graph) -> Iterator[Diagnostic]:
    """Return a finding for each constant factor that nothing can take up; a sign is no factor."""
    edit = Editor(graph)
    for op in (cast(Scale, each) for each in graph.of_kind("scale")):
        if abs(op.factor) == 1:
            continue
        front, back = ahead(edit, op), behind(edit, op)
        if front or back:
            continue
        because = [
            f"{side} stands {_called(path.blocks)}, which cannot take it up"
            for side, path in (("behind it", front), ("before it", back))
            if path.blocks is not None
        ]
        text = f"the factor {op.factor:g} of `{op.source.module or op.name}` folds into no weight"
        yield UNFOLDED_SCALE.at(
            op.source,
            text,
            because=because,
            hint="scale a value that goes straight into a weighted layer or a neuron",
            op=op.kind,
            domain=graph.type_of(op.inputs[0]).domain,
        ).about((op.name,))


def _called(op: Op) -> str:
    return f"`{op.source.module or op.name}` ({op.kind})"
