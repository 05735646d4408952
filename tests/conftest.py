"""Networks at random, for every test that holds a rewrite against the interpreter."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest

from snncc.ir import ops
from snncc.ir.graph import Array, Graph, Op, Shape, Source, Weight
from snncc.ir.synaptic_current import SynapticCurrent


class RandomNetwork:
    """A spiking network on the tensor level, built op by op from a seed.

    Everything that real networks do is in it: batch norms on both sides, residual sums of currents
    and of spikes, currents that last, pools, attention, tokens and maps, scales, constants.
    """

    def __init__(self, seed: int, samples: int = 2) -> None:
        self.B = samples
        self.dice = Random(seed)  # noqa: S311
        self.numbers = np.random.default_rng(seed)
        self.ops: list[Op] = []
        self.weights: dict[str, Weight] = {}
        self.T = self.dice.choice((1, 2, 3, 4))

    def build(self, blocks: int = 4) -> Graph:
        shape = (self.T, self.B, self.dice.choice((2, 4)), 6, self.dice.choice((4, 6)))
        if self.dice.random() < 0.4:
            x = self.add(ops.Input, shape=(self.B, self.T, *shape[2:]), varies=False)
            x = self.add(ops.Permute, x, order=(1, 0, 2, 3, 4))
        else:
            x = self.add(ops.Input, shape=shape[1:])
            x = self.expanded(x, shape)
        x = self.normed_conv(x)
        for _ in range(blocks):
            x = self.dice.choice((self.block, self.sew_block, self.attention, self.pool))(x)
        self.head(x)
        return Graph(tuple(self.ops), self.weights)

    def add(self, kind: type[Op], *inputs: str, **fields: Any) -> str:
        name = "y" if kind is ops.Output else f"{kind.kind}{len(self.ops)}"
        source = Source(f"net.{len(self.ops)}", "net.py", len(self.ops))
        self.ops.append(kind(name=name, inputs=inputs, source=source, **fields))
        return name

    def weight(self, *shape: int, low: float = -1, high: float = 1) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = self.numbers.uniform(low, high, shape).astype(np.float32)
        return name

    def shape(self, name: str) -> Shape:
        return Graph(tuple(self.ops), self.weights).type_of(name).shape

    def expanded(self, x: str, shape: Shape) -> str:
        x = self.add(ops.Reshape, x, shape=(1, *shape[1:]))
        return self.add(ops.Expand, x, shape=shape)

    def flat(self, x: str) -> str:
        shape = self.shape(x)
        return self.add(ops.Reshape, x, shape=(shape[0] * shape[1], *shape[2:]))

    def unflat(self, x: str) -> str:
        shape = self.shape(x)
        return self.add(ops.Reshape, x, shape=(self.T, self.B, *shape[1:]))

    def neuron(self, x: str) -> str:
        if self.dice.random() < 0.2:
            x = self.add(ops.Scale, x, factor=self.dice.choice((0.125, 0.5, 2.0, 1.0)))
        if self.dice.random() < 0.3:
            x = self.add(SynapticCurrent, x, keep=self.dice.choice((0.0, 0.25, 0.5, 0.9)))
        return self.add(
            ops.Neuron,
            x,
            tau=self.dice.choice((None, 2.0, 1.5)),
            decay_input=self.dice.random() < 0.7,
            v_threshold=self.dice.choice((0.5, 1.0)),
            v_reset=self.dice.choice((0.0, 0.0, None)),
            strict=self.dice.random() < 0.2,
        )

    def norm(self, x: str, axis: int) -> str:
        n = self.shape(x)[axis]
        gamma, beta = self.weight(n, low=0.5, high=2), self.weight(n, low=-0.2, high=0.8)
        plain = self.dice.random() < 0.1
        return self.add(
            ops.BatchNorm,
            x,
            gamma=None if plain else gamma,
            beta=None if plain else beta,
            mean=self.weight(n, low=-0.2, high=0.2),
            var=self.weight(n, low=0.1, high=1),
            eps=1e-5,
            axis=axis,
        )

    def conv(self, x: str, kernel: int, groups: int = 1) -> str:
        """A convolution of `[T, B, C, H, W]` that keeps the shape."""
        c = self.shape(x)[2]
        return self.add(
            ops.Conv,
            self.flat(x),
            weight=self.weight(c, c // groups, kernel, kernel),
            bias=self.weight(c) if self.dice.random() < 0.5 else None,
            stride=(1, 1),
            padding=(kernel // 2,) * 2,
            dilation=(1, 1),
            groups=groups,
        )

    def normed_conv(self, x: str) -> str:
        kernel, groups = self.dice.choice((1, 3)), self.dice.choice((1, 1, 2))
        if kernel == 1 and self.dice.random() < 0.3:
            x = self.unflat(self.norm(self.flat(x), 1))
        y = self.conv(x, kernel, groups)
        if self.dice.random() < 0.2:
            y = self.add(ops.Scale, y, factor=self.dice.choice((0.5, -1.0, 0.3)))
        return self.unflat(self.norm(y, 1)) if self.dice.random() < 0.9 else self.unflat(y)

    def block(self, x: str) -> str:
        """Currents in, currents out, added."""
        return self.add(ops.Add, x, self.normed_conv(self.neuron(x)))

    def sew_block(self, x: str) -> str:
        """Spikes added to spikes."""
        s = self.neuron(x)
        return self.add(ops.Add, s, self.neuron(self.normed_conv(s)))

    def pool(self, x: str) -> str:
        s = self.flat(self.neuron(x))
        if min(self.shape(s)[-2:]) < 4:
            return x
        fields = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0)}
        if self.dice.random() < 0.5:
            return self.unflat(self.add(ops.MaxPool, s, dilation=(1, 1), **fields))
        return self.unflat(self.add(ops.AvgPool, s, **fields))

    def attention(self, x: str) -> str:
        """Q (K^T V) over tokens, two heads, channels by a linear layer."""
        t, b, c, h, w = self.shape(x)
        tokens = self.add(ops.Reshape, self.neuron(x), shape=(t, b, c, h * w))
        tokens = self.add(ops.Permute, tokens, order=(0, 1, 3, 2))
        q, k, v = (self.head_spikes(tokens) for _ in range(3))
        kt = self.add(ops.Permute, k, order=(0, 1, 2, 4, 3))
        y = self.add(ops.MatMul, q, self.add(ops.MatMul, kt, v))
        y = self.add(ops.Scale, y, factor=0.125)
        y = self.add(ops.Permute, y, order=(0, 1, 3, 2, 4))
        y = self.neuron(self.add(ops.Reshape, y, shape=(t, b, h * w, c)))
        y = self.linear(y, c)
        y = self.add(ops.Permute, y, order=(0, 1, 3, 2))
        return self.add(ops.Add, x, self.add(ops.Reshape, y, shape=(t, b, c, h, w)))

    def head_spikes(self, tokens: str) -> str:
        t, b, n, c = self.shape(tokens)
        y = self.neuron(self.norm(self.linear(tokens, c), 3))
        y = self.add(ops.Reshape, y, shape=(t, b, n, 2, c // 2))
        return self.add(ops.Permute, y, order=(0, 1, 3, 2, 4))

    def linear(self, x: str, fan_out: int) -> str:
        weight = self.weight(fan_out, self.shape(x)[-1])
        bias = self.weight(fan_out) if self.dice.random() < 0.5 else None
        return self.add(ops.Linear, x, weight=weight, bias=bias)

    def head(self, x: str) -> None:
        if self.dice.random() < 0.5:
            x = self.neuron(x)
        if self.dice.random() < 0.3:
            c = self.shape(x)[2]
            x = self.add(ops.Add, x, self.add(ops.Constant, value=self.weight(c, 1, 1)))
        places = math.prod(self.shape(x)[3:])
        x = self.add(ops.Sum, x, axes=(3, 4))
        x = self.add(ops.Scale, x, factor=1 / places)
        late = self.dice.random() < 0.3
        if late:
            x = self.linear(x, 3)
        x = self.add(ops.Sum, x, axes=(0,))
        x = self.add(ops.Scale, x, factor=1 / self.T)
        self.add(ops.Output, x if late else self.linear(x, 3))


def lasting_steps(
    *,
    keep: tuple[float, float, float] = (0.75, 0.5, 0.9),
    biases: bool = True,
    residual: bool = False,
    v_reset: float | None = 0.0,
    seed: int = 0,
) -> Graph:
    """A float step graph of events into three layers of neurons whose currents last.

    With ``residual`` what the second layer receives is a sum, of a current that lasts and one that
    does not.
    """
    rng = np.random.default_rng(seed)
    weights: dict[str, Weight] = {
        "a.w": rng.normal(0.1, 0.4, (4, 2, 3, 3)), "a.b": rng.normal(0, 0.1, 4),
        "b.w": rng.normal(0.1, 0.3, (4, 4, 3, 3)), "b.b": rng.normal(0, 0.1, 4),
        "s.w": rng.normal(0.1, 0.3, (4, 4, 1, 1)),
        "c.w": rng.normal(0.02, 0.2, (6, 64)), "c.b": rng.normal(0, 0.1, 6),
        "h.w": rng.normal(0, 0.5, (3, 6)), "h.b": rng.normal(0, 0.1, 3),
    }  # fmt: skip

    def conv(name: str, read: str, padding: int = 1, bias: bool = biases) -> Op:
        return ops.Conv(
            name=name, inputs=(read,), weight=f"{name}.w", bias=f"{name}.b" if bias else None,
            stride=(1, 1), padding=(padding,) * 2, dilation=(1, 1), source=Source(f"net.{name}"),
        )  # fmt: skip

    def neurons(number: int, read: str, *also: str) -> list[Op]:
        source = Source(f"net.lif{number}")
        made: list[Op] = [
            SynapticCurrent(name=f"i{number}", inputs=(read,), keep=keep[number - 1], source=source)
        ]
        if also:
            made.append(ops.Add(name=f"sum{number}", inputs=(f"i{number}", *also), source=source))
        fields: dict[str, Any] = {"tau": 2.0, "decay_input": False, "v_reset": v_reset}
        made.append(
            ops.Neuron(
                name=f"s{number}", inputs=(made[-1].name,), source=source, strict=True, **fields
            )
        )
        return made

    short = [conv("s", "s1", 0, bias=False)] if residual else []
    made = (
        ops.Input(name="x", shape=(2, 4, 4), varies=True, source=Source("net")),
        conv("a", "x"),
        *neurons(1, "a"),
        *short,
        conv("b", "s1"),
        *neurons(2, "b", *(op.name for op in short)),
        ops.Reshape(name="flat", inputs=("s2",), shape=(64,)),
        ops.Linear(name="c", inputs=("flat",), weight="c.w", bias="c.b" if biases else None),
        *neurons(3, "c"),
        ops.Linear(name="h", inputs=("s3",), weight="h.w", bias="h.b", source=Source("net.h")),
        ops.Readout(name="sum", inputs=("h",), steps=6),
        ops.Output(name="y", inputs=("sum",)),
    )
    return Graph(made, {}, "step", 6).replace(made, weights)


@pytest.fixture(scope="session")
def lasting_network() -> Callable[..., Graph]:
    """A small network whose currents last, as a float step graph: see ``lasting_steps``."""
    return lasting_steps


@pytest.fixture(scope="session")
def events() -> Callable[..., Array]:
    """Events for ``lasting_network``, ``[N, T, 2, 4, 4]`` counts of 0 to 3."""

    def draw(seed: int = 0, samples: int = 6) -> Array:
        drawn: Array = np.random.default_rng(seed).poisson(0.4, (samples, 6, 2, 4, 4)).clip(0, 3)
        return drawn.astype(np.float32)

    return draw


@pytest.fixture(scope="session")
def random_network() -> Callable[..., Graph]:
    """A spiking network on the tensor level for each seed, of two samples or of as many as said."""
    return lambda seed, samples=2: RandomNetwork(seed, samples).build()


@pytest.fixture(scope="session")
def images() -> Callable[[Graph, int], Array]:
    """Input for a tensor graph, from a seed."""

    def draw(graph: Graph, seed: int) -> Array:
        shape = graph.type_of(graph.ops[0].name).shape
        drawn: Array = np.random.default_rng(seed).uniform(-1, 2, shape)
        return drawn

    return draw
