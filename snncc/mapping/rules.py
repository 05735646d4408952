"""The rules of mapping: what does not fit, and placements that are none."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

DOES_NOT_FIT = rule(
    "SNN420",
    "layer-larger-than-a-core-allows",
    Severity.ERROR,
    """
    A layer has no cut into parts that each keep the limits of one core.

    Parts are boxes of places. The smallest part is one place of one channel: if even that needs
    more axons, or more memory for weights or counters, than a core has, the layer cannot be
    mapped. The message says which limit, what the smallest part needs, and what a core has.

    Fails, where every neuron is read by three layers and a core of the target has two output axons:

    ```sh
    snncc compile model.pth.tar --target ./few-axons.toml
    ```

    Mended, on a target with more of them, or none given:

    ```sh
    snncc compile model.pth.tar --target loihi2
    ```
    """,
)
UNMAPPED_OPERATION = rule(
    "SNN421",
    "operation-that-no-core-holds",
    Severity.ERROR,
    """
    An operation stands before a neuron layer and is none that a core computes.

    Cores hold neuron layers with their products, sums, pools and masks. Each neuron is read by an
    operation at one place: copies side by side need neurons of their own. The network is compiled
    and can be simulated, but it is not placed.

    Fails, because the convolution reads each neuron twice:

    ```python
    import torch
    from torch import Tensor, nn
    import snncc
    from snncc.models.neuron import LIF

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 4, 3, padding=1)
            self.conv = nn.Conv2d(4, 4, 3, padding=1)
            self.lif, self.lif1 = LIF(), LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.stem(x).expand(4, -1, -1, -1, -1))  # [T, B, C, H, W]
            twice = torch.cat([s, s], -1)
            v = self.conv(twice.flatten(0, 1)).unflatten(0, (4, -1))
            return self.lif1(v).sum(0)

    snncc.compile(Model(), torch.zeros(1, 1, 8, 8), target="loihi2", output="build")
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
            self.stem = nn.Conv2d(1, 4, 3, padding=1)
            self.conv = nn.Conv2d(4, 4, 3, padding=1)
            self.lif, self.lif1 = LIF(), LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.stem(x).expand(4, -1, -1, -1, -1))  # [T, B, C, H, W]
            v = self.conv(s.flatten(0, 1)).unflatten(0, (4, -1))
            return self.lif1(v).sum(0)

    snncc.compile(Model(), torch.zeros(1, 1, 8, 8), target="loihi2", output="build")
    ```
    """,
)
BAD_PLACEMENT = rule(
    "SNN422",
    "placement-that-is-none",
    Severity.ERROR,
    """
    A placement does not describe this network on this target, or breaks a limit of it.

    The checker derives everything again from `placement.json`, the graph and the target: that every
    neuron stands on exactly one core, that every core has a seat of its own on the mesh, and every
    limit of a core and of a chip.

    Fails, because it says of no core where it is:

    ```python
    from snncc.mapping.placement import from_document

    from_document({"schema": "snncc.placement/1", "cores": [{"parts": []}]})
    ```

    Mended:

    ```python
    from pathlib import Path

    from snncc.mapping.placement import read_placement

    read_placement(Path("build/model/placement.json"))
    ```
    """,
)
NOT_FOR_SIMULATOR = rule(
    "SNN423",
    "network-the-simulator-cannot-hold",
    Severity.ERROR,
    """
    A placed network has a part that SANA-FE cannot run as it is.

    That simulator has static synapses, binary spikes and one neuron equation: products of two
    computed values, pools, graded spikes, biases and currents that outlast a time step (it does not
    round them as the chip does) have no counterpart there, and none is made up. Export the layers
    that have.

    Fails, because attention multiplies spikes by spikes:

    ```python
    import torch
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.last = LIF(), LIF(), LIF()

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.q(x) @ self.k(x).transpose(-2, -1)).sum(0)
    ```

    Mended, with synapses alone:

    ```python
    import torch
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.fc, self.last = LIF(), nn.Linear(8, 8, bias=False), LIF()

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.fc(self.q(x))).sum(0)
    ```
    """,
)
NO_PARTITIONER = rule(
    "SNN916",
    "partitioner-not-installed",
    Severity.ERROR,
    """
    Chips were to be chosen by Mt-KaHyPar, and the package `mtkahypar` is not installed.

    It is optional: without it, chips are stretches of the network, cut where the least crosses.

    Fails, without the package:

    ```python
    from snncc.mapping.place import place

    place(graph, target, refine=True)
    ```

    Mended, or after `pip install 'snncc[mapping]'`:

    ```python
    from snncc.mapping.place import place

    place(graph, target)
    ```
    """,
)
