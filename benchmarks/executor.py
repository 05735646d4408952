"""The executor against the float network that it came from, in PyTorch.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/executor.py            # all four rows
    OMP_WAIT_POLICY=PASSIVE python benchmarks/executor.py --quick    # the small network only

Method. Spikingformer-4-384 at 32x32 and 8-512 at 224x224 with random weights tuned so that layers
fire at 5 to 25 % (`networks.py`; the range that they do fire at is printed), in batches of 1 and 16
images of noise. Eager and `torch.compile` run the float32 module with neurons in plain PyTorch
(those of SpikingJelly's torch backend, operation for operation), channels last where that is faster
is left to PyTorch. The executor runs the integers of loihi2. All use the same threads and take
turns; the figure is the median of the rounds, after one round that does not count.

Before anything is measured the executor's answers are held to those of its portable kernels, value
for value: a fast wrong answer fails.

The roofline is what oneDNN's own 8-bit matrix product reaches here on a large square problem, in
multiplications a second; `of roofline` is how many times longer the executor takes than its dense
multiplications would at that speed. `with counts` is the executor with every spike counted.

`peak MB` is what a run adds to the memory of the process at its peak, packed weights not counted;
`of live set` its ratio to the values of the batch that are alive at once, at the op where they are
most. It is below 1 where the batch is run in blocks.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from memory import largest_live_set, peak_of
from networks import lively
from timing import Row, in_turns, machine, save

from snncc.compiler import check_model, compile_checked
from snncc.execute.counts import count, count_batch
from snncc.execute.executor import Executor
from snncc.execute.kernels import products
from snncc.execute.synapses import dense_ops
from snncc.ir.graph import Array, Graph
from snncc.targets.load import load_target

NETWORKS = ("spikingformer-cifar-4-384", "spikingformer-8-512")


def main() -> None:
    """Measure, print and save."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    roof = roofline()
    rows = []
    for name in NETWORKS[: 1 if given.quick else 2]:
        rows += measured(name, roof, given.rounds)
    save("executor", rows, machine(given.threads))


def measured(name: str, roof: float, rounds: int) -> list[Row]:
    """Return one row a batch size."""
    model = lively(name)
    shape = model.example_inputs[0].shape[1:]
    sample = np.random.default_rng(0).random((1, *shape)).astype(np.float32)
    checked = check_model(model)
    graph = compile_checked(checked, target=load_target("loihi2"), calibration=sample).integer
    counts = count(graph, sample)
    rates = [counts.rate_out(op.name) for op in graph.of_kind("integer_neuron")]
    weighted = graph.of_kind("conv", "linear")
    dense = sum(dense_ops(op, graph) * counts.ops[op.name].runs for op in weighted)
    network = model.module.eval()
    contenders = {"eager": network, "compiled": torch.compile(network)}
    rows = []
    for batch in (1, 16):
        x = np.random.default_rng(1).random((batch, *shape)).astype(np.float32)
        hold(graph, x[:2])
        seconds = _raced(contenders, graph, x, rounds if batch == 1 else max(2, rounds // 2))
        ideal = dense * batch / roof
        facts = {"network": name, "batch": batch, "rates": f"{min(rates):.0%} to {max(rates):.0%}"}
        executor = Executor(graph)
        most = largest_live_set(executor, batch)
        peak = {"peak MB": peak_of(executor, x), "of live set": peak_of(executor, x) / most}
        rows.append({**facts, **_ratios(seconds, ideal), **peak})
        print(rows[-1], flush=True)  # noqa: T201
    return rows


def _raced(contenders: Mapping[str, Any], graph: Graph, x: Array, rounds: int) -> dict[str, float]:
    """Return the seconds of each float network and of the executor, with counts and without."""
    tensor, executor = torch.from_numpy(x), Executor(graph)
    runs: dict[str, Callable[[], object]] = {
        name: partial(network, tensor) for name, network in contenders.items()
    }
    runs["executor"] = partial(executor.run, x)
    runs["counting"] = partial(count_batch, executor, x)
    with torch.no_grad():
        return in_turns(runs, rounds)


def _ratios(seconds: Mapping[str, float], ideal: float) -> Row:
    ours = seconds["executor"]
    return {
        "eager s": seconds["eager"],
        "torch.compile s": seconds["compiled"],
        "executor s": ours,
        "with counts s": seconds["counting"],
        "times eager": seconds["eager"] / ours,
        "times compiled": seconds["compiled"] / ours,
        "counting": seconds["counting"] / ours,
        "of roofline": ours / ideal,
    }


def hold(graph: Graph, x: Array) -> None:
    """Hold the executor to its portable kernels. Raises ``AssertionError``."""
    fast = Executor(graph).run(x).output
    chosen = products.KERNELS
    try:
        products.KERNELS = chosen[-2:]  # type: ignore[misc, assignment]
        slow = Executor(graph).run(x).output
    finally:
        products.KERNELS = chosen  # type: ignore[misc]
    if not (fast == slow).all():
        raise AssertionError("the kernels of this machine give other integers")


def roofline(size: int = 2048) -> float:
    """Return the multiplications a second of oneDNN's 8-bit product on a square problem."""
    ops = torch.ops.onednn
    weight = torch.randint(-127, 128, (size, size), dtype=torch.int8)
    x = torch.randint(0, 2, (size, size), dtype=torch.uint8)
    packed, ones = ops.qlinear_prepack(weight, None), torch.ones(size)
    zeros = torch.zeros(size, dtype=torch.int32)
    best = 0.0
    for _ in range(12):
        started = time.perf_counter()
        ops.qlinear_pointwise(
            x, 1.0, 0, packed, ones, zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        best = max(best, size**3 / (time.perf_counter() - started))
    return best


if __name__ == "__main__":
    main()
