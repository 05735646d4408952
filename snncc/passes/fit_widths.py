"""Integers of which no input can drive a current or potential out of the target's width.

Units are made coarser where the proof fails, channel by channel where channels have units of their
own. What then is left of the width is shared between weights and input: the input is read in fewer
bits as long as that loses less than finer weights win.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from snncc.diagnostics.core import Diagnostic
from snncc.ir.domain import Grid
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.ops import WEIGHTED, Conv, Input, Linear
from snncc.passes.quantize import LayerScales, Quantize, Quantized
from snncc.passes.rules_of_quantizing import COARSER_TO_FIT

_MOST_ROUNDS = 8
_MARGIN = 0.002
"""Rounding weights moves a bound by a little; each round that it does takes twice as much."""

_ON = ("repeat", "reshape", "permute", "slice", "expand", "pad", "avg_pool")
"""What hands an input on to the first weights."""


@dataclass(frozen=True)
class _Fit:
    """How a graph was quantized, by which factors, and which part of the first currents is lost."""

    options: Quantize
    made: Quantized
    coarser: Mapping[str, Array]
    lost: float

    @property
    def proved(self) -> bool:
        """Whether no input drives a layer out of its width."""
        return all(layer.plan.proved for layer in self.made.layers)


def fitted(options: Quantize, graph: Graph) -> Quantized:
    """Return the integers of a float step graph, coarser where only so every width is proved.

    Notes say what was made coarser. What no unit proves keeps its finding.
    """
    best = _fit(options, graph)
    if not best.coarser:
        return best.made
    while best.options.input_bits > 2:
        fewer = _fit(replace(options, input_bits=best.options.input_bits - 1), graph)
        if fewer.lost >= best.lost or (best.proved and not fewer.proved):
            break
        best = fewer
    return replace(best.made, found=(*best.made.found, *_notes(options, best, graph)))


def _fit(options: Quantize, graph: Graph) -> _Fit:
    """Make units coarser until all widths are proved, or no further round helps."""
    coarser: dict[str, Array] = {}
    made = options.quantize(graph)
    for spent in range(_MOST_ROUNDS):
        wide = [layer for layer in made.layers if not layer.plan.proved]
        if not wide:
            break
        for layer in wide:
            factor = _needed(layer, made.graph, 1 + _MARGIN * 2**spent)
            coarser[layer.name] = coarser.get(layer.name, np.ones(1)) * factor
        made = replace(options, coarser=coarser).quantize(graph)
    return _Fit(options, made, coarser, _lost(options, graph, made.graph))


def _needed(layer: LayerScales, integer: Graph, margin: float) -> Array:
    """Return by how much the units of a layer have to grow, one number or one a channel."""
    over = layer.plan.bound / layer.plan.limit * margin
    reach = _reach(integer, integer[layer.name])
    share = np.ones(1) if reach is None else reach / reach.max()
    return np.maximum(share * over, 1.0)


def _reach(graph: Graph, op: Op) -> Array | None:
    """Return how far the currents of each channel reach, where one op with weights makes them."""
    op = graph[op.inputs[0]]
    while op.kind in ("repeat", "reshape", "integer_current"):
        op = graph[op.inputs[0]]
    if not isinstance(op, Conv | Linear):
        return None
    domain = graph.type_of(op.inputs[0]).domain
    if not isinstance(domain, Grid):
        return None
    weight = cast(Array, graph.weights[op.weight]).astype(np.float64)
    rows = weight.reshape(len(weight), -1) * 2.0**op.shift
    above, below = np.maximum(rows, 0).sum(axis=1), np.minimum(rows, 0).sum(axis=1)
    hi, lo = float(domain.maximum), float(domain.minimum)
    bias = 0.0 if op.bias is None else np.abs(cast(Array, graph.weights[op.bias]))
    reach = np.maximum(above * hi + below * lo, -(above * lo + below * hi)) + bias
    return np.asarray(reach) if reach.max() > 0 else None


def _lost(options: Quantize, graph: Graph, integer: Graph) -> float:
    """Return which part of the power of the first currents is rounded away, about."""
    entry = cast(Input, integer.of_kind("input")[0])
    sample = np.asarray(options.calibration.input_sample, np.float64)
    scale = entry.scale or 1.0
    seen = np.rint(sample / scale) * scale
    power = float(np.square(sample).mean()) or 1.0
    lost = float(np.square(sample - seen).mean()) / power
    return lost + sum(_rounded(graph, integer, name) for name in _first(graph))


def _first(graph: Graph) -> Iterator[str]:
    """Yield the ops with weights that read the input of a network."""
    shown = {graph.of_kind("input")[0].name}
    for op in graph.ops:
        if op.inputs and op.inputs[0] in shown:
            if op.kind in WEIGHTED:
                yield op.name
            elif op.kind in _ON:
                shown.add(op.name)


def _rounded(graph: Graph, integer: Graph, name: str) -> float:
    """Return which part of the power of a layer's weights is rounded away.

    Each row of integers counts in the unit in which it comes nearest to its row of floats.
    """
    real = cast(Array, graph.weights[cast(Conv | Linear, graph[name]).weight]).astype(np.float64)
    made = cast(Conv | Linear, integer[name])
    whole = cast(Array, integer.weights[made.weight]).astype(np.float64)
    real, whole = (rows.reshape(len(rows), -1) for rows in (real, whole))
    power = np.square(whole).sum(axis=1, keepdims=True)
    unit = (real * whole).sum(axis=1, keepdims=True) / np.maximum(power, 1)
    return float(np.square(real - unit * whole).sum() / (np.square(real).sum() or 1.0))


def _notes(asked: Quantize, best: _Fit, graph: Graph) -> Iterator[Diagnostic]:
    """Yield what was made coarser."""
    bits = best.options.input_bits
    if bits < asked.input_bits:
        entry = graph.of_kind("input")[0]
        message = f"the input is read in {bits} bits in place of {asked.input_bits}"
        because = ("weights that meet it are finer so",)
        yield COARSER_TO_FIT.at(entry.source, message, op=entry.kind, because=because)
    for name, factor in best.coarser.items():
        op = graph[name]
        message = f"`{name}`: its currents count in units {factor.max():.2f} times as large"
        hint = "look at the share of equal spikes: `snncc compile --fit-widths` prints it"
        yield COARSER_TO_FIT.at(op.source, message, op=op.kind, hint=hint)
