"""The rules about files of exchange formats: what keeps one from being read or written.

They are declared apart from the code that applies them, so that listing them does not import torch.
"""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

UNREADABLE_EXCHANGE = rule(
    "SNN160",
    "unreadable-exchange-file",
    Severity.ERROR,
    """
    The file is not what the end of its name says, or it is damaged: cut off, changed, or not
    well formed by the rules of its format. Export it again.

    Fails, because half of the file is missing:

    ```sh
    head -c 1000 model.onnx > half.onnx
    snncc check half.onnx
    ```

    Mended:

    ```sh
    snncc check model.onnx
    ```
    """,
)

PACKAGE_MISSING = rule(
    "SNN161",
    "format-package-missing",
    Severity.ERROR,
    """
    The file's format is read or written by a package that is not installed. The message names it.

    Fails, in an environment without the package `h5py`:

    ```sh
    snncc check model.nir
    ```

    Mended:

    ```sh
    pip install h5py
    snncc check model.nir
    ```
    """,
)

TOO_LARGE = rule(
    "SNN162",
    "absurd-size",
    Severity.ERROR,
    """
    The file claims sizes that no network has: more values in a tensor, more nodes or more time
    steps than snncc takes. Nothing of that size was allocated. The message says the size and the
    most that is taken; a file from a sound exporter never comes near it.

    Fails:

    ```sh
    snncc check claims-a-tensor-of-10-to-the-15-values.onnx
    ```

    Mended:

    ```sh
    snncc check model.onnx
    ```
    """,
)

UNKNOWN_VERSION = rule(
    "SNN168",
    "unknown-format-version",
    Severity.ERROR,
    """
    The file says that it is of a version of its format that this version of snncc does not know:
    NIR 0 and 1 are read, and what snncc itself keeps in netx files as `snncc.netx/1`. What a later
    version means by the same names may be something else, so nothing is guessed. Take a later
    snncc, or write the file again in a version that is read.

    Fails, for a file that says `version` 2.0:

    ```sh
    snncc check written-by-nir-2.nir
    ```

    Mended:

    ```sh
    pip install --upgrade snncc
    snncc check written-by-nir-2.nir
    ```
    """,
)

OUTSIDE_DATA = rule(
    "SNN163",
    "data-outside-folder",
    Severity.ERROR,
    """
    The file says that its weights stand in another file that is not within its own folder: at an
    absolute path, above the folder, or behind a link that leads out of it. Such a file could make
    snncc read anything on the machine. Put the data beside the model, or in a folder beside it.

    Fails, because the weights are said to be in `/etc/passwd`:

    ```sh
    snncc check model-with-data-in-etc-passwd.onnx
    ```

    Mended:

    ```sh
    ls model.onnx model.onnx.data
    snncc check model.onnx
    ```
    """,
)

NOT_AS_WRITTEN = rule(
    "SNN165",
    "integers-not-as-written",
    Severity.ERROR,
    """
    The ONNX file says that snncc wrote it, in a chip's integers, and it is not what snncc writes.

    Such a file carries the step graph that it was written from. snncc reads that graph, writes it
    again and compares: only where both files are equal is the graph taken, so that what is judged
    and counted is what an ONNX runtime computes. A file that was changed after it was written (by
    an optimiser, say), or that another version wrote in another way, is refused with the first
    difference. Write it again from the artefact or the model.

    Fails, because the file is no longer the one that was written:

    ```sh
    snncc convert build/digits integers.onnx
    onnxsim integers.onnx smaller.onnx
    snncc check smaller.onnx
    ```

    Mended:

    ```sh
    snncc convert build/digits integers.onnx
    snncc check integers.onnx
    ```
    """,
)

BATCH_FIXED_INSIDE = rule(
    "SNN167",
    "batch-fixed-inside",
    Severity.NOTE,
    """
    The ONNX file leaves the batch of its input open, and its nodes hold a number of samples.

    TorchScript's exporter writes sizes that Python code has computed, `x.reshape(T * B, C, H, W)`
    say, as the numbers of the example; whatever `dynamic_axes` says, a runtime takes that batch and
    no other. snncc found the number at which the shapes agree and reads the file with it, which
    changes no verdict and no integers. For a file that takes any batch, let the network say
    `flatten(0, 1)` and `unflatten`, or export with `dynamo=True`.

    Noted:

    ```python
    torch.onnx.export(network, (x,), "net.onnx", dynamo=False, input_names=["input"],
                      dynamic_axes={"input": {0: "batch"}})
    ```

    Not noted:

    ```python
    torch.onnx.export(network, (x,), "net.onnx", dynamo=False)
    ```
    """,
)

NO_WRITER = rule(
    "SNN164",
    "unknown-output-format",
    Severity.ERROR,
    """
    `snncc convert IN OUT` picks the format by the end of OUT, and there is none by that name, or
    the format does not take what was given: integers where nothing was compiled, an option that is
    another format's.

    Fails, because an artefact is what `snncc compile` writes:

    ```sh
    snncc convert model.onnx build/model
    ```

    Mended:

    ```sh
    snncc compile model.onnx --target loihi2 -o build/model
    ```
    """,
)

ALREADY_COMPILED = rule(
    "SNN166",
    "compiled-already",
    Severity.ERROR,
    """
    What is to be compiled is in the integers of a target already: an ONNX file that snncc wrote.

    Its weights were rounded for one chip, and its neurons count in that chip's arithmetic; rounding
    again would compile the errors of the first time. It can be checked, counted, priced and
    converted as it is. Compile the model that it was made of.

    Fails:

    ```sh
    snncc convert model.pth integers.onnx --target loihi2 --data samples.npz
    snncc compile integers.onnx --target loihi1
    ```

    Mended:

    ```sh
    snncc compile model.pth --target loihi1 --data samples.npz
    ```
    """,
)
