"""What the spike-driven check can find, with the texts of ``snncc explain``.

Each explanation holds one model that has the fault and the same model mended; a test runs both.
"""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

NON_SPIKE_INPUT = rule(
    "SNN201",
    "non-spike-weight-input",
    Severity.ERROR,
    """
    A weighted op reads integers or multiples of a step, not spikes.

    A convolution or linear layer on spikes needs no multiplication: each weight is added or not.
    On 0..2 it needs one. snncc derives from the graph which values an op can read; `because` leads
    back to the sums that widened them. Most often spikes are added to spikes ("SEW" residuals):
    add currents before the neuron instead. Average and sum pools count spikes; `--deployed` makes
    them part of the weights behind. Where SNN211 says why not, take a max-pool, or neurons behind.

    Fails, because two spikes sum to 0..2:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(8, 16)
            self.lif = LIF()
            self.fc = nn.Linear(16, 16)
            self.lif1 = LIF()
            self.out = nn.Linear(16, 16)
            self.lif2 = LIF()

        def forward(self, x: Tensor) -> Tensor:
            x = x.expand(4, -1, -1)  # [T, B, C]
            s = self.lif(self.stem(x))
            s = s + self.lif1(self.fc(s))
            return self.lif2(self.out(s)).sum(0)
    ```

    Mended: the currents are added, the sum goes through a neuron:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(8, 16)
            self.lif = LIF()
            self.fc = nn.Linear(16, 16)
            self.lif1 = LIF()
            self.out = nn.Linear(16, 16)
            self.lif2 = LIF()

        def forward(self, x: Tensor) -> Tensor:
            x = x.expand(4, -1, -1)  # [T, B, C]
            v = self.stem(x)
            v = v + self.fc(self.lif(v))
            return self.lif2(self.out(self.lif1(v))).sum(0)
    ```
    """,
)

REAL_INPUT = rule(
    "SNN202",
    "real-weight-input",
    Severity.ERROR,
    """
    A weighted op reads real numbers, not spikes.

    Nothing is proved of what the op reads: it comes from another weighted op, a batch norm, or an
    operation that makes floats, with no spiking neuron between. `because` says where they entered.
    The encoder (the first weighted op on the input) and the head (the last one, behind which only
    the readout stands) may read real numbers by policy.

    Fails, because nothing turns the first layer's result into spikes:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(8, 16)
            self.lif = LIF()
            self.fc = nn.Linear(16, 16)

        def forward(self, x: Tensor) -> Tensor:
            x = x.expand(4, -1, -1)  # [T, B, C]
            return self.lif(self.fc(self.stem(x))).sum(0)
    ```

    Mended:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(8, 16)
            self.lif = LIF()
            self.fc = nn.Linear(16, 16)
            self.lif1 = LIF()

        def forward(self, x: Tensor) -> Tensor:
            x = x.expand(4, -1, -1)  # [T, B, C]
            return self.lif1(self.fc(self.lif(self.stem(x)))).sum(0)
    ```
    """,
)

NON_SPIKE_PRODUCT = rule(
    "SNN203",
    "non-spike-product",
    Severity.ERROR,
    """
    A matrix product of two computed values has no spikes on either side.

    With spikes on one side the product selects and adds values of the other. Without, each term is
    a real multiplication of two activations.

    Fails, because queries and keys are currents:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    example_input = (2, 3, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q = nn.Linear(8, 8)
            self.k = nn.Linear(8, 8)
            self.lif = LIF()

        def forward(self, x: Tensor) -> Tensor:
            x = x.expand(4, -1, -1, -1)  # [T, B, N, C]
            return self.lif(self.q(x) @ self.k(x).transpose(-2, -1)).sum(0)
    ```

    Mended: one of them goes through a neuron:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    example_input = (2, 3, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q = nn.Linear(8, 8)
            self.k = nn.Linear(8, 8)
            self.q_lif = LIF()
            self.lif = LIF()

        def forward(self, x: Tensor) -> Tensor:
            x = x.expand(4, -1, -1, -1)  # [T, B, N, C]
            return self.lif(self.q_lif(self.q(x)) @ self.k(x).transpose(-2, -1)).sum(0)
    ```
    """,
)

