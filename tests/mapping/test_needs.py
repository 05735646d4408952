"""What the mapper takes a part to need is never less than what the checker finds it to use."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from snncc.ir.graph import Graph
from snncc.mapping.marks import usage_of
from snncc.mapping.needs import Cut
from snncc.mapping.placement import Core, Part, Placement, Seat, blocks, whole
from snncc.mapping.populations import Net, net_of

COLUMNS = ("neurons", "synapse_bits", "counter_bits", "delay_bits", "axons_in", "thresholds")


def with_one_cut(net: Net, name: str, grid: tuple[int, ...]) -> Placement:
    """One population in parts of its own cores, the others whole on one core each."""
    parts = []
    for population in net.populations:
        counts = grid if population.name == name else (1,) * len(population.shape)
        cuts = [blocks(n, c) for n, c in zip(population.shape, counts, strict=True)]
        for at in np.ndindex(*(len(cut) for cut in cuts)):
            box = tuple(cut[i] for cut, i in zip(cuts, at, strict=True))
            parts.append(Part(population.name, box))
    return Placement("t", tuple(Core(Seat(0, n, 0, 0), (p,)) for n, p in enumerate(parts)))


@pytest.mark.parametrize("seed", range(12))
def test_bounds_hold_for_drawn_grids(build_transformer: Callable[..., Graph], seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = net_of(build_transformer(heads=int(rng.choice([1, 2, 4])), side=int(rng.choice([3, 4]))))
    population = net.populations[seed % len(net.populations)]
    grid = tuple(int(rng.integers(1, n + 1)) for n in population.shape)
    cut = Cut(net, population, np.array(grid).reshape(-1, 1), 8, {})
    needs = cut.needs().at(0)
    placement = with_one_cut(net, population.name, grid)
    usage = usage_of(net, placement, 8)
    mine = [n for n, c in enumerate(placement.cores) if c.parts[0].population == population.name]
    for column in COLUMNS:
        assert int(usage.of_cores(column)[mine].max()) <= getattr(needs, column), column
    assert int(usage.neurons[mine].max()) == needs.neurons


def test_bounds_are_met_by_a_convolution_cut_into_tiles(conv_pair: Graph) -> None:
    """In the inside of the map a tile reads all that the bound says, and sends what it says."""
    net = net_of(conv_pair, inputs_on_cores=True)
    needs = Cut(net, net.by_name["s"], np.array([[1], [4], [4]]), 8, {}).needs().at(0)
    usage = usage_of(net, with_one_cut(net, "s", (1, 4, 4)), 8)
    assert int(usage.axons_in.max()) == needs.axons_in == 16 * 6 * 6
    assert int(usage.synapse_bits.max()) == needs.synapse_bits == 16 * 16 * 9 * 8


def test_operations_follow_the_rates(conv_pair: Graph) -> None:
    net = net_of(conv_pair, inputs_on_cores=True)
    grid = np.array([[1], [4], [4]])
    for rate in (1.0, 0.25):
        cut = Cut(net, net.by_name["s"], grid, 8, {"x": rate})
        assert cut.needs().at(0).operations == int(256 * 16 * 9 * rate)


def test_blocks_cut_evenly() -> None:
    for n in range(1, 30):
        for count in range(1, n + 1):
            spans = blocks(n, count)
            sizes = [b - a for a, b in spans]
            assert spans[0][0] == 0
            assert spans[-1][1] == n == sum(sizes)
            assert len(spans) == count
            assert max(sizes) - min(sizes) <= 1
    assert whole((3, 4)) == ((0, 3), (0, 4))
