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

from snncc.passes.answers import Affine, Firing, collected
from snncc.passes.equation import Currents, Equation
from snncc.passes.near_miss import NearMissError, product_miss
from snncc.passes.polynomial import ONE, Polynomial
from snncc.passes.recurrence import (
    FIRED,
    POTENTIAL,
    SPIKE,
    TOO_LARGE,
    Arithmetic,
    Chain,
)
from snncc.passes.rounding import are_same, at_most_one, is_same, one_of


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
    def shares(self) -> dict[str, Fraction]:
        """What has to be the same in all steps, in parts of the potential."""
        return {
            "the share of the potential that is kept": self.keep,
            "what a spike takes of the potential": self.gated,
        }

    @property
    def numbers(self) -> dict[str, Fraction]:
        """What has to be the same in all steps, in units of the potential."""
        return {
            "what a spike adds": self.cleared + self.kick,
            "what each spike of a step adds": self.kick,
            "the constant": self.offset,
        }

    @property
    def gains(self) -> tuple[Fraction, ...]:
        """The factor of each current."""
        return tuple(gain for _, gain in self.currents)

    def in_units(self, factor: Fraction, offset: Fraction) -> Update:
        """Return the update for a potential before that is ``factor`` times this one + offset."""
        return dataclasses.replace(
            self,
            keep=self.keep / factor,
            gated=self.gated / factor,
            cleared=self.cleared - self.gated * offset / factor,
            offset=self.offset - self.keep * offset / factor,
        )


def equation_of(arithmetic: Arithmetic, chain: Chain) -> Equation:
    """Return the neuron that a chain of two steps or more is. Raises ``NearMissError``."""
    firings = chain.firings
    _hold_same_thresholds(firings)
    updates = [_update(p, f) for p, f in zip(chain.updates, firings[1:], strict=True)]
    later = updates[1:]
    for (a, b), firing in zip(pairwise(later), firings[3:], strict=False):
        _hold_same(a, b, firing)
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
            usual = later[0] if later else update
            try:
                if later:
                    _hold_same(update, usual, firings[2])
                neuron = _equation(usual, second)
                entry = _entry(arithmetic, firings[0], start, update.currents, neuron)
            except NearMissError as error:
                missed = error
                continue
            factors = [factor / neuron.gain for factor in usual.gains]
            steps = (_named(each.currents, factors) for each in (update, *later))
            return dataclasses.replace(neuron, currents=(entry, *steps), start=start)
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
        if not is_same(a.threshold, b.threshold):
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


def _hold_same(a: Update, b: Update, firing: Firing) -> None:
    for size, x, y in ((1, a.shares, b.shares), (firing.threshold, a.numbers, b.numbers)):
        for name in x:
            if not is_same(x[name], y[name], size):
                raise _differs(name, x[name], y[name], firing)
    if not are_same(a.gains, b.gains):
        raise _differs("the factor of the current", a.gains, b.gains, firing)


def _differs(
    name: str, x: Fraction | tuple[Fraction, ...], y: Fraction | tuple[Fraction, ...], at: Firing
) -> NearMissError:
    message = f"{name} differs from step to step: {_text(x)}, then {_text(y)}"
    return NearMissError(message, at.potential)


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
            for node in (*reversed(path), *_collected(arithmetic, bottom)):
                offset = (bottom.offset - node.offset) / node.factor
                yield Affine(node.name, bottom.factor / node.factor, offset)


def _collected(arithmetic: Arithmetic, value: Affine) -> Iterator[Affine]:
    return collected(value, arithmetic.ops, lambda name: arithmetic.affine_path(name)[-1])


def _equation(update: Update, firing: Firing) -> Equation:
    """Return the neuron whose update this is, but for its currents."""
    at = firing.potential
    k = at_most_one(update.keep)
    if not any(gain for _, gain in update.currents):
        raise NearMissError("no current enters the potential", at)
    if not 0 < k <= 1 or is_same(k, Fraction(0), 1):
        message = f"each step multiplies the potential by {_text(k)}, which is no leak"
        raise NearMissError(message, at)
    _hold_unit(firing)
    reset, taken = _reset(update, firing)
    leaks_to = (1 - k) * (reset or 0)
    same = is_same(update.offset, leaks_to, firing.threshold)
    bias = Fraction(0) if same else update.offset - leaks_to
    gain = _gain(update.currents)
    return Equation(
        k, gain, bias, firing.threshold, reset, taken, firing.strict, (),
        firing.levels, firing.rounding,
    )  # fmt: skip


def _hold_unit(firing: Firing) -> None:
    """Hold that a count begins at 0: ``H / v_threshold`` is what is rounded."""
    if firing.levels == 1:
        return
    same = is_same(firing.threshold, firing.unit)
    start = Fraction(0) if same else firing.threshold - firing.unit
    message = f"its spikes are counted from a potential of {_text(start)} on, a neuron's from 0"
    if firing.unit < 0:
        message = "it counts how far the potential falls, a neuron how far it rises"
    if firing.unit < 0 or start:
        raise NearMissError(message, firing.potential)


def _reset(update: Update, firing: Firing) -> tuple[Fraction | None, Fraction]:
    """Return what a spike resets to, or None and what each spike takes off."""
    k, none, at, counts = update.keep, Fraction(0), firing.potential, firing.levels > 1
    if is_same(update.gated, -k, 1) and update.kick == 0:
        return update.cleared / k, none
    if update.gated and not is_same(update.gated, -k, 1):
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
    first, *others = (factor for _, factor in currents)
    return first if all(is_same(first, other) for other in others) else Fraction(1)


def _named(currents: Currents, factors: list[Fraction]) -> Currents:
    return tuple((name, one_of(f)) for (name, _), f in zip(currents, factors, strict=True))


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
    for share, node in sorted(shares, key=lambda e: (e[0] != 1, any(_collected(arithmetic, e[1])))):
        made = tuple(share * term for term in _shape(arithmetic, node.name))
        if not (is_same(share, Fraction(1)) if alike is None else are_same(made, alike)):
            continue
        offset = start.offset - start.factor * node.offset / node.factor
        if is_same(offset, wanted, neuron.threshold):
            spread = arithmetic.has_numbers(node.name) and not arithmetic.has_numbers(second[0][0])
            if not spread:
                return ((node.name, one_of(share)),)
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
