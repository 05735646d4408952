"""The neurons of Norse, https://github.com/norse/norse: cells of one time step, layers of all.

One step of length dt, with the potential V, the current I of its synapses and the input X:

    I  = I + X                                   (`LIFBox`, `IAF`: X)
    H  = V + dt tau_mem_inv (v_leak - V + I)     (`IAF`: V + X)
    I' = (1 - dt tau_syn_inv) I

Spikes are above the threshold. The state that is handed on has I', what is left of the current.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from snncc.frontends.neuron_parameters import (
    Adapter,
    Calling,
    NeuronParameters,
    UnknownNeuronError,
    number,
)

MODULES = ("norse.torch.module.snn", "norse.torch.module.lif_refrac", "norse.torch.module.lsnn")


class State(NamedTuple):
    """What a call returns beside spikes."""

    v: Any
    i: Any


def _given(state: Any = None) -> tuple[Any, Any]:
    return (None, None) if state is None else (state.v, getattr(state, "i", None))


CELL = Calling(returns=lambda spikes, v, i: (spikes, State(v, i)), given=_given, leaked=True)
LAYER = replace(CELL, steps=False)


def _box(module: Any) -> NeuronParameters:
    rate = module.dt * number(module.p, "tau_mem_inv")
    if not 0 < rate <= 1:
        raise UnknownNeuronError(f"`dt * tau_mem_inv` is {rate:g}, wanted 0 to 1")
    leak = number(module.p, "v_leak")
    reset = _reset(module.p)
    if leak != (reset or 0.0):
        raise UnknownNeuronError(f"it leaks to {leak:g} and is reset to {reset or 0:g}")
    return _parameters(module.p, 1 / rate, reset)


def _with_current(module: Any) -> NeuronParameters:
    rate = module.dt * number(module.p, "tau_syn_inv")
    if not 0 <= rate <= 1 + 1e-9:
        raise UnknownNeuronError(f"`dt * tau_syn_inv` is {rate:g}, wanted 0 to 1")
    return replace(_box(module), keep=0.0 if abs(rate - 1) <= 1e-9 else 1 - rate)


def _no_leak(module: Any) -> NeuronParameters:
    return _parameters(module.p, None, _reset(module.p))


def _reset(p: Any) -> float | None:
    """Return where a spike sets the potential, None where it takes off the threshold."""
    name = getattr(getattr(p, "reset_method", None), "__name__", "reset_value")
    if name == "reset_subtract":
        return None
    if name != "reset_value":
        raise UnknownNeuronError(f"its reset is `{name}`")
    return number(p, "v_reset")


def _parameters(p: Any, tau: float | None, reset: float | None) -> NeuronParameters:
    threshold = number(p, "v_th")
    return NeuronParameters(tau=tau, v_threshold=threshold, v_reset=reset, strict=True)


_PLACE = "norse.torch.module"

ADAPTERS: Mapping[str, Adapter] = {
    f"{_PLACE}.lif_box.LIFBoxCell": Adapter(_box, calling=lambda _: CELL),
    f"{_PLACE}.lif.LIFCell": Adapter(_with_current, calling=lambda _: CELL),
    f"{_PLACE}.lif.LIF": Adapter(_with_current, calling=lambda _: LAYER),
    f"{_PLACE}.iaf.IAFCell": Adapter(_no_leak, calling=lambda _: CELL),
    f"{_PLACE}.iaf.IAF": Adapter(_no_leak, calling=lambda _: LAYER),
}
