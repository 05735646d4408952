"""The rules about neurons that are called once a time step, with the texts of ``snncc explain``."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

POTENTIAL_READ = rule(
    "SNN156",
    "potential-read",
    Severity.ERROR,
    """
    Something reads the membrane potential of a layer of neurons.

    Only spikes leave a neuron. Code that calls a layer once a time step gets spikes and potential;
    the potential may be handed to the next call, and to nothing else that the answer is made of.
    Count spikes, or let a layer behind the neurons sum its currents over time.

    Fails, because the answer is made of potentials:

    ```python
    import snntorch
    import torch
    from torch import Tensor, nn

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 3)
            self.lif = snntorch.Leaky(beta=0.5)

        def forward(self, x: Tensor) -> Tensor:
            potential = self.lif.reset_mem()
            total = torch.zeros(2, 3)
            for _ in range(4):
                spikes, potential = self.lif(self.fc(x), potential)
                total = total + potential
            return total
    ```

    Mended:

    ```python
    import snntorch
    import torch
    from torch import Tensor, nn

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 3)
            self.lif = snntorch.Leaky(beta=0.5)

        def forward(self, x: Tensor) -> Tensor:
            potential = self.lif.reset_mem()
            total = torch.zeros(2, 3)
            for _ in range(4):
                spikes, potential = self.lif(self.fc(x), potential)
                total = total + spikes
            return total
    ```
    """,
)

CALLS_NOT_IN_STEP = rule(
    "SNN157",
    "neuron-calls-not-in-step",
    Severity.ERROR,
    """
    The calls of a layer of neurons, one a time step, do not follow each other as a layer's do.

    The state of a call is handed to two others, or the current of a step is made of spikes that
    the layer itself (or one behind it) gave in an earlier step: a recurrent connection, which has
    no place in a step graph.

    Fails, because the layer reads its own spikes:

    ```python
    import snntorch
    import torch
    from torch import Tensor, nn

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)
            self.back = nn.Linear(8, 8)
            self.lif = snntorch.Leaky(beta=0.5)

        def forward(self, x: Tensor) -> Tensor:
            potential = self.lif.reset_mem()
            spikes = total = torch.zeros(2, 8)
            for _ in range(4):
                spikes, potential = self.lif(self.fc(x) + self.back(spikes), potential)
                total = total + spikes
            return total
    ```

    Mended:

    ```python
    import snntorch
    import torch
    from torch import Tensor, nn

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)
            self.lif = snntorch.Leaky(beta=0.5)

        def forward(self, x: Tensor) -> Tensor:
            potential = self.lif.reset_mem()
            total = torch.zeros(2, 8)
            for _ in range(4):
                spikes, potential = self.lif(self.fc(x), potential)
                total = total + spikes
            return total
    ```
    """,
)
