"""Does the integer graph keep the limits of the target? Every limit is in the target's file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from snncc.diagnostics.core import Diagnostic, Severity, rule
from snncc.ir.domain import Grid, is_spike
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.ops import WEIGHTED, IntegerNeuron
from snncc.passes.base import Pass, Result, well_formed
from snncc.targets.load import Target

WIDE_WEIGHT = rule(
    "SNN410",
    "weight-wider-than-the-target",
    Severity.ERROR,
    """
    A stored weight needs more bits than a synapse of the target has.

    Compile with fewer bits: `--weight-bits 8`.

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
    A weighted layer reads numbers that the target's spikes cannot carry.

    Pixels and sums of spikes travel as graded spikes; a target without them, or with a payload
    too narrow, cannot run this layer.

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


@dataclass(frozen=True)
class CheckTarget(Pass):
    """Hold weights, thresholds, inputs, products and neuron counts to the target's limits."""

    name: ClassVar[str] = "check-target"
    requires = (well_formed,)
    ensures = (well_formed,)

    target: Target

    def run(self, graph: Graph) -> Result:
        """Return the graph as it is, and every limit that it breaks."""
        found = [*self._op_faults(graph), *self._neuron_count(graph)]
        return Result(graph, tuple(found))

    def _op_faults(self, graph: Graph) -> Iterator[Diagnostic]:
        for op in graph.ops:
            if op.kind in WEIGHTED and _before_the_readout(op, graph):
                yield from self._weighted(op, graph)
            elif isinstance(op, IntegerNeuron):
                yield from self._threshold(op, graph)
            elif op.kind in ("matmul", "mask"):
                yield from self._product(op)

    def _product(self, op: Op) -> Iterator[Diagnostic]:
        if not self.target.features.programmable_neurons.value:
            yield UNPROGRAMMABLE.at(
                op.source,
                f"`{op.name}` multiplies two computed values, "
                f"the neurons of {self.target.name} are not programmable",
                op=op.kind,
            )

    def _weighted(self, op: Op, graph: Graph) -> Iterator[Diagnostic]:
        weight = cast(Array, graph.weights[op.weight_names[0]])
        bits = _signed_bits(weight)
        most = self.target.arithmetic.weight_bits.value
        if bits > most:
            yield WIDE_WEIGHT.at(
                op.source,
                f"`{op.name}` needs weights of {bits} bits, {self.target.name} has {most}",
                hint=f"compile with --weight-bits {most}",
                op=op.kind,
            )
        domain = graph.type_of(op.inputs[0]).domain
        payload = self.target.features.graded_spike_bits.value
        if isinstance(domain, Grid) and not is_spike(domain):
            needed = domain.magnitude.bit_length() + (domain.lo < 0)
            if needed > payload:
                yield GRADED_INPUT.at(
                    op.source,
                    f"`{op.name}` reads {domain}, a payload of {needed} bits; "
                    f"the spikes of {self.target.name} carry {payload or 'none'}",
                    op=op.kind,
                    domain=domain,
                )

    def _threshold(self, op: IntegerNeuron, graph: Graph) -> Iterator[Diagnostic]:
        arithmetic = self.target.arithmetic
        largest = int(cast(Array, graph.weights[op.threshold]).max())
        register = largest >> arithmetic.threshold_shift.value
        most = (1 << arithmetic.threshold_bits.value) - 1
        if register > most:
            yield WIDE_THRESHOLD.at(
                op.source,
                f"`{op.name}` needs a threshold of {register}, "
                f"the register of {self.target.name} holds {most}",
                op=op.kind,
                hint="compile with fewer weight bits",
            )

    def _neuron_count(self, graph: Graph) -> Iterator[Diagnostic]:
        neurons = neuron_count(graph)
        most = self.target.limits.get("neurons_per_chip")
        if most is not None and neurons > most.value:
            yield MANY_NEURONS.at(
                graph.ops[0].source,
                f"{neurons} neurons take {math.ceil(neurons / most.value)} chips or more of "
                f"{self.target.name}, which has {most.value} a chip",
            )


def neuron_count(graph: Graph) -> int:
    """Return how many spiking neurons the graph has."""
    layers = graph.of_kind("neuron", "integer_neuron")
    return sum(math.prod(graph.type_of(op.name).shape) for op in layers)


def _before_the_readout(op: Op, graph: Graph) -> bool:
    """Whether the op runs on the chip: what only the readout feeds runs on the host."""
    makers = [graph[name] for name in op.inputs]
    while makers:
        maker = makers.pop()
        if maker.kind == "readout":
            return False
        if maker.kind in ("neuron", "integer_neuron", "input", *WEIGHTED):
            return True
        makers += [graph[name] for name in maker.inputs]
    return True


def _signed_bits(weight: Array) -> int:
    top = max(int(np.max(weight, initial=0)), -int(np.min(weight, initial=0)) - 1)
    return top.bit_length() + 1
