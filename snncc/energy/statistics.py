"""How much samples differ: mean, deviation and quantiles over the samples of a data set.

The figures are of all samples at once, so that they do not depend on how these were split into
batches, and counts of parts that are added give the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snncc.energy.price import PRICED
from snncc.execute.counts import Counts
from snncc.ir.graph import Array

QUANTILES = (0.05, 0.5, 0.95)


def spread(values: Array) -> dict[str, Any]:
    """Return mean, deviation (divided by N), least, most and quantiles of one figure a sample."""
    return {
        "mean": float(np.mean(values)),
        "deviation": float(np.std(values)),
        "least": float(np.min(values)),
        "most": float(np.max(values)),
        "quantiles": {str(q): float(np.quantile(values, q)) for q in QUANTILES},
    }


def statistics(counts: Counts) -> dict[str, Any]:
    """Return the spread of what changes from sample to sample.

    ``ac`` are the additions of products that read spikes, ``spikes`` those that all neurons fire;
    ``layers`` has the additions of each such product, by name.
    """
    driven = {
        name: op.of_samples[0]
        for name, op in counts.ops.items()
        if op.kind in PRICED and (op.spike_input or op.spike_right)
    }
    fired = [op.of_samples[1] for op in counts.ops.values()]
    nothing = np.zeros(counts.samples, np.int64)
    return {
        "ac": spread(sum(driven.values(), nothing)),
        "spikes": spread(sum(fired, nothing)),
        "layers": {name: spread(values) for name, values in driven.items()},
    }
