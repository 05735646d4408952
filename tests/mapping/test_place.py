"""Placements keep every limit, as the checker sees it, and keep traffic short."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from snncc.diagnostics.core import SnnccError
from snncc.ir.graph import Graph
from snncc.mapping.check import check_placement
from snncc.mapping.place import connectivity, pair_traffic, place
from snncc.mapping.placement import from_document, to_document
from snncc.mapping.populations import net_of
from snncc.mapping.views import sources_of
from snncc.targets.load import Target

Chip = Callable[..., Target]

TILES = 182_918
"""The messages that 16 square tiles of 4x4 places leave between them: see ``docs/mapping.md``."""


def test_the_conv_pair_is_cut_into_square_tiles(conv_pair: Graph, chip: Chip) -> None:
    rates = np.random.default_rng(0).integers(1, 100, 4096).reshape(16, 16, 16)
    target = chip(neurons_per_core=512)
    placement = place(conv_pair, target, {"x": rates}, inputs_on_cores=True)
    assert len(placement.cores) == 16
    net = net_of(conv_pair, inputs_on_cores=True)
    assert connectivity(net, placement, {"x": rates}) <= TILES
    assert {core.neurons for core in placement.cores} == {512}


LIMITS = [
    {"neurons_per_core": 8192},
    {"neurons_per_core": 100},
    {"neurons_per_core": 33},
    {"neurons_per_core": 64, "synaptic_memory_bytes_per_core": 80},
    {"neurons_per_core": 64, "axons_in_per_core": 100},
    {"neurons_per_core": 100, "axons_out_per_core": 120, "axons_in_per_core": 120},
    {"neurons_per_core": 50, "memory_bytes_per_core": 100},
]


@pytest.mark.parametrize("limits", LIMITS, ids=str)
def test_every_limit_is_kept(attention: Graph, chip: Chip, limits: dict[str, int]) -> None:
    target = chip(**limits)
    checked = check_placement(attention, place(attention, target), target)
    assert checked.diagnostics == ()
    assert checked.usage is not None
    net = net_of(attention)
    assert int(checked.usage.neurons.sum()) == sum(p.neurons for p in net.populations)


def test_same_input_same_placement_and_its_document_reads_back(
    attention: Graph, chip: Chip
) -> None:
    target = chip(neurons_per_core=50)
    first, second = place(attention, target), place(attention, target)
    assert first == second
    assert from_document(json.loads(json.dumps(to_document(first)))) == first


def test_measured_traffic_decides(conv_pair: Graph, chip: Chip) -> None:
    """Messages of silent channels cost nothing, so the same cut is priced otherwise."""
    target = chip(neurons_per_core=512)
    net = net_of(conv_pair, inputs_on_cores=True)
    silent = np.zeros((16, 16, 16))
    placement = place(conv_pair, target, {"x": silent}, inputs_on_cores=True)
    assert connectivity(net, placement, {"x": silent}) == 0
    assert connectivity(net, placement, {}) > 0


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"axons_in_per_core": 71}, "smallest part of `c1` needs 72 input axons, a core has 71"),
        ({"synaptic_memory_bytes_per_core": 71}, "needs 576 bits of stored weights"),
        (
            {"memory_bytes_per_core": 2},
            "`as` needs 20 bits of weights, counters and waiting numbers, a core has 16",
        ),
    ],
)
def test_what_does_not_fit_says_by_how_much(
    attention: Graph, chip: Chip, limits: dict[str, int], words: str
) -> None:
    with pytest.raises(SnnccError) as error:
        place(attention, chip(neurons_per_core=64, **limits))
    found = error.value.diagnostics
    assert {d.rule.code for d in found} == {"SNN420"}
    assert any(words in d.message for d in found)
    assert all(d.hint for d in found)


def test_several_chips_are_cut_where_the_least_crosses(attention: Graph, chip: Chip) -> None:
    target = chip(neurons_per_core=4)
    placement = place(attention, target)
    assert len(placement.cores) > 128
    assert placement.chips == -(-len(placement.cores) // 128)
    assert check_placement(attention, placement, target).diagnostics == ()
    net = net_of(attention)
    senders, receivers, sent = pair_traffic(net, placement.labels(net), {})
    chips = np.array([core.seat.chip for core in placement.cores])
    crossing = sent[chips[senders] != chips[receivers]].sum()
    even = np.arange(len(chips)) // -(-len(chips) // placement.chips)
    assert crossing <= sent[even[senders] != even[receivers]].sum()


def test_latencies_are_those_of_a_chain_of_messages(attention: Graph) -> None:
    """A population is made one step after the last of what it reads, or later."""
    net = net_of(attention)
    for population in net.populations:
        read = [v for p in population.projections for n in p.reads for v in sources_of(net, n)]
        assert net.late[population.name] >= 1 + max(net.late[value] for value in read)
    assert net.late["last"] == net.late["ds"] + 1
