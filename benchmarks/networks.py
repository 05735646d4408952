"""Networks to measure with: published sizes, random weights, neurons that fire.

Batch norms take the statistics of a noise image, and the bias of the last batch norm before each
layer of neurons is shifted until the layer fires at about a given rate.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from snncc.frontends.load import Model, from_module
from snncc.models.neuron import SpikingNeuron
from snncc.models.zoo import ARCHITECTURES

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_FACTORS = ("q_lif", "k_lif", "v_lif")
"""Layers that are multiplied with each other: what reads the product fires by their rate."""


def lively(name: str, rate: float = 0.12) -> Model:
    """Return a network of the zoo with fixed random weights whose layers fire at about ``rate``."""
    torch.manual_seed(0)
    architecture = ARCHITECTURES[name]
    network = architecture.build().eval()
    return tuned(network, torch.rand(1, *architecture.input_shape), rate)


def tuned(network: nn.Module, image: Tensor, rate: float = 0.12) -> Model:
    """Bring the layers of a network to a firing rate on an image, ``[1, C, H, W]``.

    Layers that read a product of spikes have no batch norm before them: the rate of its factors is
    changed, at most eight times, until they fire at between half and twice the rate.
    """
    factor = rate / 2
    for _ in range(8):
        products = _tune(network, image, rate, factor)
        if not products or 0.5 <= products / rate <= 2:
            break
        factor *= min(max((rate / products) ** (1 / 3), 0.6), 1.6)
    return from_module(network, torch.zeros_like(image))


def _tune(network: nn.Module, image: Tensor, rate: float, factor: float) -> float:
    """Run once; each layer of neurons shifts the batch norm that ran before it.

    Returns the mean rate of the layers without one, at least a thousandth; 0 where there are none.
    """
    last: list[nn.Module] = []
    products: list[float] = []
    factors = [m for path, m in network.named_modules() if path.endswith(_FACTORS)]

    def before_norm(norm: Any, args: tuple[Tensor, ...]) -> None:
        axes = [axis for axis in range(args[0].ndim) if axis != 1]
        norm.running_mean.copy_(args[0].mean(axes))
        norm.running_var.copy_(args[0].var(axes).clamp(min=0.05))
        last[:] = [norm]

    def before_neurons(neurons: Any, args: tuple[Tensor, ...]) -> None:
        if not last:
            products.append(float(SpikingNeuron.forward(neurons, args[0]).mean()))
            return
        norm = last.pop()
        shift = _shift(neurons, args[0], factor if neurons in factors else rate)
        norm.bias.data.add_(shift)  # type: ignore[operator, union-attr]
        args[0].add_(shift)  # in place: a residual stream goes on with it

    hooks = [
        module.register_forward_pre_hook(
            before_norm if isinstance(module, _NORMS) else before_neurons
        )
        for module in network.modules()
        if isinstance(module, (*_NORMS, SpikingNeuron))
    ]
    with torch.no_grad():
        network(image)
    for hook in hooks:
        hook.remove()
    return max(sum(products) / len(products), 1e-3) if products else 0.0


def _shift(neurons: SpikingNeuron, current: Tensor, rate: float) -> float:
    """Return what has to be added to a current, by bisection on a part of the neurons."""
    current = current.flatten(1)
    current = current[:, :: max(1, current.shape[1] // 65536)]
    low, high = -4.0, 4.0
    for _ in range(12):
        middle = (low + high) / 2
        fired = float(SpikingNeuron.forward(neurons, current + middle).mean())
        low, high = (middle, high) if fired < rate else (low, middle)
    return (low + high) / 2
