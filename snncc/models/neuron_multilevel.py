"""Integer neurons: trained with counts of 0 to D spikes a step, deployed as D binary sub-steps.

One time step, with potential V before it (0 at first), input X and count S:

    H = decay * (V - S of the step before) + X        (without `decay`: H = X)
    S = round(clamp(H, 0, D))
    V = H
    output = S / norm

Sources: Luo et al., "Integer-Valued Training and Spike-Driven Inference Spiking Neural Network",
ECCV 2024 (I-LIF: soft reset by the count, then decay), and Yao et al., "Scaling Spike-driven
Transformer with Efficient Spike Firing Approximation Training", TPAMI 2025, eq. 6-9 (no memory,
counts divided by D). The official programs round differently, hence `rounding`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

Rounding = Literal["half_even", "half_up"]
"""Where a potential half-way between two counts goes: to the even one, or to the larger."""


class _RoundHalfEven(torch.autograd.Function):
    """`torch.round` forward, the identity backward."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(_ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


class _RoundHalfUp(torch.autograd.Function):
    """`floor(x + 0.5)` forward, the identity backward."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        return torch.floor(x + 0.5)

    @staticmethod
    def backward(_ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


class MultiLevel(nn.Module):
    """Neurons that answer each current with 0 to `levels` spikes, divided by `norm`.

    Input and output are `[T, B, ...]`; time is the first axis. Without `decay` nothing is kept
    from one step to the next, and any shape will do. Nothing is kept between calls. The gradient
    is 1 where 0 <= H <= levels, else 0; the reset takes no part in it.
    """

    def __init__(
        self,
        *,
        levels: int = 4,
        norm: float | None = None,
        rounding: Rounding = "half_even",
        decay: float | None = None,
    ) -> None:
        super().__init__()
        if levels < 1:
            raise ValueError(f"levels must be at least 1, got {levels}")
        if rounding not in get_args(Rounding):
            raise ValueError(f"rounding must be one of {get_args(Rounding)}, got {rounding!r}")
        self.levels = levels
        self.norm = float(levels if norm is None else norm)
        self.rounding: Rounding = rounding
        self.decay = decay

    def count(self, h: Tensor) -> Tensor:
        """Return the spikes of a potential: whole numbers from 0 to `levels`."""
        half_up = self.rounding == "half_up"
        rounded: Callable[[Tensor], Tensor] = (_RoundHalfUp if half_up else _RoundHalfEven).apply
        return rounded(h.clamp(0, self.levels))

    def forward(self, x: Tensor) -> Tensor:
        """Turn currents `[T, B, ...]` into counts over `norm`, same type and shape."""
        if self.decay is None:
            return self.count(x) / self.norm
        h = x[0]
        counts = [self.count(h)]
        for current in x[1:].unbind(0):
            h = (h - counts[-1].detach()) * self.decay + current
            counts.append(self.count(h))
        return torch.stack(counts) / self.norm

    def extra_repr(self) -> str:
        """Return the parameters as `print(module)` shows them."""
        return (
            f"levels={self.levels}, norm={self.norm}, rounding={self.rounding}, decay={self.decay}"
        )
