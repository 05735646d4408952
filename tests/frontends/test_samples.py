"""Graphs of one sample as graphs of several: each sample gets the answer that it gets alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.frontends.samples import of_samples, stated_shape
from snncc.ir import ops
from snncc.ir.graph import Graph, IRError, Op
from snncc.ir.interpret import interpret


def steps(graph: Graph) -> int:
    return graph.type_of(graph.of_kind("neuron")[0].name).shape[0]


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), samples=st.integers(2, 3))
def test_random_networks(seed: int, samples: int, random_network: Callable[..., Graph]) -> None:
    alone = random_network(seed, 1)
    if steps(alone) == 1:
        return  # one time step and one sample: which is which is not always seen
    together = of_samples(alone, samples)
    shape = alone.type_of(alone.ops[0].name).shape
    x = np.random.default_rng(seed).uniform(-1, 2, (samples, *shape[1:]))
    answer = alone.of_kind("output")[0].name
    each = [interpret(alone, row[None])[answer] for row in x]
    assert np.allclose(interpret(together, x)[answer], np.concatenate(each), rtol=0, atol=1e-9)


def test_the_same_as_a_network_that_was_made_for_more(
    random_network: Callable[..., Graph],
) -> None:
    for seed in range(30):
        alone = random_network(seed, 1)
        if steps(alone) > 1:
            assert of_samples(alone, 2) == random_network(seed, 2)
        else:
            with suppress(IRError):
                assert of_samples(alone, 2) == random_network(seed, 2)


def graph(*made: Op, **weights: Any) -> Graph:
    entry = ops.Input(name="x", shape=(1, 4, 6))
    return Graph((entry, *made, ops.Output(name="y", inputs=(made[-1].name,))), weights)


POOL = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0)}


@pytest.mark.parametrize(
    "made",
    [
        [ops.Sum(name="v", inputs=("x",), axes=(0,))],
        [ops.Sum(name="v", inputs=("x",), axes=(0, 1), keepdims=True)],
        [ops.Expand(name="v", inputs=("x",), shape=(5, 4, 6))],
        [ops.Concat(name="v", inputs=("x", "x"), axis=0)],
        [ops.Neuron(name="v", inputs=("x",))],
        [ops.Foreign(name="v", inputs=("x",), target="softmax", shape=(1, 4, 6))],
        [ops.Reshape(name="f", inputs=("x",), shape=(4, 6)),
         ops.Slice(name="v", inputs=("f",), axis=0, start=0, stop=4, step=2)],
        [ops.Permute(name="t", inputs=("x",), order=(1, 2, 0)),
         ops.Linear(name="v", inputs=("t",), weight="w")],
        [ops.Permute(name="t", inputs=("x",), order=(1, 0, 2)),
         ops.MatMul(name="v", inputs=("c", "t"))],
        [ops.Add(name="v", inputs=("x", "k"))],
    ],
)  # fmt: skip
def test_what_would_mix_samples_is_refused(made: list[Op]) -> None:
    constants = [
        ops.Constant(name="c", value="c"),
        ops.Constant(name="k", value="k"),
    ]
    weights = {"w": np.ones((3, 1)), "c": np.ones((4, 5, 1)), "k": np.ones((3, 4, 6))}
    with pytest.raises(IRError):
        of_samples(graph(*constants, *made, **weights), 2)


def test_what_does_not_depend_on_the_input_stays() -> None:
    made = [
        ops.Constant(name="c", value="c"),
        ops.Reshape(name="r", inputs=("c",), shape=(1, 1, 6)),
        ops.Add(name="v", inputs=("x", "r")),
    ]
    found = of_samples(graph(*made, c=np.ones((6,))), 3)
    assert [found.type_of(op.name).shape for op in found] == [
        (3, 4, 6), (6,), (1, 1, 6), (3, 4, 6), (3, 4, 6),
    ]  # fmt: skip


def test_places_of_an_axis_behind_which_the_batch_stands() -> None:
    made = [
        ops.Permute(name="t", inputs=("x",), order=(1, 0, 2)),
        ops.Reshape(name="f", inputs=("t",), shape=(4, 6)),
        ops.Slice(name="v", inputs=("f",), axis=0, start=1, stop=3),
    ]
    x = np.arange(48.0).reshape(2, 4, 6)
    found = interpret(of_samples(graph(*made), 2), x)["v"]
    assert np.array_equal(found, x.transpose(1, 0, 2)[1:3].reshape(4, 6))


@pytest.mark.parametrize(
    ("before", "now", "wanted", "made"),
    [
        ((4, 1, 1, 16, 16), (4, 2, 1, 16, 16), [4, 1, 16, 16], [8, 1, 16, 16]),
        ((4, 8, 16, 16), (8, 8, 16, 16), [4, 1, 8, 16, 16], [4, 2, 8, 16, 16]),
        ((4, 8, 16, 16), (8, 8, 16, 16), [4, 1, 8, 256], [4, 2, 8, 256]),
        ((1, 8, 4, 4), (2, 8, 4, 4), [1, 128], [2, 128]),
        ((1, 4, 8), (2, 4, 8), [1, 1, 4, 8], [1, 2, 4, 8]),
        ((4, 1, 64, 8), (4, 2, 64, 8), [4, 64, 8], [8, 64, 8]),
        ((1, 64, 32), (2, 64, 32), [64, 32], [128, 32]),
        ((1, 32, 16), (2, 32, 16), [1, 1, 32, 4, 4], [1, 2, 32, 4, 4]),
        ((1, 1, 16), (2, 1, 16), [1, 1, 1, 4, 4], [2, 1, 1, 4, 4]),
        ((1, 784), (2, 784), [1, 1, 28, 28], [2, 1, 28, 28]),
        ((4, 8, 16, 16), (8, 8, 16, 16), [1, 4, 8, 16, 16], [2, 4, 8, 16, 16]),
        ((4, 8), (8, 8), [1, 4, 8], [2, 4, 8]),
    ],
)
def test_shapes_of_one_sample_become_those_of_two(
    before: tuple[int, ...], now: tuple[int, ...], wanted: list[int], made: list[int]
) -> None:
    assert stated_shape(before, now, wanted) == made
