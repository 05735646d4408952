"""Which neuron a chain of comparisons is, if it is one.

In a step a neuron makes its potential H of the one before, of the spike S that it gave then, and of
the current X::

    H' = keep H + gated F H + cleared F + kick S + offset + gain X

``F`` says whether there was a spike; it is S where S is one spike at most. With ``k`` the share
that the leak leaves (1 without a leak) a hard reset to r is ``gated = -k`` and ``cleared = k r``, a
soft reset that takes off u is ``gated = 0`` and ``kick = -k u``. What ``offset`` has beyond the
``(1 - k) r`` of a leak toward r belongs to the current.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from snncc.passes.answers import Firing, Rounding, counted
from snncc.passes.near_miss import NearMissError, product_miss
from snncc.passes.polynomial import ONE, Polynomial
from snncc.passes.recurrence import (
    FIRED,
    POTENTIAL,
    SPIKE,
    TOO_LARGE,
    Affine,
    Arithmetic,
    Chain,
)

Currents = tuple[tuple[str, Fraction], ...]


@dataclass(frozen=True)
class Update:
    """How a potential is made of the one before: the terms of the equation above."""

    keep: Fraction
    gated: Fraction
    cleared: Fraction
    kick: Fraction
    offset: Fraction
    currents: Currents

    @property
    def terms(self) -> dict[str, Fraction | tuple[Fraction, ...]]:
        """What has to be the same in all steps, each with how it is called."""
        return {
            "the share of the potential that is kept": self.keep,
            "what a spike takes of the potential": self.gated,
            "what a spike adds": self.cleared + self.kick,
            "what each spike of a step adds": self.kick,
            "the constant": self.offset,
            "the factor of the current": tuple(gain for _, gain in self.currents),
        }

    def in_units(self, factor: Fraction, offset: Fraction) -> Update:
        """Return the update for a potential before that is ``factor`` times this one + offset."""
        return dataclasses.replace(
            self,
            keep=self.keep / factor,
            gated=self.gated / factor,
            cleared=self.cleared - self.gated * offset / factor,
            offset=self.offset - self.keep * offset / factor,
        )


@dataclass(frozen=True)
class Equation:
    """A neuron in exact numbers; ``reset`` is None where a spike takes ``taken`` off instead.

    Its current in step t is ``gain sum(factor x) + bias`` over ``currents[t]``. With ``levels`` it
    fires as many spikes as its potential has thresholds, rounded.
    """

    keep: Fraction
    gain: Fraction
    bias: Fraction
    threshold: Fraction
    reset: Fraction | None
    taken: Fraction
    strict: bool
    currents: tuple[Currents, ...]
    levels: int = 1
    rounding: Rounding = "half_even"

    @property
    def rest(self) -> Fraction:
        """Where the potential starts and leaks to."""
        return self.reset or Fraction(0)

    def charge(self, before: Fraction, current: Fraction) -> Fraction:
        """Return the potential at the compare; ``current`` has gain and bias in it."""
        return self.keep * before + (1 - self.keep) * self.rest + current

    def fires(self, potential: Fraction) -> int:
        """Return how many spikes a potential gives."""
        if self.levels > 1:
            return counted(potential / self.threshold, self.levels, self.rounding)
        above = potential > self.threshold
        return int(above or (potential == self.threshold and not self.strict))

    def after(self, potential: Fraction) -> Fraction:
        """Return the potential after the reset."""
        spikes = self.fires(potential)
        if self.reset is None:
            return potential - spikes * self.taken
        return self.reset if spikes else potential


def equation_of(arithmetic: Arithmetic, chain: Chain) -> Equation:
    """Return the neuron that a chain of two steps or more is. Raises ``NearMissError``."""
    firings = chain.firings
    _hold_same_thresholds(firings)
    updates = [_update(p, f) for p, f in zip(chain.updates, firings[1:], strict=True)]
    later = updates[1:]
    for (a, b), firing in zip(pairwise(later), firings[3:], strict=False):
        _hold_same(a, b, firing.potential)
    return _from_first(arithmetic, firings, updates)


def _from_first(
    arithmetic: Arithmetic, firings: tuple[Firing, ...], updates: list[Update]
) -> Equation:
    """Return the neuron whose first step fits too; what the first potential is has to be tried."""
    second, later = firings[1], updates[1:]
    missed = NearMissError("the first step is not made as the others are", second.potential)
    for start in _starts(arithmetic, firings[0], second):
        first = updates[0].in_units(start.factor, start.offset)
        for update in _with_currents(arithmetic, firings[0], first, start, later):
            try:
                if later:
                    _hold_same(update, later[0], firings[2].potential)
                neuron = _equation(update, second)
                entry = _entry(arithmetic, firings[0], start, update.currents, neuron)
            except NearMissError as error:
                missed = error
                continue
            steps = (update, *later)
            currents = (entry, *(_plain(each.currents) for each in steps))
            return dataclasses.replace(neuron, currents=currents)
    raise missed


def _with_currents(
    arithmetic: Arithmetic, first: Firing, update: Update, start: Affine, later: list[Update]
) -> Iterator[Update]:
    """Return the first update with the potential told from the current.

    Where the first potential is its current alone, and all steps have the same, it is both.
    """
    nodes = {node.name: node for node in _path(arithmetic, first)}
    if not later and not update.currents:
        yield from (_split(update, start, node, Fraction(1)) for node in nodes.values())
    if not later:
        yield update
        return
    known = {name for name, _ in update.currents}
    for name, gain in later[0].currents:
        if name not in known and name in nodes:
            update = _split(update, start, nodes[name], gain * nodes[name].factor / start.factor)
    yield update


def _split(update: Update, start: Affine, node: Affine, share: Fraction) -> Update:
    """Return the update with a share of the potential taken for a current."""
    gain = share * start.factor / node.factor
    offset = share * (start.offset - start.factor * node.offset / node.factor)
    return dataclasses.replace(
        update,
        keep=update.keep - share,
        offset=update.offset + offset,
        currents=(*update.currents, (node.name, gain)),
    )


def single_step(chain: Chain) -> Equation:
    """Return the neuron that a comparison is in a network of one time step: it has no past."""
    firing, one = chain.firings[0], Fraction(1)
    currents = ((firing.potential, one),)
    none = Fraction(0)
    return Equation(one, one, none, firing.threshold, none, none, firing.strict, (currents,))


def _hold_same_thresholds(firings: tuple[Firing, ...]) -> None:
    for (step, a), b in zip(enumerate(firings[1:], start=1), firings[2:], strict=False):
        if a.threshold != b.threshold:
            raise NearMissError(
                f"what leak and current sum up to fires at {_text(b.threshold)} in step"
                f" {step + 1}, at {_text(a.threshold)} in step {step}",
                b.potential,
            )
    for firing in firings[1:]:
        if firing.levels != firings[0].levels:
            few, many = sorted((firing.levels, firings[0].levels))
            message = f"some steps fire up to {few}, others up to {many} spikes"
        elif firing.rounding != firings[0].rounding:
            message = "some steps round a half to the even count, others to the larger"
        elif firing.strict != firings[0].strict:
            message = "some steps fire at the threshold, others above it alone"
        else:
            continue
        raise NearMissError(message, firing.potential)


def _update(polynomial: Polynomial, firing: Firing) -> Update:
    """Return the terms of a potential. Raises ``NearMissError`` where there are others."""
    at, gate = firing.potential, SPIKE if firing.levels == 1 else FIRED
    if polynomial is TOO_LARGE:
        raise NearMissError("it is made of more terms than that of any neuron", at)
    names = {(POTENTIAL,), (SPIKE,), (FIRED,), tuple(sorted((POTENTIAL, gate))), ONE}
    currents = []
    for monomial, factor in polynomial.items():
        if monomial in names:
            continue
        if len(monomial) > 1:
            raise product_miss(monomial, at, counts=firing.levels > 1)
        currents.append((monomial[0], factor))

    def of(*monomial: str) -> Fraction:
        return polynomial.get(tuple(sorted(monomial)), Fraction(0))

    cleared, kick = of(gate), Fraction(0) if gate == SPIKE else of(SPIKE)
    return Update(of(POTENTIAL), of(POTENTIAL, gate), cleared, kick, of(), tuple(currents))


def _hold_same(a: Update, b: Update, at: str) -> None:
    for (name, x), y in zip(a.terms.items(), b.terms.values(), strict=True):
        if x != y:
            raise NearMissError(
                f"{name} differs from step to step: {_text(x)}, then {_text(y)}", at
            )


def _starts(arithmetic: Arithmetic, first: Firing, second: Firing) -> Iterator[Affine]:
    """Return what the first potential can be in units in which it fires as the second does."""
    for node in _path(arithmetic, first):
        reached = node.factor * first.threshold + node.offset
        ratio = _ratio(first.unit * node.factor, reached, second)
        if ratio * node.factor > 0 and ratio * reached == second.threshold:
            yield Affine(node.name, ratio * node.factor, ratio * node.offset)


def _ratio(unit: Fraction, reached: Fraction, second: Firing) -> Fraction:
    """Return by what to multiply a potential that fires where it is ``reached``, counts by unit."""
    if second.unit and unit:
        return second.unit / unit
    return second.threshold / reached if reached else Fraction(int(second.threshold == 0))


def _path(arithmetic: Arithmetic, first: Firing) -> Iterator[Affine]:
    """Return the values between a comparison and its potential, each in units of that potential.

    The potential itself comes first.
    """
    for name in arithmetic.made_of_spike[first]:
        if name in arithmetic.comparisons and name not in arithmetic.second_hand:
            path = arithmetic.affine_path(arithmetic.ops[name].inputs[0])
            bottom = path[-1]
            for node in reversed(path):
                offset = (bottom.offset - node.offset) / node.factor
                yield Affine(node.name, bottom.factor / node.factor, offset)


def _equation(update: Update, firing: Firing) -> Equation:
    """Return the neuron whose update this is, but for its currents."""
    k, at = update.keep, firing.potential
    if not any(gain for _, gain in update.currents):
        raise NearMissError("no current enters the potential", at)
    if not 0 < k <= 1:
        message = f"each step multiplies the potential by {_text(k)}, which is no leak"
        raise NearMissError(message, at)
    _hold_unit(firing)
    reset, taken = _reset(update, at, counts=firing.levels > 1)
    bias = update.offset - (1 - k) * (reset or 0)
    gain = _gain(update.currents)
    return Equation(
        k, gain, bias, firing.threshold, reset, taken, firing.strict, (),
        firing.levels, firing.rounding,
    )  # fmt: skip


def _hold_unit(firing: Firing) -> None:
    """Hold that a count begins at 0: ``H / v_threshold`` is what is rounded."""
    if firing.levels == 1:
        return
    start = firing.threshold - firing.unit
    message = f"its spikes are counted from a potential of {_text(start)} on, a neuron's from 0"
    if firing.unit < 0:
        message = "it counts how far the potential falls, a neuron how far it rises"
    if firing.unit < 0 or start:
        raise NearMissError(message, firing.potential)


def _reset(update: Update, at: str, *, counts: bool) -> tuple[Fraction | None, Fraction]:
    """Return what a spike resets to, or None and what each spike takes off."""
    k, none = update.keep, Fraction(0)
    if update.gated == -k and update.kick == 0:
        return update.cleared / k, none
    if update.gated not in (0, -k):
        message = f"a spike leaves {_text((k + update.gated) / k)} of the potential, wanted 0 or 1"
        raise NearMissError(message, at)
    if counts and (update.gated or update.cleared):
        message = "a count of spikes does more than to reset the potential, or to take off of it"
        raise NearMissError(message, at)
    taken = -(update.kick if counts else update.cleared) / k
    if taken < 0:
        message = f"a spike adds {_text(-taken)} to the potential, a reset takes off"
        raise NearMissError(message, at)
    return None, taken


def _gain(currents: Currents) -> Fraction:
    """Return the common factor of all currents, 1 where they have none."""
    factors = {factor for _, factor in currents}
    return factors.pop() if len(factors) == 1 else Fraction(1)


def _plain(currents: Currents) -> Currents:
    gain = _gain(currents)
    return tuple((name, factor / gain) for name, factor in currents)


def _entry(
    arithmetic: Arithmetic, first: Firing, start: Affine, second: Currents, neuron: Equation
) -> Currents:
    """Return the current of the first step. Raises ``NearMissError`` where there is none.

    The neuron starts at its rest: ``H = rest + bias + gain X``. The current is made as that of the
    ``second`` step is, of a value on the way to the comparison.
    """
    wanted, alike = neuron.rest + neuron.bias, _shape_of(arithmetic, second)
    shares = [(start.factor / n.factor / neuron.gain, n) for n in _path(arithmetic, first)]
    started, spread = None, False
    for share, node in sorted(shares, key=lambda each: each[0] != 1):
        made = tuple(share * term for term in _shape(arithmetic, node.name))
        if share != 1 if alike is None else made != alike:
            continue
        offset = start.offset - start.factor * node.offset / node.factor
        if offset == wanted:
            spread = arithmetic.has_numbers(node.name) and not arithmetic.has_numbers(second[0][0])
            if not spread:
                return ((node.name, share),)
        started = (offset - wanted) / neuron.keep + neuron.rest
    rest = _text(neuron.rest)
    if spread:
        message = f"the potential starts at a number of its own in each place, a neuron at {rest}"
    elif started is None:
        message = "the current of the first step is not made as those of the others are"
    else:
        message = f"the potential starts at {_text(started)}, a neuron at {rest}"
        if neuron.rest:
            message += ", to which a spike resets it"
    raise NearMissError(message, first.potential)


def _shape_of(arithmetic: Arithmetic, currents: Currents) -> tuple[Fraction, Fraction] | None:
    """Return the factor and the offset by which a current is made; a sum has none.

    None for a current that is made of the one of the first step: what it receives is not known.
    """
    if currents[0][0] == arithmetic.current:
        return None
    if len(currents) > 1:
        return Fraction(1), Fraction(0)
    return _shape(arithmetic, currents[0][0])


def _shape(arithmetic: Arithmetic, name: str) -> tuple[Fraction, Fraction]:
    bottom = arithmetic.affine_path(name)[-1]
    return bottom.factor, bottom.offset


def _text(value: Fraction | tuple[Fraction, ...]) -> str:
    if isinstance(value, tuple):
        return " and ".join(_text(each) for each in value)
    return f"{float(value):.6g}"
