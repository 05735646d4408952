"""The rule about counts of spikes, with the text of ``snncc explain``."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

MULTI_LEVEL = rule(
    "SNN209",
    "count-as-factor",
    Severity.ERROR,
    """
    A product reads counts of spikes, straight from integer-firing neurons.

    Integer-firing neurons (E-SpikeFormer, SpikeYOLO) answer each time step with a count from 0 to
    D. A layer that reads it is spike-driven only after each step is expanded into D binary
    sub-steps, which is how these networks are meant to be run. Of the two factors of an attention
    product one is expanded. The policy says up to which D that is in order: `multi_level` under
    `[tool.snncc.check]`, 8 by default. Counts to which something was added are no longer such
    counts: they are reported as SNN201, SNN203 or SNN204.

    Fails, because 16 levels are more than the policy allows:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron_multilevel import MultiLevel

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(8, 16)
            self.counts = MultiLevel(levels=16)
            self.fc = nn.Linear(16, 16)
            self.last = MultiLevel(levels=16)

        def forward(self, x: Tensor) -> Tensor:
            x = x.unsqueeze(0)  # [T, B, C]
            return self.last(self.fc(self.counts(self.stem(x)))).sum(0)
    ```

    Mended:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron_multilevel import MultiLevel

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(8, 16)
            self.counts = MultiLevel(levels=4)
            self.fc = nn.Linear(16, 16)
            self.last = MultiLevel(levels=4)

        def forward(self, x: Tensor) -> Tensor:
            x = x.unsqueeze(0)  # [T, B, C]
            return self.last(self.fc(self.counts(self.stem(x)))).sum(0)
    ```
    """,
)
