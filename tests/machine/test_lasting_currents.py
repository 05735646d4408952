"""Currents that last on cores: state of the neurons that read them, no message and no synapse."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from snncc.execute.counts import count
from snncc.execute.executor import Executor
from snncc.ir import domain as dom
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.interpret import interpret
from snncc.ir.ops import Input, IntegerNeuron, Linear, Output, Readout
from snncc.ir.sites import Sites
from snncc.ir.synaptic_current import IntegerCurrent
from snncc.machine.activity import activity_of, stretched
from snncc.machine.loads import count_loads
from snncc.machine.run import run_machine
from snncc.mapping.check import check_placement
from snncc.mapping.place import place
from snncc.mapping.populations import net_of
from snncc.passes.balance_delays import on_cores, pipelined
from snncc.passes.quantize import Calibration, Quantize
from snncc.targets.load import load_target

Networks = Callable[..., Graph]
Events = Callable[..., Array]
TARGET = load_target("loihi2")
CHIP = Sites("chip", "host")


def placed(network: Graph, data: Array) -> Graph:
    quantize = Quantize(TARGET.arithmetic, TARGET.features, Calibration(data))
    return on_cores(quantize.quantize(network).graph, TARGET, CHIP)


def test_each_layer_is_one_population(lasting_network: Networks, events: Events) -> None:
    graph = placed(lasting_network(), events())
    net = net_of(graph, sites=CHIP)
    found = {p.name: [(q.op, q.path) for q in p.projections] for p in net.populations}
    assert found == {
        "s1": [("a", ("i1", "s1"))],
        "s2": [("b", ("i2", "s2"))],
        "s3": [("c", ("i3", "s3"))],
    }
    assert set(net.owner) == {"s1", "s2", "s3"}
    assert net.host == ("x",)


def test_a_sum_of_two_kinds_of_currents_is_one_population(
    lasting_network: Networks, events: Events
) -> None:
    net = net_of(placed(lasting_network(residual=True), events()), sites=CHIP)
    assert [p.name for p in net.populations] == ["s1", "s2", "s3"]
    assert [q.op for q in net.by_name["s2"].projections] == ["b", "s"]


def test_two_layers_on_one_current_ride_on_it() -> None:
    net = net_of(two_readers())
    assert [(p.name, p.emits) for p in net.populations] == [("i", ("i", "m", "n"))]


def two_readers() -> Graph:
    neurons = {"threshold": "t", "decay": 2048, "shift": 0}
    ops: tuple[Op, ...] = (
        Input(name="x", shape=(4,), varies=True, domain=dom.SPIKE, scale=1.0),
        Linear(name="l", inputs=("x",), weight="w"),
        IntegerCurrent(name="i", inputs=("l",), decay=1000, shift=6, steps=4),
        IntegerNeuron(name="m", inputs=("i",), **neurons),  # type: ignore[arg-type]
        IntegerNeuron(name="n", inputs=("i",), **neurons),  # type: ignore[arg-type]
        Readout(name="r", inputs=("m",), steps=4),
        Readout(name="q", inputs=("n",), steps=4),
        Output(name="y", inputs=("r",)),
        Output(name="z", inputs=("q",)),
    )
    weights = {"w": np.eye(4, dtype=np.int8), "t": np.array(65)}
    return Graph(ops, {**weights}, "step", 4)


@pytest.mark.parametrize("residual", [False, True])
def test_operations_are_the_executors_and_the_placement_is_legal(
    lasting_network: Networks, events: Events, residual: bool
) -> None:
    graph = placed(lasting_network(residual=residual), events())
    net = net_of(graph, sites=CHIP)
    placement = place(graph, TARGET, sites=CHIP)
    assert check_placement(graph, placement, TARGET).diagnostics == ()
    x = events(1)[0]
    loads = count_loads(net, placement, activity_of(net, x))
    counts = count(graph, x[None]).ops
    for kind, name in (("conv", "conv"), ("linear", "dense")):
        on_chip = [c for c in counts.values() if c.kind == kind and c.name != "h"]
        want = sum(c.event_ops for c in on_chip)
        assert loads.operations[name].sum(axis=1).tolist() == np.asarray(want).tolist()
    assert run_machine(net, placement, activity_of(net, x), TARGET).packets > 0


def test_a_current_that_is_left_keeps_its_neuron_busy() -> None:
    """One spike, and neurons have something to do until nothing is left of its current."""
    weights = {"w": np.eye(4, dtype=np.int8), "t": np.array(6401)}
    ops: tuple[Op, ...] = (
        Input(name="x", shape=(4,), varies=True, domain=dom.SPIKE, scale=1.0),
        Linear(name="l", inputs=("x",), weight="w"),
        IntegerCurrent(name="i", inputs=("l",), decay=4000, shift=6, steps=5),
        IntegerNeuron(name="n", inputs=("i",), threshold="t", decay=4096, shift=0),
        Readout(name="r", inputs=("n",), steps=5),
        Output(name="y", inputs=("r",)),
    )
    graph = Graph(ops, {**weights}, "step", 5)
    x = np.zeros((5, 4))
    x[1, 2] = 1
    net = net_of(graph)
    busy = activity_of(net, x, exact=True).updated["n"]
    current = interpret(graph, x[:, None])["i"][:, 0]
    assert current[:, 2].tolist() == [0, 64, 1, 0, 0]
    # In step 3 the potential of step 2 is still to be taken off.
    assert busy[:, 2].tolist() == [False, True, True, True, False]
    assert busy[:, 0].tolist() == [False, True, False, False, False]  # met a weight of 0
    assert stretched(net, activity_of(net, x), 8).steps == 8


def test_the_pipeline_adds_no_step_for_a_current(lasting_network: Networks, events: Events) -> None:
    data = events()
    quantize = Quantize(TARGET.arithmetic, TARGET.features, Calibration(data))
    graph = quantize.quantize(lasting_network(residual=True)).graph
    pipeline = pipelined(graph, CHIP)
    late = pipeline.latency_of
    assert [late[name] for name in ("a", "i1", "s1", "b", "i2", "s2", "i3", "s3")] == [
        1, 1, 1, 2, 2, 2, 3, 3,
    ]  # fmt: skip
    x = events(2).swapaxes(0, 1)
    assert np.array_equal(Executor(graph).run(x).output, interpret(graph, x)["y"])
