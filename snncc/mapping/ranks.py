"""Distinct keys and where each stands among them, without sorting where a table is small enough."""

from __future__ import annotations

import numpy as np

from snncc.ir.graph import Array

_SPARSE = 16
"""A table of all keys up to the largest is made where there is a key for so many of its places."""


def ranked(keys: Array) -> tuple[Array, Array]:
    """Return the distinct keys in order, and the rank of each key; keys are integers from 0 up."""
    top = int(keys.max(initial=-1)) + 1
    if top > _SPARSE * keys.size + 1024:
        distinct, inverse = np.unique(keys, return_inverse=True)
        return distinct, inverse.reshape(keys.shape)
    present = np.zeros(top, bool)
    present[keys] = True
    ranks = present.cumsum() - 1
    return np.flatnonzero(present), ranks[keys]
