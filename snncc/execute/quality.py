"""What quantization lost: the float and the integer network on the same data, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from snncc.execute.block import Seen
from snncc.execute.counts import batches
from snncc.execute.executor import Executor
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.ops import Neuron


@dataclass(frozen=True)
class LayerQuality:
    """How near one neuron layer stays to the float network.

    ``equal_spikes``: share of (sample, time step, neuron) with the same spike. ``rate_float`` and
    ``rate_integer``: firing rates. ``highest_potential``: the largest magnitude that occurred.
    """

    name: str
    equal_spikes: float
    rate_float: float
    rate_integer: float
    highest_potential: int


@dataclass(frozen=True)
class Quality:
    """The comparison of two networks on ``samples`` samples.

    ``sqnr_db`` is the signal to quantization noise ratio of the output, in decibel: ten times the
    logarithm of the mean square of the float output over that of the difference.
    """

    samples: int
    sqnr_db: float
    same_answer: float
    layers: Mapping[str, LayerQuality]


def compare(floating: Graph, integer: Graph, x: Array, batch: int = 16) -> Quality:
    """Return how near the integer graph stays to the float one on samples ``[N, ...]``."""
    names = [op.name for op in integer.of_kind("integer_neuron")]
    norms = {op.name: cast(Neuron, op).norm for op in floating.of_kind("neuron")}
    equal = dict.fromkeys(names, 0)
    fired = {name: [0, 0] for name in names}
    total = dict.fromkeys(names, 0)
    highest = dict.fromkeys(names, 0)
    outputs: list[tuple[Array, Array]] = []
    for part in batches(integer, x, batch):
        real, whole = Executor(floating).run(part, names), Executor(integer).run(part, names)
        outputs.append((real.output, whole.output))
        for name in names:
            a, b = real.values[name] * norms[name], whole.values[name]
            equal[name] += int((a == b).sum())
            fired[name][0] += round(float(a.sum(dtype=np.float64)))
            fired[name][1] += int(b.sum(dtype=np.int64))
            total[name] += a.size
            low, high = whole.potentials[name]
            highest[name] = max(highest[name], -low, high)
    layers = {
        n: LayerQuality(
            n, equal[n] / total[n], fired[n][0] / total[n], fired[n][1] / total[n], highest[n]
        )
        for n in names
    }
    real_out, whole_out = (np.concatenate(o) for o in zip(*outputs, strict=True))
    same = float((real_out.argmax(-1) == whole_out.argmax(-1)).mean())
    return Quality(len(x), _sqnr_db(real_out, whole_out), same, layers)


def _sqnr_db(real: Array, approximate: Array) -> float:
    noise = float(((real - approximate) ** 2).mean())
    return math.inf if noise == 0 else 10 * math.log10(float((real**2).mean()) / noise)


def mean_inputs(floating: Graph, x: Array, batch: int = 16) -> dict[str, Array]:
    """Return the mean of what each weighted op reads, one a channel of its input, on data."""
    sums: dict[str, Array] = {}
    places: dict[str, int] = {}

    def observe(op: Op, seen: Seen) -> None:
        if op.kind in ("conv", "linear"):
            value = np.moveaxis(seen.inputs[0], _channel_axis(op, floating), -1)
            flat = value.reshape(-1, value.shape[-1])
            sums[op.name] = sums.get(op.name, 0) + flat.sum(axis=0, dtype=np.float64)
            places[op.name] = places.get(op.name, 0) + len(flat)

    executor = Executor(floating)
    for part in batches(floating, x, batch):
        executor.run(part, observe=observe)
    return {name: total / places[name] for name, total in sums.items()}


def _channel_axis(op: Op, graph: Graph) -> int:
    weight = graph.weights[op.weight_names[0]]
    return -1 if op.kind == "linear" else -(len(weight.shape) - 2) - 1
