"""The placed network as SANA-FE's input, and both machines held to each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc.backends.sanafe import simulator_network
from snncc.diagnostics.core import SnnccError
from snncc.ir import domain as dom
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.ops import Conv, Input, IntegerNeuron, Linear, MaxPool, Output, Readout, Reshape
from snncc.ir.synaptic_current import IntegerCurrent
from snncc.machine.activity import activity_of, stretched
from snncc.machine.run import MachineReport, run_machine
from snncc.mapping.placement import Core, Part, Placement, Seat, blocks
from snncc.mapping.populations import Net, net_of
from snncc.targets.load import load_target

SIMULATOR = "loihi1-sanafe"


@dataclass(frozen=True)
class Case:
    net: Net
    placement: Placement
    x: Array
    """Input spikes, one array a step of the chip."""


def layer(rng: np.random.Generator, name: str, reads: str, shape: tuple[int, ...]) -> Any:
    """A neuron layer with thresholds of its own for each neuron, and its weights."""
    reset = "hard" if rng.random() < 0.5 else "soft"
    threshold = rng.integers(20, 200, shape)
    op = IntegerNeuron(
        name=name, inputs=(reads,), threshold=f"{name}.t", decay=int(rng.choice([0, 512, 2048])),
        shift=int(rng.integers(0, 3)), reset=reset,  # type: ignore[arg-type]
    )  # fmt: skip
    return op, {f"{name}.t": threshold}


def drawn(seed: int) -> Case:
    """A convolution, perhaps a second one, and a dense layer, cut at random onto 1 to 8 cores."""
    rng = np.random.default_rng(seed)
    channels, side, steps = int(rng.integers(1, 4)), int(rng.integers(5, 9)), 8
    shape: tuple[int, ...] = (channels, side, side)
    ops: list[Op] = [Input(name="x", shape=shape, domain=dom.integers(0, 1), varies=True)]
    weights: dict[str, Array] = {}
    for number in range(int(rng.integers(1, 3))):
        shape = add_conv(rng, ops, weights, f"c{number}", shape)
    size = int(np.prod(shape))
    ops.append(Reshape(name="f", inputs=(ops[-1].name,), shape=(size,)))
    weights["l.w"] = rng.integers(-60, 61, (int(rng.integers(2, 12)), size)).astype(np.int8)
    ops.append(Linear(name="l", inputs=("f",), weight="l.w"))
    neurons, threshold = layer(rng, "o", "l", weights["l.w"].shape[:1])
    ops += [neurons, Readout(name="r", inputs=("o",), steps=steps), Output(name="y", inputs=("r",))]
    graph = Graph(tuple(ops), {**weights, **threshold}, "step", steps)
    net = net_of(graph, inputs_on_cores=True)
    x = (rng.random((steps, channels, side, side)) < rng.uniform(0.1, 0.5)).astype(np.int64)
    return Case(net, placed(rng, net), x)


def add_conv(
    rng: np.random.Generator, ops: list[Op], weights: dict[str, Array], name: str, shape: Any
) -> tuple[int, ...]:
    kernel, stride, padding = (int(n) for n in rng.integers((1, 1, 0), (4, 3, 3)))
    outs = int(rng.integers(1, 5))
    weights[f"{name}.w"] = rng.integers(-60, 61, (outs, shape[0], kernel, kernel)).astype(np.int8)
    ops.append(
        Conv(
            name=name, inputs=(ops[-1].name,), weight=f"{name}.w", stride=(stride, stride),
            padding=(padding, padding), dilation=(1, 1),
        )
    )  # fmt: skip
    side = (shape[1] + 2 * padding - kernel) // stride + 1
    neurons, threshold = layer(rng, f"{name}s", name, (outs, side, side))
    ops.append(neurons)
    weights |= threshold
    return outs, side, side


def placed(rng: np.random.Generator, net: Net) -> Placement:
    """Every population cut along each axis, its parts dealt to cores on several tiles."""
    count = int(rng.integers(1, 9))
    every = [(x, y, s) for x in range(8) for y in range(4) for s in range(4)]
    seats = [every[i] for i in rng.choice(len(every), count, replace=False)]
    parts: list[list[Part]] = [[] for _ in range(count)]
    for population in net.populations:
        cuts = [blocks(n, int(rng.integers(1, min(n, 3) + 1))) for n in population.shape]
        for box in np.ndindex(*(len(cut) for cut in cuts)):
            spans = tuple(cut[i] for cut, i in zip(cuts, box, strict=True))
            parts[int(rng.integers(count))].append(Part(population.name, spans))
    cores = [Core(Seat(0, *seat), tuple(own)) for seat, own in zip(seats, parts, strict=True)]
    return Placement(SIMULATOR, tuple(c for c in cores if c.parts), inputs_on_cores=True)


def ours(case: Case) -> MachineReport:
    steps = len(case.x)
    activity = stretched(case.net, activity_of(case.net, case.x, exact=True), steps)
    return run_machine(case.net, case.placement, activity, load_target(SIMULATOR))


def written(case: Case) -> str:
    return simulator_network(case.net, case.placement, {"x": case.x}, load_target(SIMULATOR))


@pytest.mark.external
@pytest.mark.parametrize("seed", range(24))
def test_both_machines_agree(seed: int, tmp_path: Path) -> None:
    """Spikes, operations, packets and hops are equal; energy and times to rounding."""
    sanafe = pytest.importorskip("sanafe")
    case = drawn(seed)
    path = tmp_path / "net.yaml"
    path.write_text(written(case), encoding="utf-8")
    arch = sanafe.load_arch(Path(sanafe.__file__).parent / "examples" / "loihi.yaml")
    chip = sanafe.SpikingChip(arch)
    chip.load(sanafe.load_net(path, arch))
    found = chip.sim(len(case.x), timing_model="simple", perf_trace=True, processing_threads=1)
    report = ours(case)
    assert found["spikes"] == report.operations
    assert found["packets_sent"] == report.packets
    trace = found["perf_trace"]
    assert sum(trace["hops"]) == report.hops
    fired = report.loads.fired.sum() + report.loads.inputs_fired.sum()
    assert found["neurons_fired"] == fired
    updated = report.loads.updated.sum() + report.loads.inputs_fired.sum()
    assert found["neurons_updated"] == updated
    assert found["energy"]["total"] * 1e12 == pytest.approx(report.total_pj, rel=1e-9)
    np.testing.assert_allclose(np.array(trace["sim_time"]) * 1e9, report.times.step_ns, rtol=1e-9)


GOLDEN = {
    0: (495, 421, 1056, 109_176.7, 18_941.2),
    2: (2029, 922, 2951, 285_246.8, 23_531.2),
    8: (2631, 620, 2120, 176_765.3, 17_471.5),
    19: (5940, 1582, 5484, 405_884.2, 24_519.1),
    22: (99, 51, 201, 31_614.3, 12_383.2),
}
"""What SANA-FE 2.2.9 answered: operations, packets, hops, energy in pJ, time in ns."""


@pytest.mark.parametrize("seed", GOLDEN)
def test_what_the_simulator_answered(seed: int) -> None:
    report = ours(drawn(seed))
    operations, packets, hops, energy, time = GOLDEN[seed]
    assert (report.operations, report.packets, report.hops) == (operations, packets, hops)
    assert report.total_pj == pytest.approx(energy, rel=1e-9)
    assert report.times.step_ns.sum() == pytest.approx(time, rel=1e-9)


def test_the_file_holds_every_neuron_and_synapse() -> None:
    case = drawn(3)
    document = pytest.importorskip("yaml").safe_load(written(case))
    groups = document["network"]["groups"]
    assert [len(group["neurons"]) for group in groups] == [
        population.neurons for population in case.net.populations
    ]
    assert len(document["mappings"]) == sum(p.neurons for p in case.net.populations)
    met = ours(replace(case, x=np.ones_like(case.x[:1]))).loads
    from_input = [e for e in document["network"]["edges"] if next(iter(e)).startswith("g0.")]
    assert len(from_input) == sum(int(n.sum()) for n in met.operations.values())


def refusal(graph: Graph, **options: bool) -> str:
    net = net_of(graph, inputs_on_cores=options.get("inputs_on_cores", True))
    cores = tuple(
        Core(Seat(0, 0, 0, n), (Part(p.name, tuple((0, s) for s in p.shape)),))
        for n, p in enumerate(net.populations)
    )
    with pytest.raises(SnnccError) as error:
        simulator_network(net, Placement(SIMULATOR, cores), {}, load_target(SIMULATOR))
    assert all(d.rule.code == "SNN423" for d in error.value.diagnostics)
    return "; ".join(d.message for d in error.value.diagnostics)


def small(*between: Op, **weights: Array) -> Graph:
    last = between[-1].name
    ops = (
        Input(name="x", shape=(1, 4, 4), domain=dom.integers(0, 1), varies=True),
        *between,
        IntegerNeuron(name="s", inputs=(last,), threshold="t", decay=0, shift=0),
        Readout(name="r", inputs=("s",), steps=2),
        Output(name="y", inputs=("r",)),
    )
    return Graph(ops, {"t": np.array(5), **weights}, "step", 2)


def conv(**attributes: Any) -> Op:
    ones = (1, 1)
    return Conv(
        name="c", inputs=("x",), weight="w", stride=ones, padding=ones, dilation=ones, **attributes
    )


def test_what_the_simulator_cannot_hold_is_refused() -> None:
    w = np.ones((2, 1, 3, 3), np.int8)
    pool = MaxPool(
        name="p", inputs=("x",), kernel=(2, 2), stride=(2, 2), padding=(0, 0), dilation=(1, 1)
    )
    assert "`p` (max_pool) is no layer of stored weights" in refusal(small(pool))
    biased = small(conv(bias="b"), w=w, b=np.array([1, 0]))
    assert "`c` (conv) has a bias" in refusal(biased)
    assert "comes from the host" in refusal(small(conv(), w=w), inputs_on_cores=False)
    kept = IntegerCurrent(name="i", inputs=("c",), decay=1000, shift=6, steps=2)
    lasting = small(conv(), kept, w=w)
    assert "`s` (integer_neuron) keeps a part of its current" in refusal(lasting)
    low = small(conv(), w=w, t=np.array(0))
    assert "several thresholds, or one below 1" in refusal(low)
    graph = small(conv(), w=w)
    pixels = replace(graph.ops[0], domain=dom.integers(0, 255))  # type: ignore[call-arg]
    assert "sends int[0..255], wanted spikes" in refusal(graph.replace((pixels, *graph.ops[1:])))


def test_what_it_takes_off_must_be_its_threshold() -> None:
    graph = small(conv(), w=np.ones((2, 1, 3, 3), np.int8))
    soft = replace(graph.ops[2], reset="soft", unit="u")  # type: ignore[call-arg]
    changed = graph.replace((*graph.ops[:2], soft, *graph.ops[3:]), {"u": np.array(3)})
    assert "takes off another number" in refusal(changed)
