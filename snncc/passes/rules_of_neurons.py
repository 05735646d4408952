"""Rules about the neurons of a target, as ``snncc explain`` prints them."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

UNPROVED_WIDTH = rule(
    "SNN302",
    "potential-width-not-proved",
    Severity.WARNING,
    """
    The worst case of a layer's membrane potential, or of a synaptic current that lasts, does not
    fit the target's width.

    The bound is proved from the weights: it assumes that every input with a positive weight fires
    and no other. Real data stays far below; the message gives the bound and the width. A run
    counts every potential that leaves the width, and a verified run has none. With `--fit-widths`
    the integers are made coarser until no input can leave it.

    Fails, because pixels of 8 bits meet weights of 8 bits:

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

    Mended with coarser integers:

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

    result = snncc.compile(Model(), torch.zeros(2, 8), target="loihi2", fit_widths=True)
    ```
    """,
)
FIXED_NEURON = rule(
    "SNN415",
    "neuron-equation-not-on-the-target",
    Severity.ERROR,
    """
    A layer computes what the target's neurons, which have one fixed equation, do not.

    A neuron with a fixed equation leaks, adds its input, compares with a threshold and resets to
    zero. A soft reset, several spikes at once, rounding a current, or the largest of several
    currents take neurons that can be programmed. Where such a neuron keeps a part of its current
    from step to step, it keeps what its synapses brought: a bias is added behind, so that one which
    lasts as the current does takes a programmable neuron, as does a sum of two currents that
    last, or one current for two layers. Train with a hard reset to zero, binary spikes and no bias
    before a current that lasts, or choose a target whose neurons are programmable
    (`snncc targets NAME` says so).

    Fails, because of a soft reset:

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
            self.lif1 = LIF(v_reset=None)

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.stem(x.expand(4, -1, -1)))  # [T, B, C]
            return self.lif1(self.fc(s)).sum(0)

    result = snncc.compile(Model(), torch.zeros(2, 8), target="loihi1", encoder="host")
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
            self.lif1 = LIF(v_reset=0.0)

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.stem(x.expand(4, -1, -1)))  # [T, B, C]
            return self.lif1(self.fc(s)).sum(0)

    result = snncc.compile(Model(), torch.zeros(2, 8), target="loihi1", encoder="host")
    ```
    """,
)
WIDE_BIAS = rule(
    "SNN416",
    "bias-wider-than-the-field",
    Severity.ERROR,
    """
    A bias does not fit the target's field, which holds a mantissa times a power of two.

    A bias is added to the potential in every step, in the units of the potential: that of the
    layer, shifted left as the layer's currents are. A bias whose low bits are zero can have a
    shorter mantissa and a larger exponent. Fewer weight bits make the unit coarser and the bias
    smaller; fewer time steps ask for a smaller shift. Targets that keep the bias in a neuron's
    state have no such limit.

    Fails, because the bias is some forty times the largest weight:

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
            nn.init.constant_(self.fc.bias, 10.0)
            self.lif1 = LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.stem(x.expand(4, -1, -1)))  # [T, B, C]
            return self.lif1(self.fc(s)).sum(0)

    result = snncc.compile(Model(), torch.zeros(2, 8), target="loihi1", encoder="host")
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
            nn.init.constant_(self.fc.bias, 1.0)
            self.lif1 = LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.stem(x.expand(4, -1, -1)))  # [T, B, C]
            return self.lif1(self.fc(s)).sum(0)

    result = snncc.compile(Model(), torch.zeros(2, 8), target="loihi1", encoder="host")
    ```
    """,
)
DECAY_OFF_GRID = rule(
    "SNN417",
    "decay-not-on-the-target",
    Severity.ERROR,
    """
    A layer's leak is no number that the target's decay field holds.

    The share of its potential that a neuron loses in a step is carried in 4096ths, in 12 bits:
    0 to 4095. A neuron that forgets everything (tau = 1) needs 4096. Of a synaptic current that
    lasts the field holds what it loses, less one: one that loses nothing has none. A target whose
    decays have another width cannot be compiled for: its leaks would be others.

    Fails, where decays have eight bits:

    ```sh
    snncc compile model.pth.tar --target ./eight-bit-decays.toml
    ```

    Mended:

    ```sh
    snncc compile model.pth.tar --target ./twelve-bit-decays.toml
    ```
    """,
)
WIDE_FAN_IN = rule(
    "SNN418",
    "fan-in-larger-than-a-core",
    Severity.ERROR,
    """
    One neuron is reached by more sources, or by more weights, than a whole core takes.

    All synapses of a neuron lie on its own core. However a layer is cut, none of its neurons finds
    a place: use grouped or narrower layers, or fewer weight bits where memory is short.

    Fails, because a core has 4,096 input axons:

    ```python
    import torch
    from torch import Tensor, nn
    import snncc
    from snncc.models.neuron import LIF

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(4, 5000)
            self.lif = LIF()
            self.fc = nn.Linear(5000, 2)
            self.lif1 = LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.stem(x.expand(2, -1, -1)))  # [T, B, C]
            return self.lif1(self.fc(s)).sum(0)

    result = snncc.compile(Model(), torch.zeros(2, 4), target="loihi1", encoder="host")
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
            self.stem = nn.Linear(4, 4000)
            self.lif = LIF()
            self.fc = nn.Linear(4000, 2)
            self.lif1 = LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.stem(x.expand(2, -1, -1)))  # [T, B, C]
            return self.lif1(self.fc(s)).sum(0)

    result = snncc.compile(Model(), torch.zeros(2, 4), target="loihi1", encoder="host")
    ```
    """,
)
WIDE_CURRENT = rule(
    "SNN419",
    "current-wider-than-the-register",
    Severity.WARNING,
    """
    What reaches a neuron in one step, shifted as its potential is, may leave its register.

    The bound is proved from the weights: it assumes that every input with a positive weight fires
    and no other. A current that leaves its register wraps around and becomes another number. It is
    told of where that register is narrower than the potential's, whose own proof covers it else.
    Fewer weight bits make currents smaller, and fewer time steps shift them less.

    Fails, where currents have twelve bits:

    ```sh
    snncc compile model.pth.tar --target ./twelve-bit-currents.toml
    ```

    Mended:

    ```sh
    snncc compile model.pth.tar --target loihi2
    ```
    """,
)
