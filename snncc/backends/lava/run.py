"""Running an integer step graph in Lava, and holding every spike to the reference.

Lava itself is imported when a run starts, and not before.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from snncc.backends.lava import compat
from snncc.backends.lava.engine import Tape
from snncc.backends.lava.partition import Granularity
from snncc.backends.lava.rules import NOT_INTEGER_STEPS
from snncc.diagnostics.core import SnnccError
from snncc.ir.graph import Array, Graph, Source
from snncc.ir.interpret import write_output
from snncc.ir.io import input_varies
from snncc.ir.ops import Output
from snncc.ir.timing import Timing, timings

DEFAULT_BATCH = 16


@dataclass(frozen=True)
class LavaRun:
    """What a run in Lava gave.

    ``outputs`` hold each output op's value, ``[B, ...]``, or ``[T, B, ...]`` where it is made at
    every time step; ``spikes`` those of each neuron layer, ``[T, B, ...]``, where they were probed.
    ``processes`` counts Lava processes, source and sink included; ``seconds`` is all of it, from
    the first process built to the last one ended.
    """

    outputs: Mapping[str, Array]
    spikes: Mapping[str, Array]
    processes: int
    seconds: float


@dataclass(frozen=True)
class Mismatch:
    """The first place, in the order of the network, at which Lava and the reference differ."""

    layer: str
    t: int
    sample: int
    index: tuple[int, ...]


@dataclass(frozen=True)
class Verification:
    """How a run compares with the reference: equal means equal, bit for bit."""

    spikes_compared: int
    mismatches: int
    first_mismatch: Mismatch | None
    outputs_compared: int
    output_mismatches: int

    @property
    def exact(self) -> bool:
        """Whether everything was equal."""
        return not (self.mismatches or self.output_mismatches)


def run_lava(
    graph: Graph,
    x: Array,
    *,
    granularity: Granularity = "stage",
    batch: int | None = None,
    probes: bool = True,
    timeout: float = 600.0,
) -> LavaRun:
    """Run an integer step graph in Lava on real input, ``[B, *shape]`` as ``interpret`` takes it.

    Samples go through in blocks of ``batch``, one after the other. Raises ``SnnccError`` where
    Lava cannot run or takes longer than ``timeout`` seconds, ``LavaRunError`` where one of its
    processes fails.
    """
    require_integer_steps(graph)
    compat.enable()
    from snncc.backends.lava.lower import lower  # noqa: PLC0415 - imports Lava

    started = time.monotonic()
    axis = int(input_varies(graph))
    samples = x.shape[axis]
    batch = min(batch or DEFAULT_BATCH, samples)
    padded = _padded(x, -samples % batch, axis)
    with compat.session():
        network = lower(graph, padded, granularity=granularity, batch=batch, probes=probes)
        compat.require_descriptors(len(network.processes))
        compat.run_guarded(
            network.processes[0], network.steps, network.run_config(), timeout=timeout
        )
    spikes = {name: tape[:, :samples] for name, tape in network.spikes.arrays.items()}
    outputs = _outputs(graph, network.answers, samples)
    return LavaRun(outputs, spikes, len(network.processes), time.monotonic() - started)


def require_integer_steps(graph: Graph) -> None:
    """Raise ``SnnccError`` for a graph that Lava does not run: floats, or whole time axes."""
    floating = graph.of_kind("neuron")
    if graph.level == "step" and not floating:
        return
    found = f"neuron `{floating[0].name}` in floating point" if floating else "whole time axes"
    source = floating[0].source if floating else Source()
    message = f"the graph has {found}, Lava runs integer time steps"
    raise SnnccError(NOT_INTEGER_STEPS.at(source, message, hint="compile the model first"))


def _padded(x: Array, missing: int, axis: int) -> Array:
    """Repeat the last sample until the last block is full."""
    last = np.take(x, [-1] * missing, axis=axis)
    return np.concatenate([x, last], axis=axis) if missing else x


def _outputs(graph: Graph, answers: Tape, samples: int) -> dict[str, Array]:
    outputs = {}
    for op in graph.of_kind("output"):
        tape = answers.arrays[op.inputs[0]][:, :samples]
        timed = timings(graph)[op.name] is Timing.STEP
        value = tape.astype(np.int64 if tape.dtype.kind == "i" else np.float64)
        outputs[op.name] = write_output(cast(Output, op), value if timed else value[0], graph)
    return outputs


def verify(run: LavaRun, reference: Mapping[str, Array]) -> Verification:
    """Return how a run compares with the reference's values: every spike, and every output.

    Raises ``ValueError`` where the reference lacks a value of the run or has another shape: what
    cannot be compared never counts as equal.
    """
    wrong, first = 0, None
    for layer, spikes in run.spikes.items():
        places = np.argwhere(_unequal(layer, spikes, reference))
        wrong += len(places)
        if first is None and len(places):
            t, sample, *index = (int(i) for i in places[0])
            first = Mismatch(layer, t, sample, tuple(index))
    outputs_wrong = sum(int(_unequal(n, y, reference).sum()) for n, y in run.outputs.items())
    return Verification(
        spikes_compared=sum(math.prod(s.shape) for s in run.spikes.values()),
        mismatches=wrong,
        first_mismatch=first,
        outputs_compared=sum(math.prod(y.shape) for y in run.outputs.values()),
        output_mismatches=outputs_wrong,
    )


def _unequal(name: str, value: Array, reference: Mapping[str, Array]) -> Array:
    if name not in reference:
        raise ValueError(f"the reference has no value `{name}`")
    expected = reference[name]
    if expected.shape != value.shape:
        raise ValueError(f"`{name}` is {value.shape} in Lava, {expected.shape} in the reference")
    return value != expected
