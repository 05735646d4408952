"""Small networks with everything a spiking transformer has, and a target with limits to set."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from snncc.ir import domain as dom
from snncc.ir.graph import Array, Graph, Op
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
    Repeat,
    Reshape,
    Sum,
)
from snncc.passes.balance_delays import BalanceDelays
from snncc.targets.load import Target, load_target

Build = Callable[..., Graph]


def neurons(name: str, reads: str) -> Op:
    return IntegerNeuron(name=name, inputs=(reads,), threshold="t", decay=2048, shift=2)


def conv(name: str, reads: str, weight: str, **settings: Any) -> Op:
    one = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), **settings}
    return Conv(name=name, inputs=(reads,), weight=weight, **one)


def transformer(heads: int = 2, width: int = 8, side: int = 4, steps: int = 3) -> Graph:
    """A stem with a pool, attention with a residual stream, and a block with a mask."""
    rng = np.random.default_rng(heads + width + side)
    tokens, features = side * side, width // heads
    w: dict[str, Array] = {"t": np.array(40)}

    def weight(name: str, *shape: int) -> str:
        w[name] = rng.integers(-9, 20, shape).astype(np.int8)
        return name

    pool: dict[str, Any] = {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1)}
    split = {"q": (0, 2, 1), "v": (0, 2, 1)}
    ops: list[Op] = [
        Input(name="x", shape=(2, 2 * side, 2 * side), domain=dom.integers(0, 7)),
        Repeat(name="rep", inputs=("x",)),
        conv("c0", "rep", weight("w0", width, 2, 3, 3)),
        neurons("s0", "c0"),
        MaxPool(name="p0", inputs=("s0",), dilation=(1, 1), **pool),
        conv("c1", "p0", weight("w1", width, width, 3, 3)),
        neurons("s1", "c1"),
        Reshape(name="flat", inputs=("s1",), shape=(width, tokens)),
        Permute(name="rows", inputs=("flat",), order=(1, 0)),
    ]
    for part in "qkv":
        reads = "rows"
        ops += [
            Linear(name=f"{part}l", inputs=(reads,), weight=weight(f"w{part}", width, width)),
            neurons(f"{part}s", f"{part}l"),
            Permute(name=f"{part}t", inputs=(f"{part}s",), order=(1, 0)),
            Reshape(name=f"{part}h", inputs=(f"{part}t",), shape=(heads, features, tokens)),
        ]
        if part in split:
            ops.append(Permute(name=f"{part}p", inputs=(f"{part}h",), order=split[part]))
    ops += [
        MatMul(name="kv", inputs=("kh", "vp")),
        MatMul(name="qkv", inputs=("qp", "kv")),
        Permute(name="back", inputs=("qkv",), order=(0, 2, 1)),
        Reshape(name="joined", inputs=("back",), shape=(width, side, side)),
        neurons("as", "joined"),
        conv("proj", "as", weight("wp", width, width, 1, 1), padding=(0, 0)),
        Add(name="stream", inputs=("proj", "c1")),
        neurons("ms", "stream"),
        conv("dw", "ms", weight("wd", width, 1, 3, 3), groups=width),
        neurons("ds", "dw"),
        Mask(name="masked", inputs=("ds", "ms")),
        Add(name="stream2", inputs=("masked", "stream")),
        neurons("last", "stream2"),
        AvgPool(name="mean", inputs=("last",), kernel=(side, side), stride=(side, side),
                padding=(0, 0)),
        Sum(name="head", inputs=("mean",), axes=(1, 2)),
        Readout(name="r", inputs=("head",), steps=steps),
        Output(name="y", inputs=("r",)),
    ]  # fmt: skip
    return BalanceDelays().run(Graph(tuple(ops), w, "step", steps)).graph


@pytest.fixture(scope="session")
def attention() -> Graph:
    return transformer()


@pytest.fixture(scope="session")
def build_transformer() -> Build:
    return transformer


@pytest.fixture(scope="session")
def conv_pair() -> Graph:
    """The benchmark of the partitioners: two layers of 16x16x16 neurons, joined by 3x3."""
    ops: tuple[Op, ...] = (
        Input(name="x", shape=(16, 16, 16), domain=dom.integers(0, 1), varies=True),
        conv("c", "x", "w"),
        neurons("s", "c"),
        Readout(name="r", inputs=("s",), steps=1),
        Output(name="y", inputs=("r",)),
    )
    weights: dict[str, Array] = {"w": np.ones((16, 16, 3, 3), np.int8), "t": np.array(5)}
    return Graph(ops, weights, "step", 1)


@pytest.fixture(scope="session")
def chip() -> Callable[..., Target]:
    """A target that has the limits given, and no others but the number of cores."""

    def limited(**limits: int) -> Target:
        base = load_target("loihi2")
        cores = base.limits["cores"]
        kept = {name: dataclasses.replace(cores, value=most) for name, most in limits.items()}
        return dataclasses.replace(base, name="mine", limits={"cores": cores, **kept})

    return limited
