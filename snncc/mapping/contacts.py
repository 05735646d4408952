"""Who meets whom: which cores a place of a value reaches, and how many synapses it meets there.

Places with the same answer share a *site*: a pixel, whatever its channel. Everything is counted
from an array that says which core computes each place of the result, so any cut is counted right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias, cast

import numpy as np

from snncc.ir.graph import Array, Graph, Op
from snncc.ir.ops import Sum
from snncc.mapping.populations import Net, Population, Projection, UnmappedError
from snncc.mapping.ranks import ranked
from snncc.mapping.views import NOWHERE, along, places, sources_of, started


@dataclass(frozen=True)
class Reach:
    """Which cores the places of an operand reach. ``site`` is the site of each place.

    ``sites``, ``cores`` and ``fans`` stand side by side, in the order of sites: a spike of a place
    of that site meets ``fan`` synapses on that core. Each pair of site and core occurs once.
    """

    site: Array
    sites: Array
    cores: Array
    fans: Array


@dataclass(frozen=True)
class Contact:
    """The reach of one emitted ``value`` through one projection; ``site`` has its shape."""

    value: str
    population: str
    projection: Projection
    operand: int
    reach: Reach


def contacts(net: Net, cores: Mapping[str, Array]) -> Iterator[Contact]:
    """Yield every contact; ``cores`` are the cores of each population's value, by population."""
    for population in net.populations:
        yield from contacts_of(net, population, cores[population.name])


def contacts_of(net: Net, population: Population, cores: Array) -> Iterator[Contact]:
    """Yield what reaches one population, whose value's places are computed on ``cores``."""
    for projection in population.projections:
        for operand, name in enumerate(projection.reads):
            reach = reach_of(net, projection, operand, cores)
            for value, index in sources_of(net, name).items():
                site = _site_of_source(net, value, index, reach)
                mine = Reach(site, reach.sites, reach.cores, reach.fans)
                yield Contact(value, population.name, projection, operand, mine)


def _site_of_source(net: Net, value: str, index: Array, reach: Reach) -> Array:
    """Return the site of each place of a value that is read at the places ``index``."""
    shape = net.graph.type_of(value).shape
    flat = index.reshape(-1)
    read = flat != NOWHERE
    site = np.full(math.prod(shape), NOWHERE, np.int64)
    site[flat[read]] = reach.site.reshape(-1)[read]
    if np.any(site[flat[read]] != reach.site.reshape(-1)[read]):
        raise UnmappedError(net.graph[value], "is read at several places by one operation")
    return site.reshape(shape)


def reach_of(net: Net, projection: Projection, operand: int, cores: Array) -> Reach:
    """Return what an operand of a projection reaches; ``site`` has the shape that the op reads."""
    graph = net.graph
    op = graph[projection.op]
    if projection.kind == "identity":
        return _identity(graph, projection, cores)
    labels = started(net, projection.start, projection.path, cores)
    if projection.kind == "matmul":
        return _matmul(graph, projection, operand, labels)
    return _REACH[projection.kind](graph, op, operand, labels)


def _identity(graph: Graph, projection: Projection, cores: Array) -> Reach:
    index = along(graph, projection.path, places(graph, projection.start))
    return coalesced(places(graph, projection.start), index.reshape(-1), cores.reshape(-1))


