"""An integer neuron as Lava's stock ``LIFReset``: which shifts, thresholds and biases are exact.

Stock, per step and in 24 bits (no Lava needed to know it): ``v' = rz(v (4096 - dv) / 4096) +
(a_in << 6) + (bias_mant << bias_exp)``, ``s = v' > vth << 6``, then ``v = 0`` where ``s``. Ours is
``U' = rz(U (4096 - decay) / 4096) + (X << shift)``, ``S = U' >= threshold``. With
``a_in = X << k`` the stock potential is ``v = U 2**(6 + k - shift)`` where both round alike:

- if ``k = shift - 6``, then ``v = U`` whatever is rounded, and ``threshold - 1`` must be a multiple
  of 64, for the stock threshold is;
- if nothing is ever rounded: one step of decay makes ``r`` more binary places, r = 1 for tau = 2,
  so that ``shift >= (T - 1) r`` leaves none behind. With ``k = (T - 1) r`` all potentials are
  multiples of 64, and a strict compare can stand in for any threshold.

A layer that keeps its current reads ``I = rz(I (4096 - decay) / 4096) + (X << shift)``, and stock
neurons have ``u = rz(u (4096 - (du + 1)) / 4096) + (a_in << 6)`` in place of ``a_in << 6``: with
``du = decay - 1`` and ``k = shift - 6`` that is the same number, and so is the potential.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snncc.ir.graph import Array
from snncc.ir.ops import IntegerNeuron
from snncc.ir.synaptic_current import DECAY_BITS, IntegerCurrent
from snncc.passes.grids import most_shift

STOCK_SHIFT = 6
"""Stock currents and thresholds stand 6 bits above the potential."""
POTENTIAL_BITS = 23
NO_CURRENT_MEMORY = 4095
MAX_VTH = 2**17 - 1
MAX_BIAS_MANT = 2**12 - 1
MAX_BIAS_EXP = 7
_INT16_MAX = 2**15 - 1
_WHOLE = 1 << DECAY_BITS


@dataclass(frozen=True)
class StockNeuron:
    """The parameters of one ``LIFReset``; currents come in as ``X << k``."""

    k: int
    dv: int
    vth: Array
    du: int = NO_CURRENT_MEMORY


@dataclass(frozen=True)
class StockBias:
    """A bias as ``mant << exp``; what fits no field comes in as a constant current instead."""

    mant: Array
    exp: int
    current: Array | None
    limits: tuple[str, ...]


def stock_neuron(
    op: IntegerNeuron, threshold: Array, steps: int, keeps: IntegerCurrent | None = None
) -> StockNeuron | str:
    """Return the stock parameters for neurons with these thresholds, or why there are none.

    ``keeps`` is how they keep what reaches them, where that lasts.
    """
    refused = refusal(op)
    if refused:
        return refused
    if keeps is not None:
        return _keeping(op, threshold, keeps)
    if op.shift >= STOCK_SHIFT and not np.any((threshold - 1) % (1 << STOCK_SHIFT)):
        return StockNeuron(op.shift - STOCK_SHIFT, op.decay, (threshold - 1) >> STOCK_SHIFT)
    places = (steps - 1) * decay_places(op.decay)
    if op.shift >= places:
        return StockNeuron(places, op.decay, _strict(threshold, op.shift - places))
    if op.shift < STOCK_SHIFT:
        return f"rounds after {op.shift} binary places, stock potentials after {STOCK_SHIFT}"
    return "rounds, and thresholds are not one above a multiple of 64"


def _keeping(op: IntegerNeuron, threshold: Array, keeps: IntegerCurrent) -> StockNeuron | str:
    if keeps.decay == 0:
        return "loses nothing of its current: stock neurons lose a share in each step"
    if op.shift or keeps.shift < STOCK_SHIFT:
        shifts = f"shifts its current by {keeps.shift} and by {op.shift} once more"
        return f"{shifts}: stock neurons shift it once, by {STOCK_SHIFT} at least"
    if np.any((threshold - 1) % (1 << STOCK_SHIFT)):
        return "rounds, and thresholds are not one above a multiple of 64"
    vth = (threshold - 1) >> STOCK_SHIFT
    return StockNeuron(keeps.shift - STOCK_SHIFT, op.decay, vth, keeps.decay - 1)


def refusal(op: IntegerNeuron) -> str | None:
    """Return why no stock neuron does what this one does, whatever its threshold."""
    if op.levels > 1:
        return f"fires up to {op.levels} spikes at once: stock neurons fire one"
    return "soft reset: stock neurons reset to zero" if op.reset != "hard" else None


def decay_places(decay: int) -> int:
    """Return how many binary places a potential gains in one step of this decay."""
    kept = _WHOLE - decay
    if kept in (0, _WHOLE):
        return 0
    return DECAY_BITS - ((kept & -kept).bit_length() - 1)


def _strict(threshold: Array, spare: int) -> Array:
    """Return vth such that ``v > vth << 6`` on multiples of 64 is ``U >= threshold``.

    ``U`` counts in units of ``2**spare``, of which one is 64 in ``v``.
    """
    reached = -((-threshold.astype(np.int64)) >> spare)
    return reached - 1


def stock_bias(bias: Array, k: int) -> StockBias:
    """Return a bias per neuron, in units of X, as stock fields that add ``bias << (6 + k)``."""
    exp = min(MAX_BIAS_EXP, STOCK_SHIFT + k)
    mant = bias.astype(np.int64) << (STOCK_SHIFT + k - exp)
    largest = int(np.abs(mant).max(initial=0))
    none: Array = np.zeros_like(mant)
    if largest <= MAX_BIAS_MANT:
        return StockBias(mant, exp, None, ())
    limit = f"bias needs {largest.bit_length() + 1} bits at exponent {exp}, the field has 13"
    if int(np.abs(bias).max()) <= _INT16_MAX:
        return StockBias(bias.astype(np.int64), STOCK_SHIFT + k, None, (limit,))
    return StockBias(none, 0, bias.astype(np.int64) << k, (limit, "bias sent as a current"))


def kept_bias(bias: Array) -> StockBias | str:
    """Return a bias per neuron, in units of the potential, as stock fields; else why not."""
    exp = min(MAX_BIAS_EXP, most_shift(bias))
    mant = bias >> exp
    largest = int(np.abs(mant).max(initial=0))
    if largest <= MAX_BIAS_MANT:
        return StockBias(mant, exp, None, ())
    limit = f"bias needs {largest.bit_length() + 1} bits at exponent {exp}, the field has 13"
    if largest > _INT16_MAX:
        return f"{limit}, and the simulation keeps 16"
    return StockBias(mant, exp, None, (limit,))


def exceeded(
    neuron: StockNeuron, op: IntegerNeuron, x: Array, potential: Array, *, kept: bool = False
) -> tuple[str, ...]:
    """Return the documented widths that currents, potentials or thresholds outgrow.

    ``x`` are synaptic currents without bias, ``potential`` is U at the compare. Where ``kept``,
    ``x`` is what the neurons keep of their currents, in units of the potential.
    """
    found = []
    shift = 0 if kept else STOCK_SHIFT + neuron.k
    current = int(np.abs(x.astype(np.int64)).max(initial=0)) << shift
    if current >= 1 << POTENTIAL_BITS:
        found.append(f"a current reaches {current}, it wraps at 2**{POTENTIAL_BITS}")
    scale = 2.0 ** (shift - op.shift)
    largest = float(np.abs(potential).max(initial=0)) * scale
    if largest >= 1 << POTENTIAL_BITS:
        found.append(f"a potential reaches {largest:.0f}, it saturates at 2**{POTENTIAL_BITS}")
    low, high = int(neuron.vth.min()), int(neuron.vth.max())
    if low < 0 or high > MAX_VTH:
        found.append(f"thresholds {low}..{high} are not all in 0..{MAX_VTH}")
    return tuple(found)
