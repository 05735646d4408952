"""Which neurons of a layer a stock run computes, when all of them would take too long."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from snncc.backends.lava.currents import Current, Term, Window, leading, neuron_grid, window_of
from snncc.ir.graph import Array
from snncc.ir.ops import Conv

CALL_SECONDS = 6e-6
"""One 2-D convolution of one channel in scipy, of which the stock process makes one a pair."""
PLACE_SECONDS = 6e-9
TAP_SECONDS = 2e-9


@dataclass(frozen=True)
class Slice:
    """Neurons ``[positions, channels]`` of a layer and what each term has to compute for them."""

    neurons: Array
    windows: tuple[Window, ...]
    text: str


def cut(current: Current, steps: int, budget_seconds: float) -> Slice | str:
    """Return the largest slice that stays within the budget, or why there is none.

    Positions are halved while they cost more than channels do, then channels.
    """
    term = leading(current.terms)
    found = neuron_grid(term)
    if found is None:
        return "its neurons do not fill a grid of positions and channels"
    grid, positions, channels = found
    shape = term.positions or (1,)
    box = [len(np.unique(axis)) for axis in np.unravel_index(positions, shape)]
    if math.prod(box) != len(positions):
        return "its neurons do not fill a box of positions"
    wanted = len(channels)
    while _seconds(current.terms, math.prod(box), wanted) * steps > budget_seconds:
        if max(box) > 1 and (_place_seconds(current.terms) * math.prod(box) > 4 or wanted == 1):
            box[int(np.argmax(box))] = math.ceil(max(box) / 2)
        elif wanted > 1:
            wanted = math.ceil(wanted / 2)
        else:
            break
    rows, columns = _rows(positions, shape, box), _columns(term, channels, wanted)
    neurons = grid[np.ix_(rows, columns)]
    windows = [window_of(t, neurons) for t in current.terms]
    if any(w is None or (w.box is None and not t.pointwise) for w, t in _pairs(windows, current)):
        return "the layers in its sum lay out their outputs differently"
    text = _text(len(columns), len(channels), box, positions, shape)
    return Slice(neurons, tuple(w for w in windows if w is not None), text)


def _pairs(windows: Sequence[Window | None], current: Current) -> list[tuple[Window | None, Term]]:
    return list(zip(windows, current.terms, strict=True))


def _place_seconds(terms: Sequence[Term]) -> float:
    """The cost of a position, as a share of that of a call."""
    return max(_per_place(term) for term in terms) / CALL_SECONDS


def _per_place(term: Term) -> float:
    strides = math.prod(term.op.stride) if isinstance(term.op, Conv) else 1
    return strides * (PLACE_SECONDS + TAP_SECONDS * math.prod(term.kernel))


def _seconds(terms: Sequence[Term], places: int, channels: int) -> float:
    """Estimate the time of one step in stock processes."""
    calls = (t.inputs_per_channel * (CALL_SECONDS + places * _per_place(t)) for t in terms)
    return channels * sum(calls)


def _rows(positions: Array, shape: tuple[int, ...], box: Sequence[int]) -> Array:
    """Return the places, among ``positions``, of the first ``box`` of them along each axis."""
    axes = np.unravel_index(positions, shape)
    inside = np.ones(len(positions), bool)
    for axis, count in zip(axes, box, strict=True):
        inside &= axis < axis.min() + count
    return np.flatnonzero(inside)


def _columns(term: Term, channels: Array, wanted: int) -> Array:
    """Return the places of evenly spaced channels: of whole groups where the term has groups."""
    groups = term.op.groups if isinstance(term.op, Conv) else 1
    of = channels // (term.channels // groups) if groups > 1 else np.arange(len(channels))
    units = np.unique(of)
    fit = max(1, wanted * len(units) // len(channels))
    chosen = units[np.linspace(0, len(units) - 1, fit).round().astype(int)]
    return np.flatnonzero(np.isin(of, chosen))


def _text(
    channels: int, all_channels: int, box: Sequence[int], positions: Array, shape: tuple[int, ...]
) -> str:
    """Say what the slice holds, ``all`` where it is everything."""
    whole = [len(np.unique(axis)) for axis in np.unravel_index(positions, shape)]
    if channels == all_channels and list(box) == whole:
        return "all"
    places = "x".join(map(str, box)), "x".join(map(str, whole))
    return f"{channels} of {all_channels} channels, {places[0]} of {places[1]} positions"
