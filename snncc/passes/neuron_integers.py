"""One neuron layer in the chip's integers: decay, shift, threshold, and the proof of its width.

The chip carries ``U = g (V - v_reset) / scale`` with ``g = tau`` where the input is divided by tau
and 1 elsewhere, in units of ``2**-shift`` counts: ``U' = U (4096 - decay) / 4096 + (X << shift)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from snncc.ir.domain import Grid
from snncc.ir.graph import Array
from snncc.ir.ops import Neuron
from snncc.passes.grids import SAME_PLACE
from snncc.targets.load import Arithmetic

_MOST_EXTRA_BITS = 16
_MOST_PLACES = 22
_SLACK = Fraction(1, 10**9)
"""A threshold within this share above an integer count is that integer: float division noise."""


@dataclass(frozen=True)
class NeuronPlan:
    """The integers of a neuron layer and what is proved of them.

    ``threshold`` is ``(1,)`` or one a channel; with levels ``(levels, 1)`` or ``(levels, C)``.
    ``unit`` is what a soft reset takes off for each spike, None where that is the threshold.
    ``exact``: every spike is that of the recurrence in real numbers on the same currents.
    ``bound``: no potential can be larger in absolute value, in any input; ``limit`` is the width's.
    """

    decay: int
    shift: int
    threshold: Array
    unit: Array | None
    exact: bool
    bound: int
    limit: int

    @property
    def proved(self) -> bool:
        """Whether the potential cannot leave the target's width."""
        return self.bound <= self.limit


def plan_neuron(
    neuron: Neuron,
    unit: Array,
    current: Grid,
    steps: int,
    arithmetic: Arithmetic,
    *,
    lasting: bool = False,
    grain: Array | None = None,
) -> NeuronPlan:
    """Return the integers of a neuron layer that reads ``current`` counts of ``unit`` each.

    The input is shifted as far as the proof of the width allows, up to where no halving of the
    ``steps`` ever rounds; then thresholds are exact. ``unit`` is ``(1,)`` or one a channel, and so
    is ``grain``: where that is ``unit / 2**shift``, the potential has just those places. A current
    that is ``lasting`` has been shifted and rounded where it is kept: it is taken as it is.
    """
    given = None if grain is None else places_of(unit, grain)
    if given is not None and neuron.v_reset is not None and neuron.levels == 1:
        plan = _plan_as_given(neuron, unit, current, steps, arithmetic, given)
        return replace(plan, exact=plan.exact and not lasting)
    if lasting:
        plan = _plan(neuron, unit, current, steps, arithmetic, 0)
        return replace(plan, exact=False)
    base = arithmetic.current_shift.value
    needed = _exact_shift(neuron.kept, steps)
    extra = steps - 1 if needed is None else needed
    plans = (
        _plan(neuron, unit, current, steps, arithmetic, base + k) for k in range(extra, -1, -1)
    )
    plan = next(plans)
    while not (plan.proved and _fits(plan, arithmetic)):
        smaller = next(plans, None)
        if smaller is None:
            break
        plan = smaller
    return plan


def potential_goal(neuron: Neuron) -> float:
    """Return the potential that fires in units of the current: ``g (v_threshold - v_reset)``."""
    return _gain(neuron) * (neuron.v_threshold - (neuron.v_reset or 0.0))


def falls_between_counts(neuron: Neuron, steps: int, *, lasting: bool) -> bool:
    """Whether potentials come to lie between counts, where a hard reset's register has no place.

    Where no leak ever rounds they lie there as well, but on a grid of which a threshold between two
    places can be rounded up: nothing is lost.
    """
    plain = neuron.v_reset is not None and neuron.levels == 1
    return plain and (lasting or _exact_shift(neuron.kept, steps) is None)


def places_of(unit: Array, grain: Array) -> int | None:
    """Return the binary places behind a count that a grain has; None where it is no such part."""
    ratio = np.log2(unit / grain)
    places = int(np.rint(ratio.flat[0]))
    near = bool(np.all(np.abs(ratio - places) < SAME_PLACE))
    return places if near and 0 <= places <= _MOST_PLACES else None


def _plan_as_given(
    neuron: Neuron, unit: Array, current: Grid, steps: int, arithmetic: Arithmetic, shift: int
) -> NeuronPlan:
    """Return the integers of neurons whose potential has ``shift`` places already."""
    one = 1 << arithmetic.decay_bits.value
    share = (1 - neuron.kept) * one
    decay = round(share)
    counts = [potential_goal(neuron) / u for u in unit.tolist()]
    threshold = np.array([_threshold(c, neuron, shift, 1, False, arithmetic) for c in counts])
    exact = decay == share and threshold.tolist() == [_first(c, neuron, shift, 1) for c in counts]
    bound = _bound(current, shift, (decay, one), steps, neuron, (int(threshold.max()), 0))
    limit = (1 << (arithmetic.potential_bits.value - 1)) - 1
    return NeuronPlan(decay, shift, threshold, None, exact, bound, limit)


def _gain(neuron: Neuron) -> float:
    return neuron.tau if neuron.tau is not None and neuron.decay_input else 1.0


def _fits(plan: NeuronPlan, arithmetic: Arithmetic) -> bool:
    """Whether every threshold fits the target's register."""
    register = int(plan.threshold.max()) >> arithmetic.threshold_shift.value
    return register < 1 << arithmetic.threshold_bits.value


