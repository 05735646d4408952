"""Where the executor's time goes, by kind of op.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/breakdown.py

Method. The networks, images and threads of `executor.py`. An observer reads the clock after each op
and looks at nothing else; the figure is the median of the rounds. A sum of products that a neuron
takes as it is costs the product's op what oneDNN takes, and the neuron's op shift, bias, residual,
leak, compare and reset. `GB/s` is what neurons read (4 bytes of each sum, 4 of each residual) and
write (1 byte of each spike, 4 of each sum that is kept), divided by their time.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import defaultdict

import numpy as np
import torch
from networks import lively
from timing import Row, machine, save

from snncc.compiler import check_model, compile_checked
from snncc.execute.block import Seen
from snncc.execute.executor import Executor
from snncc.ir.graph import Array, Graph, Op
from snncc.targets.load import load_target

NETWORKS = ("spikingformer-cifar-4-384", "spikingformer-8-512")
THREADS, ROUNDS, BATCH = 2, 7, 1
KINDS = {
    "conv": "convolutions and linears", "linear": "convolutions and linears",
    "integer_neuron": "neurons", "matmul": "attention", "max_pool": "pools",
}  # fmt: skip


def main() -> None:
    """Measure, print and save."""
    torch.set_num_threads(THREADS)
    rows = [row for name in NETWORKS for row in measured(name)]
    save("breakdown", rows, machine(THREADS))


def measured(name: str) -> list[Row]:
    """Return one row a kind of op, the slowest first."""
    model = lively(name)
    shape = model.example_inputs[0].shape[1:]
    x = np.random.default_rng(0).random((BATCH, *shape)).astype(np.float32)
    chip = load_target("loihi2")
    graph = compile_checked(check_model(model), target=chip, calibration=x).integer
    executor = Executor(graph)
    rounds = [_round(executor, x) for _ in range(ROUNDS + 1)][1:]
    seconds = {kind: statistics.median(each[kind] for each in rounds) for kind in rounds[0]}
    whole, moved = sum(seconds.values()), _moved(graph)
    return [
        {
            "network": name, "op": kind, "ms": 1000 * spent, "share": f"{spent / whole:.0%}",
            "GB/s": moved / spent / 1e9 if kind == "neurons" else "",
        }
        for kind, spent in sorted(seconds.items(), key=lambda item: -item[1])
    ]  # fmt: skip


def _round(executor: Executor, x: Array) -> dict[str, float]:
    spent: dict[str, float] = defaultdict(float)
    last = time.perf_counter()

    def observe(op: Op, _: Seen) -> None:
        nonlocal last
        now = time.perf_counter()
        spent[KINDS.get(op.kind, "all else")] += now - last
        last = now

    executor.run(x, observe=observe)
    return spent


def _moved(graph: Graph) -> float:
    """Return about how many bytes the neurons' passes move for one sample."""
    moved = 0.0
    for op in graph.of_kind("integer_neuron"):
        current = graph[op.inputs[0]]
        joined = current.kind == "add"
        elements = graph.steps * math.prod(graph.type_of(op.name).shape)
        moved += elements * (5 + 8 * joined)
    return moved * BATCH


if __name__ == "__main__":
    main()
