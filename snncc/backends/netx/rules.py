"""The rules of writing netx. This file imports neither torch, Lava nor h5py."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

NETX_CANNOT_SAY = rule(
    "SNN181",
    "no-netx-form",
    Severity.ERROR,
    """
    Something in the integer step graph has no form in netx that lava-dl 0.6.0 reads, so no file is
    written.

    netx is a list of layers, each a convolution or a dense matrix with stock CUBA neurons, each fed
    by the one before. It has no residual sums and no branches, no product of two computed values
    (so no attention), no pool but the max-pool of spikes, which is written as a layer of its own,
    no reset that takes the threshold off, and one spike a neuron in a time step. Where neurons keep
    a part of their current, a bias is added behind it, so one that lasts as the current does has no
    form.

    Fails, for residual connections add spikes:

    ```sh
    snncc convert build/spikingformer model.net
    ```

    Mended, for a network of convolutions, linear layers and neurons in one line:

    ```sh
    snncc convert build/vgg model.net
    ```
    """,
)

NETX_BEYOND_FIELDS = rule(
    "SNN182",
    "beyond-netx-fields",
    Severity.ERROR,
    """
    A number of the network outgrows the field that lava-dl and Lava keep it in: a bias is kept in
    16 bits, a threshold in 17, both in units of 64; currents wrap where they leave 24 bits, and
    potentials stay within them. Written all the same, the file would compute something else than
    what was verified.

    Bounds are those proved from the weights for any input: an input that fires every positive
    weight and no other, or the other way round. A potential may saturate above, where it fires
    all the same, and not below. An artefact whose integers could leave the widths has
    SNN302 among its findings.

    `--fit-widths` compiles to integers that cannot, and `snncc convert` does so by itself where it
    compiles for a netx file; SNN306 says what that makes coarser. A bias shrinks with
    fewer bits for weights.

    Fails, for a wide layer on 8-bit pixels:

    ```sh
    snncc compile perceptron.pth --target loihi2 --data mnist.npz -o build/perceptron
    snncc convert build/perceptron model.net
    ```

    Mended:

    ```sh
    snncc compile perceptron.pth --target loihi2 --data mnist.npz --fit-widths -o build/perceptron
    snncc convert build/perceptron model.net
    ```
    """,
)
