"""What a module itself computes: the spikes of every neuron layer and the answer, in float64."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from snncc.frontends.adapters import adapter_of
from snncc.frontends.neuron_parameters import Adapter, UnknownNeuronError
from snncc.frontends.twin import twin_of
from snncc.ir.graph import Array


@dataclass(frozen=True)
class Recorded:
    """The outputs of each neuron layer by module path, one array a call, and the answer.

    With ``counts`` they are numbers of spikes, before a layer divides them.
    """

    spikes: dict[str, tuple[Array, ...]]
    output: Array
    counts: bool = False


def record(module: nn.Module, x: Array) -> Recorded:
    """Run the module's own code on ``x`` in float64 and return what its neurons gave.

    The module stays as it was; states of neurons are those of a fresh copy.
    """
    twin = twin_of(module).double()
    with torch.no_grad(), _watched(twin) as spikes, _in_float64():
        result = twin(torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64)))
    output = next(t for t in _tensors(result))
    in_steps = {path for path, each in twin.named_modules() if _takes_steps(each)}
    return Recorded(
        {k: (np.stack(v),) if k in in_steps else tuple(v) for k, v in spikes.items()},
        output.numpy(),
    )


class _InFloat64(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Computes in float64 what code asks for in float32: `(v > 1).float()`, `torch.zeros(3)`."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator on operands of float64, and give its result as such."""
        given = {k: torch.float64 if v is torch.float32 else v for k, v in (kwargs or {}).items()}
        done = func(*tree_map_only(Tensor, _wide, args), **tree_map_only(Tensor, _wide, given))
        return tree_map_only(Tensor, _wide, done)


def _in_float64() -> _InFloat64:
    return _InFloat64()  # type: ignore[no-untyped-call]


def _wide(value: Tensor) -> Tensor:
    return value.double() if value.dtype is torch.float32 else value


@contextmanager
def _watched(module: nn.Module) -> Iterator[dict[str, list[Array]]]:
    found: dict[str, list[Array]] = {}
    _put_to_rest(module)
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
    """Return a hook that stores the spikes, and gives them on in float64 whatever they are in."""

    def hook(_module: nn.Module, _inputs: Any, result: Any) -> Any:
        result = tree_map_only(Tensor, Tensor.double, result)
        spikes = next(_tensors(result))
        found.setdefault(path, []).append(spikes.detach().numpy().copy())
        return result

    return hook


def _is_neuron(module: nn.Module) -> bool:
    return _adapter(module) is not None


def _adapter(module: nn.Module) -> Adapter | None:
    try:
        return adapter_of(module)
    except UnknownNeuronError:
        return None


def _takes_steps(module: nn.Module) -> bool:
    """Whether a layer of neurons is called once a time step."""
    adapter = _adapter(module)
    calling = adapter.calling(module) if adapter else None
    return calling is not None and calling.steps


def _put_to_rest(module: nn.Module) -> None:
    for each in module.modules():
        adapter = _adapter(each)
        calling = adapter.calling(each) if adapter else None
        for name in calling.resets if calling else ():
            if hasattr(each, name):
                getattr(each, name)()


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
