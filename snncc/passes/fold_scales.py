"""Fold constant factors into thresholds and weights: no multiplier is needed for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np

from snncc.ir.edit import Editor
from snncc.ir.graph import Absent, Array, Graph, Op, Weight
from snncc.ir.ops import Scale
from snncc.passes.base import Invariant, Pass, Result, well_formed
from snncc.passes.scale_paths import ahead, behind, unfolded_scales


@dataclass(frozen=True)
class FoldScales(Pass):
    """Fold each ``Scale`` into what can take up its factor; report those that nothing can.

    In order of preference: the thresholds (``theta / f``) and weights (``f W``, bias as it is) that
    the value leads to; weights and bias of the ops that made it; the scale of the output.
    """

    name: ClassVar[str] = "fold-scales"
    requires: ClassVar[tuple[Invariant, ...]] = (well_formed,)
    ensures: ClassVar[tuple[Invariant, ...]] = (well_formed,)

    def run(self, graph: Graph) -> Result:
        """Return the graph without the factors that fold."""
        edit = Editor(graph)
        for op in graph.of_kind("scale"):
            scale = cast(Scale, edit[op.name])
            if _fold(edit, scale):
                edit.bypass(scale.name)
        folded = edit.graph()
        return Result(folded, tuple(unfolded_scales(folded)))


def _fold(edit: Editor, scale: Scale) -> bool:
    front = ahead(edit, scale, into_output=False)
    back = () if front else behind(edit, scale)
    front = front if front or back else ahead(edit, scale)
    for op in front.takers if front else ():
        edit.replace(_merged(_AHEAD[op.kind](edit, op, scale.factor), scale))
    for op in back.takers if back else ():
        edit.replace(_merged(_BEHIND[op.kind](edit, op, scale.factor), scale))
    return bool(front or back)


def _merged(op: Op, scale: Scale) -> Op:
    return dataclasses.replace(op, source=op.source.with_merged(scale.source))


def _times(weight: Weight, factor: float | Array) -> Weight:
    return weight if isinstance(weight, Absent) else weight.astype(np.float64) * factor


def _scaled(edit: Editor, op: Any, factor: float, *fields: str) -> Op:
    """Return ``op`` with the weights in these fields multiplied."""
    new = {
        f: edit.add_weight(f"{op.name}.scaled_{f}", _times(edit.weights[getattr(op, f)], factor))
        for f in fields
        if getattr(op, f) is not None
    }
    scaled: Op = dataclasses.replace(op, **new)
    return scaled


def _weight(edit: Editor, op: Op, factor: float) -> Op:
    return _scaled(edit, op, factor, "weight")


def _weight_and_bias(edit: Editor, op: Op, factor: float) -> Op:
    return _scaled(edit, op, factor, "weight", "bias")


def _threshold(edit: Editor, op: Any, factor: float) -> Op:
    taken = None if op.v_subtract is None else op.v_subtract / factor
    scaled = dataclasses.replace(op, v_threshold=op.v_threshold / factor, v_subtract=taken)
    return _scaled(edit, scaled, 1 / factor, "grain")


def _norm_ahead(edit: Editor, op: Any, factor: float) -> Op:
    """``BN(f x) = f gamma (x - mean / f) / sigma + beta``."""
    return _scaled(edit, _scaled(edit, _with_gamma(edit, op), factor, "gamma"), 1 / factor, "mean")


def _norm_behind(edit: Editor, op: Any, factor: float) -> Op:
    return _scaled(edit, _with_gamma(edit, op), factor, "gamma", "beta")


def _with_gamma(edit: Editor, op: Any) -> Any:
    if op.gamma is not None:
        return op
    ones = np.ones(edit.weights[op.mean].shape)
    return dataclasses.replace(op, gamma=edit.add_weight(f"{op.name}.gamma", ones))


def _output(edit: Editor, op: Any, factor: float) -> Op:
    shape = edit.shape(op.name)[-1:]
    before = np.ones(shape) if op.scale is None else edit.weights[op.scale]
    name = edit.add_weight(f"{op.name}.scale", _times(before, factor))
    scaled: Op = dataclasses.replace(op, scale=name)
    return scaled


def _value(edit: Editor, op: Op, factor: float) -> Op:
    return _scaled(edit, op, factor, "value")


_Taker = Callable[[Editor, Any, float], Op]

_AHEAD: dict[str, _Taker] = {
    "neuron": _threshold,
    "conv": _weight,
    "linear": _weight,
    "batch_norm": _norm_ahead,
    "output": _output,
}

_BEHIND: dict[str, _Taker] = {
    "conv": _weight_and_bias,
    "linear": _weight_and_bias,
    "batch_norm": _norm_behind,
    "constant": _value,
}
