"""Neurons that reset as spiking neurons do and let out their potential: floats, not spikes.

``H`` is charged and reset as in a leaky neuron, and ``max(H, 0)`` goes on ("leaky integrate and
analog fire", Wu et al., "LIAF-Net", IEEE TNNLS 2021). A network of them is judged, never compiled:
all that matters of such a layer is that it gives real numbers, so that its equation is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from snncc.frontends.build import Builder, Value
from snncc.ir.graph import Shape
from snncc.ir.ops import Foreign

TARGET = "an analog-firing neuron"
"""What the op that stands for such a layer is called in findings."""

_OWN = "snncc.models.neuron.ParametricLIAF"
_NAMES = frozenset({
    "LIAFNode", "MultiStepLIAFNode", "ParametricLIAFNode", "MultiStepParametricLIAFNode",
})  # fmt: skip
"""Classes of Loydian/Spikeformer @ cacc58d, in a module that is called ``neuron``."""

_SPIKING = "spikingjelly.clock_driven.neuron."
"""Where the classes are from that those inherit from."""


@torch.library.custom_op("snncc::analog_neuron", mutates_args=())
def analog_neuron(x: Tensor) -> Tensor:
    """Stand for a layer in a trace; there is nothing to be run."""
    raise NotImplementedError


@analog_neuron.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


def convert(b: Builder, a: Mapping[str, Any], out: Shape) -> Value:
    """Make the op of a layer: real numbers, in the shape of the currents."""
    return b.emit(Foreign, b.dynamic(a["x"]), target=TARGET, shape=out)


def is_analog(module: nn.Module) -> bool:
    """Whether a module is a layer of such neurons: ours, or those of the official program."""
    places = [f"{cls.__module__}.{cls.__qualname__}" for cls in type(module).__mro__]
    inherits = any(place.startswith(_SPIKING) for place in places)
    return _OWN in places or (type(module).__name__ in _NAMES and inherits)


def forward(x: Tensor, *_: Any, **__: Any) -> Tensor:
    """Stand in for the layer's own ``forward``."""
    floats: Tensor = analog_neuron(x)
    return floats
