"""What quantization lost: the float and the integer network on the same data, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from snncc.execute.accuracy import chosen
from snncc.execute.block import Seen
from snncc.execute.counts import Counter, Counts, batches
from snncc.execute.excerpts import Excerpt, Excerpts
from snncc.execute.executor import Executor
from snncc.execute.measure import FloatRun
from snncc.ir.graph import Array, Graph, Op


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


@dataclass(frozen=True)
class IntegerRun:
    """An integer step graph on the samples of a float run: answers, counts, nearness, excerpts."""

    outputs: Array
    counts: Counts
    quality: Quality
    excerpts: Mapping[str, Excerpt]


def compare(real: FloatRun, integer: Graph, x: Array) -> IntegerRun:
    """Run the integer graph on the float run's samples ``[N, ...]`` and compare."""
    executor = Executor(integer, block=real.block)
    counter, compared, excerpts = Counter(executor), _Compared(real), Excerpts(integer)
    outputs = []

    def observe(op: Op, seen: Seen) -> None:
        counter.observe(op, seen)
        compared.observe(op, seen)
        excerpts.observe(op, seen)

    highest: dict[str, int] = {}
    for part in batches(integer, x):
        run = executor.run(part, observe=observe)
        outputs.append(run.output)
        for name, (low, high) in run.potentials.items():
            highest[name] = max(highest.get(name, 0), -low, high)
    whole = np.concatenate(outputs)
    same = float((chosen(real.outputs) == chosen(whole)).mean())
    layers = {name: compared.layer(name, most) for name, most in highest.items()}
    quality = Quality(len(x), _sqnr_db(real.outputs, whole), same, layers)
    return IntegerRun(whole, counter.counts, quality, excerpts.layers)


@dataclass
class _Compared:
    """Spikes that are the same, layer by layer."""

    real: FloatRun
    blocks: dict[str, int] = field(default_factory=dict)
    equal: dict[str, int] = field(default_factory=dict)
    fired: dict[str, tuple[int, int]] = field(default_factory=dict)
    total: dict[str, int] = field(default_factory=dict)

    def observe(self, op: Op, seen: Seen) -> None:
        kept = self.real.spikes.get(op.name, [])
        block = self.blocks.get(op.name, 0)
        if op.kind != "integer_neuron" or block >= len(kept):
            return
        same, fired = kept[block].equal(seen.result)
        before = self.fired.get(op.name, (0, 0))
        here = int(seen.firing.spikes.sum())
        self.blocks[op.name] = block + 1
        self.equal[op.name] = self.equal.get(op.name, 0) + same
        self.fired[op.name] = (before[0] + fired, before[1] + here)
        self.total[op.name] = self.total.get(op.name, 0) + kept[block].size[0]

    def layer(self, name: str, highest: int) -> LayerQuality:
        total = self.total[name]
        real, whole = self.fired[name]
        return LayerQuality(name, self.equal[name] / total, real / total, whole / total, highest)


def _sqnr_db(real: Array, approximate: Array) -> float:
    noise = float(((real - approximate) ** 2).mean())
    return math.inf if noise == 0 else 10 * math.log10(float((real**2).mean()) / noise)
