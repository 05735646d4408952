"""Numbers as a page writes them."""

from __future__ import annotations

from collections.abc import Sequence

from snncc.backends.report.table import energy


def mj(value: float) -> str:
    """Return an energy in the unit in which it reads best: ``2.850 µJ``."""
    return "0" if value == 0 else energy(value).replace("uJ", "µJ")


def percent_of(share: float) -> str:
    """Return a share in percent, with as many decimals as tell it from nothing."""
    value = 100 * share
    return f"{value:.2f} %" if 0 < abs(value) < 1 else f"{value:.1f} %"


def duration(ns: float) -> str:
    """Return a time in the unit in which it reads best: ``4.82 ms``."""
    return _in_units(ns, (("s", 1e9), ("ms", 1e6), ("µs", 1e3), ("ns", 1)))


def bits(number: int) -> str:
    """Return an amount of memory: ``95.2 kbit``."""
    return _in_units(number, (("Gbit", 1e9), ("Mbit", 1e6), ("kbit", 1e3), ("bit", 1)))


def _in_units(value: float, units: Sequence[tuple[str, float]]) -> str:
    """Return a value in the first of these units, largest first, of which it rounds to one."""
    unit, size = next((u for u in units if value >= 0.9995 * u[1]), units[-1])
    scaled = value / size
    return f"{scaled:,.0f} {unit}" if scaled >= 999.5 else f"{scaled:.3g} {unit}"


def letter_of(number: int) -> str:
    """Return what the networks of a comparison are called: A and B."""
    return "AB"[number]
