"""The pipelined lane: samples back to back through Lava, every connection one step long.

Lava itself is imported when a run starts, and not before.
"""

from __future__ import annotations

import time
from typing import cast

import numpy as np

from snncc.backends.lava import compat
from snncc.backends.lava.run import LavaRun, require_integer_steps
from snncc.execute.pipelined import aligned, frames
from snncc.ir.graph import Array
from snncc.ir.interpret import write_output
from snncc.ir.latency import Pipeline
from snncc.ir.ops import Output
from snncc.ir.timing import Timing, timings


def run_lava_pipelined(
    pipeline: Pipeline, x: Array, *, probes: bool = True, timeout: float = 600.0
) -> LavaRun:
    """Run samples through a pipeline of Lava processes, one behind the other.

    ``x`` is ``[B, *shape]``, or ``[T, B, *shape]`` where the input varies. What comes back has its
    latencies taken off, as ``interpret`` returns values. Raises ``SnnccError`` where Lava cannot
    run or takes longer than ``timeout`` seconds, ``LavaRunError`` where a process fails.
    """
    require_integer_steps(pipeline.graph)
    compat.enable()
    from snncc.backends.lava.lower_pipelined import lower_pipelined  # noqa: PLC0415 - imports Lava

    started = time.monotonic()
    samples = len(next(iter(frames(pipeline, x).values()))) // pipeline.interval
    with compat.session():
        network = lower_pipelined(pipeline, x, probes=probes)
        compat.require_descriptors(len(network.processes))
        compat.run_guarded(
            network.processes[0], network.steps, network.run_config(), timeout=timeout
        )
    found = aligned(pipeline, network.tapes)
    when = timings(pipeline.graph)
    found = {n: v[:, :samples] if when[n] is Timing.STEP else v[:samples] for n, v in found.items()}
    spikes = {op.name: found[op.name] for op in pipeline.graph.of_kind("integer_neuron") if probes}
    outputs = {
        op.name: _answer(cast(Output, op), found[op.inputs[0]], pipeline)
        for op in pipeline.graph.of_kind("output")
    }
    return LavaRun(outputs, spikes, len(network.processes), time.monotonic() - started)


def _answer(op: Output, value: Array, pipeline: Pipeline) -> Array:
    wide = value.astype(np.int64 if value.dtype.kind == "i" else np.float64)
    return write_output(op, wide, pipeline.graph)
