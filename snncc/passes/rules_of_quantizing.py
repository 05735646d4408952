"""The rules about putting floats into integers, with the texts of ``snncc explain``."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

UNQUANTIZABLE = rule(
    "SNN301",
    "no-integer-form",
    Severity.ERROR,
    """
    An operation cannot be put into integers.

    Spikes, weighted sums of spikes, residual sums, pools and products of spikes have an exact
    integer form. A sum of a current and a spike count, a product of two currents, softmax,
    LayerNorm, and a batch norm or scale that folds into no weight or threshold have none.

    Fails, because the queries are currents:

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
            q, k = self.q(s), self.k_lif(self.k(s))
            return self.last(q @ k.transpose(-2, -1)).sum(0)

    result = snncc.compile(Model(), torch.zeros(2, 3, 8), target="loihi2")
    ```

    Mended: they go through a neuron:

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

ROUNDED_INTEGERS = rule(
    "SNN305",
    "rounded-integers",
    Severity.WARNING,
    """
    A layer of a file of integers is not compiled to the integers of the file.

    Weights, biases and thresholds of netx files are whole numbers, and they are taken as they are
    where the target has room for them: weights in `--weight-bits`, but for lowest bits that are
    all zero; thresholds that differ from channel to channel where the target has a threshold for
    each neuron. Lava's convolutions take weights of 32 bits, a chip does not. A layer that reads
    the input needs an input of whole numbers, or of whole multiples of `1 / weight`. Where it
    cannot be, weights and thresholds are quantized anew, and spikes may differ from lava-dl's.

    Reported, where weights go up to 300:

    ```sh
    snncc compile wide.net --target loihi2
    ```

    Not reported, where they are clipped in training:

    ```sh
    snncc compile clipped.net --target loihi2
    ```
    """,
)

COARSER_TO_FIT = rule(
    "SNN306",
    "coarser-to-fit",
    Severity.NOTE,
    """
    Weights or inputs are coarser than `--weight-bits` and 8 bits of input allow, so that no input
    can drive a current or a potential out of the target's width.

    lava-dl's currents wrap where they outgrow 24 bits, so a netx file is written only of integers
    that cannot. A wide layer that reads 8-bit pixels is the usual case: 784 pixels of up to 255
    reach further than a current can. What is left of the width is shared between the two: the
    input is read in fewer bits as long as finer weights win more than that loses.
    `snncc compile --fit-widths` compiles so, too, and reports what it costs in spikes and accuracy.

    Reported, for a perceptron on 784 pixels:

    ```sh
    snncc convert perceptron.pth model.net --target loihi2 --data mnist.npz
    ```

    Not reported, for pixels of 16 grey levels:

    ```sh
    snncc convert perceptron.pth model.net --target loihi2 --data mnist-16-levels.npz
    ```
    """,
)
