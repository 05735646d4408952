"""Numbers as a page writes them."""

from __future__ import annotations

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
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


def bits(number: int) -> str:
    """Return an amount of memory: ``95.2 kbit``."""
    for unit, size in (("Mbit", 1e6), ("kbit", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number} bit"


def letter_of(number: int) -> str:
    """Return what the networks of a comparison are called: A and B."""
    return "AB"[number]
