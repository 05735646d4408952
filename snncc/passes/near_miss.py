"""What is raised where arithmetic is nearly a neuron or a current, and how products are told."""

from __future__ import annotations

from collections.abc import Callable

from snncc.passes.polynomial import Monomial
from snncc.passes.recurrence import FIRED, POTENTIAL, SPIKE


class NearMissError(Exception):
    """A chain is no neuron: why, and the value where it shows.

    ``{}`` in the phrase stands for a value, ``about``; an empty phrase leaves the reason open.
    """

    def __init__(self, message: str, at: str, about: str = "") -> None:
        """Take one phrase and the name of a value."""
        super().__init__(message)
        self.message = message
        self.at = at
        self.about = about

    def said(self, called: Callable[[str], str]) -> str:
        """Return the phrase; ``called`` puts a value in words."""
        return self.message.replace("{}", called(self.about)) if self.about else self.message


def product_miss(monomial: Monomial, at: str, *, counts: bool) -> NearMissError:
    """Return what is said of a potential that is made of this product, which no neuron has."""
    others = [name for name in monomial if name not in (POTENTIAL, SPIKE, FIRED)]
    if not others and counts and SPIKE in monomial:
        what = "the potential" if POTENTIAL in monomial else "the count of spikes"
        return NearMissError(f"{what} is multiplied by the count of spikes", at)
    if not others:
        return NearMissError("the potential is multiplied by itself", at)
    if not {SPIKE, FIRED}.isdisjoint(monomial) and POTENTIAL not in monomial:
        message = "the spike of the step before gates {}, which is no potential"
    else:
        message = "the potential is multiplied by {}, which is not one number"
    return NearMissError(message, at, others[0])
