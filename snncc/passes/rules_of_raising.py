"""The rules about arithmetic that should have been neurons, with the texts of ``snncc explain``."""

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
    So is one that fires several spikes at once, ``round(clip(v / v_threshold, 0, 4))``; each takes
    the constant off.

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

UNRAISED_CURRENT = rule(
    "SNN159",
    "unraised-current",
    Severity.ERROR,
    """
    What a neuron reads in one time step is made of what it read in the step before, as a synaptic
    current is, but not in the way of one, so that it stays arithmetic, which no chip runs.

    A current that is written out in Python is recognised where, in all time steps alike, a constant
    share of it is left and an input is added: `current = 0.9 * current + x`. The share is one
    number between 0 and 1 for the whole layer, and the current starts at 0. The neuron reads it in
    the time step in which it is updated, not in the next.

    Fails, because each neuron keeps a share of its own:

    ```python
    import torch
    from torch import Tensor, nn

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 16)
            self.register_buffer("keep", torch.linspace(0.5, 0.9, 16))

        def forward(self, x: Tensor) -> Tensor:
            current, v = torch.zeros(2, 16), torch.zeros(2, 16)
            total = 0
            for _ in range(4):
                current = self.keep * current + self.fc(x)
                v = 0.5 * v + current
                spikes = (v > 1).float()
                v = v * (1 - spikes)
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
            current, v = torch.zeros(2, 16), torch.zeros(2, 16)
            total = 0
            for _ in range(4):
                current = 0.7 * current + self.fc(x)
                v = 0.5 * v + current
                spikes = (v > 1).float()
                v = v * (1 - spikes)
                total = total + spikes
            return total / 4
    ```
    """,
)

UNSUMMED_POTENTIAL = rule(
    "SNN148",
    "unsummed-potential",
    Severity.ERROR,
    """
    A potential leaks and never fires, as that of a readout layer does, and what the answer takes
    of it is not its sum or mean over time, which is what is read from a chip at the end.

    A potential that is written out in Python, `v = 0.9 * v + x`, is recognised behind the last
    neurons where it is summed over time. The share that it keeps is one number between 0 and 1 for
    the whole layer, the same in all time steps. Its last value is a weighted sum over time, in
    which a step counts the less the earlier it is, and no readout weighs time steps. Its maximum
    over time, or a softmax in each step, needs the potential of each step by itself. A network that
    answers with one of these is trained with the mean instead, as is one that weighs the time steps
    of its answer in another way.

    Fails, because the maximum over time is no sum:

    ```python
    import torch
    from torch import Tensor, nn

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1 = nn.Linear(8, 16)
            self.fc2 = nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            v, read, potentials = torch.zeros(2, 16), torch.zeros(2, 4), []
            for _ in range(4):
                v = 0.5 * v + self.fc1(x)
                spikes = (v > 1).float()
                v = v * (1 - spikes)
                read = 0.9 * read + self.fc2(spikes)
                potentials.append(read)
            return torch.stack(potentials).max(0)[0]
    ```

    Mended:

    ```python
    import torch
    from torch import Tensor, nn

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1 = nn.Linear(8, 16)
            self.fc2 = nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            v, read, potentials = torch.zeros(2, 16), torch.zeros(2, 4), []
            for _ in range(4):
                v = 0.5 * v + self.fc1(x)
                spikes = (v > 1).float()
                v = v * (1 - spikes)
                read = 0.9 * read + self.fc2(spikes)
                potentials.append(read)
            return torch.stack(potentials).mean(0)
    ```
    """,
)
