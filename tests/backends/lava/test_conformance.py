"""Conformance lane: stock Lava processes against our integers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from snncc.backends.lava.conformance import ConformanceCase, conformance, needed_values
from snncc.ir import ops
from snncc.ir.graph import Array, Graph
from snncc.ir.interpret import interpret
from snncc.ir.synaptic_current import IntegerCurrent


def run(graph: Graph, x: Array, **options: Any) -> tuple[ConformanceCase, ...]:
    values = interpret(graph, x)
    needed = {name: values[name] for name in needed_values(graph)}
    return conformance(graph, needed, **options)


def assert_equal(cases: Iterable[ConformanceCase]) -> None:
    for case in cases:
        assert case.spikes_compared > 0, case
        assert case.mismatches == 0, case
        assert case.limits == (), case


def last_neuron(net: Any, x: str, **fields: Any) -> Graph:
    net.add(ops.Output, net.neuron(x, **fields))
    graph: Graph = net.graph()
    return graph


def test_every_layer_of_a_spikingformer(networks: Any, lava_run: None) -> None:
    graph = networks.spikingformer(blocks=1)
    cases = run(graph, networks.input(graph, 2))
    assert [c.layer for c in cases] == [op.name for op in graph.of_kind("integer_neuron")]
    assert_equal(cases)
    assert all(c.slice == "all" for c in cases)
    skipped = [c for c in cases if c.skipped_reason]
    assert [c.ops for c in skipped] == [("LIFReset",)]
    assert "attention product" in str(skipped[0].skipped_reason)
    assert cases[0].ops == ("Conv 8x3x3x2 padding 1 graded", "LIFReset")


@pytest.mark.parametrize("steps", range(1, 8))
def test_every_number_of_time_steps_with_exact_hits(
    networks: Any, lava_run: None, steps: int
) -> None:
    """Small weights and thresholds: many potentials stand exactly at the threshold."""
    net = networks.net(steps=steps, seed=steps)
    weight = net.weight(net.numbers.integers(-2, 4, (24, 10)).astype(np.int8))
    x = net.add(ops.Linear, net.spikes(10), weight=weight, bias=net.weight(np.arange(24) % 3 - 1))
    theta = net.numbers.integers(1, 8, 24) << (steps - 1)
    theta[::3] += np.arange(8) % 2
    graph = last_neuron(net, x, threshold=theta)
    shown = networks.input(graph, 8, seed=steps)
    values = interpret(graph, shown)
    currents = values[graph.of_kind("linear")[0].name]
    assert np.any(currents[0] << (steps - 1) == theta)
    cases = run(graph, shown, samples=8)
    assert_equal(cases)
    assert cases[0].ops == ("Dense 24x10", "LIFReset")
    assert cases[0].spikes_compared == steps * 8 * 24


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"out": 6, "stride": 2}, "Conv 6x3x3x4 stride 2 padding 1"),
        ({"out": 4, "groups": 4}, "Conv 4x3x3x1 padding 1 groups 4"),
        ({"out": 6, "kernel": 1, "bias": False, "shift": 2}, "Conv 6x1x1x4"),
    ],
)
def test_convolutions(networks: Any, lava_run: None, fields: dict[str, Any], said: str) -> None:
    net = networks.net(steps=4)
    graph = last_neuron(net, net.conv(net.spikes(4, 6, 6), **fields))
    cases = run(graph, networks.input(graph, 2))
    assert_equal(cases)
    assert cases[0].ops == (said, "LIFReset")


def test_a_residual_sum_of_three_layers_and_more_than_127_channels(
    networks: Any, lava_run: None
) -> None:
    net = networks.net(steps=4)
    s = net.spikes(130, 3, 3)
    y = net.add(ops.Add, net.conv(s, 5), net.conv(s, 5, 1))
    tokens = net.add(ops.Permute, net.add(ops.Reshape, s, shape=(130, 9)), order=(1, 0))
    tokens = net.add(ops.Permute, net.linear(tokens, 5), order=(1, 0))
    graph = last_neuron(net, net.add(ops.Add, y, net.add(ops.Reshape, tokens, shape=(5, 3, 3))))
    cases = run(graph, networks.input(graph, 2))
    assert_equal(cases)
    assert len(cases[0].ops) == 3  # the two of one kernel have one shape


def test_a_slice_is_what_fits_the_budget_and_is_reported(networks: Any, lava_run: None) -> None:
    net = networks.net(steps=4)
    graph = last_neuron(net, net.conv(net.spikes(8, 10, 10), 16))
    (case,) = run(graph, networks.input(graph, 1), samples=1, budget_seconds=2e-3)
    assert_equal([case])
    assert case.slice == "4 of 16 channels, 10x10 of 10x10 positions"
    assert case.spikes_compared == 4 * 4 * 100


def test_a_max_pool_on_currents_runs_the_neurons_alone(networks: Any, lava_run: None) -> None:
    net = networks.net(steps=4)
    graph = last_neuron(net, net.pool(net.conv(net.spikes(2, 6, 6), 4)))
    (case,) = run(graph, networks.input(graph, 2))
    assert_equal([case])
    assert case.ops == ("LIFReset",)
    assert case.skipped_reason == "a max-pool on currents: no stock process takes it"


def test_a_bias_wider_than_its_field_is_told_and_still_exact(networks: Any, lava_run: None) -> None:
    for largest in (2000, 16000):
        net = networks.net(steps=4)
        bias = net.weight(np.array([largest, -largest, 7]))
        x = net.add(ops.Linear, net.spikes(5), weight=net.mantissas(3, 5), bias=bias)
        graph = last_neuron(net, x, threshold=np.array([8000, 300, 700]) << 3)
        (case,) = run(graph, networks.input(graph, 2))
        assert case.mismatches == 0
        assert "the field has 13" in case.limits[0]


def test_soft_reset_runs_nothing_and_says_why(networks: Any, lava_run: None) -> None:
    net = networks.net(steps=4)
    graph = last_neuron(net, net.conv(net.spikes(2, 4, 4), 2), reset="soft")
    (case,) = run(graph, networks.input(graph, 1))
    assert (case.ops, case.spikes_compared) == ((), 0)
    assert case.skipped_reason == "soft reset: stock neurons reset to zero"


def test_a_layer_that_counts_is_refused_and_its_readers_get_graded_input(
    networks: Any, lava_run: None
) -> None:
    net = networks.net(steps=4)
    counts = net.counting(net.conv(net.spikes(2, 4, 4), 2))
    graph = last_neuron(net, net.conv(counts, 3))
    refused, graded = run(graph, networks.input(graph, 2))
    assert refused.skipped_reason == "fires up to 3 spikes at once: stock neurons fire one"
    assert refused.spikes_compared == 0
    assert_equal([graded])
    assert graded.ops == ("Conv 3x3x3x2 padding 1 graded", "LIFReset")


def test_layers_can_be_chosen_and_a_wrong_reference_is_found(networks: Any, lava_run: None) -> None:
    net = networks.net(steps=4)
    first = net.neuron(net.conv(net.spikes(2, 4, 4), 3))
    graph = last_neuron(net, net.conv(first, 3))
    values = interpret(graph, networks.input(graph, 2))
    values[first] = values[first].copy()
    values[first][2, 1, 0, 0, 0] ^= 1
    (case,) = conformance(graph, values, layers=[first])
    assert (case.layer, case.mismatches) == (first, 1)
    assert conformance(graph, values, layers=[]) == ()


@pytest.mark.parametrize("decay", [1, 409, 2048, 4095])
def test_currents_that_last_are_those_of_the_stock_process(
    networks: Any, lava_run: None, decay: int
) -> None:
    net = networks.net(steps=5)
    first = net.lasting(net.conv(net.spikes(2, 4, 4), 3, bias=False), decay=decay)
    row = net.add(ops.Reshape, first, shape=(48,))
    net.add(ops.Output, net.lasting(net.linear(row, 7, bias=False), decay=decay))
    graph = net.graph()
    shown = networks.input(graph, 3)
    rates = [interpret(graph, shown)[op.name].mean() for op in graph.of_kind("integer_neuron")]
    assert all(0 < rate < 1 for rate in rates)
    cases = run(graph, shown, samples=3)
    assert_equal(cases)
    assert [c.ops for c in cases] == [
        ("Conv 3x3x3x2 padding 1", f"LIFReset du {decay - 1}"),
        ("Dense 7x48", f"LIFReset du {decay - 1}"),
    ]


@pytest.mark.parametrize("behind", [[100, -2000, 4000], [64 * 100, 64 * -900, 64 * 2000]])
def test_a_bias_that_lasts_comes_as_a_current_and_one_behind_as_a_bias(
    networks: Any, lava_run: None, behind: list[int]
) -> None:
    net = networks.net(steps=4)
    made = net.conv(net.spikes(2, 4, 4), 3)
    kept = net.add(IntegerCurrent, made, decay=1000, shift=6, steps=4)
    bias = net.weight(np.array(behind).reshape(3, 1, 1))
    x = net.add(ops.Add, kept, net.add(ops.Constant, value=bias))
    theta = (net.numbers.integers(20, 400, (3, 1, 1)) << 6) + 1
    graph = last_neuron(net, x, shift=0, threshold=theta)
    cases = run(graph, networks.input(graph, 2))
    assert_equal(cases)
    assert not any("bias" in limit for case in cases for limit in case.limits)


def test_a_max_pool_before_a_current_that_lasts(networks: Any, lava_run: None) -> None:
    """The neurons alone, fed what they would keep."""
    net = networks.net(steps=4)
    net.add(ops.Output, net.lasting(net.pool(net.conv(net.spikes(2, 6, 6), 4))))
    graph = net.graph()
    (case,) = run(graph, networks.input(graph, 2))
    assert_equal([case])
    assert case.ops == ("LIFReset du 999",)
    assert case.skipped_reason == "a max-pool on currents: no stock process takes it"


@pytest.mark.parametrize(
    ("fields", "behind", "said"),
    [
        ({"decay": 0}, 0, "loses nothing of its current"),
        (
            {},
            70_001,
            "bias needs 18 bits at exponent 0, the field has 13, and the simulation keeps",
        ),
    ],
)
def test_what_stock_neurons_do_not_keep(
    networks: Any, lava_run: None, fields: dict[str, int], behind: int, said: str
) -> None:
    net = networks.net(steps=2)
    made = {"decay": 1000, "shift": 6, "steps": 2, **fields}
    kept = net.add(IntegerCurrent, net.conv(net.spikes(2, 4, 4), 3), **made)
    constant = net.add(ops.Constant, value=net.weight(np.full((3, 1, 1), behind)))
    x = net.add(ops.Add, kept, constant)
    graph = last_neuron(net, x, shift=0, threshold=np.full((3, 1, 1), 65))
    (case,) = run(graph, networks.input(graph, 2))
    assert case.spikes_compared == 0
    assert said in str(case.skipped_reason)
