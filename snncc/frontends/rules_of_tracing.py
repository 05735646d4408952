"""The rules about tracing a network: what its code can do that has no place in a graph.

They are declared apart from the code that applies them, so that listing them does not import torch.
"""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

UNTRACEABLE = rule(
    "SNN120",
    "untraceable-network",
    Severity.ERROR,
    """
    The network's own code fails when it is traced, mostly as it would when it is run: on an
    example of the wrong shape, say. It is run on tensors that have shapes and no values.

    Fails, because the convolution gives 8 channels and the next takes 4:

    ```python
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Conv2d(1, 8, 3), nn.Conv2d(4, 8, 3)

        def forward(self, x):
            return self.two(self.one(x))

    network, example = Network(), torch.zeros(1, 1, 8, 8)
    ```

    Mended:

    ```python
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3)

        def forward(self, x):
            return self.two(self.one(x))

    network, example = Network(), torch.zeros(1, 1, 8, 8)
    ```
    """,
)

DATA_DEPENDENT = rule(
    "SNN121",
    "data-dependent-network",
    Severity.ERROR,
    """
    What the network computes, or the shape of it, depends on the values that it is shown. A chip
    runs one fixed network.

    Fails:

    ```python
    import torch
    from torch import nn

    class Network(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else 2 * x

    network, example = Network(), torch.zeros(1, 4)
    ```

    Mended:

    ```python
    import torch
    from torch import nn

    class Network(nn.Module):
        def forward(self, x):
            return 2 * x

    network, example = Network(), torch.zeros(1, 4)
    ```
    """,
)

UNSUPPORTED_OP = rule(
    "SNN122",
    "unsupported-op",
    Severity.ERROR,
    """
    An operation cannot be represented at all: random numbers, a second input, a result of no
    fixed shape. (What is only not spike-driven, such as a softmax, is represented and checked.)

    Fails:

    ```python
    import torch
    from torch import nn

    class Network(nn.Module):
        def forward(self, x):
            return x + torch.rand(4)

    network, example = Network(), torch.zeros(1, 4)
    ```

    Mended:

    ```python
    import torch
    from torch import nn

    class Network(nn.Module):
        def forward(self, x):
            return x + torch.rand(4) if self.training else x

    network, example = Network(), torch.zeros(1, 4)
    ```
    """,
)

UNKNOWN_NEURON = rule(
    "SNN123",
    "unknown-neuron",
    Severity.ERROR,
    """
    A layer of spiking neurons has an equation that is not known here: a subclass that changes it,
    parameters that differ within the layer, a state beside potential and synaptic current, a kind
    that has no adapter yet.

    Fails:

    ```python
    import torch
    from snncc.models.neuron import LIF

    class Noisy(LIF):
        def charge(self, v, x):
            return super().charge(v, x + 0.1)

    network, example = Noisy(), torch.zeros(4, 1, 8)
    ```

    Mended:

    ```python
    import torch
    from snncc.models.neuron import LIF

    network, example = LIF(tau=2.0), torch.zeros(4, 1, 8)
    ```
    """,
)

NEURON_CALLED_TWICE = rule(
    "SNN124",
    "neuron-called-twice",
    Severity.ERROR,
    """
    One layer of neurons that keeps its potential between calls (SpikingJelly's do) is called more
    than once in one run of the network, so that the second call goes on where the first has
    ended. Nearly always two layers were meant.

    Fails, with a SpikingJelly neuron:

    ```python
    from torch import nn

    class Block(nn.Module):
        def __init__(self, neuron):
            super().__init__()
            self.lif = neuron

        def forward(self, x):
            return self.lif(self.lif(x))
    ```

    Mended:

    ```python
    from torch import nn

    class Block(nn.Module):
        def __init__(self, neuron, second_neuron):
            super().__init__()
            self.lif1, self.lif2 = neuron, second_neuron

        def forward(self, x):
            return self.lif2(self.lif1(x))
    ```
    """,
)

OUTPUT_LEFT_OUT = rule(
    "SNN125",
    "output-left-out",
    Severity.NOTE,
    """
    The network returns several tensors. The first is its answer; the others are left out.

    Noted:

    ```python
    import torch
    from torch import nn

    class Network(nn.Module):
        def forward(self, x):
            return 2 * x, x

    network, example = Network(), torch.zeros(1, 4)
    ```

    Not noted:

    ```python
    import torch
    from torch import nn

    class Network(nn.Module):
        def forward(self, x):
            return 2 * x

    network, example = Network(), torch.zeros(1, 4)
    ```
    """,
)

HOOK_LEFT_OUT = rule(
    "SNN126",
    "hook-left-out",
    Severity.NOTE,
    """
    A module has a forward hook of yours. Hooks mostly watch, so they are not run in the trace; one
    that changes values has to become part of the network.

    Noted:

    ```python
    import torch
    from torch import nn

    network, example = nn.Linear(4, 2), torch.zeros(1, 4)
    network.register_forward_hook(lambda module, inputs, output: 2 * output)
    ```

    Not noted:

    ```python
    import torch
    from torch import nn

    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    network, example = Doubled(4, 2), torch.zeros(1, 4)
    ```
    """,
)

STATE_LEFT_OUT = rule(
    "SNN127",
    "state-left-out",
    Severity.WARNING,
    """
    The network writes to a buffer, so that its next call goes on where this one has ended. In the
    trace every call starts with what the buffer holds now.

    Warned of:

    ```python
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("v", torch.zeros(4))

        def forward(self, x):
            self.v += x.sum(0)
            return x + self.v

    network, example = Network(), torch.zeros(1, 4)
    ```

    Not warned of:

    ```python
    import torch
    from torch import nn

    class Network(nn.Module):
        def forward(self, x):
            v = x.sum(0)
            return x + v

    network, example = Network(), torch.zeros(1, 4)
    ```
    """,
)
