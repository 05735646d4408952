"""What a report refuses."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

UNKNOWN_FIGURE = rule(
    "SNN940",
    "unknown-figure",
    Severity.ERROR,
    """
    There is no figure of that name in the report of this artefact.

    `--format png` and `--format svg` write one figure, which `--figure` names; the diagnostic lists
    all that there are. Rates, spikes, energies and times are there where the artefact was compiled
    with `--data`.

    Fails:

    ```sh
    snncc report build/model --format png --figure heat
    ```

    Mended:

    ```sh
    snncc report build/model --format png --figure rates
    ```
    """,
)