NON_SPIKE_MASK = rule(
    "SNN204",
    "non-spike-mask",
    Severity.ERROR,
    """
    An elementwise product of two values has no spikes on either side.

    With spikes on one side the product is a gate that lets values of the other pass. Without, it
    is a multiplication for each element: gating by floats, a square, a per-element factor that
    folds into no weight.

    Fails, because the gate is a current:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value = nn.Linear(8, 8)
            self.gate = nn.Linear(8, 8)
            self.lif = LIF()

        def forward(self, x: Tensor) -> Tensor:
            x = x.expand(4, -1, -1)  # [T, B, C]
            return self.lif(self.value(x) * self.gate(x)).sum(0)
    ```

    Mended: the gate is a spike:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value = nn.Linear(8, 8)
            self.gate = nn.Linear(8, 8)
            self.gate_lif = LIF()
            self.lif = LIF()

        def forward(self, x: Tensor) -> Tensor:
            x = x.expand(4, -1, -1)  # [T, B, C]
            return self.lif(self.value(x) * self.gate_lif(self.gate(x))).sum(0)
    ```
    """,
)

FOREIGN_OP = rule(
    "SNN205",
    "not-an-operation-on-spikes",
    Severity.ERROR,
    """
    An operation has no spiking form: softmax, LayerNorm, GELU, division by a computed value.

    It computes on real numbers at every time step, and the chip has nothing to do it with. Spiking
    transformers leave softmax out of attention and use batch norms, which fold into weights.

    Fails:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(8, 16)
            self.lif = LIF()

        def forward(self, x: Tensor) -> Tensor:
            x = x.expand(4, -1, -1)  # [T, B, C]
            return self.lif(self.stem(x).softmax(-1)).sum(0)
    ```

    Mended: spikes need no softmax to be non-negative:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(8, 16)
            self.lif = LIF()

        def forward(self, x: Tensor) -> Tensor:
            x = x.expand(4, -1, -1)  # [T, B, C]
            return self.lif(self.stem(x)).sum(0)
    ```
    """,
)

UNFOLDED_SCALE = rule(
    "SNN206",
    "scale-folds-nowhere",
    Severity.ERROR,
    """
    A multiplication by a constant folds into no weight and no threshold.

    A constant factor costs nothing where it can move into the weights that made the value, the
    weights that read it, or the threshold of the neurons that it reaches. Between two sums it can
    do neither.

    Fails, because the residual stream is read twice:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(8, 16)
            self.fc = nn.Linear(16, 16)
            self.lif = LIF()
            self.last = LIF()

        def forward(self, x: Tensor) -> Tensor:
            x = x.expand(4, -1, -1)  # [T, B, C]
            v = self.stem(x)
            return self.last(0.5 * v + self.fc(self.lif(v))).sum(0)
    ```

    Mended: the factor stands where one layer can take it up:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(8, 16)
            self.fc = nn.Linear(16, 16)
            self.lif = LIF()
            self.last = LIF()

        def forward(self, x: Tensor) -> Tensor:
            x = x.expand(4, -1, -1)  # [T, B, C]
            v = self.stem(x)
            return self.last(v + 2.0 * self.fc(self.lif(v))).sum(0)
    ```
    """,
)

UNUSED_ALLOWANCE = rule(
    "SNN208",
    "allowance-not-used",
    Severity.WARNING,
    """
    An allowance (`--allow CODE[:path]`, or `allow` under `[tool.snncc.check]`) matches no finding.

    The layer may have been mended or renamed since, or the code or path is misspelt. Take the
    allowance out, so that it cannot hide a finding that comes later.

    Fails, because that layer reads spikes:

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

    result = snncc.check(Model(), torch.zeros(2, 8), allow=("SNN201:fc",))
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

    result = snncc.check(Model(), torch.zeros(2, 8))
    ```
    """,
)
