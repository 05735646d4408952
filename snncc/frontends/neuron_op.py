"""One operator for a whole layer of spiking neurons over all time steps.

``torch.export`` would unroll a neuron's loop over time into some four nodes a step. Traced as the
operator ``snncc::neuron`` it stays one node, with the parameters beside it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_SCHEMA = (
    "(Tensor x, float? tau, bool decay_input, float v_threshold, float? v_reset, bool strict,"
    " int levels=1, str rounding='half_even', float norm=1.0, float? v_subtract=None) -> Tensor"
)


@torch.library.custom_op("snncc::neuron", mutates_args=(), schema=_SCHEMA)
def neuron(  # noqa: PLR0913 - the operator has what the equation has
    x: Tensor,
    tau: float | None,
    decay_input: bool,
    v_threshold: float,
    v_reset: float | None,
    strict: bool,
    levels: int = 1,
    rounding: str = "half_even",
    norm: float = 1.0,
    v_subtract: float | None = None,
) -> Tensor:
    """Spikes ``[T, ...]`` of the currents ``[T, ...]``: the equation of ``ir.ops.Neuron``."""
    rest = v_reset or 0.0
    taken = v_threshold if v_subtract is None else v_subtract
    v = torch.full_like(x[0], rest)
    spikes = torch.empty_like(x)
    for t in range(x.shape[0]):
        v = charge(v, x[t], rest, tau, decay_input)
        if levels > 1:
            spikes[t] = counted(v / v_threshold, levels, rounding)
        else:
            spikes[t] = v > v_threshold if strict else v >= v_threshold
        if v_reset is None:
            v = v - taken * spikes[t]
        else:
            v = v.masked_fill(spikes[t] > 0, v_reset)
    return spikes if norm == 1.0 else spikes / norm


def charge(v: Tensor, x: Tensor, rest: float, tau: float | None, decay_input: bool) -> Tensor:
    """Return the potential H after leak and input, before the reset."""
    if tau is None:
        return v + x
    if decay_input:
        return v + (x - (v - rest)) / tau
    return v - (v - rest) / tau + x


def counted(h: Tensor, levels: int, rounding: str) -> Tensor:
    """Return how many spikes, 0 to ``levels``, neurons fire at a potential in thresholds."""
    clipped = h.clamp(0, levels)
    return clipped.round() if rounding == "half_even" else (clipped + 0.5).floor()


@neuron.register_fake
def _(x: Tensor, *_: object, **__: object) -> Tensor:
    return torch.empty_like(x)


class NeuronLayer(nn.Module):
    """A layer of neurons that traces as one node; ``[T, ...]`` currents to spikes."""

    def __init__(
        self,
        *,
        tau: float | None = 2.0,
        decay_input: bool = True,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        strict: bool = False,
    ) -> None:
        super().__init__()
        self.parameters_of_op = (tau, decay_input, v_threshold, v_reset, strict)

    def forward(self, x: Tensor) -> Tensor:
        """Spikes of the currents."""
        spikes: Tensor = neuron(x, *self.parameters_of_op)
        return spikes
