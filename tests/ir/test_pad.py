"""The border op: its proof of types, its values against PyTorch, its axes, its text."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from snncc.ir import domain as dom
from snncc.ir import ops
from snncc.ir.domain import REAL, SPIKE, Domain, Grid
from snncc.ir.graph import Absent, Graph, IRError, Shape, Type, Weight
from snncc.ir.interpret import interpret
from snncc.ir.pad import Pad
from snncc.ir.semantics import apply
from snncc.ir.text import dump, parse
from snncc.passes.base import run_passes
from snncc.passes.to_steps import ToSteps

WEIGHTS: dict[str, Weight] = {
    "one": np.array(2, np.int8),
    "two": np.array([-1, 3], np.int16),
    "halves": np.array([0.5, -1.5]),
    "thirds": np.array([1 / 3, 0.1]),
    "nan": np.array(np.nan),
    "absent": Absent((2,)),
}


def pad(value: str | None = None, before: Shape = (1, 2), after: Shape = (0, 1)) -> Pad:
    return Pad(name="y", inputs=("x",), before=before, after=after, value=value)


@pytest.mark.parametrize(
    ("value", "domain", "found"),
    [
        (None, SPIKE, SPIKE),
        (None, dom.integers(2, 5), dom.integers(0, 5)),
        ("one", SPIKE, dom.integers(0, 2)),
        ("two", SPIKE, dom.integers(-1, 3)),
        ("halves", SPIKE, REAL),
        ("halves", Grid(Fraction(1, 4), 0, 1), Grid(Fraction(1, 4), -6, 2)),
        ("one", Grid(Fraction(1, 4), 0, 1), Grid(Fraction(1, 4), 0, 8)),
        ("thirds", SPIKE, REAL),
        ("absent", SPIKE, REAL),
        ("nan", SPIKE, REAL),
        ("one", REAL, REAL),
    ],
)
def test_the_border_joins_the_domain(value: str | None, domain: Domain, found: Domain) -> None:
    shape = (2, 6, 7)
    assert pad(value).infer((Type((2, 5, 4), domain),), WEIGHTS) == Type(shape, found)


@given(
    st.sampled_from((None, "one", "two", "halves")),
    st.sampled_from((1, 2, Fraction(1, 4), Fraction(1, 3))),
    st.integers(-3, 3),
    st.integers(0, 3),
)
def test_infer_is_sound(value: str | None, step: Fraction, lo: int, width: int) -> None:
    domain = Grid(Fraction(step), lo, lo + width)
    claimed = pad(value).infer((Type((2, 3, 3), domain),), WEIGHTS).domain
    counts = np.random.default_rng(lo + 3).integers(lo, lo + width + 1, (2, 3, 3))
    values = apply(pad(value), (counts * float(step),), WEIGHTS, lead=0)
    if isinstance(claimed, Grid):
        found = values / float(claimed.step)
        assert np.abs(found - np.rint(found)).max() < 1e-9
        assert claimed.lo - 1e-9 < found.min() <= found.max() < claimed.hi + 1e-9


@pytest.mark.parametrize("lead", [0, 1, 2])
def test_values_are_those_of_torch(lead: int) -> None:
    x = np.random.default_rng(0).normal(size=(*(3, 4)[:lead], 2, 5, 4))
    sides = [2, 1, 1, 0]
    plain = F.pad(torch.tensor(x), sides)
    assert np.array_equal(apply(pad(), (x,), WEIGHTS, lead), plain.numpy())
    column = torch.tensor([0.5, -1.5]).view(2, 1, 1)
    inside = F.pad(torch.ones(x.shape, dtype=torch.bool), sides)
    expected = torch.where(inside, plain, column.double())
    assert np.array_equal(apply(pad("halves"), (x,), WEIGHTS, lead), expected.numpy())


def test_integers_stay_integers() -> None:
    spikes = np.ones((2, 5, 4), np.int8)
    assert apply(pad(), (spikes,), WEIGHTS, 0).dtype == np.int8
    assert apply(pad("two"), (spikes,), WEIGHTS, 0).dtype == np.int16


@pytest.mark.parametrize(
    "op",
    [pad(before=(1,), after=(1, 1)), pad(before=(-1, 0)), pad("two", (1, 1, 1, 1), (0, 0, 0, 0))],
)
def test_a_border_that_does_not_fit(op: Pad) -> None:
    with pytest.raises(IRError):
        op.infer((Type((3, 5, 4), SPIKE),), WEIGHTS)


def network(op: Pad) -> Graph:
    """Two time steps of two samples with two channels, padded behind a neuron."""
    made = (
        ops.Input(name="i", shape=(2, 2, 2, 3, 3)),
        ops.Permute(name="t", inputs=("i",), order=(1, 0, 2, 3, 4)),
        ops.Neuron(name="s", inputs=("t",)),
        ops.Reshape(name="x", inputs=("s",), shape=(4, 2, 3, 3)),
        op,
        ops.Reshape(name="z", inputs=("y",), shape=(2, 2, 2, 6, 5)),
        ops.Sum(name="total", inputs=("z",), axes=(0,)),
        ops.Output(name="out", inputs=("total",)),
    )
    return Graph(made, {}).replace(made, WEIGHTS)


@pytest.mark.parametrize("value", [None, "one", "two"])
def test_in_a_network(value: str | None) -> None:
    tensor = network(pad(value, before=(1, 1), after=(2, 1)))
    steps = run_passes(tensor, [ToSteps()]).graph
    assert steps.type_of("y").shape == (2, 6, 5)
    assert parse(dump(steps), steps.weights) == steps
    x = np.random.default_rng(0).normal(1, 1, (2, 2, 2, 3, 3))
    got = interpret(steps, x.transpose(1, 0, 2, 3, 4))["out"]
    assert np.array_equal(got, interpret(tensor, x)["out"])


def test_a_border_of_one_channel_is_not_lost() -> None:
    made = (
        ops.Input(name="i", shape=(2, 2, 1, 3)),
        ops.Neuron(name="x", inputs=("i",)),
        Pad(name="y", inputs=("x",), before=(1,), after=(1,), value="v"),
        ops.Output(name="out", inputs=("y",)),
    )
    graph = Graph(made, {"v": np.array([3.0])})
    steps = run_passes(graph, [ToSteps(batch_axis=1)]).graph
    assert steps.type_of("y").shape == (1, 5)
