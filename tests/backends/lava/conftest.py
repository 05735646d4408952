"""Integer step graphs, built by hand and at random, for the Lava backend."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest

from snncc.backends.lava.compat import installed_version
from snncc.backends.lava.rules import VERSION
from snncc.ir import domain as dom
from snncc.ir import ops
from snncc.ir.graph import Array, Graph, Op, Shape, Source, Weight
from snncc.ir.synaptic_current import IntegerCurrent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `lava` where Lava is not there."""
    if installed_version() == VERSION:
        return
    skip = pytest.mark.skip(reason=f"lava-nc {VERSION} is not installed")
    for item in items:
        if "lava_run" in getattr(item, "fixturenames", ()):
            item.add_marker(skip)


@pytest.fixture
def lava_run() -> None:
    """A test that asks for this starts Lava: it is skipped where Lava is not installed."""


class Net:
    """An integer step graph, built op by op; int8 weights and int16 biases from a seed."""

    def __init__(self, steps: int = 4, seed: int = 0) -> None:
        self.T = steps
        self.shift = steps - 1
        self.numbers = np.random.default_rng(seed)
        self.ops: list[Op] = []
        self.weights: dict[str, Weight] = {}

    def add(self, kind: type[Op], *inputs: str, module: str = "", **fields: Any) -> str:
        name = f"{kind.kind}{len(self.ops)}"
        self.ops.append(kind(name=name, inputs=inputs, source=Source(module), **fields))
        return name

    def graph(self) -> Graph:
        graph = Graph(tuple(self.ops), self.weights, "step", self.T)
        assert graph.types
        return graph

    def shape(self, name: str) -> Shape:
        return self.graph().type_of(name).shape

    def weight(self, values: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(values)
        return name

    def mantissas(self, *shape: int) -> str:
        return self.weight(self.numbers.integers(-128, 128, shape).astype(np.int8))

    def bias(self, n: int) -> str:
        return self.weight(self.numbers.integers(-300, 300, n).astype(np.int16))

    def input(self, *shape: int, varies: bool = False) -> str:
        return self.add(
            ops.Input, shape=shape, domain=dom.integers(0, 15), scale=1 / 15, varies=varies
        )

    def spikes(self, *shape: int) -> str:
        """An event stream."""
        return self.add(ops.Input, shape=shape, domain=dom.integers(0, 1), scale=1.0, varies=True)

    def neuron(self, x: str, module: str = "", **fields: Any) -> str:
        """A layer whose thresholds differ from channel to channel (the first axis)."""
        shape = self.shape(x)
        theta = self.numbers.integers(20, 400, (shape[0], *(1,) * (len(shape) - 1)))
        given = {"threshold": theta << self.shift, "decay": 2048, "shift": self.shift, **fields}
        given["threshold"] = self.weight(given["threshold"])
        return self.add(ops.IntegerNeuron, x, module=module, **given)

    def lasting(self, x: str, module: str = "", decay: int = 1000, **fields: Any) -> str:
        """A layer as stock neurons are whose currents last."""
        kept = self.add(IntegerCurrent, x, module=module, decay=decay, shift=6, steps=self.T)
        shape = self.shape(x)
        theta = (self.numbers.integers(20, 400, (shape[0], *(1,) * (len(shape) - 1))) << 6) + 1
        return self.neuron(kept, module, **{"threshold": theta, "shift": 0, **fields})

    def counting(self, x: str, module: str = "", levels: int = 3) -> str:
        """A layer that fires up to `levels` spikes at once, soft reset by a unit."""
        unit = np.array(90 << self.shift)
        rising = unit * np.arange(1, levels + 1) - (unit >> 1)
        theta = rising.reshape(levels, *(1,) * len(self.shape(x)))
        fields = {"threshold": theta, "unit": self.weight(unit), "levels": levels}
        return self.neuron(x, module, reset="soft", **fields)

    def conv(  # one argument a field
        self,
        x: str,
        out: int,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        module: str = "",
        bias: bool = True,
        **fields: Any,
    ) -> str:
        shape = self.shape(x)
        n = len(shape) - 1
        return self.add(
            ops.Conv,
            x,
            module=module,
            weight=self.mantissas(out, shape[0] // groups, *(kernel,) * n),
            bias=self.bias(out) if bias else None,
            stride=(stride,) * n,
            padding=(kernel // 2,) * n,
            dilation=(1,) * n,
            groups=groups,
            **fields,
        )

    def linear(self, x: str, out: int, bias: bool = True, **fields: Any) -> str:
        weight = self.mantissas(out, self.shape(x)[-1])
        return self.add(
            ops.Linear, x, weight=weight, bias=self.bias(out) if bias else None, **fields
        )

    def pool(self, x: str) -> str:
        window: Any = {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1), "dilation": (1, 1)}
        return self.add(ops.MaxPool, x, **window)

    def head(self, x: str, classes: int = 3) -> Graph:
        """Sum over places and time, a linear layer, real scores."""
        axes = tuple(range(1, len(self.shape(x))))
        x = self.add(ops.Sum, x, axes=axes, module="head") if axes else x
        x = self.add(ops.Readout, x, steps=self.T, module="head")
        x = self.linear(x, classes, module="head")
        self.add(ops.Output, x, scale=self.weight(np.linspace(0.1, 0.3, classes)))
        return self.graph()

    def attention(self, x: str, heads: int = 2, module: str = "") -> str:
        """`Q (K^T V)` of spikes `[C, H, W]` read as tokens, one neuron layer behind it."""
        c, h, w = self.shape(x)
        q, k, v = (self._head_spikes(x, heads, module) for _ in range(3))
        kt = self.add(ops.Permute, k, order=(0, 2, 1), module=module)
        y = self.add(ops.MatMul, q, self.add(ops.MatMul, kt, v, module=module), module=module)
        y = self.add(ops.Permute, y, order=(0, 2, 1), module=module)
        y = self.add(ops.Reshape, y, shape=(c, h * w), module=module)
        y = self.neuron(y, module, threshold=np.array(3 << self.shift))
        return self.add(ops.Reshape, y, shape=(c, h, w), module=module)

    def _head_spikes(self, x: str, heads: int, module: str) -> str:
        c, h, w = self.shape(x)
        y = self.conv(x, c, 1, module=module)
        y = self.neuron(self.add(ops.Reshape, y, shape=(c, h * w), module=module), module)
        y = self.add(ops.Reshape, y, shape=(heads, c // heads, h * w), module=module)
        return self.add(ops.Permute, y, order=(0, 2, 1), module=module)

    def block(self, x: str, module: str) -> str:
        """Attention and a convolution, each added to the stream of currents."""
        c = self.shape(x)[0]
        y = self.attention(self.neuron(x, module), module=module)
        x = self.add(ops.Add, x, self.conv(y, c, 1, module=module), module=module)
        y = self.conv(self.neuron(x, module), c, 3, module=module)
        return self.add(ops.Add, x, y, module=module)


def spikingformer(steps: int = 4, blocks: int = 2) -> Graph:
    """A small network with all that a Spikingformer has, its first layer computed once."""
    net = Net(steps)
    x = net.conv(net.input(2, 8, 8), 8, module="patch_embed.conv")
    x = net.neuron(net.add(ops.Repeat, x, module="patch_embed"), "patch_embed")
    x = net.conv(net.pool(x), 8, module="patch_embed.conv1")
    for i in range(blocks):
        x = net.block(x, f"block.{i}")
    return net.head(net.neuron(x, "head"))


def random_graph(seed: int) -> Graph:
    """A network at random: joins, several readers, views, masks, slices, SEW sums, depthwise.

    Currents of some layers last.
    """
    dice = Random(seed)  # noqa: S311
    net = Net(dice.choice((1, 2, 4)), seed)
    varies = dice.random() < 0.5
    x = net.conv(net.input(2, 6, 6, varies=varies), 4, module="stem")
    x = x if varies else net.add(ops.Repeat, x, module="stem")
    for i in range(4):
        x = _random_block(net, dice, x, dice.choice((f"block.{i}", "shared", "")))
    return net.head(net.neuron(x) if dice.random() < 0.7 else x)


def _random_block(net: Net, dice: Random, x: str, module: str) -> str:
    c = net.shape(x)[0]
    s = (
        net.counting(x, module)
        if dice.random() < 0.2
        else net.lasting(x, module, dice.choice((0, 410, 2048, 4000)))
        if dice.random() < 0.3
        else net.neuron(x, module, reset=dice.choice(("hard", "hard", "soft")))
    )
    kind = dice.choice(("residual", "sew", "attention", "mask", "split", "depthwise"))
    if kind == "residual":
        return net.add(ops.Add, x, net.conv(s, c, module=module), module=module)
    if kind == "sew":
        again = net.neuron(net.conv(s, c, 1, module=module), module)
        return net.conv(net.add(ops.Add, s, again, module=module), c, 1)
    if kind == "attention":
        return net.conv(net.attention(s, module=module), c, 1, module=module)
    if kind == "mask":
        gate = net.add(ops.Sum, s, axes=(0,), keepdims=True, module=module)
        gate = net.neuron(gate, module, threshold=np.array(1 << net.shift))
        return net.conv(net.add(ops.Mask, gate, s, module=module), c, module=module)
    if kind == "split":
        parts = [
            net.add(ops.Slice, s, axis=0, start=a, stop=b, module=module)
            for a, b in ((0, c // 2), (c // 2, c))
        ]
        joined = net.add(ops.Concat, net.neuron(net.conv(parts[0], c // 2)), parts[1], axis=0)
        return net.conv(joined, c, 1)
    return net.conv(s, c, groups=c, module=module)


def random_input(graph: Graph, samples: int, seed: int = 0) -> Array:
    """Pixels for each sample, or for each time step and sample."""
    shown: Any = graph.ops[0]
    lead = (graph.steps, samples) if shown.varies else (samples,)
    drawn: Array = np.random.default_rng(seed).random((*lead, *shown.shape))
    return drawn


@dataclasses.dataclass(frozen=True)
class Networks:
    """What the tests build from; a fixture, for tests do not import each other."""

    net: type[Net] = Net
    spikingformer: Callable[..., Graph] = spikingformer
    random: Callable[[int], Graph] = random_graph
    input: Callable[..., Array] = random_input


@pytest.fixture(scope="session")
def networks() -> Networks:
    return Networks()
