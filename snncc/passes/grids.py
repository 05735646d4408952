"""Numbers that are whole multiples of one step already: which step, and which multiples.

Weights of networks that were trained for integers, or that come from a file of integers, lie on a
grid. Their step is found from the numbers alone, so that it holds however they came about.
"""

from __future__ import annotations

import math

import numpy as np

from snncc.ir.graph import Array

TOLERANCE = 2.0**-20
"""How far, in parts of a multiple, a number may lie beside it: eight roundings to 32-bit floats.

A weight ``k s`` that was stored in float32 is off by one rounding, 2**-24 of itself; so is the
largest, by which the step is found; folding a batch norm in float32 adds four. Of random weights
one in 2**19 / k lies as near to a multiple k by chance: a handful in a row never do all.
"""

MOST_MULTIPLE = 2**12 - 1
"""Steps are looked for down to that part of a row's largest number."""

SAME_PLACE = 1e-5
"""Two units are powers of two of each other where the logarithm of their quotient is that whole."""

_FARTHEST = 2.0**-7
"""Beyond 2**13 multiples 32-bit floats cannot tell whole ones any more."""

_PROBED = 16
_AT_ONCE = 1 << 22


def on_grid(values: Array, step: Array | float) -> bool:
    """Whether all values are whole multiples of ``step``, which broadcasts."""
    counts = values / step
    return bool(_near(counts).all())


def _near(counts: Array) -> Array:
    whole = np.rint(counts)
    off: Array = np.abs(counts - whole)
    return np.asarray(off <= np.minimum(TOLERANCE * np.maximum(np.abs(whole), 1), _FARTHEST))


def steps_of(rows: Array, most: int) -> Array | None:
    """Return, for each row, the largest step of which all its numbers are multiples of ``most``.

    A row of zeros has the step 0. None where some row has no step.
    """
    peaks = np.abs(rows).max(axis=1, initial=0.0)
    found = np.zeros(len(rows))
    some = np.flatnonzero(peaks)
    multiples = np.arange(1, min(most, MOST_MULTIPLE) + 1)
    chunk = max(1, _AT_ONCE // (_PROBED * len(multiples)))
    for start in range(0, len(some), chunk):
        part = some[start : start + chunk]
        shares = rows[part] / peaks[part, None]
        fits: Array = np.asarray(_near(shares[:, :_PROBED, None] * multiples).all(axis=1))
        for row, share, fit in zip(part, shares, fits, strict=True):
            top = next((m for m in multiples[fit] if _near(share * m).all()), None)
            if top is None:
                return None
            found[row] = peaks[row] / top
    return found


def most_shift(counts: Array) -> int:
    """Return by how many bits whole numbers can be shifted down without a loss; 0 for zeros."""
    bits = int(np.bitwise_or.reduce(np.abs(counts.astype(np.int64)), axis=None, initial=0))
    return (bits & -bits).bit_length() - 1 if bits else 0


def input_grid(sample: Array, bits: int = 8) -> tuple[float, int, int]:
    """Return (scale, largest count, smallest count) of input in so many bits: least squared error.

    Candidates are the full range of the bits, the powers of two that cover the sample, and the step
    of which all of it are multiples; of equals the coarsest power of two, so that 16 grey levels
    stay 16 levels and lose nothing.
    """
    peak = float(np.abs(sample).max()) or 1.0
    signed = bool((sample < 0).any())
    top = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    powers = [2.0**-n for n in range(-8, 17) if peak * 2.0**n <= top]
    lost = {s: round(_rounding_error(sample, s) / peak**2, 12) for s in (*powers, peak / top)}
    best = min(lost, key=lambda s: (lost[s], -s))
    if lost[best]:
        own = steps_of(sample.reshape(1, -1).astype(np.float64), top)
        best = best if own is None else float(own[0])
    hi = math.ceil(peak / best - 1e-9)
    return best, hi, -hi if signed else 0


def _rounding_error(sample: Array, scale: float) -> float:
    return float(np.mean((np.rint(sample / scale) * scale - sample) ** 2))
