"""Counts of spikes become spikes: each weighted op reads binary sub-steps instead of integers.

A product is linear, so ``W x = sum_j W [x > j]``: ``k`` spikes in ``k`` of D sub-steps meet the
same synapses that one graded spike of payload ``k`` would, and the sums are equal to the last bit.
That is how integer-trained networks are published to run, and how SEW sums run on a chip without
graded spikes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from snncc.ir.domain import Domain, Grid, is_spike
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.ops import Add, Constant, Conv, Linear, Sum
from snncc.ir.substeps import Thermometer
from snncc.passes.base import Pass, Result, well_formed


@dataclass(frozen=True)
class UnrollLevels(Pass):
    """Replace ``W x + b`` by ``sum_j W [x > j] + b`` wherever x counts spikes.

    A product of two counts is unrolled in its first operand, which leaves spikes on one side.
    The encoder keeps its graded input: pixels are no spikes.
    """

    name: ClassVar[str] = "unroll-levels"
    requires = (well_formed,)
    ensures = (well_formed,)

    def run(self, graph: Graph) -> Result:
        """Return the graph with binary sub-steps; values and names of all other ops stay."""
        from_spikes = counts_of_spikes(graph)
        ops: list[Op] = []
        weights: dict[str, Array] = {}
        for op in graph.ops:
            if op.kind in ("conv", "linear") and self._is_count(op, 0, graph, from_spikes):
                ops += _unrolled_weighted(op, graph, weights)
            elif op.kind == "matmul" and self._is_product_of_counts(op, graph, from_spikes):
                ops += _unrolled_product(op, graph)
            else:
                ops.append(op)
        return Result(graph.replace(ops, weights))

    @staticmethod
    def _is_count(op: Op, operand: int, graph: Graph, from_spikes: frozenset[str]) -> bool:
        name = op.inputs[operand]
        return name in from_spikes and not is_spike(graph.type_of(name).domain)

    def _is_product_of_counts(self, op: Op, graph: Graph, from_spikes: frozenset[str]) -> bool:
        return all(self._is_count(op, i, graph, from_spikes) for i in (0, 1))


_KEEPS_COUNTS = (
    "add", "concat", "max_pool", "reshape", "permute", "expand", "slice", "repeat", "delay",
)  # fmt: skip


def counts_of_spikes(graph: Graph) -> frozenset[str]:
    """Return the values that are sums of spikes at one place and step: never pixels or currents."""
    found: set[str] = set()
    for op in graph.ops:
        fires = op.kind in ("neuron", "integer_neuron")
        passes = op.kind in _KEEPS_COUNTS and all(name in found for name in op.inputs)
        if (fires or passes) and _is_nonnegative(graph.type_of(op.name).domain):
            found.add(op.name)
    return frozenset(found)


def _is_nonnegative(domain: Domain) -> bool:
    return isinstance(domain, Grid) and domain.step == 1 and domain.lo >= 0


def _levels(name: str, graph: Graph) -> int:
    return cast(Grid, graph.type_of(name).domain).hi


def _spikes(op: Op, graph: Graph) -> Thermometer:
    source, name = op.inputs[0], f"{op.name}.substeps"
    return Thermometer(name=name, inputs=(source,), source=op.source, levels=_levels(source, graph))


def _unrolled_weighted(op: Op, graph: Graph, weights: dict[str, Array]) -> list[Op]:
    weighted = cast(Conv | Linear, op)
    spikes = _spikes(op, graph)
    parts = dataclasses.replace(weighted, name=f"{op.name}.parts", inputs=(spikes.name,), bias=None)
    total = op.name if weighted.bias is None else f"{op.name}.total"
    ops: list[Op] = [
        spikes,
        parts,
        Sum(name=total, inputs=(parts.name,), source=op.source, axes=(0,)),
    ]
    if weighted.bias is not None:
        rank = len(graph.type_of(op.name).shape)
        bias = cast(Array, graph.weights[weighted.bias])
        behind = 0 if op.kind == "linear" else rank - 1
        value = f"{op.name}.bias_value"
        weights[value] = np.ascontiguousarray(bias.reshape(-1, *(1,) * behind))
        ops.append(Constant(name=f"{op.name}.offset", source=op.source, value=value))
        ops.append(Add(name=op.name, inputs=(total, f"{op.name}.offset"), source=op.source))
    return ops


def _unrolled_product(op: Op, graph: Graph) -> list[Op]:
    spikes = _spikes(op, graph)
    parts = dataclasses.replace(op, name=f"{op.name}.parts", inputs=(spikes.name, op.inputs[1]))
    total = Sum(name=op.name, inputs=(parts.name,), source=op.source, axes=(0,))
    return [spikes, parts, total]
