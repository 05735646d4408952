"""One operator for the synaptic currents of a whole layer over all time steps.

``snncc::synaptic_current`` is one node in a trace, as ``snncc::neuron`` is. A layer that is called
once a time step writes its current as arithmetic, which ``raise_currents`` finds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from snncc.frontends.build import Builder, Value
from snncc.ir.graph import Shape
from snncc.ir.synaptic_current import SynapticCurrent
from snncc.models import synaptic_current as models


@torch.library.custom_op("snncc::synaptic_current", mutates_args=())
def synaptic_current(x: Tensor, keep: float) -> Tensor:
    """Currents ``[T, ...]`` of what enters them: the equation of ``SynapticCurrent``."""
    currents = torch.empty_like(x)
    current = torch.zeros_like(x[0])
    for t in range(x.shape[0]):
        current = keep * current + x[t]
        currents[t] = current
    return currents


@synaptic_current.register_fake
def _(x: Tensor, *_: object) -> Tensor:
    return torch.empty_like(x)


def convert(b: Builder, a: Mapping[str, Any], out: Shape) -> Value:
    """Make the op of a layer's currents."""
    return b.emit(SynapticCurrent, a["x"], keep=a["keep"])


def is_current(module: nn.Module) -> bool:
    """Whether a module is a layer of synaptic currents, and of nothing else."""
    return type(module) is models.SynapticCurrent


def methods(module: Any) -> dict[str, Callable[..., Any]]:
    """Return what stands in for the methods of such a module."""

    def forward(x: Tensor) -> Tensor:
        currents: Tensor = synaptic_current(x, module.keep)
        return currents

    return {"forward": forward}
