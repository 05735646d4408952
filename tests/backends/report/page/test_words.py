"""Numbers at the borders between their units."""

from __future__ import annotations

import pytest

from snncc.backends.report.page.words import bits, duration


@pytest.mark.parametrize(
    ("ns", "shown"),
    [
        (0, "0 ns"),
        (999.4, "999 ns"),
        (999.7, "1 µs"),
        (999_400, "999 µs"),
        (999_700, "1 ms"),
        (4.2e12, "4,200 s"),
    ],
)
def test_a_duration_is_never_a_thousand_of_a_unit(ns: float, shown: str) -> None:
    assert duration(ns) == shown


def test_memory_goes_up_to_gigabits() -> None:
    assert [bits(n) for n in (0, 999_900, 3 * 10**9)] == ["0 bit", "1 Mbit", "3 Gbit"]
