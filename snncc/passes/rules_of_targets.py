"""Rules about what a target holds and carries, as ``snncc explain`` prints them."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

WIDE_WEIGHT = rule(
    "SNN410",
    "weight-wider-than-the-target",
    Severity.ERROR,
    """
    A stored weight needs more bits than a synapse of the target has.

    The sign counts as a bit; some targets have one bit more where all weights of a layer have one
    sign. Compile with fewer bits: `--weight-bits 8`.

    Fails, where synapses have 4 bits:

    ```sh
    snncc compile model.pth.tar --target ./four-bits.toml
    ```

    Mended:

    ```sh
    snncc compile model.pth.tar --target ./four-bits.toml --weight-bits 4
    ```
    """,
)
WIDE_THRESHOLD = rule(
    "SNN411",
    "threshold-wider-than-the-target",
    Severity.ERROR,
    """
    A threshold does not fit the target's register.

    Thresholds are counted in units of a layer's weight scale: a layer of tiny weights has large
    thresholds. Fewer weight bits make the unit coarser and the threshold smaller.

    Fails, where registers are narrow:

    ```sh
    snncc compile model.pth.tar --target ./narrow.toml
    ```

    Mended:

    ```sh
    snncc compile model.pth.tar --target ./narrow.toml --weight-bits 6
    ```
    """,
)
GRADED_INPUT = rule(
    "SNN412",
    "graded-spikes-not-on-the-target",
    Severity.ERROR,
    """
    What travels between neurons, or between chip and host, are numbers that spikes cannot carry.

    Pixels, sums of spikes and currents that wait for a residual sum travel as graded spikes; a
    target without them, or with a payload too narrow, cannot run this layer. An encoder on the
    host (`--encoder host`) sends the spikes of the first neurons and keeps the pixels.

    Fails, because that chip's spikes have no payload, and pixels need one:

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

    result = snncc.compile(Model(), torch.zeros(2, 8), target="loihi1")
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

    result = snncc.compile(Model(), torch.zeros(2, 8), target="loihi2")
    ```
    """,
)
MANY_NEURONS = rule(
    "SNN413",
    "more-neurons-than-one-chip",
    Severity.WARNING,
    """
    The network has more neurons than one chip of the target, so it takes several.

    The message gives the least number of chips by neurons alone; memory and connections can ask
    for more.

    Fails:

    ```python
    import torch
    from torch import Tensor, nn
    import snncc
    from snncc.models.neuron import LIF

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 20, 3, padding=1)
            self.lif = LIF()

        def forward(self, x: Tensor) -> Tensor:
            x = x.expand(4, -1, -1, -1, -1)  # [T, B, C, H, W]
            v = self.conv(x.flatten(0, 1)).unflatten(0, (4, -1))
            return self.lif(v).sum(0)

    result = snncc.compile(Model(), torch.zeros(1, 1, 256, 256), target="loihi2")
    ```

    Mended, with images of half the size:

    ```python
    import torch
    from torch import Tensor, nn
    import snncc
    from snncc.models.neuron import LIF

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 20, 3, padding=1)
            self.lif = LIF()

        def forward(self, x: Tensor) -> Tensor:
            x = x.expand(4, -1, -1, -1, -1)  # [T, B, C, H, W]
            v = self.conv(x.flatten(0, 1)).unflatten(0, (4, -1))
            return self.lif(v).sum(0)

    result = snncc.compile(Model(), torch.zeros(1, 1, 128, 128), target="loihi2")
    ```
    """,
)
UNPROGRAMMABLE = rule(
    "SNN414",
    "products-of-spikes-not-on-the-target",
    Severity.ERROR,
    """
    A product of two computed values, as in attention, needs programmable neurons.

    Synapses multiply spikes by stored weights. Where both factors are spikes of this very moment, a
    neuron has to do it, and the target's neurons have one fixed equation.

    Fails:

    ```python
    import torch
    from torch import Tensor, nn
    import snncc
    from snncc.models.neuron import LIF

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(8, 8)
            self.lif = LIF()
            self.q = nn.Linear(8, 8)
            self.k = nn.Linear(8, 8)
            self.q_lif = LIF()
            self.k_lif = LIF()
            self.last = LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.stem(x.expand(4, -1, -1, -1)))  # [T, B, N, C]
            q, k = self.q_lif(self.q(s)), self.k_lif(self.k(s))
            return self.last(q @ k.transpose(-2, -1)).sum(0)

    result = snncc.compile(Model(), torch.zeros(2, 3, 8), target="loihi1")
    ```

    Mended, on a chip with programmable neurons:

    ```python
    import torch
    from torch import Tensor, nn
    import snncc
    from snncc.models.neuron import LIF

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(8, 8)
            self.lif = LIF()
            self.q = nn.Linear(8, 8)
            self.k = nn.Linear(8, 8)
            self.q_lif = LIF()
            self.k_lif = LIF()
            self.last = LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.stem(x.expand(4, -1, -1, -1)))  # [T, B, N, C]
            q, k = self.q_lif(self.q(s)), self.k_lif(self.k(s))
            return self.last(q @ k.transpose(-2, -1)).sum(0)

    result = snncc.compile(Model(), torch.zeros(2, 3, 8), target="loihi2")
    ```
    """,
)
