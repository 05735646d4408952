"""Who meets whom, on networks drawn at random, against two other ways to count it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snncc.execute.synapses import fan_out_map
from snncc.ir import domain as dom
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.ops import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Input,
    IntegerNeuron,
    Mask,
    MaxPool,
    Output,
    Readout,
    Reshape,
    Slice,
    Sum,
)  # fmt: skip
from snncc.ir.pad import Pad
from snncc.mapping.deliveries import deliveries
from snncc.mapping.marks import usage_of
from snncc.mapping.needs import Cut
from snncc.mapping.placement import Core, Part, Placement, Seat, blocks, whole
from snncc.mapping.populations import Net, net_of
from snncc.mapping.views import NOWHERE
from snncc.passes.balance_delays import BalanceDelays


class Draw:
    """A chain of layers, each of a kind drawn at random; values are ``[channels, side, side]``."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.weights: dict[str, Array] = {"t": np.array(3)}
        side = int(self.rng.integers(5, 9))
        self.ops: list[Op] = [
            Input(name="x", shape=(2, side, side), domain=dom.integers(0, 1), varies=True)
        ]
        self.conv("x", channels=4)

    def add(self, op: Op) -> str:
        self.ops.append(op)
        return op.name

    def shape(self, name: str) -> tuple[int, ...]:
        return Graph(tuple(self.ops), self.weights, "step", 1).type_of(name).shape

    def neurons(self, reads: str) -> str:
        name = f"s{len(self.ops)}"
        return self.add(IntegerNeuron(name=name, inputs=(reads,), threshold="t", decay=0, shift=0))

    def window(self, reads: str) -> dict[str, Any]:
        side = self.shape(reads)[-1]
        kernel = int(self.rng.integers(1, min(4, side + 1)))
        stride, padding = int(self.rng.integers(1, 3)), int(self.rng.integers(0, kernel // 2 + 1))
        return {
            "kernel": (kernel, kernel), "stride": (stride, stride), "padding": (padding, padding)
        }  # fmt: skip

    def conv(self, reads: str, channels: int = 0, groups: int = 1) -> str:
        inner = self.shape(reads)[0]
        settings = self.window(reads)
        kernel = settings.pop("kernel")
        name = f"c{len(self.ops)}"
        outs = channels or int(self.rng.choice([2, 4]))
        self.weights[f"{name}.w"] = np.ones((outs, inner // groups, *kernel), np.int8)
        dilation = (1, 1)
        self.add(
            Conv(name=name, inputs=(reads,), weight=f"{name}.w", dilation=dilation, groups=groups,
                 **settings)
        )  # fmt: skip
        return self.neurons(name)

    def step(self, reads: str) -> str:
        kind = str(self.rng.choice(
            ["conv", "groups", "pool", "mean", "add", "concat", "slice", "pad", "mask", "sum"]
        ))  # fmt: skip
        return str(getattr(self, f"by_{kind}")(reads))

    def by_conv(self, reads: str) -> str:
        return self.conv(reads)

    def by_groups(self, reads: str) -> str:
        inner = self.shape(reads)[0]
        return self.conv(reads, channels=inner, groups=inner)

    def by_pool(self, reads: str) -> str:
        pool = MaxPool(name=f"p{len(self.ops)}", inputs=(reads,), dilation=(1, 1),
                       **self.window(reads))  # fmt: skip
        return self.conv(self.add(pool))

    def by_mean(self, reads: str) -> str:
        shape = self.shape(reads)
        pool = AvgPool(name=f"a{len(self.ops)}", inputs=(reads,), kernel=(1, 1), stride=(1, 1),
                       padding=(0, 0))  # fmt: skip
        flat = Reshape(name=f"r{len(self.ops)}", inputs=(self.add(pool),), shape=shape)
        return self.neurons(self.add(flat))

    def by_add(self, reads: str) -> str:
        return self.neurons(self.add(Add(name=f"j{len(self.ops)}", inputs=(reads, reads))))

    def by_concat(self, reads: str) -> str:
        twin = self.by_mean(reads)
        both = Concat(name=f"k{len(self.ops)}", inputs=(reads, twin), axis=0)
        return self.conv(self.add(both))

    def by_slice(self, reads: str) -> str:
        n = self.shape(reads)[0]
        part = Slice(name=f"l{len(self.ops)}", inputs=(reads,), axis=0, start=0, stop=max(1, n - 1))
        return self.conv(self.add(part))

    def by_pad(self, reads: str) -> str:
        return self.conv(
            self.add(Pad(name=f"b{len(self.ops)}", inputs=(reads,), before=(1, 0), after=(0, 1)))
        )

    def by_mask(self, reads: str) -> str:
        twin = self.by_mean(reads)
        return self.neurons(self.add(Mask(name=f"m{len(self.ops)}", inputs=(reads, twin))))

    def by_sum(self, reads: str) -> str:
        total = Sum(name=f"u{len(self.ops)}", inputs=(reads,), axes=(0,), keepdims=True)
        gate = self.neurons(self.add(total))
        return self.neurons(self.add(Mask(name=f"g{len(self.ops)}", inputs=(reads, gate))))


def drawn(seed: int) -> Graph:
    draw = Draw(seed)
    reads = draw.ops[-1].name
    for _ in range(4):
        reads = draw.step(reads)
    draw.add(Readout(name="out", inputs=(reads,), steps=1))
    draw.add(Output(name="y", inputs=("out",)))
    graph = Graph(tuple(draw.ops), draw.weights, "step", 1)
    return BalanceDelays().run(graph).graph


def dealt(net: Net, seed: int) -> Placement:
    rng = np.random.default_rng(seed)
    parts: list[list[Part]] = [[] for _ in range(7)]
    for population in net.populations:
        cuts = [blocks(n, int(rng.integers(1, min(n, 3) + 1))) for n in population.shape]
        for at in np.ndindex(*(len(cut) for cut in cuts)):
            box = tuple(cut[i] for cut, i in zip(cuts, at, strict=True))
            parts[int(rng.integers(7))].append(Part(population.name, box))
    cores = (Core(Seat(0, n, 0, 0), tuple(p)) for n, p in enumerate(parts))
    return Placement("t", tuple(cores))


@pytest.mark.parametrize("seed", range(40))
def test_axons_and_synapses_of_networks_drawn_at_random(seed: int) -> None:
    graph = drawn(seed)
    net = net_of(graph)
    placement = dealt(net, seed)
    reads, sends = np.zeros((2, 7), np.int64)
    synapses: dict[str, int] = {}
    for delivery in deliveries(net, placement.labels(net)):
        sizes = delivery.sizes[delivery.bins]
        np.add.at(reads, delivery.receivers, sizes)
        senders = delivery.senders[delivery.bins]
        np.add.at(sends, senders[senders != NOWHERE], sizes[senders != NOWHERE])
        for own in delivery.synapses:
            met = int((delivery.sizes[own.bins] * own.fans).sum())
            synapses[own.op] = synapses.get(own.op, 0) + met
    usage = usage_of(net, placement, 8)
    assert usage.axons_in.tolist() == reads.tolist()
    assert usage.axons_out.tolist() == sends.tolist()
    for op in graph.of_kind("conv"):
        shape = graph.type_of(op.inputs[0]).shape
        fans = np.broadcast_to(fan_out_map(op, graph), shape)
        if graph[op.inputs[0]].kind not in ("pad", "concat"):
            assert synapses[op.name] == int(fans.sum()), op.name


@pytest.mark.parametrize("seed", range(40))
def test_delays_on_the_way_are_what_the_clock_says(seed: int) -> None:
    """The mapper adds up delays along each way, the checker subtracts moments of the clock."""
    graph = drawn(seed)
    net = net_of(graph)
    cores = [Core(Seat(0, 0, 0, 0), (Part(p.name, whole(p.shape)),)) for p in net.populations]
    usage = usage_of(net, Placement("t", tuple(cores)), 8)
    for number, population in enumerate(net.populations):
        one = np.ones((len(population.shape), 1), np.int64)
        needs = Cut(net, population, one, 8, {}).needs().at(0)
        assert int(usage.delay_bits[number]) == needs.delay_bits, population.name
