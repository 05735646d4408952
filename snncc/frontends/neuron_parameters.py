"""What is read from a layer of spiking neurons: the numbers of its equation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any, Literal

Rounding = Literal["half_even", "half_up"]


@dataclass(frozen=True, kw_only=True)
class NeuronParameters:
    """The numbers of ``ir.ops.Neuron``, in the order of the operator ``snncc::neuron``."""

    tau: float | None
    decay_input: bool = True
    v_threshold: float = 1.0
    v_reset: float | None = 0.0
    strict: bool = False
    levels: int = 1
    rounding: Rounding = "half_even"
    norm: float = 1.0
    v_subtract: float | None = None

    def as_arguments(self) -> tuple[Any, ...]:
        """The arguments of the operator behind its input."""
        return astuple(self)


@dataclass(frozen=True)
class Adapter:
    """How to read one class of neurons; ``keeps_state`` if a second call goes on from the first."""

    read: Callable[[Any], NeuronParameters]
    keeps_state: bool = True


class UnknownNeuronError(Exception):
    """The module is a layer of neurons, but not one with an equation that is known here."""
