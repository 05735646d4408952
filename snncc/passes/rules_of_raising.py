"""The rule about arithmetic that should have been a neuron, with the text of ``snncc explain``."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

UNRAISED_ARITHMETIC = rule(
    "SNN155",
    "unraised-arithmetic",
    Severity.ERROR,
    """
    The network compares values with a threshold, as spiking neurons do, but what it does with the
    result is not what a neuron does, so that it stays arithmetic, which no chip runs.

    A neuron that is written out in Python is recognised where, in all time steps alike, the
    potential leaks by a constant share, a current is added that does not depend on the layer's own
    spikes, the potential is compared with one threshold, and a spike resets it: to a constant, or
    by a constant that it takes off. It starts at what it is reset to, and nothing else reads it.

    Fails, because a spike raises the potential:

    ```python
    import torch
    from torch import Tensor, nn

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 16)

        def forward(self, x: Tensor) -> Tensor:
            current = self.fc(x)
            v, spikes = torch.zeros_like(current), torch.zeros_like(current)
            total = 0
            for _ in range(4):
                v = 0.5 * v + current + 0.1 * spikes
                spikes = (v > 1).float()
                total = total + spikes
            return total / 4
    ```

    Mended:

    ```python
    import torch
    from torch import Tensor, nn

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 16)

        def forward(self, x: Tensor) -> Tensor:
            current = self.fc(x)
            v, spikes = torch.zeros_like(current), torch.zeros_like(current)
            total = 0
            for _ in range(4):
                v = 0.5 * v * (1 - spikes) + current
                spikes = (v > 1).float()
                total = total + spikes
            return total / 4
    ```
    """,
)
