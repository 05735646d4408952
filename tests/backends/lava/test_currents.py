"""Currents traced to their terms, cut to slices, and laid out as stock processes want them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snncc.backends.lava.currents import Current, current_of, received_by
from snncc.backends.lava.slices import Slice, cut
from snncc.backends.lava.synapses import StockSynapses, grouped, recorded, stock_synapses
from snncc.ir import ops
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.interpret import interpret
from snncc.ir.synaptic_current import IntegerCurrent

PLENTY = 1e9


def stock_output(synapses: StockSynapses) -> Array:
    """What stock Conv and Dense compute, in plain loops over taps: ``[frames, neurons]``."""
    x, w = synapses.frames.astype(np.int64), synapses.weight
    if synapses.process == "Dense":
        y = x @ w.T
        return y << synapses.exp if synapses.exp > 0 else y >> -synapses.exp
    (p, q), (s, t), (d, e) = synapses.padding, synapses.stride, synapses.dilation
    x = np.pad(x, ((0, 0), (p, p), (q, q), (0, 0)))
    out, kh, kw, per_in = w.shape
    high = (x.shape[1] - d * (kh - 1) - 1) // s + 1
    wide = (x.shape[2] - e * (kw - 1) - 1) // t + 1
    y = np.zeros((len(x), high, wide, out), np.int64)
    for o in range(out):
        first = o // (out // synapses.groups) * per_in
        for a in range(kh):
            for b in range(kw):
                rows = x[:, a * d : a * d + (high - 1) * s + 1 : s]
                window = rows[:, :, b * e : b * e + (wide - 1) * t + 1 : t]
                flipped = w[o, kh - 1 - a, kw - 1 - b]
                y[..., o] += window[..., first : first + per_in] @ flipped
    return y.reshape(len(x), -1)


def summed(graph: Graph, neuron: Op) -> Current | str:
    """What a layer receives, or why stock processes do not sum it."""
    received = received_by(graph, neuron)
    return received if isinstance(received, str) else current_of(graph, received)


def assert_slice_is_exact(graph: Graph, x: Array, seconds: float, k: int = 2) -> Slice:
    """The last neuron layer's current, from stock synapses and bias, on the slice chosen."""
    values = interpret(graph, x)
    neuron = graph.of_kind("integer_neuron")[-1]
    current = summed(graph, neuron)
    assert isinstance(current, Current), current
    piece = cut(current, graph.steps, seconds)
    assert isinstance(piece, Slice), piece
    pairs = zip(current.terms, piece.windows, strict=True)
    drive = [stock_synapses(graph, t, w, k, values, 2) for t, w in pairs]
    neurons = piece.neurons.reshape(-1)
    found = sum(stock_output(s) for s in drive) + (current.bias[neurons] << k)
    frames = recorded(graph, values, neuron.inputs[0], 2)
    assert np.array_equal(found, frames.reshape(len(frames), -1)[:, neurons] << k)
    return piece


def last_neuron(net: Any, x: str) -> Graph:
    net.add(ops.Output, net.neuron(x))
    graph: Graph = net.graph()
    return graph


@pytest.mark.parametrize("seconds", [PLENTY, 5e-5, 0.0])
@pytest.mark.parametrize(
    "fields",
    [
        {"out": 6},
        {"out": 6, "kernel": 1},
        {"out": 4, "stride": 2},
        {"out": 4, "kernel": 5, "stride": 3},
        {"out": 4, "groups": 4},
        {"out": 8, "groups": 2},
        {"out": 6, "bias": False, "shift": 1},
    ],
)
def test_convolutions(networks: Any, fields: dict[str, Any], seconds: float) -> None:
    net = networks.net(steps=2)
    graph = last_neuron(net, net.conv(net.spikes(4, 9, 9), **fields))
    piece = assert_slice_is_exact(graph, networks.input(graph, 2), seconds)
    assert (piece.text == "all") == (seconds == PLENTY)


