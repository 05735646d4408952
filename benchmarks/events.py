"""Synaptic operations a second, on a convolution and a dense layer.

    python benchmarks/events.py

Method. A convolution (32x32, 3x3, 16 to 32 channels) and a dense layer (1,024 to 1,024), each with
neurons before and behind it, driven at several firing rates for 16 time steps. Operations are
counted, one for each spike and synapse that it meets, and divided by the time of the executor on
one thread without counting.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from timing import Row, machine, save

from snncc.execute.counts import count
from snncc.execute.executor import Executor
from snncc.ir.domain import SPIKE
from snncc.ir.graph import Array, Graph
from snncc.ir.ops import Conv, Input, IntegerNeuron, Linear, Output, Readout

STEPS, SAMPLES = 16, 8
RATES = (0.01, 0.05, 0.2)


def main() -> None:
    """Measure, print and save."""
    torch.set_num_threads(1)
    rows = [_measured(name, graph, rate) for name, graph in _layers() for rate in RATES]
    save("events", rows, machine(1))


def _layers() -> list[tuple[str, Graph]]:
    rng = np.random.default_rng(0)
    conv = rng.integers(-127, 128, (32, 16, 3, 3)).astype(np.int8)
    dense = rng.integers(-127, 128, (1024, 1024)).astype(np.int8)
    geometry = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)}
    return [
        ("conv 3x3, 16 to 32 at 32x32",
         _graph((16, 32, 32), Conv(name="w", inputs=("x",), weight="w", **geometry), conv)),
        ("dense, 1,024 to 1,024",
         _graph((1024,), Linear(name="w", inputs=("x",), weight="w"), dense)),
    ]  # fmt: skip


def _graph(shape: tuple[int, ...], op: Conv | Linear, weight: Array) -> Graph:
    ops = (
        Input(name="x", inputs=(), shape=shape, domain=SPIKE, varies=True, scale=1.0),
        op,
        IntegerNeuron(name="n", inputs=("w",), threshold="t", decay=2048, shift=6),
        Readout(name="r", inputs=("n",), steps=STEPS),
        Output(name="y", inputs=("r",)),
    )
    return Graph(ops, {"w": weight, "t": np.array(64 * 2000 + 1)}, "step", STEPS)


def _measured(name: str, graph: Graph, rate: float) -> Row:
    rng = np.random.default_rng(1)
    shape = graph.type_of("x").shape
    spikes = (rng.random((SAMPLES, STEPS, *shape)) < rate).astype(np.float32)
    ops = int(count(graph, spikes).ops["w"].synaptic_ops.sum())
    executor, x = Executor(graph), spikes.swapaxes(0, 1)
    executor.run(x)
    seconds = []
    for _ in range(7):
        started = time.perf_counter()
        executor.run(x)
        seconds.append(time.perf_counter() - started)
    return {"layer": name, "rate": f"{rate:.0%}", "synaptic operations": ops,
            "M operations a second": ops / min(seconds) / 1e6}  # fmt: skip


if __name__ == "__main__":
    main()
