"""The rules that the pipeline itself applies, between its passes."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

ASSUMED_INPUT = rule(
    "SNN303",
    "input-range-assumed",
    Severity.WARNING,
    """
    No calibration data were given, so the range of the input is assumed.

    snncc takes uniform noise in 0..1 in place of data: input scale, bias correction and the quality
    figures are then `assumed`. Give a few dozen real samples with `--data`.
    """,
)

NOT_SPIKE_DRIVEN = rule(
    "SNN304",
    "compiling-a-model-that-is-not-spike-driven",
    Severity.ERROR,
    """
    The model has findings of the spike-driven check, so it is not compiled.

    Mend the layers that are named, or allow each code on purpose with `--allow CODE[:path]`; then
    integer inputs are compiled as graded spikes, and every report says so.
    """,
)

NOT_THE_MODEL = rule(
    "SNN002",
    "graph-differs-from-the-model",
    Severity.ERROR,
    """
    The step graph does not compute what the model itself computes on the calibration data.

    This is a bug in snncc. Every compile runs the float step graph beside the module's own code;
    each spike must be equal, but for potentials within 1e-6 of the threshold, and the answers
    must agree within 1e-5. Please report it with the model and the command.
    """,
)