def test_a_dilated_convolution(networks: Any) -> None:
    net = networks.net(steps=2)
    x = net.add(
        ops.Conv,
        net.spikes(2, 9, 9),
        weight=net.mantissas(3, 2, 3, 3),
        stride=(1, 2),
        padding=(2, 0),
        dilation=(2, 1),
    )
    graph = last_neuron(net, x)
    for seconds in (PLENTY, 1e-4):
        assert_slice_is_exact(graph, networks.input(graph, 2), seconds)


def test_a_convolution_over_one_axis(networks: Any) -> None:
    net = networks.net(steps=2)
    graph = last_neuron(net, net.conv(net.spikes(4, 12), 6, kernel=3, stride=2))
    for seconds in (PLENTY, 1e-4):
        assert_slice_is_exact(graph, networks.input(graph, 2), seconds)


@pytest.mark.parametrize("shape", [(12,), (5, 12), (2, 3, 12)])
def test_linear_layers(networks: Any, shape: tuple[int, ...]) -> None:
    net = networks.net(steps=2)
    graph = last_neuron(net, net.linear(net.spikes(*shape), 6))
    for seconds in (PLENTY, 1e-4):
        assert_slice_is_exact(graph, networks.input(graph, 2), seconds)


def test_one_row_of_weights_is_dense_and_tokens_are_a_convolution(networks: Any) -> None:
    for shape, process in (((12,), "Dense 6x12"), ((5, 12), "Conv 6x1x1x12")):
        net = networks.net(steps=2)
        graph = last_neuron(net, net.linear(net.spikes(*shape), 6))
        values = interpret(graph, networks.input(graph, 1))
        current = summed(graph, graph.of_kind("integer_neuron")[0])
        assert isinstance(current, Current)
        piece = cut(current, 2, PLENTY)
        assert isinstance(piece, Slice)
        drive = stock_synapses(graph, current.terms[0], piece.windows[0], 1, values, 1)
        assert str(drive) == process


def test_graded_input_that_is_made_once(networks: Any) -> None:
    net = networks.net(steps=3)
    x = net.add(ops.Repeat, net.conv(net.input(2, 6, 6), 4))
    graph = last_neuron(net, x)
    assert_slice_is_exact(graph, networks.input(graph, 2), PLENTY)


def test_sums_through_views_and_constants(networks: Any) -> None:
    """A map, a token layer and a constant meet: each in its own layout."""
    net = networks.net(steps=2)
    s = net.spikes(4, 3, 5)
    tokens = net.add(ops.Permute, net.add(ops.Reshape, s, shape=(4, 15)), order=(1, 0))
    y = net.add(ops.Permute, net.linear(tokens, 6), order=(1, 0))
    y = net.add(ops.Add, net.add(ops.Reshape, y, shape=(6, 3, 5)), net.conv(s, 6))
    constant = net.add(ops.Constant, value=net.weight(np.arange(6).reshape(6, 1, 1)))
    graph = last_neuron(net, net.add(ops.Add, net.add(ops.Add, y, constant), net.conv(s, 6, 1)))
    for seconds in (PLENTY, 3e-4, 0.0):
        assert_slice_is_exact(graph, networks.input(graph, 2), seconds)


def test_a_layer_that_is_added_to_itself(networks: Any) -> None:
    net = networks.net(steps=2)
    y = net.conv(net.spikes(2, 4, 4), 3)
    graph = last_neuron(net, net.add(ops.Add, y, y))
    assert_slice_is_exact(graph, networks.input(graph, 2), PLENTY)


