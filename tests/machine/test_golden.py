"""The two-layer case that SANA-FE 2.2.9 ran, number for number."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pytest

from snncc.ir.graph import Array, Graph
from snncc.machine.activity import activity_of, stretched
from snncc.machine.run import MachineReport, machine_document, run_machine
from snncc.mapping.placement import Placement
from snncc.mapping.populations import net_of
from snncc.targets.load import load_target

SIMULATOR = "loihi1-sanafe"

TwoLayers: TypeAlias = tuple[Graph, Placement, Array]


@pytest.fixture(scope="module")
def report(two_layers: TwoLayers) -> MachineReport:
    graph, placement, x = two_layers
    net = net_of(graph, inputs_on_cores=True)
    activity = stretched(net, activity_of(net, x, exact=True), 6)
    return run_machine(net, placement, activity, load_target(SIMULATOR))


def test_a_spike_takes_one_step_to_each_layer(two_layers: TwoLayers) -> None:
    graph, _, _ = two_layers
    assert net_of(graph, inputs_on_cores=True).late == {"x": 0, "s": 1, "o": 2}


def test_events(report: MachineReport) -> None:
    loads = report.loads
    assert report.operations == 3866
    assert {name: int(n.sum()) for name, n in loads.operations.items()} == {
        "conv": 3636, "dense": 230, "sparse": 0,
    }  # fmt: skip
    assert (report.packets, report.hops) == (146, 23)
    assert loads.fired.sum(axis=1).tolist() == [0, 1, 7, 10, 7, 0]
    assert int(loads.inputs_fired.sum()) == 123
    assert int(loads.updated.sum()) == 1441 - 123
    assert int(loads.neurons.sum()) == 266


def test_energy(report: MachineReport) -> None:
    energy = report.energy_pj
    synapses = energy["synaptic_op_conv"] + energy["synaptic_op_dense"]
    soma = energy["neuron_access"] + energy["neuron_update"] + energy["spike_out"]
    network = energy["message_out"] + energy["hop_east_west"] + energy["hop_north_south"]
    assert synapses == pytest.approx(95_429, rel=1e-12)
    assert soma == pytest.approx(111_916.5, rel=1e-12)
    assert network == pytest.approx(16_302.6, rel=1e-12)
    assert report.total_pj == pytest.approx(223_648.1, rel=1e-12)
    assert report.energy_of == SIMULATOR


def test_times(report: MachineReport) -> None:
    want = [4582.0, 4422.4, 5207.6, 3799.1, 3693.8, 3475.8]
    np.testing.assert_allclose(report.times.step_ns, want, rtol=1e-12)
    assert report.times.binding == ("processing",) * 3 + ("generation",) * 3
    assert set(report.times.where) == {"core 1"}


def test_the_document_says_what_binds(report: MachineReport) -> None:
    document = machine_document(report)
    assert document["schema"] == "snncc.machine/1"
    assert document["steps"][0]["binding"] == "processing"
    assert document["steps"][0]["where"] == "core 1"
    assert document["events"]["message_out"] == 146
    assert document["energy_pj"]["total"] == pytest.approx(223_648.1)
    assert document["packets_from_host"] == 0
