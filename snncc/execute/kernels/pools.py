"""Maximum over windows of planes with channels last, one pass over memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snncc.execute.kernels.jit import compiled, share_out
from snncc.ir.graph import Array


class Window(NamedTuple):
    """Height and width of kernel, stride, padding and dilation."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]


def max_pool(x: Array, window: Window, outs: tuple[int, int]) -> Array:
    """Return the maxima of ``x``, ``[N, H, W, C]``, at ``outs`` places: ``[N, H', W', C]``.

    A border adds nothing: of each window the places inside count.
    """
    y = np.empty((len(x), *outs, x.shape[3]), x.dtype)

    def work(first: int, stop: int) -> None:
        _max_pool(x, y, window, (first, stop))

    share_out(work, len(x) * outs[0])
    return y


@compiled
def _max_pool(
    x: Array, y: Array, window: Window, jobs: tuple[int, int]
) -> None:  # pragma: no cover
    for job in range(jobs[0], jobs[1]):
        sample, row = job // y.shape[1], job % y.shape[1]
        for column in range(y.shape[2]):
            _one_place(x[sample], y[sample, row, column], row, column, window)


@compiled
def _one_place(
    x: Array, out: Array, row: int, column: int, window: Window
) -> None:  # pragma: no cover
    new = True
    for i in range(window.kernel[0]):
        h = row * window.stride[0] - window.padding[0] + i * window.dilation[0]
        if h < 0 or h >= x.shape[0]:
            continue
        for j in range(window.kernel[1]):
            w = column * window.stride[1] - window.padding[1] + j * window.dilation[1]
            if w < 0 or w >= x.shape[1]:
                continue
            place = x[h, w]
            if new:
                out[:] = place
                new = False
            else:
                for c in range(len(out)):
                    out[c] = max(out[c], place[c])