def test_a_third_of_a_linear_layer(networks: Any) -> None:
    net = networks.net(steps=2)
    y = net.linear(net.spikes(5, 6), 12)
    graph = last_neuron(net, net.add(ops.Slice, y, axis=1, start=4, stop=8))
    piece = assert_slice_is_exact(graph, networks.input(graph, 2), PLENTY)
    assert piece.windows[0].channels.tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("pool", "a max-pool on currents"),
        ("attention", "an attention product"),
        ("mask", "a product of two computed values"),
        ("spikes", "a integer_neuron"),
        ("constant", "its current is constant"),
        ("expand", "do not fill a grid"),
    ],
)
def test_currents_without_a_stock_form(networks: Any, kind: str, reason: str) -> None:
    net = networks.net(steps=2)
    s = net.spikes(2, 4, 4)
    x = {
        "pool": lambda: net.pool(net.conv(s, 2)),
        "attention": lambda: net.add(ops.MatMul, s, s),
        "mask": lambda: net.add(ops.Mask, s, s),
        "spikes": lambda: net.neuron(net.conv(s, 2)),
        "constant": lambda: net.add(ops.Constant, value=net.weight(np.ones((2, 1, 1), int))),
        "expand": lambda: net.add(ops.Expand, net.conv(s, 2), shape=(3, 2, 4, 4)),
    }[kind]()
    graph = last_neuron(net, x)
    current = summed(graph, graph.of_kind("integer_neuron")[-1])
    if isinstance(current, Current):
        found = cut(current, 2, PLENTY)
        assert isinstance(found, str)
        current = found
    assert reason in current


def test_three_dimensions_have_no_stock_form(networks: Any) -> None:
    net = networks.net(steps=2)
    graph = last_neuron(net, net.conv(net.spikes(1, 3, 3, 3), 2))
    found = summed(graph, graph.of_kind("integer_neuron")[0])
    assert isinstance(found, str)
    assert "more than two dimensions" in found


def test_layers_laid_out_differently_have_no_common_slice(networks: Any) -> None:
    """A transposed map, added to one that is not: no box of one is a box of the other."""
    net = networks.net(steps=2)
    s = net.spikes(2, 4, 4)
    turned = net.add(ops.Permute, net.conv(s, 2), order=(0, 2, 1))
    graph = last_neuron(net, net.add(ops.Add, turned, net.conv(s, 2)))
    current = summed(graph, graph.of_kind("integer_neuron")[0])
    assert isinstance(current, Current)
    assert cut(current, 2, PLENTY) == "the layers in its sum lay out their outputs differently"


def test_channels_that_do_not_fill_groups_become_dense() -> None:
    weight = np.arange(6 * 2).reshape(6, 2, 1)
    part, groups, read = grouped(weight, 3, np.array([0, 4, 5]))
    assert (groups, read.tolist()) == (1, [0, 1, 4, 5])
    assert part[:, :, 0].tolist() == [[0, 1, 0, 0], [0, 0, 8, 9], [0, 0, 10, 11]]
    part, groups, read = grouped(weight, 3, np.array([0, 1, 4, 5]))
    assert (groups, read.tolist()) == (2, [0, 1, 4, 5])
    assert np.array_equal(part, weight[[0, 1, 4, 5]])


def test_what_reaches_neurons_that_keep_it(networks: Any) -> None:
    """Traced through views behind the current, with the bias that is added there."""
    net = networks.net(steps=2)
    made = net.conv(net.spikes(2, 4, 4), 3)
    kept = net.add(IntegerCurrent, made, decay=1000, shift=6, steps=2)
    turned = net.add(ops.Permute, kept, order=(2, 0, 1))
    constant = net.add(ops.Constant, value=net.weight(np.arange(3).reshape(3, 1)))
    graph = last_neuron(net, net.add(ops.Add, turned, constant))
    received = received_by(graph, graph.of_kind("integer_neuron")[0])
    assert not isinstance(received, str)
    assert received.name == made
    assert received.keeps == graph[kept]
    places = np.arange(48).reshape(3, 4, 4).transpose(2, 0, 1)
    assert np.array_equal(received.elements, places.reshape(-1))
    assert np.array_equal(
        received.bias.reshape(4, 3, 4), np.broadcast_to([[0], [1], [2]], (4, 3, 4))
    )
    assert isinstance(current_of(graph, received), Current)


def test_a_sum_of_which_one_part_lasts_has_no_stock_form(networks: Any) -> None:
    net = networks.net(steps=2)
    s = net.spikes(2, 4, 4)
    kept = net.add(IntegerCurrent, net.conv(s, 3), decay=1000, shift=6, steps=2)
    graph = last_neuron(net, net.add(ops.Add, kept, net.conv(s, 3)))
    found = received_by(graph, graph.of_kind("integer_neuron")[0])
    assert found == (
        "a sum of currents of which one lasts: stock neurons keep their own current alone"
    )
