"""A layer of float neurons in one pass: ``ir.semantics.neuron_step``, operation for operation.

Potentials are float64 whatever the current is, and no operation is contracted or reordered, so the
spikes are those of the interpreter, bit for bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snncc.execute.kernels.jit import compiled, share_out
from snncc.execute.kernels.memory import CHUNK
from snncc.ir.graph import Array
from snncc.ir.memory import count_type
from snncc.ir.ops import Neuron


class _Equation(NamedTuple):
    tau: float  # 0: no leak
    decay_input: bool
    rest: float
    threshold: float
    strict: bool
    levels: int
    half_even: bool
    hard: bool
    taken: float


def fire(op: Neuron, x: Array, steps: int) -> tuple[Array, Array, Array]:
    """Return (counts of spikes int8 ``[T, B, M]``, spikes and active neurons ``[T, B]``).

    ``x`` is ``[T or 1, B, M]``, float32 or float64.
    """
    equation = _Equation(
        tau=op.tau or 0.0,
        decay_input=op.decay_input,
        rest=op.v_reset or 0.0,
        threshold=op.v_threshold,
        strict=op.strict,
        levels=op.levels,
        half_even=op.rounding == "half_even",
        hard=op.v_reset is not None,
        taken=op.taken,
    )
    samples, neurons = x.shape[1:]
    chunks = -(-neurons // CHUNK)
    spikes: Array = np.empty((steps, samples, neurons), count_type(op.levels))
    stats = np.zeros((2, steps, samples, chunks), np.int64)

    def work(first: int, stop: int) -> None:
        _fire(equation, x, spikes, stats, CHUNK, (first, stop))

    share_out(work, samples * chunks)
    sums = stats.sum(axis=-1)
    return spikes, sums[0], sums[1]


@compiled
def _charge(eq: _Equation, v: Array, x: Array) -> None:  # pragma: no cover
    if eq.tau == 0.0:
        for i in range(len(v)):
            v[i] = v[i] + x[i]
    elif eq.decay_input:
        for i in range(len(v)):
            v[i] = v[i] + (x[i] - (v[i] - eq.rest)) / eq.tau
    else:
        for i in range(len(v)):
            v[i] = v[i] - (v[i] - eq.rest) / eq.tau + x[i]


@compiled
def _compare(eq: _Equation, v: Array, out: Array) -> None:  # pragma: no cover
    if eq.levels > 1:
        for i in range(len(v)):
            clipped = min(max(v[i] / eq.threshold, 0.0), float(eq.levels))
            out[i] = np.rint(clipped) if eq.half_even else np.floor(clipped + 0.5)
    elif eq.strict:
        for i in range(len(v)):
            out[i] = 1 if v[i] > eq.threshold else 0
    else:
        for i in range(len(v)):
            out[i] = 1 if v[i] >= eq.threshold else 0


@compiled
def _fire(
    eq: _Equation, x: Array, spikes: Array, stats: Array, chunk: int, jobs: tuple[int, int]
) -> None:  # pragma: no cover
    size = spikes.shape[2]
    chunks = -(-size // chunk)
    current, potential = np.empty(chunk), np.empty(chunk)
    for job in range(jobs[0], jobs[1]):
        b, c = job // chunks, job % chunks
        lo, n = c * chunk, min(chunk, size - c * chunk)
        cur, v = current[:n], potential[:n]
        v[:] = eq.rest
        for t in range(spikes.shape[0]):
            cur[:] = x[t if x.shape[0] > 1 else 0, b, lo : lo + n]
            _charge(eq, v, cur)
            out = spikes[t, b, lo : lo + n]
            _compare(eq, v, out)
            for i in range(n):
                stats[0, t, b, c] += out[i]
                stats[1, t, b, c] += 1 if cur[i] != 0 else 0
                if eq.hard:
                    v[i] = eq.rest if out[i] > 0 else v[i]
                else:
                    v[i] = v[i] - eq.taken * out[i]
