"""Which kernel computes a conv or a linear: the fastest that is proved exact, on this machine.

A kernel returns the bare sums of products ``w * x``; shift and bias come later, with the neuron.
Exactness is proved from the domains: ``bound`` is the largest magnitude that any partial sum of the
layer can take, ``max over outputs of sum |w| max |x|``, and each kernel says below what it has no
gaps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from snncc.execute.kernels import blas, exact, onednn
from snncc.execute.kernels.layer import Layer, Run
from snncc.ir.domain import Grid, is_integer
from snncc.ir.graph import Graph
from snncc.ir.ops import Conv, Linear

Prepare: TypeAlias = Callable[[Layer], Run]


@dataclass(frozen=True)
class Kernel:
    """A way to compute products: whether it can, exactly and here, and how."""

    name: str
    takes: Callable[[Layer], bool]
    prepare: Prepare


KERNELS = (
    Kernel("onednn", onednn.takes, onednn.prepare),
    Kernel("float32", blas.takes_float32, blas.prepare_float32),
    Kernel("float64", blas.takes_float64, blas.prepare_float64),
    Kernel("integer", exact.takes, exact.prepare),
)
"""All kernels, the fastest first; the last takes every layer."""


def choose(layer: Layer) -> Kernel:
    """Return the fastest kernel that computes a layer exactly."""
    return next(kernel for kernel in KERNELS if kernel.takes(layer))


def integer_layer(op: Conv | Linear, graph: Graph) -> Layer:
    """Return a weighted op of integers with its proved bounds."""
    weight = np.asarray(graph.weights[op.weight])
    domain = graph.type_of(op.inputs[0]).domain
    if not (isinstance(domain, Grid) and is_integer(domain)):
        return Layer(op, weight)
    span = (min(0, int(domain.minimum)), max(0, int(domain.maximum)))
    taps = np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(axis=1)
    return Layer(op, weight, span, int(taps.max(initial=0)) * max(-span[0], span[1]))
