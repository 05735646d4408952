"""A layer of integer neurons in one pass over memory, all time steps of a chunk at a time.

The pass loads the sums of products, shifts them, adds bias and residual, writes the sum back where
it is still needed, leaks, compares, resets and counts; the potential never leaves the cache. The
arithmetic is that of ``ir.semantics.integer_neuron_step``, in 32 bits where the domains prove that
they suffice, else in 64: the width is that of ``Rule.rows``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snncc.execute.kernels.jit import compiled, share_out
from snncc.execute.kernels.memory import chunk_of
from snncc.ir.graph import Array
from snncc.ir.memory import count_type

_HALF = 2048
_BITS = 12
_ONE = 1 << _BITS


class Current(NamedTuple):
    """What a layer receives: ``(x << shift) + bias + rest``.

    ``x`` is ``[T or 1, B, M]``, integers or floats that hold integers; ``rest`` is
    ``[T or 1, B, M]`` or has no elements; the bias is in ``Rule.rows``.
    """

    x: Array
    shift: int
    rest: Array


class Rule(NamedTuple):
    """How a layer fires.

    ``rows`` is ``[1 + levels + 1, P]`` as from ``memory.tiled``: the bias of the current, the
    rising thresholds, and what a spike takes off; ``hard`` is the reset that takes all.
    """

    rows: Array
    decay: int
    shift: int
    hard: bool


class Fired(NamedTuple):
    """What a layer did, int64: all but ``spikes`` is ``[T, B]``.

    ``spikes`` is ``[T, B, M]``, of the type ``count_type``; ``fired`` are the spikes of a sample,
    ``active`` the neurons whose current is not zero, ``lowest`` and ``highest`` the potentials at
    the compare.
    """

    spikes: Array
    fired: Array
    active: Array
    lowest: Array
    highest: Array


def fire(current: Current, rule: Rule, steps: int, total: Array) -> Fired:
    """Run a layer through ``steps`` time steps; ``total`` ``[T, B, M]`` takes the sums, if it can.

    Give a ``total`` without elements where nobody else needs the current.
    """
    samples, neurons = current.x.shape[1:]
    chunk = chunk_of(rule.rows.shape[1])
    chunks = -(-neurons // chunk)
    spikes: Array = np.empty((steps, samples, neurons), count_type(len(rule.rows) - 2))
    stats = np.zeros((4, steps, samples, chunks), np.int64)

    def work(first: int, stop: int) -> None:
        _fire(current, rule, total, spikes, stats, chunk, (first, stop))

    share_out(work, samples * chunks)
    sums, low, high = stats[:2].sum(axis=-1), stats[2].min(axis=-1), stats[3].max(axis=-1)
    return Fired(spikes, sums[0], sums[1], low, high)


def settle(current: Current, bias: Array, steps: int) -> Array:
    """Return ``(x << shift) + bias + rest``, ``[T, B, M]``, of the type of ``bias``, ``[P]``."""
    total = np.empty((steps, *current.x.shape[1:]), bias.dtype)
    chunk = chunk_of(len(bias))
    chunks = -(-total.shape[2] // chunk)

    def work(first: int, stop: int) -> None:
        _settle(current, bias, total, chunk, (first, stop))

    share_out(work, total.shape[1] * chunks)
    return total


@compiled
def typed(number: int, like: Array) -> int:  # pragma: no cover
    """Return a number in an array's type: only so does what is made of it stay in 32 bits."""
    one = np.empty(1, like.dtype)
    one[0] = number
    return one[0]


@compiled
def _load(
    current: Current, bias: Array, t: int, place: tuple[int, int], cur: Array
) -> None:  # pragma: no cover
    x, rest = current.x, current.rest
    n, (b, lo) = len(cur), place
    factor = typed(1 << current.shift, cur)
    row = x[t if x.shape[0] > 1 else 0, b, lo : lo + n]
    for i in range(n):
        cur[i] = row[i]
        cur[i] = cur[i] * factor + bias[i]
    if rest.size > 0:
        more = rest[t if rest.shape[0] > 1 else 0, b, lo : lo + n]
        for i in range(n):
            cur[i] += more[i]


