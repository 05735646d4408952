"""The rules that the pipeline itself applies, between its passes."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

ASSUMED_INPUT = rule(
    "SNN303",
    "input-range-assumed",
    Severity.WARNING,
    """
    No calibration data were given, so the range of the input is assumed.

    snncc takes uniform noise in 0..1 in place of data: input scale, bias correction and the quality
    figures are then `assumed`. Give a few dozen real samples with `--data`.

    Fails:

    ```python
    import torch
    from torch import Tensor, nn
    import snncc
    from snncc.models.neuron import LIF

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(8, 16)
            self.lif = LIF()
            self.fc = nn.Linear(16, 16)
            self.lif1 = LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.stem(x.expand(4, -1, -1)))  # [T, B, C]
            return self.lif1(self.fc(s)).sum(0)

    result = snncc.compile(Model(), torch.zeros(2, 8), target="loihi2")
    ```

    Mended:

    ```python
    import torch
    from torch import Tensor, nn
    import snncc
    from snncc.models.neuron import LIF

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(8, 16)
            self.lif = LIF()
            self.fc = nn.Linear(16, 16)
            self.lif1 = LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.stem(x.expand(4, -1, -1)))  # [T, B, C]
            return self.lif1(self.fc(s)).sum(0)

    samples = torch.rand(8, 8)
    result = snncc.compile(Model(), torch.zeros(2, 8), target="loihi2", data=samples)
    ```
    """,
)

NOT_SPIKE_DRIVEN = rule(
    "SNN304",
    "compiling-a-model-that-is-not-spike-driven",
    Severity.ERROR,
    """
    The model has findings of the spike-driven check, so it is not compiled.

    Mend the layers that are named, or allow each code on purpose with `--allow CODE[:path]`; then
    integer inputs are compiled as graded spikes, and every report says so.

    Fails, because spikes are added to spikes:

    ```python
    import torch
    from torch import Tensor, nn
    import snncc
    from snncc.models.neuron import LIF

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(8, 16)
            self.lif = LIF()
            self.fc = nn.Linear(16, 16)
            self.lif1 = LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.stem(x.expand(4, -1, -1)))  # [T, B, C]
            return self.lif1(self.fc(s + s)).sum(0)

    result = snncc.compile(Model(), torch.zeros(2, 8), target="loihi2")
    ```

    Mended, on purpose:

    ```python
    import torch
    from torch import Tensor, nn
    import snncc
    from snncc.models.neuron import LIF

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(8, 16)
            self.lif = LIF()
            self.fc = nn.Linear(16, 16)
            self.lif1 = LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.stem(x.expand(4, -1, -1)))  # [T, B, C]
            return self.lif1(self.fc(s + s)).sum(0)

    result = snncc.compile(Model(), torch.zeros(2, 8), target="loihi2", allow=("SNN201",))
    ```
    """,
)

NOT_THE_MODEL = rule(
    "SNN002",
    "graph-differs-from-the-model",
    Severity.ERROR,
    """
    The step graph does not compute what the model itself computes on the calibration data.

    This is a bug in snncc. Every compile runs the float step graph beside the module's own code;
    each spike must be equal, but for potentials within 1e-6 of the threshold, and the answers
    must agree within 1e-5. Please report it with the model and the command.
    """,
)
