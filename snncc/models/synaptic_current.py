"""Synaptic currents that outlast a time step: what a current-based (CUBA) neuron integrates."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SynapticCurrent(nn.Module):
    """Currents that each keep a share of themselves from one time step to the next.

    I = keep I + X, from 0 on in every call. Input and output are `[T, B, ...]`; time is the first
    axis. With a neuron of `snncc.models.neuron` behind it, it is a current-based neuron.
    """

    def __init__(self, keep: float = 0.5) -> None:
        if not 0 <= keep <= 1:
            raise ValueError(f"keep must be 0 to 1, got {keep}")
        super().__init__()
        self.keep = keep

    def forward(self, x: Tensor) -> Tensor:
        """Turn what is received, `[T, B, ...]`, into currents of the same shape."""
        current = torch.zeros_like(x[0])
        currents = []
        for received in x.unbind(0):
            current = self.keep * current + received
            currents.append(current)
        return torch.stack(currents)

    def extra_repr(self) -> str:
        """Return the parameter as `print(module)` shows it."""
        return f"keep={self.keep}"
