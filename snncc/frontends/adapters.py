"""Which classes are layers of spiking neurons, and what their equation is: a table.

A class is known by its qualified name, or by that of a class that it inherits from, so that no
other package needs to be installed. A subclass that changes the equation is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from snncc.frontends import integer_neurons, norse, snntorch
from snncc.frontends.neuron_parameters import (
    Adapter,
    Calling,
    NeuronParameters,
    UnknownNeuronError,
    number,
    number_or_none,
)


def _own(tau: Callable[[Any], float | None]) -> Callable[[Any], NeuronParameters]:
    return lambda module: NeuronParameters(
        tau=tau(module),
        decay_input=module.decay_input,
        v_threshold=number(module, "v_threshold"),
        v_reset=number_or_none(module, "v_reset"),
        strict=module.strict,
    )


def _spikingjelly(tau: Callable[[Any], float | None]) -> Callable[[Any], NeuronParameters]:
    def read(module: Any) -> NeuronParameters:
        if getattr(getattr(module, "surrogate_function", None), "spiking", True) is False:
            raise UnknownNeuronError("its surrogate has `spiking=False`: it gives floats")
        return NeuronParameters(
            tau=tau(module),
            decay_input=bool(getattr(module, "decay_input", True)),
            v_threshold=number(module, "v_threshold"),
            v_reset=number_or_none(module, "v_reset"),
        )

    return read


def _stored_tau(module: Any) -> float:
    return number(module, "tau")


def _no_tau(module: Any) -> None:
    return None


def _learnt_tau(module: Any) -> float:
    """``1 / tau`` is the sigmoid of the parameter ``w``; without weights, what it starts from."""
    if module.w.is_meta and hasattr(module, "init_tau"):
        return float(module.init_tau)
    if module.w.is_meta:
        raise UnknownNeuronError("its `tau` is learnt, and the model has no weights")
    return float(1 / module.w.detach().double().sigmoid())


def _cuba(module: Any) -> NeuronParameters:
    """``H = v_decay V + I`` with ``I = c_decay I + X``: SpikingJelly's shares are what is kept."""
    keep, share = number(module, "c_decay"), number(module, "v_decay")
    if not (0 <= keep <= 1 and 0 <= share <= 1):
        raise UnknownNeuronError(f"it keeps {keep:g} of its current and {share:g} of its potential")
    reset = number_or_none(module, "v_reset")
    if reset and share != 1:
        raise UnknownNeuronError(f"it leaks to 0 and is reset to {reset:g}")
    tau = None if share == 1 else 1 / (1 - share)
    found = _spikingjelly(lambda _: tau)(module)
    return replace(found, decay_input=False, keep=keep)


ONE_STEP = Calling(keeps=True, resets=("reset",), returns=lambda spikes, *_: spikes)
"""SpikingJelly's single-step mode: the module keeps its state until ``reset``."""


def _by_step_mode(module: Any) -> Calling | None:
    return ONE_STEP if getattr(module, "step_mode", "m") == "s" else None


_STORED = Adapter(_spikingjelly(_stored_tau), calling=_by_step_mode)
_NONE = Adapter(_spikingjelly(_no_tau), calling=_by_step_mode)
_LEARNT = Adapter(_spikingjelly(_learnt_tau), calling=_by_step_mode)
_CURRENT = Adapter(_cuba, calling=_by_step_mode)


def _single(adapter: Adapter) -> Adapter:
    return Adapter(adapter.read, calling=lambda _: ONE_STEP)


ADAPTERS: Mapping[str, Adapter] = {
    "snncc.models.neuron.LIF": Adapter(_own(_stored_tau), keeps_state=False),
    "snncc.models.neuron.IF": Adapter(_own(_no_tau), keeps_state=False),
    "snncc.models.neuron.ParametricLIF": Adapter(_own(_learnt_tau), keeps_state=False),
    "snncc.models.neuron_multilevel.MultiLevel": Adapter(
        integer_neurons.read_own, keeps_state=False
    ),
    # SpikingJelly up to 0.0.0.0.14
    "spikingjelly.clock_driven.neuron.MultiStepLIFNode": _STORED,
    "spikingjelly.clock_driven.neuron.MultiStepIFNode": _NONE,
    "spikingjelly.clock_driven.neuron.MultiStepParametricLIFNode": _LEARNT,
    "spikingjelly.clock_driven.neuron.LIFNode": _single(_STORED),
    "spikingjelly.clock_driven.neuron.IFNode": _single(_NONE),
    "spikingjelly.clock_driven.neuron.ParametricLIFNode": _single(_LEARNT),
    # SpikingJelly 0.0.0.0.14
    "spikingjelly.activation_based.neuron.LIFNode": _STORED,
    "spikingjelly.activation_based.neuron.IFNode": _NONE,
    "spikingjelly.activation_based.neuron.ParametricLIFNode": _LEARNT,
    # SpikingJelly 2.0.0
    "spikingjelly.activation_based.neuron.lif.LIFNode": _STORED,
    "spikingjelly.activation_based.neuron.integrate_and_fire.IFNode": _NONE,
    "spikingjelly.activation_based.neuron.plif.ParametricLIFNode": _LEARNT,
    "spikingjelly.activation_based.neuron.lif_variants.CUBALIFNode": _CURRENT,
    **snntorch.ADAPTERS,
    **norse.ADAPTERS,
}

NEURON_MODULES: tuple[str, ...] = (
    "snncc.models.neuron",
    "snncc.models.neuron_multilevel",
    "spikingjelly.clock_driven.neuron",
    "spikingjelly.activation_based.neuron",
    *snntorch.MODULES,
    *norse.MODULES,
)
"""Where every class is a neuron, even one that the table above does not know."""

EQUATION: frozenset[str] = frozenset({
    "forward", "charge", "emit", "count", "neuronal_charge", "neuronal_fire", "neuronal_reset",
    "neuronal_adaptation", "single_step_forward", "multi_step_forward",
})  # fmt: skip
"""Methods that a subclass must not change."""


def adapter_of(module: nn.Module) -> Adapter | None:
    """Return the table's entry for a module, ``None`` if it is no layer of neurons.

    Raises ``UnknownNeuronError`` for a neuron with an equation of its own.
    """
    classes = type(module).__mro__
    known = any(_path(cls) in ADAPTERS for cls in classes)
    for cls in classes if known else ():
        found = ADAPTERS.get(_path(cls))
        if found:
            return found
        changed = sorted(EQUATION & vars(cls).keys())
        if changed:
            raise UnknownNeuronError(f"`{_path(cls)}` defines `{changed[0]}` itself")
    if _is_neuron(module):
        raise UnknownNeuronError(f"no adapter knows `{_path(type(module))}`")
    return integer_neurons.official(module)


def _is_neuron(module: nn.Module) -> bool:
    places = (f"{cls.__module__}." for cls in type(module).__mro__)
    return any(place.startswith(f"{name}.") for place in places for name in NEURON_MODULES)


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
