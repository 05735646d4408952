"""Shapes and domains of results: what the ops of ``ops.py`` prove about themselves."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from snncc.ir import domain as dom
from snncc.ir.domain import REAL, Domain, Grid
from snncc.ir.graph import Absent, Array, IRError, Shape, Weight


def weighted(x: Domain, weight: Weight, bias: Weight | None, shift: int) -> Domain:
    """Return the domain of ``(sum w x << shift) + b``; weight rows are outputs.

    Float or absent weights prove nothing. Integer ones do, row by row.
    """
    if isinstance(weight, Absent) or isinstance(bias, Absent) or not isinstance(x, Grid):
        return REAL
    if weight.dtype.kind not in "iu" or (bias is not None and bias.dtype.kind not in "iu"):
        return REAL
    if bias is not None and not dom.is_integer(x):
        return REAL
    x = dom.coarsest(x)
    positive, negative = _signed_row_sums(weight)
    step = x.step * 2**shift
    most = x.magnitude * (int(positive.max(initial=0)) - int(negative.min(initial=0)))
    if most > dom.WIDEST or (bias is not None and most * step > dom.WIDEST):
        return REAL
    hi, lo = positive * x.hi + negative * x.lo, positive * x.lo + negative * x.hi
    if bias is None:
        return dom.grid(step, int(lo.min()), int(hi.max()))
    offset, unit = bias.astype(np.int64), int(step)
    return dom.integers(int((lo * unit + offset).min()), int((hi * unit + offset).max()))


def _signed_row_sums(weight: Array) -> tuple[Array, Array]:
    rows = weight.reshape(weight.shape[0], -1)
    positive = np.where(rows > 0, rows, 0).sum(axis=1, dtype=np.int64)
    return positive, rows.sum(axis=1, dtype=np.int64) - positive


def with_border(x: Domain, value: Weight | None) -> Domain:
    """Return the domain of ``x`` with the numbers of ``value`` added to it; without one, 0."""
    if value is None:
        return dom.with_zero(x)
    if isinstance(value, Absent) or not isinstance(x, Grid) or not np.isfinite(value).all():
        return REAL
    numbers = [Fraction(number) for number in np.unique(value).tolist()]
    for step in (Fraction(1), x.step):
        counts = [number / step for number in numbers]
        if numbers and all(count.denominator == 1 for count in counts):
            return dom.join(x, dom.grid(step, int(counts[0]), int(counts[-1])))
    return REAL if numbers else x


def window_positions(
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool = False,
) -> Shape:
    """Return how many windows fit along each axis, by PyTorch's formula."""
    out = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        span = n + 2 * p - d * (k - 1) - 1
        count = span // s + 1
        if ceil_mode and span % s and count * s < n + p:
            count += 1
        if count < 1:
            raise IRError(f"a window of {k} does not fit into {n} places padded by {p}")
        out.append(count)
    return tuple(out)


def broadcast_shape(a: Shape, b: Shape) -> Shape:
    """Return the shape of an elementwise result. Raises ``IRError``."""
    try:
        return tuple(np.broadcast_shapes(a, b))
    except ValueError:
        raise IRError(f"shapes {a} and {b} do not broadcast") from None


def require_broadcast(a: Shape, to: Shape) -> None:
    """Raise ``IRError`` where ``a`` does not broadcast to ``to``."""
    if broadcast_shape(a, to) != to:
        raise IRError(f"shape {a} does not broadcast to {to}")
