"""What goes into a step graph and what comes out."""

from __future__ import annotations

from typing import cast

from snncc.ir.domain import Grid
from snncc.ir.graph import Graph, Shape
from snncc.ir.ops import Input


def sample_shape(graph: Graph) -> Shape:
    """Return the shape of one sample: time steps first where the input varies."""
    entry = cast(Input, graph.of_kind("input")[0])
    return (graph.steps, *entry.shape) if entry.varies else entry.shape


def input_varies(graph: Graph) -> bool:
    """Return whether each time step has an input of its own."""
    return any(cast(Input, op).varies for op in graph.of_kind("input"))


def input_range(graph: Graph) -> tuple[float, float] | None:
    """Return between which numbers nothing is clipped; None where the input is read as it is."""
    entry = cast(Input, graph.of_kind("input")[0])
    if entry.scale is None or not isinstance(entry.domain, Grid):
        return None
    lowest, highest = entry.domain.lo - 0.5, entry.domain.hi + 0.5
    return entry.scale * lowest, entry.scale * highest


def in_integers(graph: Graph) -> bool:
    """Return whether a graph is in the integers of a chip already.

    Neurons of floats may read an input on a grid: then it is not.
    """
    if graph.of_kind("neuron"):
        return False
    whole = any(getattr(op, "scale", None) is not None for op in graph.of_kind("input"))
    return whole or bool(graph.of_kind("integer_neuron"))


def classes_of(graph: Graph) -> int:
    """Return the number of answers that the network chooses from."""
    return graph.type_of(graph.of_kind("output")[0].name).shape[-1]
