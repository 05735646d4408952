"""Synaptic operations a second, on convolutions and dense layers: ours and SANA-FE's.

    pip install sanafe==2.2.9        # optional: without it only our column is filled
    python benchmarks/events.py

Method. A 3x3 convolution and a dense layer, each with neurons before and behind it, driven at
several firing rates for 16 time steps, in two sizes. Operations are counted, one for each spike
and synapse that it meets, and divided by the time of the executor on one thread without counting,
8 samples at once.

SANA-FE gets the same layer as a placed network (`snncc.backends.sanafe`) and one of the samples; it
runs in the same process, on one thread, with its "simple" timing, loading not counted, and has to
count the same operations. It models a chip's messages as it goes, which the executor does not: its
column says what event-by-event simulation costs, not that its authors are slow. The larger layers
would take it gigabytes and are not run.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from timing import Row, machine, save

from snncc.backends.sanafe import simulator_network
from snncc.execute.counts import count
from snncc.execute.executor import Executor
from snncc.ir.domain import SPIKE
from snncc.ir.graph import Array, Graph
from snncc.ir.ops import Conv, Input, IntegerNeuron, Linear, Output, Readout
from snncc.mapping.placement import Core, Part, Placement, Seat, blocks
from snncc.mapping.populations import Net, net_of
from snncc.targets.load import load_target

STEPS, SAMPLES = 16, 8
RATES = (0.01, 0.05, 0.2)
NEURONS_A_CORE = 1024


def main() -> None:
    """Measure, print and save."""
    torch.set_num_threads(1)
    rows = [_measured(name, graph, rate, rival)
            for name, graph, rival in _layers() for rate in RATES]  # fmt: skip
    save("events", rows, machine(1))


def _layers() -> list[tuple[str, Graph, bool]]:
    """Return layers by name, and whether SANA-FE is to run them."""
    return [
        ("conv 3x3, 16 to 16 at 16x16", _conv(16, 16, 16), True),
        ("dense, 512 to 512", _dense(512), True),
        ("conv 3x3, 16 to 32 at 32x32", _conv(16, 32, 32), False),
        ("dense, 1,024 to 1,024", _dense(1024), False),
    ]


def _conv(ins: int, outs: int, side: int) -> Graph:
    weight = np.random.default_rng(0).integers(-127, 128, (outs, ins, 3, 3)).astype(np.int8)
    conv = Conv(name="w", inputs=("x",), weight="w", stride=(1, 1), padding=(1, 1), dilation=(1, 1))
    return _graph((ins, side, side), conv, weight)


def _dense(size: int) -> Graph:
    weight = np.random.default_rng(0).integers(-127, 128, (size, size)).astype(np.int8)
    return _graph((size,), Linear(name="w", inputs=("x",), weight="w"), weight)


def _graph(shape: tuple[int, ...], op: Conv | Linear, weight: Array) -> Graph:
    ops = (
        Input(name="x", inputs=(), shape=shape, domain=SPIKE, varies=True, scale=1.0),
        op,
        IntegerNeuron(name="n", inputs=("w",), threshold="t", decay=2048, shift=6),
        Readout(name="r", inputs=("n",), steps=STEPS),
        Output(name="y", inputs=("r",)),
    )
    return Graph(ops, {"w": weight, "t": np.array(64 * 2000 + 1)}, "step", STEPS)


def _measured(name: str, graph: Graph, rate: float, rival: bool) -> Row:
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
    ours = ops / min(seconds) / 1e6
    theirs = _simulated(graph, spikes[0]) if rival else None
    return {
        "layer": name, "rate": f"{rate:.0%}", "synaptic operations": ops,
        "M operations a second": ours, "SANA-FE": theirs or "not run",
        "times": ours / theirs if theirs else "",
    }  # fmt: skip


def _simulated(graph: Graph, spikes: Array) -> float | None:
    """Return SANA-FE's million operations a second on one sample, ``[T, *shape]``."""
    try:
        import sanafe  # noqa: PLC0415
    except ModuleNotFoundError:
        return None
    target = load_target("loihi1-sanafe")
    net = net_of(graph, inputs_on_cores=True)
    text = simulator_network(net, _dealt(net), {"x": spikes}, target)
    arch = sanafe.load_arch(Path(sanafe.__file__).parent / "examples" / "loihi.yaml")
    chip = sanafe.SpikingChip(arch)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        chip.load(sanafe.load_net(file.name, arch))
    started = time.perf_counter()
    found = chip.sim(STEPS, timing_model="simple", processing_threads=1)
    seconds = time.perf_counter() - started
    wanted = int(count(graph, spikes[None]).ops["w"].synaptic_ops.sum())
    if found["spikes"] != wanted:
        raise AssertionError(f"{found['spikes']} operations, ours {wanted}")
    return float(found["spikes"]) / seconds / 1e6


def _dealt(net: Net) -> Placement:
    """Cut each population to cores of at most 1,024 neurons along its first axis."""
    seats = (Seat(0, x, y, s) for x in range(8) for y in range(4) for s in range(4))
    cores = []
    for population in net.populations:
        rows = population.shape[0]
        count_of_cores = -(-population.neurons // NEURONS_A_CORE)
        for span in blocks(rows, count_of_cores):
            spans = (span, *((0, n) for n in population.shape[1:]))
            cores.append(Core(next(seats), (Part(population.name, spans),)))
    return Placement("loihi1-sanafe", tuple(cores), inputs_on_cores=True)


if __name__ == "__main__":
    main()
