"""How a population is cut: every grid of blocks is priced, and the cheapest that fits is taken.

Grids are products of one cut an axis: rows, columns and channels of a convolution, tokens and
channels of a linear layer, heads, tokens and features of attention. Of the grids that keep the
limits of a core, those within ``SLACK`` of the fewest parts compete, and the one whose parts are
sent the fewest messages wins. Populations are cut from the last to the first, so that it is known
to how many cores a neuron sends.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from snncc.diagnostics.core import Diagnostic, SnnccError
from snncc.ir.graph import Array
from snncc.mapping.needs import Cut, Needs, behind
from snncc.mapping.placement import Part, blocks
from snncc.mapping.populations import Net, Population
from snncc.mapping.rules import DOES_NOT_FIT
from snncc.targets.load import Target

SLACK = 1.15
"""How many more parts than the fewest a grid may have, if that saves messages."""

_MOST_GRIDS = 200_000

LIMITS: Mapping[str, tuple[str, str]] = {
    "neurons": ("neurons_per_core", "neurons"),
    "synapse_bits": ("synaptic_memory_bytes_per_core", "bits of stored weights"),
    "memory_bits": ("memory_bytes_per_core", "bits of weights, counters and waiting numbers"),
    "axons_in": ("axons_in_per_core", "input axons"),
    "axons_out": ("axons_out_per_core", "output axons"),
    "thresholds": ("thresholds_per_core", "different thresholds"),
}
"""For each need, the limit that holds it, and its name in a sentence."""


@dataclass(frozen=True)
class Limits:
    """What a core of a target can hold, by need; a need without a limit is left out."""

    most: Mapping[str, int]

    def broken(self, needs: Needs) -> Iterator[tuple[str, int, int]]:
        """Yield (need, found, wanted) for each limit that a part breaks."""
        for name, most in self.most.items():
            found = amount(needs, name)
            if found > most:
                yield name, int(found), most

    def fit(self, needs: Needs) -> Array:
        """Return which entries of ``needs`` keep every limit."""
        kept = [np.asarray(amount(needs, name) <= most) for name, most in self.most.items()]
        return np.logical_and.reduce(np.broadcast_arrays(*kept))

    def with_work(self, operations: float) -> Limits:
        """Return these limits with one on the operations of a step, which a core may not heed."""
        return Limits({**self.most, "operations": max(1, math.ceil(operations))})

    def without_work(self) -> Limits:
        """Return the limits that are the target's own."""
        return Limits({name: n for name, n in self.most.items() if name != "operations"})

    def shared(self, parts: int) -> Limits:
        """Return the limits of one of several parts that share a core."""
        return Limits({name: max(1, most // parts) for name, most in self.most.items()})


def amount(needs: Needs, name: str) -> Array:
    """Return a need by its name in ``LIMITS``."""
    if name == "memory_bits":
        return np.asarray(needs.synapse_bits + needs.counter_bits + needs.delay_bits)
    return np.asarray(getattr(needs, name))


def limits_of(target: Target) -> Limits:
    """Return what a core of this target can hold."""
    found = {}
    for name, (key, _) in LIMITS.items():
        fact = target.limits.get(key)
        if fact is not None:
            found[name] = fact.value * (8 if name.endswith("bits") else 1)
    return Limits(found)


@dataclass(frozen=True)
class Tile:
    """A part and what it needs at most."""

    part: Part
    needs: Needs


def tiled(
    net: Net, limits: Limits, weight_bits: int, rates: Mapping[str, float]
) -> tuple[Tile, ...]:
    """Return all populations cut into parts, first to last.

    ``rates`` are how often a place of each value is sent in a step, in the mean. Raises
    ``SnnccError`` naming every population that cannot be cut to fit, by how much it does not, and
    which limit stands in the way.
    """
    found: dict[str, tuple[Tile, ...]] = {}
    sent: dict[str, int] = {}
    faults: list[Diagnostic] = []
    hints: dict[str, tuple[int, ...]] = {}
    for population in reversed(net.populations):
        every = Cut(net, population, _grids(population), weight_bits, rates)
        most = sum(sent.get(value, 0) for value in population.emits)
        needs = replace(every.needs(), axons_out=every.neurons * most)
        chosen = _chosen(every, needs, limits, hints.get(population.name))
        if chosen is None:
            faults += _faults(net, population, needs, limits)
            continue
        grid = tuple(int(n) for n in every.counts[:, chosen])
        found[population.name] = _parts(population, grid, needs.at(chosen))
        for name, operand in every.operands():
            for value in behind(net, name):
                sent[value] = sent.get(value, 0) + int(operand.most[chosen])
                _hint(net, value, population, grid, hints)
    if faults:
        raise SnnccError(*reversed(faults))
    return tuple(tile for p in net.populations for tile in found[p.name])


def _hint(
    net: Net,
    value: str,
    reader: Population,
    grid: tuple[int, ...],
    hints: dict[str, tuple[int, ...]],
) -> None:
    """Let a population that nothing is sent to be cut as its reader is, place over place."""
    owner = net.owner.get(value)
    if owner is not None and not owner.projections and len(owner.shape) == len(grid):
        hints.setdefault(owner.name, (1, *grid[1:]) if len(grid) > 1 else grid)


def _grids(population: Population) -> Array:
    """Return the grids to try, ``[axes, grids]``: for each size of a block, the fewest blocks."""
    axes = [sorted({-(-n // size) for size in range(1, n + 1)}) for n in population.shape]
    while math.prod(len(counts) for counts in axes) > _MOST_GRIDS:
        longest = max(range(len(axes)), key=lambda a: len(axes[a]))
        axes[longest] = [*axes[longest][:-1:2], axes[longest][-1]]
    return np.array(list(product(*axes)), np.int64).T.reshape(len(axes), -1)


def _chosen(cut: Cut, needs: Needs, limits: Limits, hint: tuple[int, ...] | None) -> int | None:
    """Return the number of the best grid, None where no grid fits."""
    fits = np.flatnonzero(limits.fit(needs))
    if not len(fits):
        fits = np.flatnonzero(limits.without_work().fit(needs))
        least = needs.operations[fits].min(initial=np.inf)
        fits = fits[needs.operations[fits] <= least]
    if not len(fits):
        return None
    parts = cut.counts.prod(axis=0)[fits]
    few = parts <= max(int(parts.min()), math.floor(SLACK * int(parts.min())))
    messages = sum((o.messages for _, o in cut.operands()), np.zeros_like(cut.neurons))
    apart = np.zeros_like(cut.neurons)
    if hint is not None:
        apart = np.abs(np.log2(cut.counts / np.array(hint).reshape(-1, 1))).sum(axis=0)
    best = min(
        np.flatnonzero(few),
        key=lambda i: (apart[fits[i]], messages[fits[i]], parts[i], *cut.counts[::-1, fits[i]]),
    )
    return int(fits[best])


def _parts(population: Population, grid: tuple[int, ...], needs: Needs) -> tuple[Tile, ...]:
    cuts = [blocks(n, count) for n, count in zip(population.shape, grid, strict=True)]
    return tuple(Tile(Part(population.name, box), needs) for box in product(*cuts))


def _faults(net: Net, population: Population, needs: Needs, limits: Limits) -> Iterator[Diagnostic]:
    """Say, for each limit that no grid keeps, what the smallest part needs."""
    told = False
    for name, most in limits.without_work().most.items():
        least = int(np.min(amount(needs, name)))
        if least > most:
            told = True
            yield _fault(net, population, f"{least:,} {LIMITS[name][1]}, a core has {most:,}", name)
    if not told:
        yield _fault(net, population, "more than a core has of one thing or of another", "")


_HELP = {
    "axons_in": "fewer input channels or a smaller kernel, or a target with more input axons",
    "axons_out": "fewer layers that read it, or a target with more output axons",
    "synapse_bits": "fewer weight bits, fewer input channels or a smaller kernel",
    "thresholds": "one weight scale a layer, or a target with a threshold for each neuron",
    "memory_bits": "fewer weight bits, fewer features a head, or shorter skips",
}


def _fault(net: Net, population: Population, what: str, name: str) -> Diagnostic:
    op = net.graph[population.name]
    message = f"the smallest part of `{population.name}` needs {what}"
    return DOES_NOT_FIT.at(op.source, message, hint=_HELP.get(name, ""), op=op.kind)
