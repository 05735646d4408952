"""What each layer did: the estimate's parts add up to the count, on random nets of every form."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.energy.detail import WORK, layer_details, other_ops, readings, work_of
from snncc.execute.counts import count
from snncc.execute.synapses import existing_taps
from snncc.ir.graph import Graph
from snncc.ir.ops import Add, AvgPool, Conv, Linear, MaxPool

NUMBERS = st.tuples(*(st.integers(1, 3),) * 2)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[dict[str, Any], int]:
    """Options of a conv on 4 x 6 x 5 that has at least one output, and its kernel."""
    kernel = draw(st.integers(1, 3))
    options = {
        "stride": draw(NUMBERS),
        "padding": draw(st.tuples(*(st.integers(0, 2),) * 2)),
        "dilation": draw(st.tuples(*(st.integers(1, 2),) * 2)),
        "groups": draw(st.sampled_from((1, 2, 4))),
    }
    return options, kernel


def net(nets: Any, options: dict[str, Any], kernel: int, hi: int, bias: bool) -> Graph:
    layer = nets.conv("c", "x", "w", bias="b" if bias else None, **options)
    weights = {"w": nets.ones(8, 4 // options["groups"], kernel, kernel), "b": nets.ones(8)}
    graph: Graph = nets.network((layer,), weights, (4, 6, 5), hi)
    return graph


def brute_taps(graph: Graph) -> int:
    """Every window, every tap: is it on a place of the input?"""
    op = graph["c"]
    assert isinstance(op, Conv)
    weight = graph.weights["w"]
    _, height, width = graph.type_of("c").shape
    inside = 0
    for i, j, k, m in itertools.product(
        range(height), range(width), range(weight.shape[2]), range(weight.shape[3])
    ):
        row = i * op.stride[0] - op.padding[0] + k * op.dilation[0]
        column = j * op.stride[1] - op.padding[1] + m * op.dilation[1]
        inside += 0 <= row < 6 and 0 <= column < 5
    return inside * weight.shape[0] * weight.shape[1]


@given(drawn=convolutions(), hi=st.integers(1, 2), bias=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_the_parts_add_up_to_the_difference(
    nets: Any, drawn: tuple[dict[str, Any], int], hi: int, bias: bool, seed: int
) -> None:
    graph = net(nets, *drawn, hi, bias)
    x = np.random.default_rng(seed).integers(0, hi + 1, (2, nets.STEPS, 4, 6, 5)).astype(float)
    assert existing_taps(graph["c"], graph) == brute_taps(graph)
    found = layer_details(graph, count(graph, x))["c"]
    parts = found["difference"]
    whole = found["estimated_ops"] - found["counted_ops"]
    assert sum(parts.values()) == pytest.approx(whole, rel=1e-12, abs=1e-6)
    assert parts["bias"] >= 0
    assert parts["padding"] >= 0
    assert (parts["bias"] > 0) is (bias and bool(x.any()))


def test_spikes_everywhere_leave_only_bias_and_padding(nets: Any) -> None:
    options = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    graph = net(nets, options, 3, 1, True)
    found = layer_details(graph, count(graph, np.ones((2, nets.STEPS, 4, 6, 5))))["c"]
    assert found["difference"]["placement"] == 0
    taps = (3 * 6 - 2) * (3 * 5 - 2)
    assert found["counted_ops"] == nets.STEPS * 8 * 4 * taps
    assert found["difference"]["padding"] == nets.STEPS * 8 * 4 * (9 * 30 - taps)
    assert found["difference"]["bias"] == nets.STEPS * 8 * 30
    assert found["bias_adds"] == nets.STEPS * 8 * 30
    assert found["weight_words"] == found["counted_ops"]


@pytest.mark.parametrize("values_first", [True, False])
def test_attention_under_three_conventions(nets: Any, values_first: bool) -> None:
    graph = nets.attention(values_first=values_first, tokens=3, width=4)
    x = np.zeros((1, nets.STEPS, 3, 4))
    x[0, 0, 1] = x[0, 1, :2] = 1
    counts = count(graph, x)
    found = layer_details(graph, counts)
    rate = counts.rate_out("q_lif")
    assert 0 < rate < 1
    for name in ("first", "second"):
        attention, op = found[name]["attention"], counts.ops[name]
        assert attention["heads"] == 1
        assert attention["adds"] == op.synaptic_ops.sum()
        assert attention["and_accumulate"] == op.fan_out_ops.sum()
        assert attention["adds"] <= attention["and_accumulate"]
        assert attention["ssa_formula"] == pytest.approx(nets.STEPS * 3 * 4 * 4 * rate)
        assert found[name]["difference"]["partner"] == pytest.approx(
            found[name]["estimated_ops"] - found[name]["counted_ops"]
        )


def test_residuals_and_pools_are_counted_once_a_step(nets: Any) -> None:
    pool: dict[str, Any] = {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1)}
    ops = (
        MaxPool(name="max", inputs=("x",), dilation=(1, 1), **pool),
        AvgPool(name="avg", inputs=("x",), **pool),
        Add(name="sum", inputs=("max", "avg")),
    )
    graph = nets.network(ops, {}, (2, 5, 5))
    counts = count(graph, np.ones((2, nets.STEPS, 2, 5, 5)))
    found = {each["name"]: each["ops"] for each in other_ops(graph, counts)}
    inside = 2 * (2 + 3 + 2) ** 2
    pooled = nets.STEPS * (inside - 2 * 9)
    assert found == {"max": pooled, "avg": pooled, "sum": nets.STEPS * 2 * 9}
    work = work_of(layer_details(graph, counts), other_ops(graph, counts))
    assert tuple(work) == WORK
    assert (work["residual_adds"], work["pool_ops"]) == (nets.STEPS * 18, 2 * pooled)
    assert work["synaptic_ops"] == 0


def test_neurons_read_and_write_their_potential_at_every_step(nets: Any) -> None:
    ops = (
        Linear(name="l", inputs=("x",), weight="w"),
        nets.fires("n", "l"),
    )
    graph = nets.network(ops, {"w": nets.ones(5, 3), "one": np.array(1)}, (3,))
    x = np.zeros((2, nets.STEPS, 3))
    x[1, 0] = 1
    work = work_of(layer_details(graph, count(graph, x)), ())
    assert work["neuron_updates"] == nets.STEPS * 5
    assert work["potential_words"] == 2 * nets.STEPS * 5
    assert work["neuron_updates_active"] == 5 / 2
    assert work["spikes"] == 5 / 2
    assert work["weight_words"] == 15 / 2


def test_what_a_product_reads_is_said(nets: Any) -> None:
    graph = nets.attention(values_first=False, tokens=3, width=4)
    said = readings(graph)
    assert said["q"]["reads"] == "spike"
    assert said["second"]["reads"] == "int[0..4], spike"