def _exact_shift(retention: Fraction, steps: int) -> int | None:
    """Return how many bits the decays of a sample use up; None where no number is enough."""
    bits = retention.denominator.bit_length() - 1
    is_power = retention.denominator == 1 << bits
    return bits * (steps - 1) if is_power and bits * (steps - 1) <= _MOST_EXTRA_BITS else None


def _plan(
    neuron: Neuron, unit: Array, current: Grid, steps: int, arithmetic: Arithmetic, shift: int
) -> NeuronPlan:
    retention, one = neuron.kept, 1 << arithmetic.decay_bits.value
    decay = round((1 - retention) * one)
    extra, needed = shift - arithmetic.current_shift.value, _exact_shift(retention, steps)
    lossless = needed is not None and extra >= needed and Fraction(decay, one) == 1 - retention
    exact = lossless and neuron.v_reset is not None
    spread = 1 << (shift - needed) if exact and needed is not None else 1
    goal = potential_goal(neuron)
    counts = [goal / u for u in unit.tolist()]
    taken = None
    if neuron.levels == 1:
        threshold = np.array(
            [_threshold(c, neuron, shift, spread, exact, arithmetic) for c in counts]
        )
    else:
        threshold = np.array([_levels(c, neuron, shift) for c in counts]).T
        exact = lossless and retention == 0
    if neuron.levels > 1 or (neuron.v_reset is None and neuron.v_subtract is not None):
        off = Fraction(_gain(neuron) * neuron.taken)
        taken = np.array([round(off / Fraction(u) * (1 << shift)) for u in unit.tolist()])
    left = 0 if taken is None else _least_left(threshold, taken)
    bound = _bound(current, shift, (decay, one), steps, neuron, (int(threshold.max()), left))
    limit = (1 << (arithmetic.potential_bits.value - 1)) - 1
    return NeuronPlan(decay, shift, threshold, taken, exact, bound, limit)


def _threshold(
    counts: float, neuron: Neuron, shift: int, spread: int, exact: bool, arithmetic: Arithmetic
) -> int:
    """Return the least potential that fires, given the threshold in counts.

    The chip's threshold register counts ``2**threshold_shift``; its compare may be strict.
    """
    first = _first(counts, neuron, shift, spread)
    if neuron.v_reset is None:
        return first
    register = 1 << arithmetic.threshold_shift.value
    if arithmetic.threshold_compare.value == "greater_equal":
        return round(first / register) * register
    if exact:
        return (-(-first // register) - 1) * register + 1
    return max(round(Fraction(first - 1, register)), 0) * register + 1


def _first(counts: float, neuron: Neuron, shift: int, spread: int) -> int:
    """Return the first potential that must fire, where potentials lie ``spread`` apart."""
    real = Fraction(counts) * (1 << shift)
    first = math.ceil(real * (1 - _SLACK) / spread) * spread
    on_the_edge = neuron.strict and abs(first - real) <= real * _SLACK
    return first + spread if on_the_edge else first


def _levels(counts: float, neuron: Neuron, shift: int) -> list[int]:
    """Return the least potential of each count of spikes: j fire from ``j - 1/2`` thresholds on.

    Half-way potentials go to the even count, or to the larger.
    """
    found = []
    for level in range(1, neuron.levels + 1):
        real = Fraction(counts) * (1 << shift) * Fraction(2 * level - 1, 2)
        first = math.ceil(real * (1 - _SLACK))
        to_the_smaller = neuron.rounding == "half_even" and level % 2 == 1
        on_the_edge = abs(first - real) <= real * _SLACK
        found.append(first + (1 if to_the_smaller and on_the_edge else 0))
    return found


def _least_left(threshold: Array, taken: Array) -> int:
    """Return the least potential that a soft reset can leave, 0 at most."""
    levels = threshold if threshold.ndim > 1 else threshold[None]
    counts = np.arange(1, len(levels) + 1)[:, None]
    return min(0, int((levels - counts * taken).min()))


def _bound(
    current: Grid,
    shift: int,
    leak: tuple[int, int],
    steps: int,
    neuron: Neuron,
    reset: tuple[int, int],
) -> int:
    """Return the largest potential that any input can lead to within ``steps``.

    ``leak`` is the decay and what it is a share of; ``reset`` the largest threshold and the least
    that a soft reset leaves.
    """
    (decay, one), (threshold, left) = leak, reset
    hi = upper = current.hi << shift
    for _ in range(steps - 1):
        kept = min(max(upper, 0), threshold - 1) if neuron.v_reset is not None else max(upper, 0)
        upper = max(hi, hi + kept * (one - decay) // one)
    lower = lowest_potential(current.lo << shift, leak, steps, left)
    return max(abs(upper), abs(lower), -left)


def lowest_potential(lo: int, leak: tuple[int, int], steps: int, left: int = 0) -> int:
    """Return the least potential that currents of ``lo`` and more can lead to within ``steps``.

    ``leak`` is the decay and what it is a share of, ``left`` the least that a reset leaves.
    """
    (decay, one), lower = leak, lo
    for _ in range(steps - 1):
        lower = min(lo, lo - (-min(lower, left) * (one - decay) // one))
    return lower
