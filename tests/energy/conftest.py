"""Small step graphs that tests of energy share, by the fixture ``nets``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from snncc.ir import domain as dom
from snncc.ir.domain import Domain
from snncc.ir.graph import Array, Graph, Op, Source, Weights
from snncc.ir.ops import Conv, Input, IntegerNeuron, Linear, MatMul, Output, Permute, Readout

STEPS = 3


def network(ops: tuple[Op, ...], weights: Weights, shape: tuple[int, ...], hi: int = 1) -> Graph:
    """A network that reads spikes, or counts up to ``hi``, at every step, and sums its last op."""
    domain: Domain = dom.integers(0, hi)
    entry = Input(name="x", shape=shape, domain=domain, scale=1.0, varies=True)
    tail = (
        Readout(name="mean", inputs=(ops[-1].name,), steps=STEPS),
        Output(name="y", inputs=("mean",)),
    )
    return Graph((entry, *ops, *tail), weights, "step", STEPS)


def ones(*shape: int) -> Array:
    return np.ones(shape, np.int8)


def conv(name: str, source: str, weight: str, **options: Any) -> Conv:
    given: dict[str, Any] = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), **options}
    return Conv(name=name, inputs=(source,), weight=weight, source=Source(name), **given)


def fires(name: str, source: str, decay: int = 2048) -> IntegerNeuron:
    return IntegerNeuron(
        name=name, inputs=(source,), threshold="one", decay=decay, shift=0, source=Source(name)
    )


def attention(*, values_first: bool, tokens: int = 3, width: int = 4) -> Graph:
    """Q, K and V from three linears of spikes ``[tokens, width]``, and both products."""
    projections = tuple(
        each
        for letter in "qkv"
        for each in (
            Linear(name=letter, inputs=("x",), weight="w", source=Source(f"attn.{letter}")),
            fires(f"{letter}_lif", letter),
        )
    )
    turned = Permute(name="kt", inputs=("k_lif",), order=(1, 0))
    late, early = [("q_lif", "kt"), ("first", "v_lif")], [("kt", "v_lif"), ("q_lif", "first")]
    pairs = early if values_first else late
    both = tuple(
        MatMul(name=name, inputs=pair, source=Source("attn"))
        for name, pair in zip(("first", "second"), pairs, strict=True)
    )
    weights = {"w": ones(width, width), "one": np.array(1)}
    return network((*projections, turned, *both), weights, (tokens, width))


@pytest.fixture(scope="session")
def nets() -> SimpleNamespace:
    """The functions above, which tests cannot import."""
    return SimpleNamespace(
        STEPS=STEPS, attention=attention, conv=conv, fires=fires, network=network, ones=ones
    )
