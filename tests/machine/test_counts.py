"""The machine's counts are those of the executor, cut by core and added up; traffic by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snncc.execute.counts import count
from snncc.ir import domain as dom
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.ops import (
    Add,
    Conv,
    Input,
    IntegerNeuron,
    Linear,
    MatMul,
    MaxPool,
    Output,
    Permute,
    Readout,
    Repeat,
    Reshape,
)  # fmt: skip
from snncc.machine.activity import Activity, activity_of, in_substeps, streamed, stretched
from snncc.machine.loads import Loads, count_loads
from snncc.machine.routes import routes
from snncc.machine.run import MachineReport, machine_document, run_machine
from snncc.mapping.deliveries import deliveries
from snncc.mapping.place import place
from snncc.mapping.placement import Core, Part, Placement, Seat, blocks, whole
from snncc.mapping.populations import Net, net_of
from snncc.mapping.views import NOWHERE
from snncc.passes.balance_delays import BalanceDelays, on_cores
from snncc.passes.unroll_levels import UnrollLevels
from snncc.targets.load import load_target

STEPS = 3


def neurons(name: str, reads: str) -> Op:
    return IntegerNeuron(name=name, inputs=(reads,), threshold="t", decay=2048, shift=2)


def transformer(scores_first: bool) -> Graph:
    """Attention over a convolution, with a residual stream; its products in either order."""
    rng = np.random.default_rng(3)
    shapes = {"w0": (6, 2, 3, 3), "wq": (6, 6), "wk": (6, 6), "wv": (6, 6), "wp": (6, 6, 3, 3)}
    w: dict[str, Array] = {n: rng.integers(-9, 25, s).astype(np.int8) for n, s in shapes.items()}
    w["t"] = np.array(60)
    settings = {"padding": (1, 1), "dilation": (1, 1)}
    ops: list[Op] = [
        Input(name="x", shape=(2, 8, 8), domain=dom.integers(0, 1), varies=True),
        Conv(name="c", inputs=("x",), weight="w0", stride=(2, 2), padding=(1, 1), dilation=(1, 1)),
        neurons("s", "c"),
        Reshape(name="f", inputs=("s",), shape=(6, 16)),
        Permute(name="rows", inputs=("f",), order=(1, 0)),
    ]
    for part in "qkv":
        ops += [
            Linear(name=f"{part}l", inputs=("rows",), weight=f"w{part}"),
            neurons(f"{part}s", f"{part}l"),
            Reshape(name=f"{part}r", inputs=(f"{part}s",), shape=(16, 2, 3)),
            Permute(name=f"{part}h", inputs=(f"{part}r",), order=(1, 0, 2)),
        ]
    ops.append(Permute(name="kt", inputs=("kh",), order=(0, 2, 1)))
    pairs = (("qh", "kt"), ("inner", "vh")) if scores_first else (("kt", "vh"), ("qh", "inner"))
    ops += [
        MatMul(name="inner", inputs=pairs[0]),
        MatMul(name="outer", inputs=pairs[1]),
        Permute(name="back", inputs=("outer",), order=(0, 2, 1)),
        Reshape(name="joined", inputs=("back",), shape=(6, 4, 4)),
        neurons("a", "joined"),
        Conv(name="p", inputs=("a",), weight="wp", stride=(1, 1), **settings),  # type: ignore[arg-type]
        Add(name="stream", inputs=("p", "c")),
        neurons("last", "stream"),
        Readout(name="r", inputs=("last",), steps=STEPS),
        Output(name="y", inputs=("r",)),
    ]
    return BalanceDelays().run(Graph(tuple(ops), w, "step", STEPS)).graph


def spikes(graph: Graph) -> Array:
    shape = graph.type_of("x").shape
    return (np.random.default_rng(1).random((STEPS, *shape)) < 0.4).astype(np.int64)


def cut_up(net: Net, seed: int) -> Placement:
    """Every population cut along each axis at random, dealt to six cores."""
    rng = np.random.default_rng(seed)
    parts: list[list[Part]] = [[] for _ in range(6)]
    for population in net.populations:
        cuts = [blocks(n, int(rng.integers(1, min(n, 3) + 1))) for n in population.shape]
        for box in np.ndindex(*(len(cut) for cut in cuts)):
            spans = tuple(cut[i] for cut, i in zip(cuts, box, strict=True))
            parts[int(rng.integers(6))].append(Part(population.name, spans))
    seats = [Seat(0, 0, 0, 0), Seat(0, 0, 0, 1), Seat(0, 2, 3, 0), Seat(0, 7, 0, 0),
             Seat(1, 0, 1, 2), Seat(3, 4, 2, 1)]  # fmt: skip
    cores = tuple(Core(s, tuple(p)) for s, p in zip(seats, parts, strict=True))
    return Placement("loihi2", cores, chip_columns=2)


@pytest.mark.parametrize("scores_first", [False, True], ids=["counters", "scores"])
@pytest.mark.parametrize("seed", range(3))
def test_operations_are_the_executors(scores_first: bool, seed: int) -> None:
    graph = transformer(scores_first)
    net, x = net_of(graph), spikes(graph)
    loads = count_loads(net, cut_up(net, seed), activity_of(net, x))
    counts = count(graph, x[None]).ops
    for kind, name in (("conv", "conv"), ("linear", "dense")):
        want = sum(c.event_ops for c in counts.values() if c.kind == kind)
        assert loads.operations[name].sum(axis=1).tolist() == np.asarray(want).tolist()


@pytest.mark.parametrize("scores_first", [False, True], ids=["counters", "scores"])
def test_products_are_the_executors_and_shared_counters_cost_more(scores_first: bool) -> None:
    """Cut where the counters are cut, nothing is counted twice; cut across, some of it is."""
    graph = transformer(scores_first)
    net, x = net_of(graph), spikes(graph)
    activity = activity_of(net, x)
    inner = count(graph, x[None]).ops["inner"].synaptic_ops
    outer = activity.sent["vs" if scores_first else "qs"]
    added = (outer != 0).reshape(STEPS, -1).sum(axis=1) * (16 if scores_first else 3)
    along, across = (1, 2) if scores_first else (2, 1)
    apart, twice = (
        count_loads(net, attention_on_two(net, axis), activity).products for axis in (along, across)
    )
    assert apart.sum(axis=1).tolist() == (inner + added).tolist()
    assert twice.sum(axis=1).tolist() == (2 * inner + added).tolist()


def attention_on_two(net: Net, axis: int) -> Placement:
    """All on one core, but attention on two, cut along one axis."""
    attention = net.by_name["a"]
    others = (p for p in net.populations if p is not attention)
    first = Core(Seat(0, 0, 0, 0), tuple(Part(p.name, whole(p.shape)) for p in others))
    cores = [first]
    for slot, span in enumerate(blocks(attention.shape[axis], 2), 1):
        box = list(whole(attention.shape))
        box[axis] = span
        cores.append(Core(Seat(0, 0, 0, slot), (Part("a", tuple(box)),)))
    return Placement("loihi2", tuple(cores))


@pytest.mark.parametrize("seed", range(3))
def test_messages_are_one_a_firing_neuron_and_core(seed: int) -> None:
    """Against a count neuron by neuron: who of a core reads it, by changing it."""
    graph = transformer(scores_first=False)
    net = net_of(graph)
    placement = cut_up(net, seed)
    activity = activity_of(net, spikes(graph))
    want = 0
    labels = placement.labels(net)
    for delivery in deliveries(net, labels):
        fired = (activity.sent[delivery.value] != 0).reshape(STEPS, -1)
        reached: dict[int, set[int]] = {}
        for bin_, core in zip(delivery.bins, delivery.receivers, strict=True):
            reached.setdefault(int(bin_), set()).add(int(core))
        sizes = [len(reached.get(int(b), ())) if b != NOWHERE else 0 for b in delivery.bin_of]
        want += int((fired * np.array(sizes)).sum())
    loads = count_loads(net, placement, activity)
    assert int(loads.messages_in.sum()) == want
    assert int(loads.messages_in.sum() - loads.messages_out.sum()) == int(loads.from_host.sum())


def test_hops_and_links_by_hand() -> None:
    mesh = load_target("loihi2").mesh
    seats = (Seat(0, 0, 0, 0), Seat(0, 2, 1, 0), Seat(1, 1, 0, 0))
    placement = Placement("loihi2", tuple(Core(s, ()) for s in seats), chip_columns=2)
    senders, receivers = np.array([0, 1, 0, 2]), np.array([1, 0, 2, 2])
    sent = np.array([[3, 5, 7, 9]])
    ways = routes(placement, mesh, senders, receivers, sent)
    assert int(ways.hops_east_west[0]) == 3 * 2 + 5 * 2 + 7 * 9
    assert int(ways.hops_north_south[0]) == 3 + 5
    assert int(ways.crossings[0]) == 7
    assert ways.packets["east"][0, 0, 0] == 3 + 7
    assert ways.packets["east"][0, 2, 0] == 7
    assert ways.packets["west"][0, 2, 1] == 5
    assert ways.packets["west"][0, 0].sum() == 0
    assert ways.packets["north"][0, 2, 0] == 3
    assert ways.packets["south"][0, 0, 1] == 5
    load, where = ways.busiest()
    assert (int(load[0]), where[0]) == (10, ("east", 0, 0))


def test_every_packet_passes_as_many_links_as_it_hops() -> None:
    graph = transformer(scores_first=False)
    net = net_of(graph)
    report = machine(net, cut_up(net, 5))
    passed = sum(int(packets.sum()) for packets in report.ways.packets.values())
    assert passed == report.hops > 0
    assert all(int(p.min()) >= 0 for p in report.ways.packets.values())


def machine(net: Net, placement: Placement) -> MachineReport:
    activity = streamed(net, activity_of(net, spikes(net.graph)))
    return run_machine(net, placement, activity, load_target("loihi2"))


def test_a_step_takes_as_long_as_its_slowest_term() -> None:
    graph = transformer(scores_first=False)
    net = net_of(graph)
    report = machine(net, place(graph, load_target("loihi2")))
    times, loads = report.times, report.loads
    for step in range(STEPS):
        terms = {name: values[step] for name, values in times.terms.items()}
        assert times.step_ns[step] == max(terms.values()) == terms[times.binding[step]]
    operations = sum(loads.operations.values()) + loads.products
    assert times.terms["synapses"].tolist() == pytest.approx((operations * 0.7).max(1).tolist())
    assert times.terms["synaptic memory"].tolist() == pytest.approx(
        (operations * 0.0088).max(1).tolist()
    )
    assert set(times.terms["barrier"].tolist()) == {200.0}
    assert times.omitted == ()


@pytest.mark.parametrize(
    ("chip", "lost", "omitted"),
    [
        ("loihi1-sanafe", (), ()),
        ("loihi1-sanafe", ("message_in",), ("messages received",)),
        ("loihi1-sanafe", ("spike_out", "message_out"), ("spikes", "messages sent")),
        ("loihi1-sanafe", ("neuron_access", "neuron_update"), ("neuron updates",)),
        ("loihi1-sanafe", ("synaptic_op_dense",), ("synapses",)),
        ("loihi2", ("synaptic_op",), ("synapses",)),
        ("loihi2", ("barrier_all_tiles",), ("barrier",)),
    ],
)
def test_what_has_no_time_is_named_beside_the_times(
    chip: str, lost: tuple[str, ...], omitted: tuple[str, ...]
) -> None:
    graph = transformer(scores_first=False)
    net, known = net_of(graph), load_target(chip)
    speed = {key: fact for key, fact in known.speed.items() if key not in lost}
    target = replace(known, speed=speed)
    activity = activity_of(net, spikes(graph))
    report = run_machine(net, place(graph, load_target("loihi2")), activity, target)
    assert report.times.omitted == omitted
    assert list(machine_document(report)["omitted_terms"]) == list(omitted)


def test_a_barrier_that_nobody_has_published_is_named_too() -> None:
    graph = transformer(scores_first=False)
    net, target = net_of(graph), replace(load_target("loihi1-sanafe"), barrier={})
    placement = place(graph, load_target("loihi2"))
    report = run_machine(net, placement, activity_of(net, spikes(graph)), target)
    assert report.times.omitted == ("barrier",)


def test_narrow_weights_are_read_faster() -> None:
    graph = transformer(scores_first=False)
    net, target = net_of(graph), load_target("loihi2")
    activity, placement = activity_of(net, spikes(graph)), place(graph, target)
    wide, narrow = (
        run_machine(net, placement, activity, target, bits).times.terms for bits in (8, 4)
    )
    assert (narrow["synaptic memory"] * 2).tolist() == wide["synaptic memory"].tolist()
    assert narrow["synapses"].tolist() == wide["synapses"].tolist()


def test_energy_of_a_chip_without_any_is_labelled_as_the_others() -> None:
    graph = transformer(scores_first=False)
    net = net_of(graph)
    report = machine(net, place(graph, load_target("loihi2")))
    assert (report.target, report.energy_of) == ("loihi2", "loihi1")
    want = report.operations * 23.6
    assert report.energy_pj["synaptic_op"] == pytest.approx(want)
    assert sum(map(bool, report.energy_pj.values())) >= 3


def test_the_stream_is_the_sample_turned() -> None:
    """All that a sample does is done in its steps on the chip, and in any stretch of the stream."""
    graph = transformer(scores_first=False)
    net = net_of(graph)
    placement = cut_up(net, 1)
    sample = activity_of(net, spikes(graph))
    late = max(net.late.values())
    alone = count_loads(net, placement, stretched(net, sample, STEPS + late))
    stream = count_loads(net, placement, streamed(net, sample))
    for a, b in zip(totals(alone), totals(stream), strict=True):
        assert a == b
    assert alone.steps == STEPS + late
    assert not alone.fired[0].any()


def totals(loads: Loads) -> list[int]:
    arrays = (*loads.operations.values(), loads.products, loads.fired, loads.messages_out)
    return [int(array.sum()) for array in arrays]


def test_sub_steps_meet_the_synapses_that_the_executor_counts() -> None:
    """A count of k spikes is k messages in k sub-steps, and k times its synapses."""
    ones: dict[str, Any] = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)}
    ops: tuple[Op, ...] = (
        Input(name="x", shape=(2, 5, 5), domain=dom.integers(0, 1), varies=True),
        Conv(name="c", inputs=("x",), weight="w", **ones),
        neurons("s", "c"),
        Conv(name="d", inputs=("s",), weight="v", **ones),
        neurons("n", "d"),
        Add(name="sew", inputs=("s", "n")),
        Conv(name="e", inputs=("sew",), weight="v", **ones),
        neurons("o", "e"),
        Readout(name="r", inputs=("o",), steps=STEPS),
        Output(name="y", inputs=("r",)),
    )
    rng = np.random.default_rng(0)
    shapes = {"w": (4, 2, 3, 3), "v": (4, 4, 3, 3)}
    weights = {n: rng.integers(-5, 9, size).astype(np.int8) for n, size in shapes.items()}
    unrolled = UnrollLevels().run(Graph(ops, {**weights, "t": np.array(20)}, "step", STEPS)).graph
    graph = on_cores(unrolled, load_target("loihi2"))
    net, x = net_of(graph), spikes(graph)
    sample = in_substeps(net, activity_of(net, x), 2)
    loads = count_loads(net, place(graph, load_target("loihi2")), streamed(net, sample))
    counts = count(unrolled, x[None]).ops
    want = sum(int(c.event_ops.sum()) for c in counts.values() if c.kind == "conv")
    assert int(loads.operations["conv"].sum()) == want > 0
    both = (activity_of(net, x).sent["sew"] == 2).sum()
    assert loads.steps == 2 * STEPS
    assert int((sample.sent["sew"] != 0).sum()) == int(activity_of(net, x).sent["sew"].sum())
    assert both > 0


def test_values_made_once_are_sent_at_every_step() -> None:
    ops: tuple[Op, ...] = (
        Input(name="x", shape=(1, 4, 4), domain=dom.integers(0, 9)),
        Repeat(name="rep", inputs=("x",)),
        Conv(name="c", inputs=("rep",), weight="w", stride=(1, 1), padding=(0, 0),
             dilation=(1, 1)),
        neurons("s", "c"),
        MaxPool(name="p", inputs=("s",), kernel=(2, 2), stride=(2, 2), padding=(0, 0),
                dilation=(1, 1)),
        neurons("o", "p"),
        Readout(name="r", inputs=("o",), steps=2),
        Output(name="y", inputs=("r",)),
    )  # fmt: skip
    weights: Mapping[str, Array] = {"w": np.ones((1, 1, 1, 1), np.int8), "t": np.array(5)}
    graph = Graph(ops, weights, "step", 2)
    net = net_of(graph)
    activity = activity_of(net, np.ones((1, 4, 4)))
    assert isinstance(activity, Activity)
    loads = count_loads(net, place(graph, load_target("loihi2")), activity)
    assert loads.from_host.tolist() == [16, 16]
    assert loads.operations["conv"][:, 0].tolist()[0] >= 16
