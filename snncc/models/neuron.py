"""Multi-step spiking neurons in plain PyTorch, with the arithmetic of SpikingJelly.

One time step, with potential V before it, input X and spike S:

    H = charge(V, X)
    S = H >= v_threshold                 (H > v_threshold if `strict`)
    V = v_reset where S, else H          (hard reset)
    V = H - v_threshold * S              (soft reset, v_reset is None)

Source: Fang et al., "SpikingJelly", Science Advances 9 (2023), eq. 1-3; defaults as in release
0.0.0.0.12 (`tau=2`, `v_threshold=1`, `v_reset=0`, `decay_input=True`, surrogate Sigmoid(4)).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

SURROGATE_SLOPE = 4.0
"""Steepness of the sigmoid whose slope stands in for that of the step function."""


class _Spike(torch.autograd.Function):
    """Step function forward, slope of a sigmoid backward."""

    @staticmethod
    def forward(ctx: Any, excess: Tensor, strict: bool) -> Tensor:
        """Return 1 where `excess >= 0`, or above 0 if `strict`, and else 0."""
        ctx.save_for_backward(excess)
        return (excess > 0 if strict else excess >= 0).to(excess)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """Return grad * a * s * (1 - s), with s = sigmoid(a * excess)."""
        (excess,) = ctx.saved_tensors
        sigmoid = torch.sigmoid(SURROGATE_SLOPE * excess)
        return grads[0] * SURROGATE_SLOPE * sigmoid * (1 - sigmoid), None


class SpikingNeuron(nn.Module):
    """Neurons that each read a current and give a spike in every time step.

    Input and output are `[T, B, ...]`; time is the first axis. The potential starts at
    `v_reset` (0 with soft reset) in every call: nothing is kept between calls. The reset takes
    no part in the gradient.

    `tau` is None where nothing leaks; `decay_input` says whether the leak divides the input too;
    `strict`, whether a potential on the threshold stays silent.
    """

    def __init__(
        self,
        *,
        tau: float | None,
        decay_input: bool,
        v_threshold: float,
        v_reset: float | None,
        strict: bool = False,
    ) -> None:
        super().__init__()
        self._tau = tau
        self.decay_input = decay_input
        self.v_threshold = v_threshold
        self.v_reset = v_reset
        self.strict = strict

    @property
    def tau(self) -> float | None:
        """Time constant of the leak, in time steps."""
        return self._tau

    def charge(self, v: Tensor, x: Tensor) -> Tensor:
        """Return the potential H: after the leak and the input, before the reset."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Turn currents `[T, B, ...]` into spikes, 0 or 1 in the same type and shape."""
        v = torch.full_like(x[0], self.v_reset or 0.0)
        spikes = []
        for current in x.unbind(0):
            h = self.charge(v, current)
            excess = h - self.v_threshold
            spike: Tensor = _Spike.apply(excess, self.strict)  # type: ignore[no-untyped-call]
            v = self._reset(h, spike.detach())
            spikes.append(self.emit(h, spike))
        return torch.stack(spikes)

    def emit(self, h: Tensor, spike: Tensor) -> Tensor:
        """Return what leaves the neuron: its spike."""
        return spike

    def _reset(self, h: Tensor, spike: Tensor) -> Tensor:
        if self.v_reset is None:
            return h - self.v_threshold * spike
        return h.masked_fill(spike.bool(), self.v_reset)

    def extra_repr(self) -> str:
        """Return the parameters as `print(module)` shows them."""
        strict = ", strict=True" if self.strict else ""
        return (
            f"tau={self._tau}, decay_input={self.decay_input}, "
            f"v_threshold={self.v_threshold}, v_reset={self.v_reset}{strict}"
        )


class IF(SpikingNeuron):
    """Integrate and fire: H = V + X."""

    def __init__(
        self, *, v_threshold: float = 1.0, v_reset: float | None = 0.0, strict: bool = False
    ) -> None:
        super().__init__(
            tau=None, decay_input=False, v_threshold=v_threshold, v_reset=v_reset, strict=strict
        )

    def charge(self, v: Tensor, x: Tensor) -> Tensor:
        """Return V + X."""
        return v + x


class LIF(SpikingNeuron):
    """Leaky integrate and fire.

    With `decay_input`     H = V + (X - (V - v_reset)) / tau,
    without                H = V - (V - v_reset) / tau + X.
    """

    def __init__(
        self,
        *,
        tau: float = 2.0,
        decay_input: bool = True,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        strict: bool = False,
    ) -> None:
        if not tau > 1:
            raise ValueError(f"tau must be above 1, got {tau}")
        super().__init__(
            tau=tau,
            decay_input=decay_input,
            v_threshold=v_threshold,
            v_reset=v_reset,
            strict=strict,
        )

    def charge(self, v: Tensor, x: Tensor) -> Tensor:
        """Return V after one step of leak and input.

        A rest of 0 has a shorter form, as in SpikingJelly: it rounds differently.
        """
        tau = float(self.tau or 1.0)
        if self.decay_input:
            return v + (x - (v - self.v_reset if self.v_reset else v)) / tau
        if self.v_reset:
            return v - (v - self.v_reset) / tau + x
        return v * (1 - 1 / tau) + x


class ParametricLIF(SpikingNeuron):
    """Leaky integrate and fire with a learnt leak, one for the layer: `1 / tau = sigmoid(w)`.

    H = V + (X - (V - v_reset)) * sigmoid(w).

    Source: Fang et al., "Incorporating Learnable Membrane Time Constant" (ICCV 2021).
    """

    def __init__(
        self, *, init_tau: float = 2.0, v_threshold: float = 1.0, v_reset: float | None = 0.0
    ) -> None:
        if not init_tau > 1:
            raise ValueError(f"init_tau must be above 1, got {init_tau}")
        super().__init__(tau=init_tau, decay_input=True, v_threshold=v_threshold, v_reset=v_reset)
        self.init_tau = init_tau
        self.w = nn.Parameter(torch.tensor(-math.log(init_tau - 1)))

    @property
    def tau(self) -> float:
        """What `w` stands for now; on the meta device nobody knows, but it began as `init_tau`."""
        return float(1 / self.w.detach().double().sigmoid())

    def charge(self, v: Tensor, x: Tensor) -> Tensor:
        """Return V after one step of leak and input."""
        return v + (x - (v - self.v_reset if self.v_reset else v)) * self.w.sigmoid()

    def extra_repr(self) -> str:
        """Return the parameters as `print(module)` shows them; `tau` is where `w` began."""
        return f"init_{super().extra_repr()}"


class ParametricLIAF(ParametricLIF):
    """Leaky integrate and *analog* fire: resets as `ParametricLIF`, but lets out `max(H, 0)`.

    Source: Wu et al., "LIAF-Net" (IEEE TNNLS 2021). What leaves it is no spike.
    """

    def emit(self, h: Tensor, spike: Tensor) -> Tensor:
        """Return the positive part of the potential."""
        return h.relu()
