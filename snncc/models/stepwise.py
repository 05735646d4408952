"""Layers without memory, on tensors that have a time axis: T and B become one axis and back."""

from __future__ import annotations

from torch import Tensor, nn


class Stepwise(nn.Sequential):
    """A sequence of layers that sees each time step by itself; `[T, B, ...]` in and out.

    Its parameters are called as those of SpikingJelly's `SeqToANNContainer`: `0.weight`, ...
    """

    def forward(self, x: Tensor) -> Tensor:
        """Turn `[T, B, ...]` into `[T, B, ...]`, `[T * B, ...]` in between."""
        folded = x.flatten(0, 1)
        for layer in self:
            folded = layer(folded)
        return folded.reshape(*x.shape[:2], *folded.shape[1:])


class StepwiseConv2d(nn.Conv2d):
    """A convolution of `[T, B, C, H, W]`."""

    def forward(self, x: Tensor) -> Tensor:
        """Turn `[T, B, C, H, W]` into `[T, B, C', H', W']`."""
        folded = super().forward(x.flatten(0, 1))
        return folded.reshape(*x.shape[:2], *folded.shape[1:])
