"""What stands in for the methods of a neuron layer while it is traced: one operator a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from snncc.frontends.call_op import neuron_call
from snncc.frontends.current_op import synaptic_current
from snncc.frontends.neuron_op import neuron
from snncc.frontends.neuron_parameters import Calling, NeuronParameters

Methods = Mapping[str, Callable[..., Any]]


def of_all_steps(parameters: NeuronParameters) -> Methods:
    """Return the methods of a layer that is given all time steps."""

    def forward(x: Tensor, *_: Any, **__: Any) -> Tensor:
        return fired(x, parameters)

    return {"forward": forward}


def fired(x: Tensor, parameters: NeuronParameters) -> Tensor:
    """Return the spikes of a layer over all time steps."""
    current = synaptic_current(x, parameters.keep) if parameters.keep else x
    spikes: Tensor = neuron(current, *parameters.as_arguments())
    return spikes


class State(NamedTuple):
    """What a layer goes on from: its potential, and what is left of its current."""

    potential: Tensor | None = None
    current: Tensor | None = None

    def else_of(self, kept: State) -> State:
        """Return the parts, those of another state where there are none."""
        return State(*(a if a is not None else b for a, b in zip(self, kept, strict=True)))

    def of_shape(self, shape: torch.Size) -> State:
        """Return the parts that fit a layer; what does not is forgotten."""
        return State(*(v if v is not None and v.shape == shape else None for v in self))


@dataclass
class Calls:
    """A layer that is called in another way; it holds the state between calls.

    ``start`` forgets it: the network is called anew.
    """

    module: nn.Module
    parameters: NeuronParameters
    calling: Calling
    state: State = field(default=State())

    def methods(self) -> Methods:
        """Return the methods that stand in for the layer's own."""
        owned = [name for name in self.calling.resets if hasattr(self.module, name)]
        return {"forward": self.forward, **dict.fromkeys(owned, self.start)}

    def start(self, *_: Any, **__: Any) -> Any:
        """Put the layer to rest; return what stands for a state of rest."""
        self.state = State()
        return self.calling.rest(torch.zeros(0))

    def forward(self, x: Tensor, *states: Any, **named: Any) -> Any:
        """Return what the layer returns, of spikes and a state to hand on."""
        if not self.calling.steps:
            rest = torch.zeros_like(x[0])
            return self.calling.returns(fired(x, self.parameters), rest, rest)
        given = State(*self.calling.given(*states, **named))
        before = given.else_of(self.state if self.calling.keeps else State()).of_shape(x.shape)
        current = self._current(x, before.current)
        spikes, potential = neuron_call(current, before.potential, *self.parameters.as_arguments())
        left = self.parameters.keep * current if self.calling.leaked else current
        self.state = State(potential, left)
        return self.calling.returns(spikes, *self.state)

    def _current(self, x: Tensor, before: Tensor | None) -> Tensor:
        """Return the current of a time step, as arithmetic: a pass finds it again."""
        if before is None or not self.parameters.keep:
            return x
        return (before if self.calling.leaked else self.parameters.keep * before) + x


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
