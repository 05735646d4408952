"""Counts against loops over spikes and synapses in plain Python, on networks drawn at random.

Each network has convolutions of every stride, padding, dilation and group, a pool, a residual sum,
one form of attention, and a linear head after the last time step. What its layers read comes from
the interpreter; which synapses a value meets is found by trying every one of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.execute.counts import OpCount, count
from snncc.ir import domain as dom
from snncc.ir.domain import is_integer, is_spike
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.interpret import interpret
from snncc.ir.ops import (
    Add,
    AvgPool,
    Conv,
    Input,
    IntegerNeuron,
    Linear,
    Mask,
    MatMul,
    MaxPool,
    Output,
    Permute,
    Readout,
    Reshape,
    Sum,
)

STEPS, CHANNELS, SIDE = 2, 4, 4
FORMS = ("q (kt v)", "(q kt) v", "mask of a sum", "mask by tokens", "none")


class Net:
    """Builds a step graph op by op; ``last`` is the name of the newest."""

    def __init__(self, seed: int, hi: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.weights: dict[str, Array] = {"threshold": np.array(2)}
        domain = dom.integers(0, hi)
        shape = (CHANNELS, SIDE, SIDE)
        self.ops: list[Op] = [Input(name="x", shape=shape, domain=domain, scale=1.0, varies=True)]

    @property
    def last(self) -> str:
        return self.ops[-1].name

    def shape(self, name: str) -> tuple[int, ...]:
        return Graph(tuple(self.ops), self.weights, "step", STEPS).type_of(name).shape

    def add(self, op: type[Op], *inputs: str, **fields: Any) -> str:
        name = f"{op.kind}{len(self.ops)}"
        self.ops.append(op(name=name, inputs=inputs or (self.last,), **fields))
        return name

    def weight(self, *shape: int) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = self.rng.integers(-2, 4, shape).astype(np.int8)
        return name

    def neurons(self) -> str:
        return self.add(IntegerNeuron, threshold="threshold", decay=2048, shift=0)

    def graph(self) -> Graph:
        return Graph(tuple(self.ops), self.weights, "step", STEPS)


@st.composite
def networks(draw: st.DrawFn) -> tuple[Graph, Array]:
    """A network and two samples of it, ``[2, T, *shape]``."""
    hi = draw(st.integers(1, 3))
    net = Net(draw(st.integers(0, 10**6)), hi)
    _convolution(net, draw)
    first = net.neurons()
    if draw(st.booleans()):
        net.add(Add, first, first)
    _convolution(net, draw)
    net.neurons()
    if not _pool(net, draw):
        _attention(net, draw(st.sampled_from(FORMS)), draw(st.sampled_from((1, 2))))
    net.add(Reshape, shape=(math.prod(net.shape(net.last)),))
    net.add(Readout, steps=STEPS)
    weight = net.weight(3, net.shape(net.last)[0])
    net.add(Linear, weight=weight, bias=net.weight(3) if draw(st.booleans()) else None)
    net.add(Output)
    x = net.rng.integers(0, hi + 1, (2, STEPS, CHANNELS, SIDE, SIDE))
    x *= net.rng.random(x.shape) < draw(st.sampled_from((0.0, 0.2, 0.9)))
    return net.graph(), x.astype(float)


def _convolution(net: Net, draw: st.DrawFn) -> None:
    """A conv that keeps the channels and has at least two places an axis."""
    places = net.shape(net.last)[1:]
    axes = []
    for n in places:
        kernel, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        padding, stride = draw(st.integers(0, 2)), draw(st.integers(1, 3))
        reach = dilation * (kernel - 1) + 1
        stride = stride if (n + 2 * padding - reach) // stride >= 1 else 1
        fits = (n + 2 * padding - reach) // stride >= 1
        axes.append((kernel, dilation, padding, stride) if fits else (1, 1, 0, 1))
    kernels, dilations, paddings, strides = zip(*axes, strict=True)
    groups = draw(st.sampled_from((1, 2, CHANNELS)))
    weight = net.weight(CHANNELS, CHANNELS // groups, *kernels)
    bias = net.weight(CHANNELS) if draw(st.booleans()) else None
    net.add(
        Conv, weight=weight, bias=bias, stride=strides, padding=paddings, dilation=dilations,
        groups=groups,
    )  # fmt: skip


def _pool(net: Net, draw: st.DrawFn) -> bool:
    """Whether means were taken, which are no integers: no neurons can come after them."""
    kind = draw(st.sampled_from((MaxPool, AvgPool, None)))
    if kind is MaxPool:
        net.add(MaxPool, kernel=(2, 2), stride=(1, 1), padding=(1, 0), dilation=(1, 1))
    elif kind is AvgPool:
        net.add(AvgPool, kernel=(2, 2), stride=(1, 1), padding=(0, 0))
    return kind is AvgPool


def _attention(net: Net, form: str, heads: int) -> None:
    """Q, K and V of spikes, each from a conv over tokens, and their products."""
    if form == "none":
        return
    tokens = math.prod(net.shape(net.last)[1:])
    source = net.add(Reshape, shape=(CHANNELS, tokens))
    q, k, v = (_projection(net, source) for _ in "qkv")
    if form.startswith("mask"):
        first = net.add(Mask, k, v) if form == "mask of a sum" else k
        axis = 1 if form == "mask of a sum" else 0
        net.add(Sum, first, axes=(axis,), keepdims=True)
        net.add(Mask, q, net.neurons())
        return
    split = (heads, CHANNELS // heads, tokens)
    q, k, v = (net.add(Reshape, each, shape=split) for each in (q, k, v))
    q, v = (net.add(Permute, each, order=(0, 2, 1)) for each in (q, v))
    if form == "q (kt v)":
        net.add(MatMul, q, net.add(MatMul, k, v))
    else:
        net.add(MatMul, net.add(MatMul, q, k), v)
    net.neurons()


def _projection(net: Net, source: str) -> str:
    kernel = int(net.rng.integers(1, 3)) * 2 - 1
    weight = net.weight(CHANNELS, CHANNELS, kernel)
    net.add(Conv, source, weight=weight, stride=(1,), padding=(kernel // 2,), dilation=(1,))
    return net.neurons()


def synapses(op: Op, graph: Graph, shape: tuple[int, ...]) -> dict[tuple[int, ...], int]:
    """How many synapses a value at each place meets: each output and each tap is tried."""
    weight = graph.weights[op.weight_names[0]]
    if not isinstance(op, Conv):
        return {place: sum(1 for _ in range(weight.shape[0])) for place in np.ndindex(shape)}
    taps = {places: sum(1 for _ in _taps(op, graph, places)) for places in np.ndindex(shape[1:])}
    outputs, per_group = weight.shape[0] // op.groups, weight.shape[1]
    return {
        (channel, *places): n
        * sum(out // outputs == channel // per_group for out in range(weight.shape[0]))
        for channel in range(shape[0])
        for places, n in taps.items()
    }


def _taps(op: Conv, graph: Graph, places: tuple[int, ...]) -> Iterator[None]:
    kernel = graph.weights[op.weight].shape[2:]
    outs = graph.type_of(op.name).shape[1:]
    for at in itertools.product(*map(range, outs)):
        starts = [o * s - p for o, s, p in zip(at, op.stride, op.padding, strict=True)]
        for tap in itertools.product(*map(range, kernel)):
            if all(
                start + t * d == place
                for start, t, d, place in zip(starts, tap, op.dilation, places, strict=True)
            ):
                yield


def products_of(a: Array, b: Array, binary: tuple[bool, bool]) -> tuple[int, int]:
    """Return (additions with two factors that are not zero, additions of every spike)."""
    both, of_a, of_b = 0, 0, 0
    rows, inner, columns = a.shape[-2], a.shape[-1], b.shape[-1]
    for lead in np.ndindex(a.shape[:-2]):
        left, right = (a[lead] != 0).tolist(), (b[lead] != 0).tolist()
        for i, k, j in itertools.product(range(rows), range(inner), range(columns)):
            both += left[i][k] and right[k][j]
            of_a += left[i][k]
            of_b += right[k][j]
    known = [n for n, is_binary in zip((of_a, of_b), binary, strict=True) if is_binary]
    return both, min(known)


def hold_weights(op: Op, found: OpCount, graph: Graph, x: Array) -> None:
    """``x`` is ``[T, B, ...]`` or, after the last step, ``[1, B, ...]``."""
    reach = synapses(op, graph, x.shape[2:])
    spikes = is_integer(graph.type_of(op.inputs[0]).domain)
    for t, step in enumerate(x):
        values = [(sample[place], reach[place]) for sample in step for place in reach]
        assert found.events_in[t] == sum(v != 0 for v, _ in values)
        assert found.event_ops[t] == sum(n for v, n in values if v != 0)
        if spikes:
            assert found.value_in[t] == sum(abs(int(v)) for v, _ in values)
            assert found.synaptic_ops[t] == sum(abs(int(v)) * n for v, n in values)
    outputs = math.prod(graph.type_of(op.name).shape)
    biased = getattr(op, "bias", None) is not None
    assert found.bias_ops.tolist() == [outputs * x.shape[1] if biased else 0] * len(x)
    assert found.dense_ops * len(x) >= found.event_ops.sum() / x.shape[1]


def hold_products(op: Op, found: OpCount, graph: Graph, x: Array, y: Array) -> None:
    binary = tuple(is_spike(graph.type_of(name).domain) for name in op.inputs)
    assert (found.spike_input, found.spike_right) == binary
    for t in range(len(x)):
        if op.kind == "mask":
            pairs = [np.broadcast_arrays(a, b) for a, b in zip(x[t], y[t], strict=True)]
            both = sum(bool(p and q) for a, b in pairs for p, q in zip(a.flat, b.flat, strict=True))
            assert found.synaptic_ops[t] == both
            continue
        counts = [
            products_of(a, b, (binary[0], binary[1])) for a, b in zip(x[t], y[t], strict=True)
        ]
        assert found.synaptic_ops[t] == sum(both for both, _ in counts)
        for head, additions in enumerate(found.head_ops[t]):
            of_head = zip(x[t][:, head], y[t][:, head], strict=True)
            assert additions == sum(products_of(a, b, (True, True))[0] for a, b in of_head)
        if sum(binary) == 1:
            assert found.fan_out_ops[t] == sum(all_ for _, all_ in counts)


def hold_neurons(found: OpCount, x: Array, spikes: Array) -> None:
    for t in range(len(x)):
        assert found.updates[t] == sum(1 for _ in x[t].flat)
        assert found.active[t] == sum(1 for v in x[t].flat if v != 0)
        assert found.spikes_out[t] == sum(int(v) for v in spikes[t].flat)


@given(networks())
@settings(max_examples=15, deadline=None)
def test_counts_equal_a_loop_over_spikes_and_synapses(drawn: tuple[Graph, Array]) -> None:
    graph, x = drawn
    values = interpret(graph, x.swapaxes(0, 1))
    counts = count(graph, x)
    for op in graph.ops:
        if op.name not in counts.ops:
            continue
        found = counts.ops[op.name]
        late = found.runs == 1
        reads = [values[name][None] if late else values[name] for name in op.inputs]
        if op.kind in ("conv", "linear"):
            hold_weights(op, found, graph, reads[0])
        elif op.kind in ("matmul", "mask"):
            hold_products(op, found, graph, reads[0], reads[1])
        elif op.kind == "integer_neuron":
            hold_neurons(found, reads[0], values[op.name])


@given(networks(), st.integers(1, 2))
@settings(max_examples=10, deadline=None)
def test_counts_do_not_depend_on_the_batch(drawn: tuple[Graph, Array], batch: int) -> None:
    graph, x = drawn
    whole, parts = count(graph, x), count(graph, x, batch=batch)
    for name, op in whole.ops.items():
        for field in ("event_ops", "synaptic_ops", "fan_out_ops", "active", "spikes_out"):
            assert getattr(parts.ops[name], field).tolist() == getattr(op, field).tolist()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_attention_is_drawn(form: str) -> None:
    """The forms build: a draw that never reached one would prove nothing of it."""
    net = Net(1, 1)
    net.neurons()
    _attention(net, form, 2)
    kinds = {op.kind for op in net.graph().ops}
    wanted = {"none": set(), "q (kt v)": {"matmul"}, "(q kt) v": {"matmul"}}.get(form, {"mask"})
    assert wanted <= kinds
