"""Data that a calibrated network would clip are told of, with their share."""

from __future__ import annotations

import numpy as np
import pytest

from snncc.execute.dataset import Dataset, outside_range
from snncc.ir import domain as dom
from snncc.ir.graph import Graph
from snncc.ir.interpret import read_input
from snncc.ir.ops import Input, Output


def graph(scale: float | None) -> Graph:
    ops = (
        Input(name="x", shape=(4,), domain=dom.integers(-2, 5), scale=scale),
        Output(name="y", inputs=("x",)),
    )
    return Graph(ops, {}, "step", 1)


def test_what_is_inside_is_fine() -> None:
    x = np.array([[-0.5, 0.0, 1.25, 1.3]])
    assert outside_range("x.npz", Dataset(x), graph(0.25)) is None


def test_a_share_is_told() -> None:
    x = np.tile([[-0.5, 0.0, 1.25, 200.0]], (600, 1))
    found = outside_range("x.npz", Dataset(x), graph(0.25))
    assert found is not None
    assert found.rule.code == "SNN138"
    assert "25 % of the numbers are clipped" in found.message
    assert "found -0.5 to 200, wanted -0.625 to 1.375" in found.message


@pytest.mark.parametrize(("clipped", "number", "told"), [
    (3, 1.5, False),  # few, and near
    (6, 1.5, True),  # 1.5 %
    (1, 40.0, True),  # one, of another scale
])  # fmt: skip
def test_a_few_near_the_ends_are_as_expected(clipped: int, number: float, told: bool) -> None:
    x = np.zeros((100, 4))
    x[:clipped, 0] = number
    assert (outside_range("x.npz", Dataset(x), graph(0.25)) is not None) == told


def test_floats_are_read_as_they_are() -> None:
    assert outside_range("x.npz", Dataset(np.full((1, 4), 1e9)), graph(None)) is None


@pytest.mark.parametrize("seed", range(5))
def test_it_warns_where_reading_clips(seed: int) -> None:
    """Soundness: a number is told of where rounding to the grid and clipping to it differ."""
    x = np.random.default_rng(seed).normal(0.3, 1.0, (50, 4))
    op = graph(0.25).of_kind("input")[0]
    clipped = np.count_nonzero(np.rint(x / 0.25) != read_input(op, x))  # type: ignore[arg-type]
    found = outside_range("x", Dataset(x), graph(0.25))
    assert found is not None
    assert f"{100 * clipped / x.size:.2g} %" in found.message


def test_a_range_without_zero_is_a_range() -> None:
    ops = (
        Input(name="x", shape=(4,), domain=dom.integers(8, 20), scale=0.25),
        Output(name="y", inputs=("x",)),
    )
    inside = Dataset(np.array([[2.0, 3.0, 4.0, 5.0]]))
    assert outside_range("x.npz", inside, Graph(ops, {}, "step", 1)) is None
