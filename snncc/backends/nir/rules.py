"""The rules of writing NIR. This file imports neither torch nor h5py."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

NIR_CANNOT_SAY = rule(
    "SNN180",
    "no-nir-form",
    Severity.ERROR,
    """
    Something in the step graph has no form in NIR, so no file is written.

    NIR has convolutions, linear layers, IF and LIF neurons with a reset to a value, synaptic
    currents with a time constant, sum and average pools, flatten, and sums of edges into one node.
    It has no product of two computed values (so no attention), no max-pool, no concatenation,
    no reset that takes the threshold off, no neuron that fires more than one spike, and no layer
    behind the sum over time. Batch norms and scales are folded first.

    A soft reset is refused although frameworks whose neurons all reset so write it as `LIF` with
    `v_reset`: every other reader would compute a reset to that value. A note beside the graph would
    not help, for readers pass over what they do not know. Train with a reset to a value, or write
    ONNX, which holds every neuron that compiles.

    Fails, for attention multiplies spikes with spikes:

    ```sh
    snncc convert spikformer.pth.tar spikformer.nir
    ```

    Mended, for a network of convolutions and neurons:

    ```sh
    snncc convert vgg.pth.tar vgg.nir
    ```
    """,
)
