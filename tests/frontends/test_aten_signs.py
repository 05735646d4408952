"""Step functions, however they are written: one comparison where two of three places are alike."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snncc.diagnostics.core import SnnccError
from snncc.frontends.aten_signs import FUNCTIONS
from snncc.frontends.torch_export import trace
from snncc.ir.graph import Graph
from snncc.ir.interpret import interpret
from snncc.passes.join_pieces import uniform

Function = Callable[[Tensor], Tensor]


class Call(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def traced(function: Function) -> Graph:
    return trace(Call(function), torch.zeros(2, 96))


def assert_equal(graph: Graph, function: Function) -> None:
    """Compare on eighths, zero and one among them."""
    x = torch.arange(-96, 96).reshape(2, 96).double() / 8
    np.testing.assert_array_equal(interpret(graph, x.numpy())["output"], function(x).numpy())


ONE: dict[str, Function] = {
    "sign, relu": lambda x: torch.relu(torch.sign(x)),
    "sign, clamp": lambda x: torch.clamp(torch.sign(x), 0, 1),
    "sign, min": lambda x: torch.clamp(torch.sign(x), min=0),
    "sign, maximum": lambda x: torch.maximum(torch.sign(x), torch.zeros_like(x)),
    "sign, max": lambda x: torch.max(torch.sign(x), torch.zeros(())),
    "sign, squared": lambda x: (torch.sign(x) + torch.sign(x) ** 2) / 2,
    "sign, size": lambda x: (torch.sign(x) + torch.sign(x).abs()) * 0.5,
    "sign, halves": lambda x: torch.ceil((torch.sign(x) + 1) / 2 - 0.5),
    "sign, round": lambda x: torch.round((torch.sign(x) + 1) / 2),
    "sign, compared": lambda x: (torch.sign(x) >= 0).float(),
    "sign, equal": lambda x: (torch.sign(x) == 1).float(),
    "sign, where": lambda x: torch.where(torch.sign(x) > 0, 1.0, 0.0),
    "heaviside, 0": lambda x: torch.heaviside(x, x.new_zeros(())),
    "heaviside, 1": lambda x: torch.heaviside(x, x.new_ones(())),
    "heaviside, half": lambda x: torch.floor(torch.heaviside(x, x.new_full((), 0.5))),
    "three cases": lambda x: torch.where(x == 0, 1.0, torch.where(x < 0, 0.0, 1.0)),
    "not less": lambda x: torch.logical_not(x < 0).to(x.dtype),
    "one less": lambda x: 1 - (x < 0).to(x.dtype),
    "either": lambda x: torch.logical_or(x > 0, x == 0).to(x.dtype),
    "sum of truths": lambda x: ((x > 0) + (x >= 0)).to(x.dtype),
    "truth, twice": lambda x: ((x > 0) + (x > 0)).to(x.dtype),
    "ge": lambda x: torch.ge(x, 0).to(x.dtype),
    "ceiling": lambda x: torch.clamp(torch.ceil(x), 0, 1),
    "floor": lambda x: torch.clamp(torch.floor(x), 0, 1),
    "floor within": lambda x: torch.floor(torch.clamp(x, 0, 1)),
    "toward zero": lambda x: torch.clamp(torch.trunc(x), 0, 1),
    "rectified": lambda x: (torch.relu(x) > 0).to(x.dtype),
    "rectified, sign": lambda x: torch.sign(F.relu6(x)),
    "interpolated": lambda x: torch.lerp(torch.sign(x), torch.sign(x).abs(), 0.5),
}


@pytest.mark.parametrize("name", ONE)
def test_one_comparison(name: str) -> None:
    graph = traced(ONE[name])
    (compare,) = graph.of_kind("compare")
    assert "foreign" not in {op.kind for op in graph}
    assert {op.kind for op in graph} <= {"input", "compare", "scale", "add", "constant", "output"}
    assert compare.inputs in (("input",), ("scale",))
    assert_equal(graph, ONE[name])


TWO: dict[str, Function] = {
    "sign": torch.sign,
    "half at it": lambda x: (torch.sign(x) + 1) / 2,
    "heaviside, half": lambda x: torch.heaviside(x, x.new_full((), 0.5)),
    "equal": lambda x: (x == 0).to(x.dtype),
    "unequal": lambda x: (x != 0).to(x.dtype),
    "size": lambda x: torch.sign(x).abs(),
}


@pytest.mark.parametrize("name", TWO)
def test_three_numbers_are_no_spike(name: str) -> None:
    graph = traced(TWO[name])
    assert len(graph.of_kind("compare")) == 2
    assert_equal(graph, TWO[name])


NONE: dict[str, Function] = {
    "two values": lambda x: torch.sign(x) * torch.sign(x.flip(1)),
    "two marks": lambda x: ((x > 0) & (x > 1)).to(x.dtype),
    "decimals": lambda x: torch.round(torch.sign(x) / 4, decimals=1),
    "numbers apart": lambda x: torch.sign(x) + torch.linspace(0, 1, 96),
    "no number": lambda x: torch.sign(x) / 0.0,
}


def test_a_sign_goes_into_integers_that_have_one() -> None:
    """Without a sign -1 becomes 255."""
    graph = traced(lambda x: torch.sign(x).to(torch.int8).float())
    assert_equal(graph, torch.sign)
    assert traced(lambda x: torch.sign(x).to(torch.uint8).float()).of_kind("foreign")


@pytest.mark.parametrize("name", NONE)
def test_what_is_no_step_function_stays(name: str) -> None:
    """More than one value or number: nothing is claimed of it."""
    assert len(traced(NONE[name]).of_kind("compare")) != 1


STEPS: tuple[Callable[[Tensor, Random], Tensor], ...] = (
    lambda y, dice: y + dice.choice((-1, 0.5, 1)),
    lambda y, dice: dice.choice((-1, 0.5, 2)) - y,
    lambda y, dice: y * dice.choice((-1, 0.5, 2)),
    lambda y, dice: torch.relu(y),
    lambda y, dice: y.clamp(dice.choice((-1, 0)), dice.choice((1, 2))),
    lambda y, dice: torch.maximum(y, torch.full_like(y, dice.choice((-0.5, 0.5)))),
    lambda y, dice: torch.minimum(y, torch.full_like(y, dice.choice((-0.5, 0.5)))),
    lambda y, dice: y.abs(),
    lambda y, dice: y * y,
    lambda y, dice: torch.sign(y),
    lambda y, dice: torch.round(y),
    lambda y, dice: torch.floor(y),
    lambda y, dice: (y > dice.choice((0, 0.5))).to(y.dtype),
    lambda y, dice: (y <= dice.choice((0, 0.5))).to(y.dtype),
    lambda y, dice: torch.where(y >= 0.5, 1.5, y),
    lambda y, dice: torch.where(y == 1, y, -y),
)


@pytest.mark.parametrize("seed", range(24))
def test_whatever_is_made_of_a_sign(seed: int) -> None:
    """Operators in a row: never more than two comparisons, and torch's own numbers."""

    def function(x: Tensor) -> Tensor:
        dice = Random(seed)  # noqa: S311
        first: Any = (torch.sign, lambda v: (v >= 0).to(v.dtype), lambda v: (v < 0).to(v.dtype))
        y: Tensor = dice.choice(first)(x)
        for _ in range(5):
            y = dice.choice(STEPS)(y, dice)
        return y

    graph = traced(function)
    marks = {(op.attributes()["strict"], op.inputs) for op in graph.of_kind("compare")}
    assert "foreign" not in {op.kind for op in graph}
    assert {inputs[0] for _, inputs in marks} <= {"input", "scale"}
    assert_equal(graph, function)


def test_the_table_knows_torchs_operators() -> None:
    assert all(hasattr(torch.ops.aten, name.removeprefix("aten.")) for name in FUNCTIONS)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x * math.inf, "`aten.mul` cannot be represented: it multiplies by inf"),
        (lambda x: x * torch.full((1,), math.nan), "it multiplies by nan, wanted a number"),
        (lambda x: torch.add(x, x, alpha=math.inf), "it multiplies by inf, wanted a number"),
        (
            lambda x: (x >= math.inf).float(),
            "`aten.ge` cannot be represented: it compares with inf",
        ),
    ],
)
def test_what_is_no_number_is_refused(function: Function, reason: str) -> None:
    with pytest.raises(SnnccError, match=re.escape(reason)):
        traced(function)


def test_infinite_constants_are_no_numbers() -> None:
    """Exact arithmetic on them would break off."""
    graph = traced(lambda x: (x > 0).float() + math.inf)
    stored = graph.of_kind("constant")
    assert stored
    assert all(uniform(graph.weights, each) is None for each in stored)
