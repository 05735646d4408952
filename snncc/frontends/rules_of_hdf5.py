"""The rules about the containers of exchange files; this file imports neither torch nor h5py."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

NOT_HDF5 = rule(
    "SNN170",
    "not-an-hdf5-file",
    Severity.ERROR,
    """
    NIR and netx files are HDF5 files, and this file is none: its first eight bytes are others.

    Fails, because a checkpoint was renamed:

    ```sh
    cp model.pth.tar model.nir
    snncc check model.nir
    ```

    Mended, with the exporter of the framework that trained the network:

    ```python
    import nir
    from snntorch.export_nir import export_to_nir

    nir.write("model.nir", export_to_nir(network, sample))
    ```
    """,
)

DAMAGED_HDF5 = rule(
    "SNN171",
    "damaged-hdf5-file",
    Severity.ERROR,
    """
    The file begins as HDF5 and cannot be read to its end: a copy that was cut off, bytes that have
    changed, or values that are claimed and not stored. Nothing of it was used. Fetch it again and
    compare sizes.

    Fails:

    ```sh
    head -c 1000 model.nir > copy.nir
    snncc check copy.nir
    ```

    Mended:

    ```sh
    cp model.nir copy.nir
    snncc check copy.nir
    ```
    """,
)

OVERSIZED_HDF5 = rule(
    "SNN172",
    "oversized-hdf5-file",
    Severity.ERROR,
    """
    The file claims more than is read from a file that may come from anywhere: 1 GiB of numbers,
    16 MiB of texts, 50,000 objects, groups 32 deep; or a packed part unpacks to more than it
    claims. Sizes are compared before memory is taken.

    Fails:

    ```python
    import h5py

    with h5py.File("model.nir", "w") as file:
        file.create_dataset("node/weight", (1 << 20, 1 << 20), chunks=(1, 1), compression="gzip")
    ```

    Mended:

    ```python
    import h5py
    import numpy as np

    with h5py.File("model.nir", "w") as file:
        file.create_dataset("node/weight", data=np.zeros((10, 64)), compression="gzip")
    ```
    """,
)

UNSAFE_HDF5 = rule(
    "SNN173",
    "data-outside-the-file",
    Severity.ERROR,
    """
    A part of the file is a link, lies in another file, or needs a plug-in to be unpacked. What is
    read is the one file that was named, and only what is plain in it or packed with gzip.

    Fails:

    ```python
    import h5py

    with h5py.File("model.nir", "w") as file:
        file["node/weight"] = h5py.ExternalLink("/home/me/other.h5", "weight")
    ```

    Mended:

    ```python
    import h5py

    with h5py.File("other.h5") as other, h5py.File("model.nir", "w") as file:
        file["node/weight"] = other["weight"][()]
    ```
    """,
)
