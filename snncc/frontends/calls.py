"""What stands in for the methods of a neuron layer while it is traced: one operator a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from snncc.frontends.call_op import neuron_call
from snncc.frontends.neuron_op import neuron
from snncc.frontends.neuron_parameters import Calling, NeuronParameters

Methods = Mapping[str, Callable[..., Any]]


def of_all_steps(parameters: NeuronParameters) -> Methods:
    """Return the methods of a layer that is given all time steps."""

    def forward(x: Tensor, *_: Any, **__: Any) -> Tensor:
        spikes: Tensor = neuron(x, *parameters.as_arguments())
        return spikes

    return {"forward": forward}


@dataclass
class Calls:
    """A layer that is called in another way; it holds the state between calls.

    ``start`` forgets it: the network is called anew.
    """

    module: nn.Module
    parameters: NeuronParameters
    calling: Calling
    state: Tensor | None = field(default=None)

    def methods(self) -> Methods:
        """Return the methods that stand in for the layer's own."""
        owned = [name for name in self.calling.resets if hasattr(self.module, name)]
        return {"forward": self.forward, **dict.fromkeys(owned, self.start)}

    def start(self, *_: Any, **__: Any) -> Tensor:
        """Put the layer to rest; return what stands for a state of rest."""
        self.state = None
        return torch.zeros(0)

    def forward(self, x: Tensor, state: Any = None, **_: Any) -> Any:
        """Return what the layer returns, of spikes and a state to hand on."""
        given = self.calling.given(state)
        if given is None and self.calling.keeps:
            given = self.state
        if not self.calling.steps:
            spikes = neuron(x, *self.parameters.as_arguments())
            return self.calling.returns(spikes, torch.zeros_like(x[0]))
        if given is not None and given.shape != x.shape:
            given = None
        spikes, self.state = neuron_call(x, given, *self.parameters.as_arguments())
        return self.calling.returns(spikes, self.state)


@contextmanager
def classes_stand_in(layers: list[Calls]) -> Iterator[None]:
    """Let methods of classes, which would put all their instances to rest, do so with ``layers``.

    Others than those that are traced would be left with values of the trace.
    """
    own: dict[tuple[type, str], Any] = {}
    for layer in layers:
        resets, detaches = layer.calling.class_resets, layer.calling.class_detaches
        for name in (*resets, *detaches):
            for cls in type(layer.module).__mro__:
                if name in vars(cls) and (cls, name) not in own:
                    own[cls, name] = vars(cls)[name]
                    rested = [each for each in layers if isinstance(each.module, cls)]
                    setattr(cls, name, staticmethod(_rest(rested if name in resets else [])))
    try:
        yield
    finally:
        for (cls, name), method in own.items():
            setattr(cls, name, method)


def _rest(layers: list[Calls]) -> Callable[[], None]:
    def reset() -> None:
        for layer in layers:
            layer.start()

    return reset
