"""The rules about NIR files that are read; this file imports neither torch nor h5py."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

NOT_NIR = rule(
    "SNN174",
    "not-a-nir-graph",
    Severity.ERROR,
    """
    The file is HDF5, but what is in it is no NIR graph that can be computed: a node without a type
    or without a field that its type has, an edge that ends nowhere or stands twice, a node that
    reads nothing, shapes that do not meet, more than one input or output.

    Fails, because no edge leads to `fc`:

    ```python
    import nir
    import numpy as np

    nodes = {
        "input": nir.Input(np.array([4])),
        "fc": nir.Linear(np.eye(4)),
        "output": nir.Output(np.array([4])),
    }
    nir.write("model.nir", nir.NIRGraph(nodes, [("fc", "output")], type_check=False))
    ```

    Mended:

    ```python
    import nir
    import numpy as np

    nodes = {
        "input": nir.Input(np.array([4])),
        "fc": nir.Linear(np.eye(4)),
        "output": nir.Output(np.array([4])),
    }
    nir.write("model.nir", nir.NIRGraph(nodes, [("input", "fc"), ("fc", "output")]))
    ```
    """,
)

UNKNOWN_NIR = rule(
    "SNN175",
    "unknown-nir-node",
    Severity.ERROR,
    """
    A node has a type that snncc does not read. Read are Input, Output, Conv1d, Conv2d, Linear,
    Affine, Scale, Threshold, IF, LIF, CubaLIF, LI, CubaLI, I, SumPool2d, AvgPool2d, Flatten, Delay
    and graphs within graphs, as of NIR 1.0.

    Fails, for a primitive of a private version of NIR:

    ```sh
    snncc check model-with-my-own-node.nir
    ```

    Mended, with the node written as primitives of NIR:

    ```sh
    snncc check model.nir
    ```
    """,
)

BEYOND_STEPS = rule(
    "SNN176",
    "nir-node-without-step-form",
    Severity.ERROR,
    """
    The node is known, and what its fields ask for has no form in time steps that snncc compiles:
    time constants that differ within a layer, a leak of more than all there is (`tau` below dt), a
    delay, a leak to another potential than zero where nothing fires. As NIR itself reads it, a
    potential starts where a spike resets it to, and may leak elsewhere; frameworks want one of
    both, or start elsewhere (Norse).

    Where the values look wrong by a power of ten, the file was written with another dt, or by
    another framework than the reading assumes: `--set framework=...`, `--set dt=...`.

    Fails, for a file that Norse wrote:

    ```sh
    snncc check norse.nir
    ```

    Mended:

    ```sh
    snncc check norse.nir --set framework=norse
    ```
    """,
)

RECURRENT_NIR = rule(
    "SNN177",
    "recurrent-nir-graph",
    Severity.ERROR,
    """
    A node reads what it makes itself, directly or through others. A step graph is feed-forward: its
    only memory are the potentials and currents of its neurons. Recurrent layers (`RLeaky`,
    `RSynaptic`, `LSNN`) have to be trained without their recurrent weights.

    Fails:

    ```python
    import snntorch

    layer = snntorch.RLeaky(beta=0.5, linear_features=10)
    ```

    Mended:

    ```python
    import snntorch

    layer = snntorch.Leaky(beta=0.5)
    ```
    """,
)

ASSUMED_NIR = rule(
    "SNN178",
    "assumed-nir-semantics",
    Severity.WARNING,
    """
    NIR's equations are continuous in time. How many time steps a sample has, how long they are, how
    the equation is integrated, whether a spike resets the potential or takes the threshold off it,
    and whether it fires at the threshold or above it: a file says none of it, and frameworks differ
    in all. Without a setting, what NIR's own text says is taken, in Euler steps of 0.1 ms.

    Name the framework whose exporter wrote the file: `--set framework=snntorch`, `spikingjelly`,
    `norse` or `sinabs`, and the time steps: `--set T=4`. Single settings go before the framework's:
    `dt`, `integration=euler|exact`, `norm_input=true|false`, `reset=hard|soft|soft-late`,
    `compare=above|reached`, `input=image|events`, `readout=sum|mean`.

    Reported:

    ```sh
    snncc check model.nir
    ```

    Not reported:

    ```sh
    snncc check model.nir --set framework=spikingjelly --set T=4
    ```
    """,
)
