"""What is read from a layer of spiking neurons: the numbers of its equation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import Tensor

Rounding = Literal["half_even", "half_up"]

MOST_LEVELS = 64
"""Spikes that one neuron may fire in a time step; published networks have 8 at most."""


@dataclass(frozen=True, kw_only=True)
class NeuronParameters:
    """The numbers of ``ir.ops.Neuron``, in the order of the operator ``snncc::neuron``.

    ``keep`` is the share of the current that outlasts a time step: with one, the neuron stands
    behind an ``ir.synaptic_current.SynapticCurrent``.
    """

    tau: float | None
    decay_input: bool = True
    v_threshold: float = 1.0
    v_reset: float | None = 0.0
    strict: bool = False
    levels: int = 1
    rounding: Rounding = "half_even"
    norm: float = 1.0
    v_subtract: float | None = None
    keep: float = 0.0

    def of_neuron(self) -> dict[str, Any]:
        """The fields of the neuron's op: all but what the current keeps."""
        return {name: value for name, value in asdict(self).items() if name != "keep"}

    def as_arguments(self) -> tuple[Any, ...]:
        """The arguments of the neuron's operator behind its input."""
        return tuple(self.of_neuron().values())


@dataclass(frozen=True)
class Calling:
    """How a layer of neurons is called that is not simply given currents and gives spikes.

    ``steps`` if a call is one time step. A layer that ``keeps`` its state goes on from the call
    before where it is given none; methods in ``resets`` put it to rest, and return the ``rest``
    that is made of a tensor, those in ``class_resets`` put all layers of the class to rest. Methods
    in ``class_detaches`` do nothing that matters here. ``returns`` makes what a call returns of
    spikes, potential and current, ``given`` finds potential and current in what a call was given
    behind its input. The current in a state is ``leaked`` where it is what a time step leaves of it
    for the next.
    """

    steps: bool = True
    keeps: bool = False
    resets: tuple[str, ...] = ()
    class_resets: tuple[str, ...] = ()
    class_detaches: tuple[str, ...] = ()
    returns: Callable[[Any, Any, Any], Any] = lambda spikes, potential, _: (spikes, potential)
    given: Callable[..., tuple[Any, Any]] = lambda potential=None, **_: (potential, None)
    rest: Callable[[Any], Any] = lambda zero: zero
    leaked: bool = False


@dataclass(frozen=True)
class Adapter:
    """How to read one class of neurons; ``keeps_state`` if a second call goes on from the first.

    ``calling`` says of a module how it is called, None where currents of all time steps go in and
    their spikes come out.
    """

    read: Callable[[Any], NeuronParameters]
    keeps_state: bool = True
    calling: Callable[[Any], Calling | None] = lambda module: None


class UnknownNeuronError(Exception):
    """The module is a layer of neurons, but not one with an equation that is known here."""


def number(module: Any, name: str) -> float:
    """Return an attribute that is one number. Raises ``UnknownNeuronError`` for several."""
    value = getattr(module, name)
    if isinstance(value, Tensor) and (value.numel() != 1 or value.is_meta):
        raise UnknownNeuronError(f"its `{name}` is a tensor of shape {tuple(value.shape)}")
    return float(value.detach() if isinstance(value, Tensor) else value)


def number_or_none(module: Any, name: str) -> float | None:
    """Return an attribute that is one number or None."""
    return None if getattr(module, name) is None else number(module, name)
