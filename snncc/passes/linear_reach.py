"""Which places of its input a row of convolutions and borders reads: geometry without numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from snncc.ir.graph import Shape
from snncc.ir.inference import window_positions


@dataclass(frozen=True)
class Reach:
    """Along each axis place ``r`` of the result reads ``stride r + dilation k - before``.

    ``0 <= k < kernel``, ``size`` are the places of the input and ``places`` those of the result.
    What is read outside the input is 0.
    """

    size: Shape
    places: Shape
    kernel: Shape
    stride: Shape
    dilation: Shape
    before: Shape

    @classmethod
    def itself(cls, size: Shape) -> Reach:
        """Return the reach of a value that is its input."""
        ones = (1,) * len(size)
        return cls(size, size, ones, ones, ones, (0,) * len(size))

    def through(self, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape) -> Reach:
        """Return the reach of a convolution of this.

        A place ``q`` of this is read as ``stride' r + dilation' k' - padding``, so strides multiply
        and taps lie at ``stride dilation' k' + dilation k``.
        """
        joined = [
            _joined(k, d, other, e * s)
            for k, d, other, e, s in zip(
                self.kernel, self.dilation, kernel, dilation, self.stride, strict=True
            )
        ]
        return Reach(
            size=self.size,
            places=window_positions(self.places, kernel, stride, padding, dilation),
            kernel=tuple(k for k, _ in joined),
            stride=tuple(a * b for a, b in zip(self.stride, stride, strict=True)),
            dilation=tuple(d for _, d in joined),
            before=self._moved(padding),
        )

    def padded(self, front: Shape, back: Shape) -> Reach:
        """Return the reach of this with a border, whose places read on as those inside do."""
        sides = zip(self.places, front, back, strict=True)
        return replace(self, places=tuple(map(sum, sides)), before=self._moved(front))

    def _moved(self, front: Shape) -> Shape:
        sides = zip(self.before, self.stride, front, strict=True)
        return tuple(b + s * f for b, s, f in sides)

    def is_blind(self, front: Shape, back: Shape) -> bool:
        """Whether no place of a border of this width would read any of the input.

        In front ``dilation (kernel - 1) - before - stride < 0``, behind
        ``stride places - before >= size``.
        """
        sides = zip(front, back, strict=True)
        return all(self._is_blind(i, *widths) for i, widths in enumerate(sides))

    def _is_blind(self, i: int, front: int, back: int) -> bool:
        last = self.dilation[i] * (self.kernel[i] - 1) - self.before[i] - self.stride[i]
        first = self.stride[i] * self.places[i] - self.before[i]
        return (not front or last < 0) and (not back or first >= self.size[i])

    def cropped(self, back: Shape) -> Reach:
        """Return this without the last places of the input that no place of the result reads.

        Windows that do not overlap lose what is left behind the last one, and a border behind them
        would read it: so it is taken off, where there is such a border.
        """
        return replace(self, size=tuple(self._cropped(i, wide) for i, wide in enumerate(back)))

    def _cropped(self, i: int, back: int) -> int:
        first = self.stride[i] * self.places[i] - self.before[i]
        overlaps = self.dilation[i] * (self.kernel[i] - 1) >= self.stride[i]
        return self.size[i] if not back or overlaps or first < 1 else min(first, self.size[i])

    @property
    def is_window(self) -> bool:
        """Whether one convolution has this reach: as many zeros are padded on both sides."""
        axes = zip(
            self.size, self.places, self.kernel, self.stride, self.dilation, self.before,
            strict=True,
        )  # fmt: skip
        return all(p == (n + 2 * b - d * (k - 1) - 1) // s + 1 for n, p, k, s, d, b in axes)


def _joined(kernel: int, step: int, other: int, other_step: int) -> tuple[int, int]:
    """Return kernel and dilation of all ``step k + other_step k'``."""
    if other == 1:
        return kernel, step
    if kernel == 1:
        return other, other_step
    dilation = math.gcd(step, other_step)
    return ((other - 1) * other_step + (kernel - 1) * step) // dilation + 1, dilation
