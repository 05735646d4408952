"""Products of two activations: float BLAS where every partial sum is an exact integer."""

from __future__ import annotations

import numpy as np

from snncc.execute.kernels.layer import tensor
from snncc.ir.graph import Array


def multiply(a: Array, b: Array, bound: int) -> Array:
    """Return ``a @ b`` of integers, as floats that hold them, or as int64.

    ``bound`` is the largest magnitude of a sum: ``K max|a| max|b|``. Below 2**24 the result is
    float32, below 2**53 float64.
    """
    if bound >= 2**53:
        return np.matmul(a.astype(np.int64), b.astype(np.int64))
    kind = np.float32 if bound < 2**24 else np.float64
    left, right = (tensor(x.astype(kind, copy=False)) for x in (a, b))
    return np.asarray((left @ right).numpy())
