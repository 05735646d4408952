"""Currents that outlast a time step, in one pass over memory, all time steps of a chunk at a time.

The arithmetic is that of ``ir.memory``: integers in 32 bits where the domain proves that they
suffice, else in 64; floats in float64.
"""

from __future__ import annotations

import numpy as np

from snncc.execute.kernels.jit import compiled, share_out
from snncc.execute.kernels.memory import CHUNK
from snncc.execute.kernels.neurons import leak, typed
from snncc.ir.graph import Array


def keep_integers(x: Array, decay: int, shift: int, steps: int, kind: type) -> Array:
    """Return ``I = rz(I (4096 - decay) / 4096) + (x << shift)``, ``[T, B, M]``, of type ``kind``.

    ``x`` is ``[T or 1, B, M]``, integers or floats that hold integers.
    """
    kept: Array = np.empty((steps, *x.shape[1:]), kind)

    def work(first: int, stop: int) -> None:
        _keep_integers(x, decay, shift, kept, first, stop)

    share_out(work, _jobs(kept))
    return kept


def keep_floats(x: Array, share: float, steps: int) -> Array:
    """Return ``I = share I + x``, float64 ``[T, B, M]``; ``x`` is ``[T or 1, B, M]``."""
    kept: Array = np.empty((steps, *x.shape[1:]), np.float64)

    def work(first: int, stop: int) -> None:
        _keep_floats(x, share, kept, first, stop)

    share_out(work, _jobs(kept))
    return kept


def _jobs(kept: Array) -> int:
    return kept.shape[1] * -(-kept.shape[2] // CHUNK)


@compiled
def _keep_integers(
    x: Array, decay: int, shift: int, kept: Array, first: int, stop: int
) -> None:  # pragma: no cover
    size = kept.shape[2]
    chunks = -(-size // CHUNK)
    state = np.empty(CHUNK, kept.dtype)
    factor = typed(1 << shift, kept)
    for job in range(first, stop):
        b, lo = job // chunks, (job % chunks) * CHUNK
        hi = min(lo + CHUNK, size)
        current = state[: hi - lo]
        current[:] = 0
        for t in range(kept.shape[0]):
            received, out = x[t if x.shape[0] > 1 else 0, b, lo:hi], kept[t, b, lo:hi]
            leak(current, decay)
            for i in range(len(current)):
                out[i] = received[i]
                out[i] = current[i] + out[i] * factor
                current[i] = out[i]


@compiled
def _keep_floats(
    x: Array, share: float, kept: Array, first: int, stop: int
) -> None:  # pragma: no cover
    size = kept.shape[2]
    chunks = -(-size // CHUNK)
    state = np.empty(CHUNK)
    for job in range(first, stop):
        b, lo = job // chunks, (job % chunks) * CHUNK
        hi = min(lo + CHUNK, size)
        current = state[: hi - lo]
        for t in range(kept.shape[0]):
            received, out = x[t if x.shape[0] > 1 else 0, b, lo:hi], kept[t, b, lo:hi]
            for i in range(len(current)):
                current[i] = received[i] if t == 0 else share * current[i] + received[i]
                out[i] = current[i]
