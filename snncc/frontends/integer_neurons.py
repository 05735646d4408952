"""Integer-firing neurons: our own, and those of the official programs.

The official programs have a class for each rounding and number of levels, in modules that are
called differently in each folder. So a class is looked at for its name, read by what it answers to
single currents, and taken only if the equation that was read gives what the class itself gives.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor, nn

from snncc.frontends.neuron_op import neuron
from snncc.frontends.neuron_parameters import (
    MOST_LEVELS,
    Adapter,
    NeuronParameters,
    Rounding,
    UnknownNeuronError,
)
from snncc.frontends.twin import twin_of

NAMES: frozenset[str] = frozenset({
    "MultiSpike", "Multispike", "MultiSpike_norm", "MultiSpike_norm4",
    "MultiSpike1", "MultiSpike2", "MultiSpike4", "MultiSpike8", "mem_update",
})  # fmt: skip
"""Classes of BICLab/Spike-Driven-Transformer-V3 @ 00fcd1f and BICLab/SpikeYOLO @ 309ef5e."""

_LARGE = 1e6


def integer_firing(
    levels: int, norm: float, rounding: Rounding, decay: float | None
) -> NeuronParameters:
    """Return the parameters of ``H = decay (V - S) + X ; S = round(clip(H, 0, levels))``.

    Without ``decay`` nothing is kept: ``H = X``. Raises ``UnknownNeuronError`` for one level with
    memory: it fires at one half and takes off one.
    """
    memoryless = decay is None
    tau = 1.0 if decay is None else None if decay == 1 else 1 / (1 - decay)
    if levels > 1:
        return NeuronParameters(
            tau=tau, decay_input=False, v_reset=None, levels=levels, rounding=rounding, norm=norm
        )
    if not memoryless:
        raise UnknownNeuronError("it has one level, which it reaches at one half, and memory")
    return NeuronParameters(
        tau=tau, decay_input=False, v_threshold=0.5, v_reset=None,
        strict=rounding == "half_even", norm=norm,
    )  # fmt: skip


def read_own(module: Any) -> NeuronParameters:
    """Return the parameters of ``snncc.models.neuron_multilevel.MultiLevel``."""
    return integer_firing(module.levels, module.norm, module.rounding, module.decay)


def official(module: nn.Module) -> Adapter | None:
    """Return how to read an integer-firing neuron of an official program, None if it is none."""
    if type(module).__name__ not in NAMES:
        return None
    twin = twin_of(module)
    try:
        with torch.no_grad():
            found = _read(twin)
            same = found is not None and _answers_alike(twin, found)
    except Exception:  # noqa: BLE001 - whatever a class of that name does, it is no such neuron
        return None
    if found is None or not same:
        return None
    return Adapter(lambda _: found, keeps_state=False)


def _read(module: nn.Module) -> NeuronParameters | None:
    """Read levels, divisor and rounding from the answers to a few currents."""
    currents = torch.tensor([[1.0, _LARGE, 0.5, -1.0]], dtype=torch.float64)
    one, most, half, negative = module(currents).flatten().tolist()
    if one <= 0 or negative:
        return None
    levels = round(most / one)
    if not 1 <= levels <= MOST_LEVELS:
        return None
    rounding: Rounding = "half_up" if half else "half_even"
    return integer_firing(levels, round(1 / one, 9), rounding, _decay(module))


def _decay(module: nn.Module) -> float | None:
    """Return what is kept of a potential, a number in the module that defines the class."""
    if type(module).__name__ != "mem_update":
        return None
    place = sys.modules.get(type(module).__module__)
    return float(getattr(place, "decay", 0.25))


def _answers_alike(module: nn.Module, found: NeuronParameters) -> bool:
    """Whether class and equation give the same, on the ways between counts too."""
    dice = torch.Generator().manual_seed(0)
    grid = torch.randint(-16, 8 * found.levels + 16, (5, 4096), generator=dice).double() / 8
    expected: Tensor = neuron(grid, *found.as_arguments())
    return bool(torch.allclose(module(grid.clone()), expected, rtol=1e-9, atol=0))
