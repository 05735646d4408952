"""Chips chosen by Mt-KaHyPar: less crosses, no chip holds too many, and it is optional."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest

from snncc.diagnostics.core import SnnccError
from snncc.ir.graph import Array, Graph
from snncc.mapping.check import check_placement
from snncc.mapping.place import place
from snncc.mapping.refine import crossing, refined_chips
from snncc.mapping.seats import chip_stretches
from snncc.targets.load import Target


def tangled(seed: int, count: int = 48) -> tuple[Array, Array, Array]:
    """Cores whose partners sit half the network away, and some chance traffic."""
    rng = np.random.default_rng(seed)
    own = np.arange(count)
    senders = np.concatenate([own, rng.integers(0, count, 40)])
    receivers = np.concatenate([(own + count // 2) % count, rng.integers(0, count, 40)])
    traffic = np.concatenate([np.full(count, 100.0), rng.random(40)])
    return senders, receivers, traffic


@pytest.mark.external
@pytest.mark.parametrize("seed", range(4))
def test_less_crosses_and_every_chip_has_room(seed: int) -> None:
    pytest.importorskip("mtkahypar")
    edges = tangled(seed)
    stretches = chip_stretches(48, edges, 13)
    before = np.concatenate([np.full(b - a, n) for n, (a, b) in enumerate(stretches)])
    chip = refined_chips(48, edges, stretches, 13)
    assert crossing(chip, edges) < crossing(before, edges)
    assert int(np.bincount(chip).max()) <= 13
    assert chip.tolist() == refined_chips(48, edges, stretches, 13).tolist()


@pytest.mark.external
def test_a_refined_placement_keeps_every_limit(
    attention: Graph, chip: Callable[..., Target]
) -> None:
    pytest.importorskip("mtkahypar")
    target = chip(neurons_per_core=4)
    placement = place(attention, target, refine=True)
    assert check_placement(attention, placement, target).diagnostics == ()
    assert placement == place(attention, target, refine=True)


def test_one_chip_needs_no_partitioner() -> None:
    assert refined_chips(3, tangled(0, 3), [(0, 3)], 128).tolist() == [0, 0, 0]


def test_without_the_package_it_is_refused(
    attention: Graph, chip: Callable[..., Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mtkahypar", None)
    with pytest.raises(SnnccError, match=r"\[SNN916\] the partitioner `mtkahypar` is not"):
        place(attention, chip(neurons_per_core=4), refine=True)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_is_cut_where_the_least_crosses(seed: int) -> None:
    """Against every cut of a short order into three chips."""
    rng = np.random.default_rng(seed)
    senders, receivers = rng.integers(0, 9, (2, 30))
    edges = (senders, receivers, rng.random(30))
    found = chip_stretches(9, edges, 4)
    assert [stop - start for start, stop in found] == [b - a for a, b in found]

    def crossed(stretches: list[tuple[int, int]]) -> float:
        chips = np.concatenate([np.full(b - a, n) for n, (a, b) in enumerate(stretches)])
        return crossing(chips, edges)

    every = [
        crossed([(0, a), (a, b), (b, 9)])
        for a in range(1, 5)
        for b in range(a + 1, 9)
        if b - a <= 4 and 9 - b <= 4
    ]
    assert crossed(found) == pytest.approx(min(every))
