"""What is said about linear layers in a row: which became one, and which could not."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

CHAINS_MERGED = rule(
    "SNN210",
    "linear-chains-merged",
    Severity.NOTE,
    """
    Convolutions, pools or linear layers with no neuron between were merged into one.

    Together they are one linear map, and its input is that of the first: where that is spikes the
    map is spike-driven, though inside the chain floats flow. This is what papers call
    re-parameterisation (RepConv), and what a chip runs. A pool that sums or averages is a
    convolution too: behind weights it joins them, and in front of them where it reads spikes, but
    not around the head, which the host runs. The merged layer is exact, but it can have
    many more parameters: a depthwise 7x7 and a 1x1 convolution become a dense 7x7 one. The message
    says how many. `snncc check` judges the network as written unless it is given `--deployed`.

    Noted:

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
            self.down = nn.Linear(16, 4)
            self.up = nn.Linear(4, 16)
            self.lif1 = LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.stem(x.expand(4, -1, -1)))  # [T, B, C]
            return self.lif1(self.up(self.down(s))).sum(0)

    result = snncc.compile(Model(), torch.zeros(2, 8), target="loihi2")
    ```

    Not noted, for there is a neuron between:

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
            self.down = nn.Linear(16, 4)
            self.down_lif = LIF()
            self.up = nn.Linear(4, 16)
            self.lif1 = LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.stem(x.expand(4, -1, -1)))  # [T, B, C]
            return self.lif1(self.up(self.down_lif(self.down(s)))).sum(0)

    result = snncc.compile(Model(), torch.zeros(2, 8), target="loihi2")
    ```
    """,
)

CHAIN_LEFT = rule(
    "SNN211",
    "linear-chain-not-merged",
    Severity.NOTE,
    """
    Convolutions, pools or linear layers with no neuron between cannot be merged into one.

    The layers behind the first read floats, which is a finding of its own. One reason is a border:
    a convolution pads zeros, but the layers before it do not compute 0 beyond their border: a bias
    or batch norm adds a constant, or their own windows reach back inside. RepConv pads with
    `BN(0)` for that reason: then both agree. A pool whose windows overlap reaches back inside too,
    and one that divides windows at the border by fewer places is no convolution. The other reason
    is size: the merged layer would have
    more parameters than the limit allows. Put a spiking neuron between the layers, or mend the
    border.

    Noted, because the 1x1 layer has a bias and the next one pads zeros:

    ```python
    import torch
    from torch import Tensor, nn
    import snncc
    from snncc.models.neuron import LIF

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 4, 3, padding=1)
            self.lif = LIF()
            self.a = nn.Conv2d(4, 4, 1)
            self.b = nn.Conv2d(4, 4, 3, padding=1)
            self.lif1 = LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.stem(x).expand(4, -1, -1, -1, -1))  # [T, B, C, H, W]
            v = self.b(self.a(s.flatten(0, 1))).unflatten(0, (4, -1))
            return self.lif1(v).sum(0)

    result = snncc.compile(Model(), torch.zeros(1, 1, 8, 8), target="loihi2")
    ```

    Not noted: without it both agree at the border:

    ```python
    import torch
    from torch import Tensor, nn
    import snncc
    from snncc.models.neuron import LIF

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 4, 3, padding=1)
            self.lif = LIF()
            self.a = nn.Conv2d(4, 4, 1, bias=False)
            self.b = nn.Conv2d(4, 4, 3, padding=1)
            self.lif1 = LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.stem(x).expand(4, -1, -1, -1, -1))  # [T, B, C, H, W]
            v = self.b(self.a(s.flatten(0, 1))).unflatten(0, (4, -1))
            return self.lif1(v).sum(0)

    result = snncc.compile(Model(), torch.zeros(1, 1, 8, 8), target="loihi2")
    ```
    """,
)
