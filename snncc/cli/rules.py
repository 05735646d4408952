"""The rules about names and files given on the command line."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

UNUSABLE_TARGET = rule(
    "SNN401",
    "unusable-target",
    Severity.ERROR,
    """
    There is no target of that name, or the target file that was given cannot be used.

    `snncc targets` lists the targets that come with snncc. A target of your own is a TOML file with
    the same keys, given by its path; the message names the line and the key at fault.

    Fails:

    ```sh
    snncc compile model.pth.tar --target lohi2
    ```

    Mended:

    ```sh
    snncc compile model.pth.tar --target loihi2
    ```
    """,
)
UNUSABLE_ENERGY_MODEL = rule(
    "SNN501",
    "unusable-energy-model",
    Severity.ERROR,
    """
    There is no energy model of that name, or the file that was given cannot be used.

    A model of your own is a TOML file like those in `snncc/energy/models`, given by its path; the
    message names the line and the key at fault.

    Fails:

    ```sh
    snncc energy model.pth.tar --data test.npz --energy-model 45nm
    ```

    Mended:

    ```sh
    snncc energy model.pth.tar --data test.npz --energy-model paper-45nm
    ```
    """,
)
DATA_WANTED = rule(
    "SNN502",
    "energy-without-data",
    Severity.ERROR,
    """
    Energy is priced from spikes, and there are no spikes without data.

    Give samples with `--data`. A network without weights (`arch:NAME`) does not spike.

    Fails:

    ```sh
    snncc energy model.pth.tar
    ```

    Mended:

    ```sh
    snncc energy model.pth.tar --data test.npz
    ```
    """,
)
BAD_CONFIGURATION = rule(
    "SNN920",
    "bad-configuration",
    Severity.ERROR,
    """
    `[tool.snncc]` in `pyproject.toml` cannot be used: it is no TOML, or it has an unknown key.

    Its keys are the long options without dashes, and set what is used where the option is left out.

    Works:

    ```toml
    [tool.snncc]
    target = "loihi2"
    weight-bits = 8
    allow = ["SNN201:block.0.*"]
    set = { heads = 8 }

    [tool.snncc.check]
    encoder = "grid"     # "any", "grid" (pixels, counts of events) or "spike"
    head = "spike"       # "float" or "spike"
    multi_level = 4      # counts of up to 4 that integer-firing neurons make
    allow = [{ code = "SNN201", path = "block.0.*", reason = "the published baseline" }]
    ```

    Fails, because an option is misspelt:

    ```toml
    [tool.snncc]
    weightbits = 8
    ```
    """,
)
