"""What the passes over float graphs can find, with the texts of ``snncc explain``.

Each explanation holds one model that has the fault and the same model mended; a test runs both.
"""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

TIME_MIXED = rule(
    "SNN150",
    "time-steps-mixed",
    Severity.ERROR,
    """
    An operation mixes values of different time steps.

    On a chip, time is time: a value of the next step does not exist yet. Only the state of a
    neuron and the readout (a sum or mean over all steps) may connect one time step with another.
    A convolution over time, a slice of it, a softmax along it or a feature axis that holds it
    cannot be compiled.

    Fails, because the linear layer reads all time steps at once:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 16)
            self.lif = LIF()
            self.head = nn.Linear(4 * 16, 10)

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.fc(x.expand(4, -1, -1)))  # [T, B, C]
            return self.head(s.transpose(0, 1).flatten(1))
    ```

    Mended: the steps are summed, then read:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 16)
            self.lif = LIF()
            self.head = nn.Linear(16, 10)

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.fc(x.expand(4, -1, -1)))  # [T, B, C]
            return self.head(s.mean(0))
    ```
    """,
)

BATCH_MIXED = rule(
    "SNN151",
    "samples-mixed",
    Severity.ERROR,
    """
    An operation mixes values of different samples of a batch.

    A compiled network sees one sample at a time, so no value may depend on the sample beside it.
    Most often an axis was taken for another, or the batch is not the first axis of the input
    (`--set batch_axis=1` where it is the second).

    Fails, because the sum runs over the batch:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 16)
            self.lif = LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.fc(x.expand(4, -1, -1)))  # [T, B, C]
            return s.sum((0, 1))
    ```

    Mended:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 16)
            self.lif = LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.fc(x.expand(4, -1, -1)))  # [T, B, C]
            return s.sum(0)
    ```
    """,
)

NO_TIME_AXIS = rule(
    "SNN152",
    "no-time-axis",
    Severity.ERROR,
    """
    The network has no spiking neuron, hence no time.

    snncc takes the first axis of what a spiking neuron reads for time. Without a neuron there is
    nothing to compile; perhaps the neurons are of a class that snncc does not recognise and were
    read as plain arithmetic.

    Fails:

    ```python
    from torch import Tensor, nn

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 16)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x)
    ```

    Mended:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 16)
            self.lif = LIF()

        def forward(self, x: Tensor) -> Tensor:
            return self.lif(self.fc(x).expand(4, -1, -1)).sum(0)
    ```
    """,
)

TIME_AXES_DIFFER = rule(
    "SNN153",
    "time-axes-differ",
    Severity.ERROR,
    """
    Neurons disagree about how many time steps there are, or read another axis as time.

    The first axis of what a neuron reads is time, and it must be the same for all of them. A
    neuron that reads `[B, T, ...]` takes samples for time steps.

    Fails, because the second neuron reads the batch as time:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 16)
            self.lif = LIF()
            self.last = LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.fc(x.expand(4, -1, -1)))  # [T, B, C]
            return self.last(s.transpose(0, 1)).sum(1)
    ```

    Mended:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    example_input = (2, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 16)
            self.lif = LIF()
            self.last = LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.fc(x.expand(4, -1, -1)))  # [T, B, C]
            return self.last(s).sum(0)
    ```
    """,
)

SAMPLES_IN_TIME = rule(
    "SNN158",
    "samples-taken-for-time",
    Severity.WARNING,
    """
    A neuron reads time and batch as one axis, so that it takes several samples for time steps.

    Other neurons read `[T, B, ...]`; this one reads `[T * B, ...]` before it is unflattened, and
    goes on from one sample to the next as if time went on. With one sample at a time it does what
    was meant, and that is what is checked and compiled. With more, the network's own answer on a
    sample depends on the others in the batch: evaluate it with batches of one, or mend the code.
    A file that was exported for one sample is taken for one where several would mix.

    Warned of:

    ```python
    import torch
    from torch import Tensor, nn

    import snncc
    from snncc.models.neuron import LIF

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif, self.last = nn.Linear(8, 16), LIF(), LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.fc(x.expand(4, -1, -1)))  # [T, B, C]
            return self.last(s.flatten(0, 1)).unflatten(0, (4, -1)).sum(0)

    result = snncc.check(Model(), torch.zeros(1, 8))
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
            self.fc, self.lif, self.last = nn.Linear(8, 16), LIF(), LIF()

        def forward(self, x: Tensor) -> Tensor:
            s = self.lif(self.fc(x.expand(4, -1, -1)))  # [T, B, C]
            return self.last(s).sum(0)

    result = snncc.check(Model(), torch.zeros(1, 8))
    ```
    """,
)

UNREADABLE_AXES = rule(
    "SNN154",
    "axes-not-separable",
    Severity.ERROR,
    """
    Time or batch stands where the step graph has no place for it.

    The batch axis of a convolution holds the batch and time, in any order, and nothing else; an
    input that has time has it as its first axis after the batch; a stored tensor is the same at
    all time steps.

    Fails, because the convolution's batch axis also holds patches:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    example_input = (2, 3, 1, 8, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)
            self.lif = LIF()

        def forward(self, x: Tensor) -> Tensor:  # [B, patches, C, H, W]
            y = self.conv(x.flatten(0, 1)).unflatten(0, (2, 3))
            return self.lif(y.expand(4, -1, -1, -1, -1, -1)).sum(0)
    ```

    Mended: the patches stand in the height of one image:

    ```python
    from torch import Tensor, nn
    from snncc.models.neuron import LIF

    example_input = (2, 3, 1, 8, 8)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)
            self.lif = LIF()

        def forward(self, x: Tensor) -> Tensor:  # [B, patches, C, H, W]
            y = self.conv(x.transpose(1, 2).flatten(2, 3))
            return self.lif(y.expand(4, -1, -1, -1, -1)).sum(0)
    ```
    """,
)

UNFOLDED_BATCH_NORM = rule(
    "SNN207",
    "batch-norm-folds-nowhere",
    Severity.ERROR,
    """
    A batch norm folds into no weight.

    At inference a batch norm is one multiplication and one addition a channel. Directly behind a
    convolution or linear layer, or in front of one without zero padding, its factors move into the
    weights. Behind a sum, a neuron or a padded convolution's input they cannot.

    Fails, because a sum feeds the batch norm:

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
            self.bn = nn.BatchNorm1d(16)
            self.last = LIF()

        def forward(self, x: Tensor) -> Tensor:
            x = x.expand(4, -1, -1)  # [T, B, C]
            v = self.stem(x)
            v = v + self.fc(self.lif(v))
            return self.last(self.bn(v.flatten(0, 1)).unflatten(0, (4, -1))).sum(0)
    ```

    Mended: each branch has its own, behind its layer:

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
            self.bn = nn.BatchNorm1d(16)
            self.last = LIF()

        def forward(self, x: Tensor) -> Tensor:
            x = x.expand(4, -1, -1)  # [T, B, C]
            v = self.stem(x)
            y = self.bn(self.fc(self.lif(v)).flatten(0, 1)).unflatten(0, (4, -1))
            return self.last(v + y).sum(0)
    ```
    """,
)