def coalesced(site: Array, sites: Array, cores: Array, fans: Array | None = None) -> Reach:
    """Return a reach whose pairs of site and core are added up; pairs that lead nowhere go."""
    real = (sites != NOWHERE) & (cores != NOWHERE)
    sites, cores = sites[real], cores[real]
    width = int(cores.max(initial=0)) + 1
    keys, where = ranked(sites * width + cores)
    weights = None if fans is None else fans[real]
    totals = np.bincount(where, weights, minlength=len(keys)).astype(np.int64)
    return Reach(site, keys // width, keys % width, totals)


def _sum(graph: Graph, op: Op, operand: int, labels: Array) -> Reach:
    site = places(graph, op.inputs[0])
    axes = cast(Sum, op).axes
    kept = labels.reshape([1 if a in axes else n for a, n in enumerate(site.shape)])
    return coalesced(site, site.reshape(-1), np.broadcast_to(kept, site.shape).reshape(-1))


def _mask(graph: Graph, op: Op, operand: int, labels: Array) -> Reach:
    site = places(graph, op.inputs[operand])
    read = np.broadcast_to(site, labels.shape)
    return coalesced(site, read.reshape(-1), labels.reshape(-1))


def _matmul(graph: Graph, projection: Projection, operand: int, labels: Array) -> Reach:
    """A row meets the cores of its row of results, a column those of its column.

    Operands of an inner product are added up by all cores of their block that need it.
    """
    shape = graph.type_of(projection.reads[operand]).shape
    lead = labels.shape[:-2]
    if shape[:-2] != lead:
        raise UnmappedError(graph[projection.op], f"operands of {shape} and {labels.shape}")
    kept = _kept_axis(graph, projection, operand)
    blocks = labels.reshape(-1, *labels.shape[-2:])
    heads = np.arange(len(blocks)).reshape(*lead, 1, 1)
    if kept is None:
        every = np.repeat(np.arange(len(blocks)), blocks[0].size)
        return coalesced(np.broadcast_to(heads, shape), every, blocks.reshape(-1))
    axis, own = kept
    n = shape[own]
    rank = np.arange(n).reshape(-1, 1) if own == -2 else np.arange(n)
    site = np.broadcast_to(heads * n + rank, shape)
    ranks = np.arange(n).reshape(-1, 1) if axis == -2 else np.arange(n)
    sites = np.broadcast_to(np.arange(len(blocks)).reshape(-1, 1, 1) * n + ranks, blocks.shape)
    return coalesced(site, sites.reshape(-1), blocks.reshape(-1))


def _kept_axis(graph: Graph, projection: Projection, operand: int) -> tuple[int, int] | None:
    """Return (axis of the result, axis of the operand) that they share, None for an inner sum."""
    rows, columns = (-2, -2), (-1, -1)
    if projection.inner is None:
        return rows if operand == 0 else columns
    left = graph[projection.op].inputs[0] == projection.inner
    if operand == 2:
        return columns if left else rows
    shared = {(True, 0): rows, (False, 1): columns}
    return shared.get((left, operand))


def _linear(graph: Graph, op: Op, operand: int, labels: Array) -> Reach:
    shape = graph.type_of(op.inputs[0]).shape
    sites = np.arange(math.prod(shape[:-1]))
    out = np.moveaxis(labels, -1, 0).reshape(labels.shape[-1], -1)
    site = np.broadcast_to(sites.reshape(*shape[:-1], 1), shape)
    return _through_taps(site, sites, sites, out)


def _windows(graph: Graph, op: Op, operand: int, labels: Array) -> Reach:
    """Convolutions and pools; a pool is a convolution with as many groups as channels."""
    shape = graph.type_of(op.inputs[0]).shape
    kernel = window_of(graph, op)
    n = len(kernel)
    inner, outer = shape[-n:], labels.shape[-n:]
    groups = getattr(op, "groups", math.prod(shape[:-n]))
    taken, made = _taps(op, inner, outer, kernel)
    out = labels.reshape(groups, -1, math.prod(outer))
    size = math.prod(inner)
    site = np.arange(groups).reshape(-1, 1, 1) * size + np.arange(size)
    parts: dict[int, Reach] = {}
    for members in _alike(out):
        one = _through_taps(site, taken, made, out[members[0]])
        for g in members:
            parts[g] = Reach(site, one.sites + g * size, one.cores, one.fans)
    sites, cores, fans = (
        np.concatenate([getattr(parts[g], name) for g in range(groups)])
        for name in ("sites", "cores", "fans")
    )
    whole = np.broadcast_to(site, (groups, math.prod(shape) // groups // size, size))
    return Reach(whole.reshape(shape), sites, cores, fans)


def window_of(graph: Graph, op: Op) -> tuple[int, ...]:
    """Return the kernel of a convolution or of a pool."""
    if op.kind == "conv":
        return tuple(graph.weights[op.weight_names[0]].shape[2:])
    return tuple(cast(Any, op).kernel)


def _alike(out: Array) -> list[list[int]]:
    """Return the rows of an array by number, those together that are equal.

    They are groups of channels, or channels, that are computed on the same cores.
    """
    found: dict[bytes, list[int]] = {}
    for row, labels in enumerate(out):
        found.setdefault(labels.tobytes(), []).append(row)
    return list(found.values())


def _taps(op: Op, inner: Any, outer: Any, kernel: Any) -> tuple[Array, Array]:
    """Return (input position, output position) of every tap that lies inside, side by side."""
    settings = cast(Any, op)
    dilations = getattr(op, "dilation", (1,) * len(kernel))
    axes = [
        axis_taps(*sizes)
        for sizes in zip(
            inner, outer, kernel, settings.stride, settings.padding, dilations, strict=True
        )
    ]
    taken, made = [], []
    for taps in product(*axes):
        taken.append(_grid([p for p, _ in taps], inner))
        made.append(_grid([q for _, q in taps], outer))
    return np.concatenate(taken), np.concatenate(made)


def axis_taps(
    n: int, outs: int, kernel: int, stride: int, padding: int, dilation: int
) -> list[tuple[Array, Array]]:
    """Return, for each tap of a window along one axis, (places read, results) side by side."""
    starts = np.arange(outs) * stride - padding
    taps = []
    for tap in range(kernel):
        place = starts + tap * dilation
        inside = (place >= 0) & (place < n)
        taps.append((place[inside], np.flatnonzero(inside)))
    return taps


def _grid(axes: list[Array], shape: tuple[int, ...]) -> Array:
    grids = np.meshgrid(*axes, indexing="ij") if axes else [np.zeros(1, np.int64)]
    return np.ravel_multi_index(tuple(g.reshape(-1) for g in grids), shape)


def _through_taps(site: Array, taken: Array, made: Array, out: Array) -> Reach:
    """Return the reach of input positions ``taken`` into output positions ``made``.

    ``out`` ``[channels, positions]`` are the cores of the results. Output positions with the same
    column of cores are taken together.
    """
    kind, starts, cores, counts = _columns(out)
    kinds = len(starts)
    pairs, where = ranked(taken * kinds + kind[made])
    taps = np.bincount(where, minlength=len(pairs))
    own = pairs % kinds
    repeats = np.diff(starts, append=len(cores))[own]
    within = np.arange(int(repeats.sum())) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    entry = np.repeat(starts[own], repeats) + within
    sites = np.repeat(pairs // kinds, repeats)
    return coalesced(site, sites, cores[entry], np.repeat(taps, repeats) * counts[entry])


def _columns(out: Array) -> tuple[Array, Array, Array, Array]:
    """Return (kind of each column, where each kind starts, its cores, how often each occurs).

    Columns of a kind are equal; the last two stand side by side, kind after kind.
    """
    alike = _alike(out)
    rows = out[[members[0] for members in alike]]
    kind: Array = np.zeros(out.shape[1], np.int64)
    width = int(rows.max(initial=NOWHERE)) + 2
    for row in rows:
        kind = ranked(kind * width + row + 1)[1]
    kinds = int(kind.max(initial=-1)) + 1
    first = np.zeros(kinds, np.int64)
    first[kind] = np.arange(len(kind))
    cores = rows[:, first]
    often = np.broadcast_to(np.array([[len(members)] for members in alike]), cores.shape)
    keys, where = ranked((np.arange(kinds) * width + cores + 1).reshape(-1))
    counts = np.bincount(where, often.reshape(-1), len(keys)).astype(np.int64)
    starts = np.searchsorted(keys, np.arange(kinds) * width)
    return kind, starts, keys % width - 1, counts


_Reaching: TypeAlias = Callable[[Graph, Op, int, Array], Reach]
_REACH: Mapping[str, _Reaching] = {
    "conv": _windows, "max_pool": _windows, "avg_pool": _windows,
    "linear": _linear, "sum": _sum, "mask": _mask,
}  # fmt: skip
