"""Each limit of a target is broken once, and named with its numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from snncc.ir import domain as dom
from snncc.ir.graph import Array, Graph, Op, Source
from snncc.ir.ops import Input, IntegerNeuron, Linear, MatMul, Output, Readout, Repeat
from snncc.passes.check_target import CheckTarget, neuron_count
from snncc.targets.facts import Fact
from snncc.targets.load import Target, load_target


def network(*, weight: int = 100, threshold: int = 6401, top: int = 1) -> Graph:
    weights: dict[str, Array] = {
        "l.w": np.full((4, 4), weight, np.int16),
        "n.t": np.array([threshold], np.int32),
    }
    ops: tuple[Op, ...] = (
        Input(name="x", shape=(4, 4), domain=dom.integers(0, top), scale=1.0),
        Repeat(name="r", inputs=("x",)),
        Linear(name="l", inputs=("r",), weight="l.w", source=Source("layer", "net.py", 3)),
        IntegerNeuron(name="n", inputs=("l",), threshold="n.t", decay=2048, shift=6),
        MatMul(name="m", inputs=("n", "n")),
        Readout(name="o", inputs=("m",), steps=4),
        Output(name="y", inputs=("o",)),
    )
    return Graph(ops, weights, "step", 4)


def messages(graph: Graph, target: Target) -> list[str]:
    return [f"{d.rule.code} {d.message}" for d in CheckTarget(target).run(graph).diagnostics]


def test_a_legal_network_has_no_findings() -> None:
    assert messages(network(), load_target("loihi2")) == []


@pytest.mark.parametrize(
    ("graph", "target", "wanted"),
    [
        (network(weight=200), "loihi2", "SNN410 `l` needs weights of 9 bits, loihi2 has 8"),
        (
            network(threshold=64 * 131072 + 1),
            "loihi2",
            "SNN411 `n` needs a threshold of 131072, the register of loihi2 holds 131071",
        ),
        (
            network(top=16),
            "loihi1",
            "SNN412 `l` reads int[0..16], a payload of 5 bits; the spikes of loihi1 carry none",
        ),
        (
            network(),
            "loihi1",
            "SNN414 `m` multiplies two computed values, the neurons of loihi1 are not programmable",
        ),
    ],
)
def test_each_limit_is_named_with_its_numbers(graph: Graph, target: str, wanted: str) -> None:
    assert wanted in messages(graph, load_target(target))


def test_more_neurons_than_a_chip_has_are_counted_in_chips() -> None:
    chip = load_target("loihi2")
    small = {**chip.limits, "neurons_per_chip": Fact(value=5, source="a test")}
    found = messages(network(), dataclasses.replace(chip, limits=small))
    assert found == ["SNN413 16 neurons take 4 chips or more of loihi2, which has 5 a chip"]


def test_neurons_are_counted() -> None:
    assert neuron_count(network()) == 16
