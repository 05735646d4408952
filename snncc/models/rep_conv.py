"""Convolutions in a row with no neuron between: one 3x3 convolution once training is over.

Sources: Ding et al., "RepVGG", CVPR 2021, for the idea; Yao et al., "Spike-driven Transformer V2",
ICLR 2024, section 3.2 and appendix B, for this form. Parameter names as in
BICLab/Spike-Driven-Transformer-V2 @ 35f245f.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class BNAndPad(nn.Module):
    """Batch norm, then a border of what it makes of zeros: `[N, C, H, W]` grows by `pad` a side.

    A convolution that follows then sees the same as if zeros had been padded before the norm.
    """

    def __init__(self, channels: int, pad: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.pad = pad

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, C, H + 2 pad, W + 2 pad]`.

        In training the border must not count in the batch's statistics, and has no gradient.
        """
        sides = [self.pad] * 4
        if self.training:
            inner = self.bn(x)
            border = self._norm_of_zero()
            return F.pad(inner - border, sides) + border
        out: Tensor = self.bn(F.pad(x, sides))
        return out

    def _norm_of_zero(self) -> Tensor:
        """Return `[1, C, 1, 1]`, by the running statistics."""
        bn = self.bn
        zeros = bn.weight.new_zeros(1, bn.num_features, 1, 1)
        slope, shift = bn.weight.detach(), bn.bias.detach()
        return F.batch_norm(zeros, bn.running_mean, bn.running_var, slope, shift, eps=bn.eps)


class RepConv(nn.Module):
    """`[N, C, H, W]` to `[N, C', H, W]`: 1x1, norm, depthwise k x k, 1x1, norm.

    In training mode it is these five; together they are one k x k convolution with bias, padded
    with zeros.
    """

    def __init__(self, fan_in: int, fan_out: int, kernel: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(fan_in, fan_in, kernel_size=1, bias=False),
            BNAndPad(fan_in, kernel // 2),
            nn.Sequential(
                nn.Conv2d(fan_in, fan_in, kernel_size=kernel, groups=fan_in, bias=False),
                nn.Conv2d(fan_in, fan_out, kernel_size=1, bias=False),
                nn.BatchNorm2d(fan_out),
            ),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, C', H, W]`."""
        out: Tensor = self.body(x)
        return out
