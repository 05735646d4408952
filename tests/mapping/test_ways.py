"""Values that are read on more ways than any network has are on no core, and that is said."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from snncc.backends.report.page.graph import _sources
from snncc.ir import domain as dom
from snncc.ir.graph import Graph, Op
from snncc.ir.latency import Pipeline
from snncc.ir.ops import (
    Add,
    Concat,
    Input,
    IntegerNeuron,
    Linear,
    Output,
    Permute,
    Readout,
    Repeat,
    Slice,
)
from snncc.mapping.populations import UnmappedError, net_of
from snncc.passes.balance_delays import pipelined

Made = list[Op]


def neurons(name: str, reads: str) -> Op:
    return IntegerNeuron(name=name, inputs=(reads,), threshold="t", decay=2048, shift=2)


def network(*made: Op) -> Graph:
    """Two layers of neurons, and between them what ends in `z`."""
    ops = (
        Input(name="x", shape=(4, 4), domain=dom.integers(0, 1)),
        Repeat(name="r", inputs=("x",)),
        Linear(name="stem", inputs=("r",), weight="w"),
        neurons("s", "stem"),
        *made,
        Linear(name="fc", inputs=("z",), weight="w"),
        neurons("s2", "fc"),
        Linear(name="head", inputs=("s2",), weight="w"),
        Readout(name="sum", inputs=("head",), steps=2),
        Output(name="y", inputs=("sum",)),
    )
    return Graph(ops, {"w": np.eye(4, dtype=np.int8), "t": np.array(3)}, "step", 2)


def turned(times: int) -> Made:
    """Views of views: the axes change places again and again."""
    names = ["s", *(f"p{i}" for i in range(times - 1)), "z"]
    return [Permute(name=name, inputs=(before,), order=(1, 0)) for before, name in pairwise(names)]


def joined(times: int) -> Made:
    """Each value is half of the one before joined to a view of it: 2^n ways back."""
    made: Made = []
    for i in range(times):
        before, name = f"v{i - 1}" if i else "s", f"v{i}" if i < times - 1 else "z"
        made += [
            Permute(name=f"p{i}", inputs=(before,), order=(1, 0)),
            Concat(name=f"c{i}", inputs=(before, f"p{i}"), axis=1),
            Slice(name=name, inputs=(f"c{i}",), axis=1, start=2, stop=6),
        ]
    return made


def in_one_layer(times: int) -> Made:
    """The potentials of neurons are such a chain of sums and views of one product."""
    made: Made = [Linear(name="a0", inputs=("s",), weight="w")]
    for i in range(times):
        made.append(Permute(name=f"q{i}", inputs=(f"a{i}",), order=(1, 0)))
        made.append(Add(name=f"a{i + 1}", inputs=(f"q{i}", "k")))
    return [*made, neurons("z", f"a{times}")]


@pytest.mark.parametrize("made", [turned, joined])
def test_few_ways_are_mapped(made: Callable[[int], Made]) -> None:
    assert net_of(network(*made(6))).populations


@pytest.mark.parametrize(("made", "times"), [(turned, 3000), (joined, 60)])
def test_many_ways_are_refused(made: Callable[[int], Made], times: int) -> None:
    with pytest.raises(UnmappedError, match=r"made on more than 4096 ways, or over more than 256"):
        net_of(network(*made(times)))


def test_a_long_way_to_a_potential_is_refused() -> None:
    made = in_one_layer(600)
    graph = network(*made)
    stored = Input(name="k", shape=(4, 4), domain=dom.integers(0, 1))
    graph = graph.replace((stored, *graph.ops))
    with pytest.raises(UnmappedError, match="over more than 256 operations"):
        net_of(graph)


def test_a_pipeline_is_made_of_thousands_of_views() -> None:
    pipeline: Pipeline = pipelined(network(*turned(3000)))
    assert pipeline.buffers == ()


def test_the_map_looks_through_thousands_of_views() -> None:
    graph = network(*turned(3000))
    assert list(_sources(graph["fc"], graph)) == ["s"]
