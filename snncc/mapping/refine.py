"""Chips chosen by a graph partitioner: Mt-KaHyPar, deterministic preset, if it is installed.

It may put cores together that are far apart in the network. Its answer is taken only where it
keeps the number of cores of a chip and lets less traffic cross than the cut of the order does.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from snncc.diagnostics.core import SnnccError
from snncc.ir.graph import Array, Source
from snncc.mapping.ranks import ranked
from snncc.mapping.rules import NO_PARTITIONER

SEED = 0


def refined_chips(
    count: int, edges: tuple[Array, Array, Array], stretches: list[tuple[int, int]], most: int
) -> Array:
    """Return the chip of each core, numbered along the network: the better of both cuts.

    ``edges`` are senders, receivers and traffic; ``stretches`` the cut of the order, ``most`` how
    many cores a chip holds. Raises ``SnnccError`` where the partitioner is not installed.
    """
    chip = np.concatenate([np.full(b - a, n) for n, (a, b) in enumerate(stretches)])
    if len(stretches) < 2:
        return chip
    found = _partitioned(count, edges, len(stretches), most)
    fits = np.bincount(found, minlength=len(stretches)).max() <= most
    if not fits or crossing(found, edges) >= crossing(chip, edges):
        return chip
    middles = [float(np.flatnonzero(found == n).mean()) for n in range(len(stretches))]
    return np.argsort(np.argsort(middles, kind="stable"))[found]


def crossing(chip: Array, edges: tuple[Array, Array, Array]) -> float:
    """Return the traffic between cores of different chips."""
    senders, receivers, traffic = edges
    return float(traffic[chip[senders] != chip[receivers]].sum())


def _partitioned(count: int, edges: tuple[Array, Array, Array], chips: int, most: int) -> Array:
    partitioner = _partitioner()
    apart = edges[0] != edges[1]
    senders, receivers, traffic = (each[apart] for each in edges)
    low, high = np.minimum(senders, receivers), np.maximum(senders, receivers)
    keys, where = ranked(low * count + high)
    weights = np.maximum(1, np.rint(np.bincount(where, traffic, len(keys)))).astype(int)
    pairs = [(int(k // count), int(k % count)) for k in keys]
    run = partitioner.initialize(1)
    context = run.context_from_preset(partitioner.PresetType.DETERMINISTIC)
    context.logging = False
    slack = max(0.0, most / math.ceil(count / chips) - 1)
    context.set_partitioning_parameters(chips, slack, partitioner.Objective.CUT)
    partitioner.set_seed(SEED)
    graph = run.create_graph(context, count, len(pairs), pairs, [1] * count, weights.tolist())
    parts = graph.partition(context)
    return np.array([parts.block_id(core) for core in range(count)], np.int64)


def _partitioner() -> Any:
    try:
        import mtkahypar  # noqa: PLC0415 - optional
    except ImportError:
        reason = "the partitioner `mtkahypar` is not installed"
        hint = "pip install 'snncc[mapping]', or map without it"
        raise SnnccError(NO_PARTITIONER.at(Source(), reason, hint=hint)) from None
    return mtkahypar
