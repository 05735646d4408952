"""All rules about reading a model; importing this declares them, and imports no torch."""

from __future__ import annotations

from snncc.frontends.rules_of_files import (
    BAD_SETTING,
    FACTORY_FAILED,
    MISSING_FILE,
    NO_TENSORS,
    NOT_A_CHECKPOINT,
    NOT_FINITE,
    PICKLED_CODE,
    TRUNCATED_CHECKPOINT,
    UNKNOWN_FAMILY,
    UNKNOWN_INPUT,
    UNKNOWN_MODEL,
    WEIGHTS_DO_NOT_FIT,
)
from snncc.frontends.rules_of_tracing import (
    DATA_DEPENDENT,
    HOOK_LEFT_OUT,
    NEURON_CALLED_TWICE,
    OUTPUT_LEFT_OUT,
    STATE_LEFT_OUT,
    UNKNOWN_NEURON,
    UNSUPPORTED_OP,
    UNTRACEABLE,
)

__all__ = [
    "BAD_SETTING",
    "DATA_DEPENDENT",
    "FACTORY_FAILED",
    "HOOK_LEFT_OUT",
    "MISSING_FILE",
    "NEURON_CALLED_TWICE",
    "NOT_A_CHECKPOINT",
    "NOT_FINITE",
    "NO_TENSORS",
    "OUTPUT_LEFT_OUT",
    "PICKLED_CODE",
    "STATE_LEFT_OUT",
    "TRUNCATED_CHECKPOINT",
    "UNKNOWN_FAMILY",
    "UNKNOWN_INPUT",
    "UNKNOWN_MODEL",
    "UNKNOWN_NEURON",
    "UNSUPPORTED_OP",
    "UNTRACEABLE",
    "WEIGHTS_DO_NOT_FIT",
]
