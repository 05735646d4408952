"""Place a network: cut its populations, let parts share cores, and seat the cores.

The cut is tried with parts of a whole core, of a half, a third and a quarter that then share cores
with those they talk to; of the placements that need few cores, the one with the least traffic
between cores is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snncc.diagnostics.core import SnnccError
from snncc.ir.graph import Array, Graph
from snncc.ir.sites import USUAL_SITES, Sites
from snncc.mapping.deliveries import deliveries
from snncc.mapping.merging import merged
from snncc.mapping.placement import Core, Placement, Seat
from snncc.mapping.populations import Net, UnmappedError, net_of
from snncc.mapping.ranks import ranked
from snncc.mapping.refine import refined_chips
from snncc.mapping.rules import UNMAPPED_OPERATION
from snncc.mapping.seats import between, chip_stretches, seated
from snncc.mapping.tiling import SLACK, Limits, Tile, limits_of, tiled
from snncc.mapping.views import NOWHERE
from snncc.targets.load import Target

SMALL = 64
"""Up to so many cores, parts smaller than a core are tried, too."""

SHARES = (2, 3, 4)

BALANCE = 4.0
"""How many times the mean operations of a core the busiest may have, as far as cuts can help it."""


def place(  # noqa: PLR0913 - the options of a mapping
    graph: Graph,
    target: Target,
    traffic: Mapping[str, Array] | None = None,
    *,
    weight_bits: int = 8,
    sites: Sites = USUAL_SITES,
    inputs_on_cores: bool = False,
    balance: float = BALANCE,
    refine: bool = False,
) -> Placement:
    """Return a placement of an integer step graph.

    ``traffic`` is, by value, how often each place is sent (spikes counted on data, in the value's
    shape, or one number); every place counts once where it is not given. No core is given more
    than ``balance`` times the mean operations, if the cut can help it. With ``refine`` Mt-KaHyPar,
    where it is installed, may choose the cores of a chip. Raises ``SnnccError``
    with every layer that does not fit, by how much, and what would help.
    """
    try:
        net = net_of(graph, sites=sites, inputs_on_cores=inputs_on_cores)
        placement = place_net(net, target, traffic or {}, weight_bits, balance, refine)
    except UnmappedError as fault:
        diagnostic = UNMAPPED_OPERATION.at(fault.op.source, str(fault), op=fault.op.kind)
        raise SnnccError(diagnostic) from None
    return replace(placement, sites=sites, inputs_on_cores=inputs_on_cores)


def place_net(
    net: Net,
    target: Target,
    traffic: Mapping[str, Any],
    weight_bits: int = 8,
    balance: float = BALANCE,
    refine: bool = False,
) -> Placement:
    """Return a placement of populations; see ``place``."""
    rates = {value: float(np.mean(array)) for value, array in traffic.items()}
    limits = limits_of(target)
    tiles = tiled(net, limits, weight_bits, rates)
    if not tiles:
        return Placement(target.name, ())
    if len(tiles) > SMALL:
        limits = limits.with_work(balance * sum(t.needs.operations for t in tiles) / len(tiles))
        tiles = tiled(net, limits, weight_bits, rates)
    drafts = [_draft(net, tiles, limits, traffic)]
    if len(drafts[0].cores) <= SMALL:
        drafts += _finer(net, limits, weight_bits, traffic)
    few = SLACK * min(len(draft.cores) for draft in drafts)
    best = min((d for d in drafts if len(d.cores) <= few), key=lambda d: d.cost)
    return _on_chips(best, target, refine)


def _on_chips(draft: _Draft, target: Target, refine: bool) -> Placement:
    """Seat the cores; with ``refine`` a partitioner may bring others together on a chip."""
    most = target.limits["cores"].value
    edges = between(draft.senders, draft.receivers, draft.traffic)
    stretches = chip_stretches(len(draft.cores), edges, most)
    cores = list(draft.cores)
    if refine:
        chip = refined_chips(len(cores), edges, stretches, most)
        order = np.argsort(chip, kind="stable")
        rank = np.argsort(order, kind="stable")
        cores = [cores[n] for n in order]
        edges = (rank[edges[0]], rank[edges[1]], edges[2])
        stops = [int(n) for n in np.bincount(chip).cumsum()]
        stretches = list(zip([0, *stops[:-1]], stops, strict=True))
    seating = seated(stretches, edges, target)
    seats = zip(seating.seats, cores, strict=True)
    placed = tuple(Core(seat, tuple(tile.part for tile in own)) for seat, own in seats)
    return Placement(target.name, placed, seating.chip_columns)


@dataclass(frozen=True)
class _Draft:
    """Cores without seats, with the traffic between them."""

    cores: Sequence[tuple[Tile, ...]]
    senders: Array
    receivers: Array
    traffic: Array

    @property
    def cost(self) -> float:
        """What crosses from core to core."""
        return float(self.traffic[self.senders != self.receivers].sum())


def _finer(net: Net, limits: Limits, weight_bits: int, traffic: Mapping[str, Any]) -> list[_Draft]:
    drafts = []
    for share in SHARES:
        try:
            tiles = tiled(net, limits.shared(share), weight_bits, {})
        except SnnccError:
            continue
        drafts.append(_draft(net, tiles, limits, traffic))
    return drafts


def _draft(net: Net, tiles: Sequence[Tile], limits: Limits, traffic: Mapping[str, Any]) -> _Draft:
    apart = Placement("", tuple(Core(Seat(0, 0, 0, 0), (tile.part,)) for tile in tiles))
    senders, receivers, sent = pair_traffic(net, apart.labels(net), traffic)
    groups = merged(tiles, limits, senders, receivers, sent)
    if len(groups) == len(tiles):
        return _Draft([(tile,) for tile in tiles], senders, receivers, sent)
    cores = [tuple(tiles[n] for n in group) for group in groups]
    together = Placement("", tuple(Core(Seat(0, 0, 0, 0), tuple(t.part for t in c)) for c in cores))
    return _Draft(cores, *pair_traffic(net, together.labels(net), traffic))


def pair_traffic(
    net: Net, cores: Mapping[str, Array], traffic: Mapping[str, Any]
) -> tuple[Array, Array, Array]:
    """Return (sender, receiver, messages) of each pair of cores; the host's messages are left out.

    ``traffic`` is as in ``place``; ``cores`` are the cores of each population, by name.
    """
    keys, counts = [], []
    width = max((int(labels.max()) for labels in cores.values()), default=0) + 1
    for delivery in deliveries(net, cores):
        shape = net.graph.type_of(delivery.value).shape
        rate = np.broadcast_to(np.asarray(traffic.get(delivery.value, 1.0), np.float64), shape)
        sent = delivery.totals(rate)[delivery.bins]
        senders = delivery.senders[delivery.bins]
        real = senders != NOWHERE
        pairs, where = ranked(senders[real] * width + delivery.receivers[real])
        keys.append(pairs)
        counts.append(np.bincount(where, sent[real], len(pairs)))
    every = np.concatenate(keys) if keys else np.zeros(0, np.int64)
    pairs, where = ranked(every)
    weights = np.concatenate(counts) if counts else np.zeros(0)
    return pairs // width, pairs % width, np.bincount(where, weights, len(pairs))


def connectivity(net: Net, placement: Placement, traffic: Mapping[str, Any]) -> float:
    """Return the messages that leave their core: each place's traffic times its other cores."""
    senders, receivers, sent = pair_traffic(net, placement.labels(net), traffic)
    return float(sent[senders != receivers].sum())
