"""What quantizing has to say of integers that it was given."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

ROUNDED_INTEGERS = rule(
    "SNN305",
    "rounded-integers",
    Severity.WARNING,
    """
    A layer of a file of integers is not compiled to the integers of the file.

    Weights, biases and thresholds of netx files are whole numbers, and they are taken as they are
    where the target has room for them: weights in `--weight-bits`, but for lowest bits that are
    all zero; thresholds that differ from channel to channel where the target has a threshold for
    each neuron. Lava's convolutions take weights of 32 bits, a chip does not. A layer that reads
    the input needs an input of whole numbers, or of whole multiples of `1 / weight`. Where it
    cannot be, weights and thresholds are quantized anew, and spikes may differ from lava-dl's.

    Reported, where weights go up to 300:

    ```sh
    snncc compile wide.net --target loihi2
    ```

    Not reported, where they are clipped in training:

    ```sh
    snncc compile clipped.net --target loihi2
    ```
    """,
)
