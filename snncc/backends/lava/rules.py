"""The rules of the Lava backend. This file imports neither Lava nor anything that does."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

VERSION = "0.10.0"
"""The one release of lava-nc that snncc runs on: the last one, for Lava is archived."""

INSTALL = f"pip install --no-deps --ignore-requires-python lava-nc=={VERSION}"
"""Installs Lava beside snncc's own dependencies, on Python 3.10 to 3.13."""

INSTALL_DL = "pip install --no-deps --ignore-requires-python lava-dl==0.6.0"
"""Installs lava-dl, whose ``netx`` needs h5py and matplotlib besides."""

LAVA_MISSING = rule(
    "SNN910",
    "lava-missing",
    Severity.ERROR,
    f"""
    The Lava backend was asked for, and lava-nc cannot be imported.

    lava-nc declares Python below 3.11 and older packages than it needs; it runs on 3.10 to 3.13
    behind snncc's own shim. Install what it needs in fact, then lava-nc alone:

        pip install numpy scipy networkx asteval
        {INSTALL}

    `uv pip install lava-nc=={VERSION}` needs no flag.

    Fails:

    ```sh
    snncc simulate build/model --input test.npz --backend lava
    ```

    Works without Lava:

    ```sh
    snncc simulate build/model --input test.npz --backend executor
    ```
    """,
)

LAVA_WRONG_VERSION = rule(
    "SNN911",
    "lava-wrong-version",
    Severity.ERROR,
    f"""
    The Lava backend works around faults of one release, lava-nc {VERSION}, the last one. Another
    release is installed:

        {INSTALL}

    Fails:

    ```sh
    pip install lava-nc==0.9.0
    snncc simulate build/model --input test.npz --backend lava
    ```

    Mended:

    ```sh
    {INSTALL}
    snncc simulate build/model --input test.npz --backend lava
    ```
    """,
)

LAVA_START_METHOD = rule(
    "SNN912",
    "lava-start-method",
    Severity.ERROR,
    """
    Lava starts its processes by fork, and cannot do otherwise. The program has already chosen
    another start method of `multiprocessing`, or the platform has no fork (Windows). Do not call
    `multiprocessing.set_start_method`, or run Lava in a program of its own.

    Fails:

    ```sh
    python -c "import multiprocessing as m; m.set_start_method('spawn'); run_lava()"
    ```

    Mended, in a program of its own:

    ```sh
    snncc simulate build/model --input test.npz --backend lava
    ```
    """,
)

LAVA_TIMEOUT = rule(
    "SNN913",
    "lava-timeout",
    Severity.ERROR,
    """
    The Lava network gave no answer in the time allowed, and its processes were ended. Allow more
    time, give fewer samples, or use the granularity `stage`, which starts fewer processes.

    Fails:

    ```sh
    snncc simulate build/model --input a-million.npz --backend lava
    ```

    Mended:

    ```sh
    snncc simulate build/model --input a-million.npz --backend lava --limit 1000
    ```
    """,
)

TOO_FEW_DESCRIPTORS = rule(
    "SNN914",
    "too-few-file-descriptors",
    Severity.ERROR,
    """
    Each of n Lava processes holds some 12 n + 50 file descriptors, and the hard limit of this
    system is below that. Raise it (`ulimit -Hn`), or use the granularity `stage`, which starts one
    process a block instead of one an op.

    Fails:

    ```sh
    snncc simulate build/model --input test.npz --backend lava --granularity operator
    ```

    Mended:

    ```sh
    snncc simulate build/model --input test.npz --backend lava --granularity stage
    ```
    """,
)

NOT_INTEGER_STEPS = rule(
    "SNN915",
    "not-an-integer-step-graph",
    Severity.ERROR,
    """
    Lava runs what the chip would run: a graph of single time steps whose neurons are integer.
    This graph still holds whole time axes or neurons in floating point. Compile the model first;
    `snncc compile` writes such a graph.

    Fails:

    ```python
    from snncc.backends.lava.run import run_lava

    run_lava(checked.graph, images)
    ```

    Mended:

    ```python
    from snncc.backends.lava.run import run_lava

    run_lava(compiled.integer, images)
    ```
    """,
)

LAVA_DL_MISSING = rule(
    "SNN917",
    "lava-dl-missing",
    Severity.ERROR,
    f"""
    A netx file was to be run by lava-dl, which is not installed. Its `netx` needs h5py and
    matplotlib besides lava-nc; OpenCV and torchvision, which it asks for, it does not use:

        pip install h5py matplotlib
        {INSTALL_DL}

    Fails:

    ```python
    from pathlib import Path
    from snncc.backends.lava.netx import run_netx

    run_netx(Path("model.net"), frames, steps=4)
    ```

    Works without lava-dl:

    ```sh
    snncc simulate build/model --input test.npz
    ```
    """,
)