@compiled
def _settle(
    current: Current, bias: Array, total: Array, chunk: int, jobs: tuple[int, int]
) -> None:  # pragma: no cover
    size = total.shape[2]
    chunks = -(-size // chunk)
    for job in range(jobs[0], jobs[1]):
        b, lo = job // chunks, (job % chunks) * chunk
        first = lo % len(bias)
        for t in range(total.shape[0]):
            row = total[t, b, lo : min(lo + chunk, size)]
            _load(current, bias[first : first + len(row)], t, (b, lo), row)


@compiled
def leak(v: Array, decay: int) -> None:  # pragma: no cover
    """Leave ``rz(v (4096 - decay) / 4096)``, with no product that 32 bits do not hold."""
    if decay == _HALF:
        for i in range(len(v)):
            u = v[i]
            v[i] = (u >> 1) + ((u & 1) if u < 0 else 0)
    elif decay != 0:
        kept = _ONE - decay
        for i in range(len(v)):
            u = v[i]
            size = abs(u)
            left = (size >> _BITS) * kept + (((size & (_ONE - 1)) * kept) >> _BITS)
            v[i] = left if u >= 0 else -left


@compiled
def _compare(
    cur: Array, v: Array, level: Array, shift: int, out: Array, found: Array
) -> None:  # pragma: no cover
    """Add a current to the potential, compare with a level, and count, in one loop.

    A value that was just stored is read again, which tells the compiler its type: more lanes.
    """
    factor, low, high = typed(1 << shift, v), typed(0, v), typed(0, v)
    active, fired = np.int32(0), np.int32(0)
    for i in range(len(v)):
        v[i] = v[i] + cur[i] * factor
        h = v[i]
        spike = h >= level[i]
        out[i] = spike
        active = np.int32(active + (cur[i] != 0))
        fired = np.int32(fired + spike)
        low, high = min(low, h), max(high, h)
    found[0], found[1], found[2], found[3] = fired, active, low, high


@compiled
def _reset(v: Array, unit: Array, hard: bool, out: Array) -> None:  # pragma: no cover
    if hard:
        for i in range(len(v)):
            v[i] = 0 if out[i] else v[i]
    else:
        for i in range(len(v)):
            v[i] -= unit[i] * out[i]


@compiled
def _higher_levels(v: Array, levels: Array, out: Array) -> int:  # pragma: no cover
    """Compare with the levels above the first; return the spikes of all."""
    fired = 0
    for higher in range(len(levels)):
        for i in range(len(v)):
            out[i] += 1 if v[i] >= levels[higher, i] else 0
    for i in range(len(v)):
        fired += out[i]
    return fired


@compiled
def _fire(
    current: Current,
    rule: Rule,
    total: Array,
    spikes: Array,
    stats: Array,
    chunk: int,
    jobs: tuple[int, int],
) -> None:  # pragma: no cover
    size = spikes.shape[2]
    chunks = -(-size // chunk)
    state = np.empty((2, chunk), rule.rows.dtype)
    for job in range(jobs[0], jobs[1]):
        b, c = job // chunks, job % chunks
        lo, n = c * chunk, min(chunk, size - c * chunk)
        first = lo % rule.rows.shape[1]
        # One row at a time: only of a single row does the compiler know that it lies together.
        bias, level = rule.rows[0, first : first + n], rule.rows[1, first : first + n]
        unit = rule.rows[-1, first : first + n]
        cur, v = state[0, :n], state[1, :n]
        v[:] = 0
        for t in range(spikes.shape[0]):
            _load(current, bias, t, (b, lo), cur)
            if total.size > 0:
                total[t, b, lo : lo + n] = cur
            leak(v, rule.decay)
            out = spikes[t, b, lo : lo + n]
            found = stats[:, t, b, c]
            _compare(cur, v, level, rule.shift, out, found)
            if len(rule.rows) > 3:
                found[0] = _higher_levels(v, rule.rows[2:-1, first : first + n], out)
            _reset(v, unit, rule.hard, out)
