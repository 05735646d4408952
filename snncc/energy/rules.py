"""The rules about what energy is priced from."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

UNUSABLE_RATES = rule(
    "SNN503",
    "unusable-rates",
    Severity.ERROR,
    """
    The file of firing rates does not fit the network, or holds something that is no rate.

    Each layer that reads spikes has to have one rate, from 0 to 1, under its module path; attention
    is priced by the rates of the neurons that make Q, K and V. A CSV has the columns `path,rate`;
    a JSON document has `layers`, each with `name` and `input_firing_rate`, and `attention`, each
    with `block`, `q`, `k` and `v`. Layers that read no spikes need no rate. A document of snncc's
    has to be what `snncc energy` writes, of the schema `snncc.energy/1`.

    Fails, because the rates are those of a network with other layers:

    ```sh
    snncc energy arch:spikingformer-8-512 --rates spikingformer-4-384.csv
    ```

    Mended:

    ```sh
    snncc energy arch:spikingformer-8-512 --rates spikingformer-8-512.csv
    ```
    """,
)
UNFIT_ENERGY_OPTION = rule(
    "SNN504",
    "unfit-energy-option",
    Severity.ERROR,
    """
    An option of `snncc energy` does not go with the energy model or with another option.

    Conventions are ways to estimate operations from firing rates, so that `--convention` and
    `--counter-heads` need a model that estimates, such as `paper-45nm`; `--counter-heads` is of
    attention that computes Q (K^T V). A model that prices events, such as neuron updates, or memory
    needs events that took place: it needs `--data`, not `--rates`. Two networks are compared under
    one energy model, not under all, and an artefact is priced on data.

    Fails:

    ```sh
    snncc energy arch:sdt-8-512 --rates r.csv --convention sdt --counter-heads 12
    ```

    Mended:

    ```sh
    snncc energy arch:sdt-8-512 --rates r.csv --convention sdt
    ```
    """,
)
