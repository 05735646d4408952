"""What a module itself computes: the spikes of every neuron layer and the answer, in float64."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snncc.frontends.adapters import adapter_of
from snncc.frontends.neuron_parameters import UnknownNeuronError
from snncc.frontends.twin import twin_of
from snncc.ir.graph import Array


@dataclass(frozen=True)
class Recorded:
    """The outputs of each neuron layer by module path, one array a call, and the answer."""

    spikes: dict[str, tuple[Array, ...]]
    output: Array


def record(module: nn.Module, x: Array) -> Recorded:
    """Run the module's own code on ``x`` in float64 and return what its neurons gave.

    The module stays as it was; states of neurons are those of a fresh copy.
    """
    twin = twin_of(module).double()
    with torch.no_grad(), _watched(twin) as spikes:
        result = twin(torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64)))
    output = next(t for t in _tensors(result))
    return Recorded({k: tuple(v) for k, v in spikes.items()}, output.numpy())


@contextmanager
def _watched(module: nn.Module) -> Iterator[dict[str, list[Array]]]:
    found: dict[str, list[Array]] = {}
    handles = [
        each.register_forward_hook(_keep(found, path))
        for path, each in module.named_modules()
        if _is_neuron(each)
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _keep(found: dict[str, list[Array]], path: str) -> Any:
    def hook(_module: nn.Module, _inputs: Any, spikes: Tensor) -> None:
        found.setdefault(path, []).append(spikes.detach().numpy().copy())

    return hook


def _is_neuron(module: nn.Module) -> bool:
    try:
        return adapter_of(module) is not None
    except UnknownNeuronError:
        return False


def _tensors(value: Any) -> Iterator[Tensor]:
    """Walk a result in order: the first tensor is the answer, as in the trace."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _tensors(each)
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _tensors(each)
