"""What a network takes of its chip is what breaks a limit once the chip is thought without it."""

from __future__ import annotations

from typing import Any

import numpy as np

from snncc.backends.report.demands import Demand, demands, demands_document, demands_line
from snncc.ir import domain as dom
from snncc.ir.graph import Array, Graph, Op, Source
from snncc.ir.ops import Add, Input, IntegerNeuron, Linear, Mask, Output
from snncc.ir.sites import Sites
from snncc.targets.load import load_target

CHIP = Sites("chip", "chip")
SPIKING: Any = {"threshold": "t", "decay": 2048, "shift": 6}


def network(
    *, reset: str = "hard", gated: bool = False, stream: bool = False, bias: int = 0
) -> Graph:
    """Two layers, and what asks for more, on request."""
    ops: list[Op] = [
        Input(name="x", shape=(4,), domain=dom.SPIKE, scale=1.0, varies=True),
        Linear(name="a", inputs=("x",), weight="w", bias="b", source=Source("net.a")),
        IntegerNeuron(
            name="s", inputs=("a",), **{**SPIKING, "reset": reset}, source=Source("net.s")
        ),
        Linear(name="c", inputs=("s",), weight="w", source=Source("net.c")),
    ]
    if stream:
        ops.append(Add(name="r", inputs=("a", "c"), source=Source("net")))
    ops.append(IntegerNeuron(name="n", inputs=("r" if stream else "c",), **SPIKING))
    if gated:
        ops.append(Mask(name="m", inputs=("n", "s"), source=Source("net.m")))
    ops.append(Output(name="y", inputs=("m" if gated else "n",)))
    weights: dict[str, Array] = {
        "w": np.full((4, 4), 100, np.int8),
        "b": np.full(4, bias),
        "t": np.array([65]),
    }
    return Graph(tuple(ops), weights, "step", 4)


def of(graph: Graph, target: str = "loihi2") -> tuple[Demand, ...]:
    return demands(graph, load_target(target), CHIP)


def test_spikes_and_fixed_neurons_take_nothing() -> None:
    assert of(network()) == ()
    assert demands_line((), "loihi2") == ""


def test_each_feature_is_named_with_its_places() -> None:
    graph = network(reset="soft", gated=True, stream=True, bias=70001)
    assert of(graph) == (
        Demand(
            "programmable_neurons",
            "programmable neurons for 1 product of computed values, as in attention",
            ("net.m",),
            assumed=False,
        ),
        Demand(
            "programmable_neurons", "programmable neurons for 1 layer", ("net.s",), assumed=False
        ),
        Demand(
            "graded_spike_bits", "payloads of up to 17 bits for 1 value", ("net.a",), assumed=False
        ),
        Demand("bias_in_state", "biases in neuron state for 1 layer", ("net.a",), assumed=True),
    )


def test_an_assumption_of_the_target_is_said() -> None:
    found = of(network(gated=True, bias=70001))
    assert demands_line(found, "loihi2") == (
        "takes of loihi2: programmable neurons for 1 product of computed values, as in attention; "
        "biases in neuron state for 1 layer (assumed of the target)"
    )
    assert demands_document(found)[1] == {
        "feature": "bias_in_state",
        "what": "biases in neuron state for 1 layer",
        "paths": ["net.a"],
        "assumed": True,
    }
