"""The neurons of snnTorch, https://github.com/jeshraghian/snntorch: called once a time step.

A spike of one step takes effect in the next, behind the leak:

    H' = beta H + X - threshold R      (`subtract`),    H' = beta (1 - R) H + X    (`zero`)

with R the spike of the step before. The first is a soft reset by ``threshold / beta`` before the
leak, the second is a hard reset. Spikes are above the threshold. In a `Synaptic` X is a current,
``I = alpha I + X``, and `zero` drops the input of the step, too, unless its reset is not delayed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from snncc.frontends.neuron_parameters import (
    Adapter,
    Calling,
    NeuronParameters,
    UnknownNeuronError,
    number,
)

MODULES = ("snntorch._neurons",)

_RESETS = ("subtract", "zero", "none")
_DROPS_INPUT = "its reset to zero drops the input of the next time step"


def _leaky(module: Any) -> NeuronParameters:
    _hold_usual(module)
    beta, threshold = min(max(number(module, "beta"), 0.0), 1.0), number(module, "threshold")
    if getattr(module, "reset_delay", True) is False and module.reset_mechanism == "subtract":
        raise UnknownNeuronError("its reset by subtraction is not delayed (`reset_delay=False`)")
    tau = None if beta == 1 else 1 / (1 - beta)
    return _with_reset(module, beta, threshold, tau=tau, decay_input=False)


def _synaptic(module: Any) -> NeuronParameters:
    if module.reset_mechanism == "zero" and getattr(module, "reset_delay", True):
        raise UnknownNeuronError(_DROPS_INPUT)
    alpha = min(max(number(module, "alpha"), 0.0), 1.0)
    return replace(_leaky(module), keep=alpha)


def _lapicque(module: Any) -> NeuronParameters:
    """``H' = (1 - dt / RC) H + dt / C X``: in units of R, a leak that divides the input too."""
    _hold_usual(module)
    if module.reset_mechanism == "zero":
        raise UnknownNeuronError(_DROPS_INPUT)
    resistance = number(module, "R")
    tau = resistance * number(module, "C") / number(module, "time_step")
    if tau < 1 or resistance <= 0:
        raise UnknownNeuronError(f"its time constant is {tau:g} time steps, wanted 1 or more")
    threshold = number(module, "threshold") / resistance
    return _with_reset(module, 1 - 1 / tau, threshold, tau=tau, decay_input=True)


def _with_reset(
    module: Any, beta: float, threshold: float, *, tau: float | None, decay_input: bool
) -> NeuronParameters:
    reset, subtract = 0.0 if module.reset_mechanism == "zero" else None, None
    if module.reset_mechanism == "none":
        subtract = 0.0
    elif module.reset_mechanism == "subtract" and beta != 1:
        if beta == 0:
            raise UnknownNeuronError("it keeps nothing but what its last spike takes off")
        subtract = threshold / beta
    return NeuronParameters(
        tau=tau, decay_input=decay_input, v_threshold=threshold, v_reset=reset, strict=True,
        norm=1 / number(module, "graded_spikes_factor"), v_subtract=subtract,
    )  # fmt: skip


def _hold_usual(module: Any) -> None:
    """Raise ``UnknownNeuronError`` for what has no part in the equation."""
    if module.inhibition:
        raise UnknownNeuronError("the strongest neuron inhibits the others (`inhibition`)")
    if module.state_quant:
        raise UnknownNeuronError("its potential is quantized (`state_quant`)")
    if module.reset_mechanism not in _RESETS:
        raise UnknownNeuronError(f"its reset is `{module.reset_mechanism}`")
    if number(module, "threshold") <= 0:
        raise UnknownNeuronError("its threshold is not above zero")


CALLING = Calling(
    keeps=True,
    resets=("reset_mem", "init_leaky", "init_lapicque"),
    class_resets=("reset_hidden",),
    class_detaches=("detach_hidden",),
    given=lambda mem=None: (mem, None),
)
SYNAPTIC = replace(
    CALLING,
    resets=("reset_mem", "init_synaptic"),
    returns=lambda spikes, mem, syn: (spikes, syn, mem),
    given=lambda syn=None, mem=None: (mem, syn),
    rest=lambda zero: (zero, zero),
)


def _calling(module: Any) -> Calling:
    return _hidden_or(CALLING, module)


def _calling_synaptic(module: Any) -> Calling:
    return _hidden_or(SYNAPTIC, module)


def _hidden_or(calling: Calling, module: Any) -> Calling:
    """Return how a layer is called: one that hides its state returns spikes alone."""
    hides = module.init_hidden and not module.output
    return replace(calling, returns=lambda spikes, *_: spikes) if hides else calling


ADAPTERS: Mapping[str, Adapter] = {
    "snntorch._neurons.leaky.Leaky": Adapter(_leaky, calling=_calling),
    "snntorch._neurons.lapicque.Lapicque": Adapter(_lapicque, calling=_calling),
    "snntorch._neurons.synaptic.Synaptic": Adapter(_synaptic, calling=_calling_synaptic),
}
