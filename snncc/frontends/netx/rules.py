"""The rules of reading netx files; this file imports neither torch nor h5py."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

NOT_NETX = rule(
    "SNN183",
    "not-a-netx-network",
    Severity.ERROR,
    """
    The file is HDF5, but what is in it is no netx network: no group `layer` of layers numbered from
    0, a layer without its type or its weights, shapes that do not meet, numbers beyond 2**24.
    Weights lose what they have behind the point, as lava-dl reads them.

    Fails, for a NIR file under another name:

    ```sh
    cp model.nir model.net
    snncc check model.net
    ```

    Mended:

    ```sh
    snncc convert model.nir model.net --target loihi2
    ```
    """,
)

NETX_UNREAD = rule(
    "SNN184",
    "netx-layer-without-step-form",
    Severity.ERROR,
    """
    A layer of the file is netx, and snncc has no form for it: delays, recurrent weights,
    sigma-delta or resonating neurons, graded spikes, a pool, a transposed convolution, an average
    or a concatenation (which lava-dl itself does not read), dense weights that lava-dl changes as
    it reads them: beyond 8 bits, or odd beyond 7 bits, where signs are mixed.

    Fails, for a network of sigma-delta neurons:

    ```sh
    snncc check pilotnet_sdnn.net
    ```

    Mended, for the same network trained with CUBA neurons:

    ```sh
    snncc check pilotnet_lif.net
    ```
    """,
)

ASSUMED_NETX = rule(
    "SNN185",
    "assumed-netx-semantics",
    Severity.WARNING,
    """
    A netx file has no place for how its input comes in and how its answer is read; time steps
    (`simulation/tSample`) are optional. Where the file is not one of snncc's, an input that is the
    same at every step and the sum of the last layer's spikes are taken, and the time steps of the
    file, or 16. `--set T=4` and `--set input=events` say otherwise.

    Reported:

    ```sh
    snncc check mnist.net
    ```

    Not reported:

    ```sh
    snncc check mnist.net --set T=16 --set input=image
    ```
    """,
)
