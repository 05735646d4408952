"""Spikes and the synapses they meet, counted in one pass over memory."""

from __future__ import annotations

import numpy as np

from snncc.execute.kernels.jit import compiled, share_out
from snncc.ir.graph import Array


def tally(x: Array, fan_out: Array) -> Array:
    """Return int64 ``[4, N]`` of counts ``x``, integers ``[N, places, channels]``.

    The sum of the values without sign, how many are not zero, and both again with each place
    taken ``fan_out`` times (int64 ``[places]``).
    """
    found = np.zeros((4, len(x)), np.int64)

    def work(first: int, stop: int) -> None:
        _tally(x, fan_out, found, first, stop)

    share_out(work, len(x))
    return found


def nonzeros(x: Array, along: int) -> Array:
    """Return int64 ``[N, heads, lines]``: elements not zero along axis -1 or -2 of a 4D array."""
    if x.strides[-1] > x.strides[-2]:
        x, along = x.swapaxes(-1, -2), -3 - along
    lines = np.ascontiguousarray(x)
    found = np.zeros((*x.shape[:2], x.shape[-3 - along]), np.int64)
    loop = _along_rows if along == -1 else _along_columns

    def work(first: int, stop: int) -> None:
        loop(lines, found, first, stop)

    share_out(work, len(x))
    return found


@compiled
def _tally(
    x: Array, fan_out: Array, found: Array, first: int, stop: int
) -> None:  # pragma: no cover
    for n in range(first, stop):
        for place in range(x.shape[1]):
            row = x[n, place]
            value, events = 0, np.int32(0)
            for c in range(len(row)):
                value += abs(row[c])
            for c in range(len(row)):
                events = np.int32(events + (row[c] != 0))
            found[0, n] += value
            found[1, n] += events
            found[2, n] += value * fan_out[place]
            found[3, n] += events * fan_out[place]


@compiled
def _along_rows(x: Array, found: Array, first: int, stop: int) -> None:  # pragma: no cover
    for n in range(first, stop):
        for head in range(x.shape[1]):
            for i in range(x.shape[2]):
                row, events = x[n, head, i], np.int32(0)
                for k in range(len(row)):
                    events = np.int32(events + (row[k] != 0))
                found[n, head, i] = events


@compiled
def _along_columns(x: Array, found: Array, first: int, stop: int) -> None:  # pragma: no cover
    events = np.empty(x.shape[3], np.int32)
    for n in range(first, stop):
        for head in range(x.shape[1]):
            events[:] = 0
            for i in range(x.shape[2]):
                row = x[n, head, i]
                for k in range(len(row)):
                    events[k] += row[k] != 0
            found[n, head] = events
