"""Pipelined lane: every connection is a Lava process that sends before it receives."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc.backends.lava.clusters import clusters
from snncc.backends.lava.compat import LavaRunError
from snncc.backends.lava.pipelined import run_lava_pipelined
from snncc.backends.lava.run import verify
from snncc.compiler import compile_model
from snncc.diagnostics.core import SnnccError
from snncc.execute import pipelined as executor
from snncc.execute.pipelined import run_pipelined
from snncc.frontends.load import load_model
from snncc.ir import ops
from snncc.ir.interpret import interpret
from snncc.ir.latency import Pipeline, is_inner_product
from snncc.ir.sites import Sites
from snncc.mapping.populations import net_of
from snncc.passes.balance_delays import pipelined
from snncc.passes.unroll_levels import UnrollLevels
from snncc.targets.load import load_target

DIGITS = Path(__file__).parents[3] / "examples" / "digits"
CHIP, ENDS = Sites("chip", "chip"), Sites("host", "host")


@pytest.mark.parametrize("seed", range(30))
def test_every_value_of_a_random_network(networks: Any, seed: int) -> None:
    """Joins of all kinds, masks, attention, concats, counts: the clockwork that Lava runs, here."""
    graph = networks.random(seed)
    graph = UnrollLevels().run(graph).graph if seed % 3 == 0 else graph
    x = networks.input(graph, 3, seed)
    reference = interpret(graph, x)
    for sites in (CHIP, ENDS, Sites()):
        found = run_pipelined(pipelined(graph, sites), x, [op.name for op in graph.ops])
        assert found.keys() == reference.keys() - {op.name for op in graph.of_kind("constant")}
        assert [n for n, v in found.items() if not np.array_equal(v, reference[n])] == []


@pytest.mark.parametrize("seed", range(30))
def test_clusters_are_whole_and_connections_stand_alone(networks: Any, seed: int) -> None:
    pipeline = pipelined(networks.random(seed), CHIP)
    graph, found = pipeline.graph, clusters(pipeline)
    outside = {op.name for op in graph.of_kind("input", "output")}
    assert sorted(n for c in found for n in c.ops) == sorted(set(graph.by_name) - outside)
    home = {name: cluster for cluster in found for name in cluster.ops}
    for cluster in found:
        slow = [name for name in cluster.ops if pipeline.steps[name]]
        counted = [name for name in cluster.ops if is_inner_product(graph[name], graph)]
        assert slow == list(cluster.ops[-1:]) if cluster.delayed else slow == counted == []
        assert len(cluster.ops) == 1 + len(counted) if cluster.delayed else True
        assert len({pipeline.latency_of[n] for n in cluster.ops if n not in slow}) <= 1
        for name in cluster.inputs:
            maker = home.get(name)
            assert maker is None or maker.delayed or cluster.delayed


def test_populations_on_cores_have_the_same_latencies(networks: Any) -> None:
    """What is placed and what is pipelined are one network."""
    graph = networks.spikingformer(blocks=2)
    for sites in (CHIP, ENDS, Sites()):
        pipeline = pipelined(graph, sites)
        placed = net_of(pipeline.graph, sites=sites).late
        assert {name: pipeline.latency_of[name] for name in placed} == dict(placed)
        emitted = net_of(graph, sites=sites).emitted
        assert emitted == placed.keys()


def test_a_spikingformer_equals_the_executor(networks: Any, lava_run: None) -> None:
    graph = networks.spikingformer(blocks=1)
    x = networks.input(graph, 3)
    pipeline = pipelined(graph, CHIP)
    run = run_lava_pipelined(pipeline, x)
    found = verify(run, interpret(graph, x))
    assert found.exact, found
    assert found.spikes_compared == sum(v.size for v in run.spikes.values()) > 0
    assert run.processes == len(clusters(pipeline)) + 2
    assert any(cluster.delayed for cluster in clusters(pipeline))


@pytest.mark.parametrize("seed", [0, 3])
def test_random_networks_equal_the_executor(networks: Any, lava_run: None, seed: int) -> None:
    graph = networks.random(seed)
    x = networks.input(graph, 2, seed)
    assert verify(run_lava_pipelined(pipelined(graph), x), interpret(graph, x)).exact


def test_an_answer_at_every_step_of_an_event_stream(networks: Any, lava_run: None) -> None:
    net = networks.net(steps=3)
    s = net.neuron(net.conv(net.spikes(2, 4, 4), 3))
    net.add(ops.Output, s)
    net.add(ops.Output, net.add(ops.Readout, s, steps=3))
    graph = net.graph()
    x = networks.input(graph, 4)
    run = run_lava_pipelined(pipelined(graph, CHIP), x, probes=False)
    assert run.spikes == {}
    assert verify(run, interpret(graph, x)).exact
    assert [y.shape for y in run.outputs.values()] == [(3, 4, 3, 4, 4), (4, 3, 4, 4)]


@pytest.mark.slow
def test_the_digits_network_equals_the_executor(lava_run: None) -> None:
    """The example, trained and in integers, on real samples, wherever its ends run."""
    model = load_model(str(DIGITS / "spikingformer.pth.tar"))
    data = np.load(DIGITS / "calibration.npz")["x"][:32]
    compiled = compile_model(model, target=load_target("loihi2"), calibration=data)
    x = np.load(DIGITS / "test.npz")["x"][:6]
    for sites in (CHIP, ENDS, Sites()):
        pipeline = pipelined(compiled.integer, sites)
        found = verify(run_lava_pipelined(pipeline, x), interpret(compiled.integer, x))
        assert found.exact, found
        neurons = compiled.integer.of_kind("integer_neuron")
        shapes = (compiled.integer.type_of(op.name).shape for op in neurons)
        assert found.spikes_compared == 6 * 4 * sum(math.prod(shape) for shape in shapes)


def test_a_shorter_delay_is_found_out(networks: Any, lava_run: None) -> None:
    """Lava itself keeps the time: what the clockwork's latencies say is not what makes it so."""
    graph = networks.spikingformer(blocks=1)
    x = networks.input(graph, 2)
    pipeline = pipelined(graph, CHIP)
    late = dict(pipeline.latency_of)
    delay = pipeline.graph.of_kind("delay")[-1]
    skipped = [
        ops.Repeat(name=op.name, inputs=op.inputs) if op is delay else op
        for op in pipeline.graph.ops
    ]
    broken = Pipeline(pipeline.graph.replace(skipped))
    object.__setattr__(broken, "latency_of", late)
    assert not verify(run_lava_pipelined(broken, x), interpret(graph, x)).exact


def test_a_process_that_fails_ends_the_run(
    networks: Any, lava_run: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: Any) -> Any:
        raise ArithmeticError("on purpose")

    monkeypatch.setattr(executor, "step", broken)
    net = networks.net(steps=2)
    graph = net.head(net.neuron(net.linear(net.spikes(6), 4)))
    with pytest.raises(LavaRunError, match="on purpose"):
        run_lava_pipelined(pipelined(graph), np.ones((2, 1, 6)))


def test_a_float_graph_is_refused(networks: Any) -> None:
    net = networks.net(steps=2)
    x = net.add(ops.Neuron, net.spikes(4))
    graph = net.head(x)
    with pytest.raises(SnnccError, match="in floating point"):
        run_lava_pipelined(pipelined(graph), np.ones((2, 1, 4)))
