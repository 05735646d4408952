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
    16 bits, in units of 64, and currents and potentials wrap at 2**23. Written all the same, the
    file would compute something else than what was verified.

    Bounds are those proved for any input. Fewer bits for weights make them smaller, and so do fewer
    time steps: currents are shifted left by one bit for each step after the first.

    Fails:

    ```sh
    snncc convert model.nir model.net --target loihi2
    ```

    Mended:

    ```sh
    snncc convert model.nir model.net --target loihi2 --weight-bits 5
    ```
    """,
)
