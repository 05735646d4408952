"""One operator for one time step of a layer of spiking neurons, with its state in and out.

A loop over time calls a layer once a step. Traced as the operator ``snncc::neuron_call`` each call
stays one node, and the state shows which call goes on from which.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from snncc.frontends.build import Builder, Dynamic, Static, Value
from snncc.frontends.neuron_op import charge
from snncc.ir.graph import IRError, Shape
from snncc.ir.neuron_call import POTENTIAL, NeuronCall
from snncc.ir.ops import Foreign

_SCHEMA = (
    "(Tensor x, Tensor? state, float? tau, bool decay_input, float v_threshold, float? v_reset,"
    " bool strict, int levels=1, str rounding='half_even', float norm=1.0,"
    " float? v_subtract=None) -> (Tensor, Tensor)"
)


@torch.library.custom_op("snncc::neuron_call", mutates_args=(), schema=_SCHEMA)
def neuron_call(  # noqa: PLR0913 - the operator has what the equation has
    x: Tensor,
    state: Tensor | None,
    tau: float | None,
    decay_input: bool,
    v_threshold: float,
    v_reset: float | None,
    strict: bool,
    levels: int = 1,
    rounding: str = "half_even",
    norm: float = 1.0,
    v_subtract: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Spikes and the potential after the reset, of one time step; at rest without a state."""
    rest = v_reset or 0.0
    v = torch.full_like(x, rest) if state is None else state
    h = charge(v, x, rest, tau, decay_input)
    spikes = (h > v_threshold if strict else h >= v_threshold).to(x)
    if v_reset is None:
        v = h - (v_threshold if v_subtract is None else v_subtract) * spikes
    else:
        v = h.masked_fill(spikes > 0, v_reset)
    return spikes if norm == 1.0 else spikes / norm, v


@neuron_call.register_fake
def _(x: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(x)


def convert(b: Builder, a: Mapping[str, Any], out: Shape) -> list[Value]:
    """Make ops of a call: its spikes, and what stands for its potential.

    Raises ``IRError`` for a state that no call has returned.
    """
    fields = {name: given for name, given in a.items() if name not in ("x", "state")}
    before = _call_before(b, a["state"], fields["v_reset"] or 0.0)
    call = b.emit(NeuronCall, a["x"], *before, **fields)
    return [call, b.emit(Foreign, call, target=POTENTIAL, shape=call.shape)]


def _call_before(b: Builder, state: Value | None, rest: float) -> list[Value]:
    """Return the call that a state is from, nothing for a state of rest."""
    if state is None:
        return []
    if isinstance(state, Static):
        if state.is_known and bool((state.tensor == rest).all()):
            return []
        raise IRError(f"its state starts at something else than {rest:g}")
    made = b.made(state)
    target = getattr(made, "target", "")
    if target == POTENTIAL:
        return [Dynamic(made.inputs[0], state.shape)]
    if target.startswith("snncc.neuron_call"):
        return []  # that call has been refused
    raise IRError("its state is not what it returned one time step before")
