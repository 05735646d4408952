"""Bounds and roundings: which of them count spikes, and that the counts are PyTorch's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snncc.frontends.torch_export import trace
from snncc.ir.compare import Count
from snncc.ir.graph import Graph
from snncc.ir.interpret import interpret

Function = Callable[[Tensor], Tensor]


class Call(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def traced(function: Function) -> Graph:
    """The graph of a function of eighths, a third of them halfway between two counts."""
    return trace(Call(function), torch.arange(-24, 72).reshape(2, 48) / 8)


def straight_through(x: Tensor) -> Tensor:
    bounded = x.clamp(0, 4)
    return bounded + (bounded.round() - bounded).detach()


COUNTS: dict[str, tuple[Function, int, str]] = {
    "bounds first": (lambda x: x.clamp(0, 4).round(), 4, "half_even"),
    "rounded first": (lambda x: x.round().clamp(0, 4), 4, "half_even"),
    "one bound before": (lambda x: x.clamp(min=0).round().clamp(max=3), 3, "half_even"),
    "relu and min": (
        lambda x: torch.minimum(F.relu(x), torch.tensor(8.0)).round(), 8, "half_even",
    ),
    "min and max": (
        lambda x: torch.maximum(torch.tensor(0.0), x.round()).clamp(max=2), 2, "half_even",
    ),
    "relu6": (lambda x: F.relu6(x).round(), 6, "half_even"),
    "hardtanh": (lambda x: F.hardtanh(x, 0.0, 4.0).round(), 4, "half_even"),
    "stored bounds": (
        lambda x: torch.clamp(x, torch.tensor(0.0), torch.tensor(4.0)).round(), 4, "half_even",
    ),
    "bounds within bounds": (lambda x: x.clamp(-8, 8).clamp(0, 5).round(), 5, "half_even"),
    "twice": (lambda x: x.clamp(0, 4).round().floor().round(), 4, "half_even"),
    "straight through": (straight_through, 4, "half_even"),
    "half up": (lambda x: (x.clamp(0, 4) + 0.5).floor(), 4, "half_up"),
    "half up, bounds behind": (lambda x: (0.5 + x).floor().clamp(0, 4), 4, "half_up"),
    "half up, bounds between": (lambda x: (x + 0.5).clamp(0, 4).floor(), 4, "half_up"),
    "cut off": (lambda x: x.clamp(0, 4).floor(), 4, "half_up"),
    "cut off, bounds behind": (lambda x: x.floor().clamp(0, 3), 3, "half_up"),
    "toward zero": (lambda x: x.trunc().clamp(0, 3), 3, "half_up"),
    "one spike": (lambda x: x.clamp(0, 1).round(), 1, "half_even"),
    "one spike, half up": (lambda x: (x.clamp(0, 1) + 0.5).floor(), 1, "half_up"),
    "cast to integers": (lambda x: x.clamp(0, 4).round().long().float(), 4, "half_even"),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTS)
def test_counts(name: str) -> None:
    function, levels, rounding = COUNTS[name]
    graph, x = traced(function), torch.arange(-24, 72).reshape(2, 48).double() / 8
    counts = [op for op in graph if isinstance(op, Count)]
    assert {(op.levels, op.rounding) for op in counts} == {(levels, rounding)}
    assert {op.kind for op in graph} <= {
        "input", "count", "add", "scale", "constant", "foreign", "output",
    }  # fmt: skip
    found = interpret(graph, x.numpy())[counts[-1].name]
    np.testing.assert_array_equal(found, function(x).numpy())


@pytest.mark.parametrize(
    ("function", "foreign"),
    [
        (lambda x: x.clamp(0, 4), "clamp"),
        (lambda x: x.round(), "round"),
        (lambda x: x.clamp(-1, 4).round(), "round"),
        (lambda x: x.clamp(1, 4).round(), "round"),
        (lambda x: x.clamp(0, 3.5).round(), "round"),
        (lambda x: x.round().clamp(0, 3.5), "clamp"),
        (lambda x: x.clamp(0, 65).round(), "round"),
        (lambda x: x.clamp(min=0).round(), "round"),
        (lambda x: x.clamp(0.5, 4).floor(), "floor"),
        (lambda x: x.clamp(0, 4).ceil(), "ceil"),
        (lambda x: x.floor(), "floor"),
        (lambda x: (x.clamp(0, 4) + 0.25).floor(), "floor"),
        (lambda x: (x.clamp(0, 4.25) + 0.5).floor(), "floor"),
        (lambda x: x.clamp(0, 4).round(decimals=1), "round"),
        (lambda x: torch.clamp(x, torch.zeros(48), torch.linspace(1, 4, 48)).round(), "round"),
        (lambda x: torch.maximum(x, x.flip(0)), "maximum"),
    ],
)
def test_what_counts_nothing(function: Function, foreign: str) -> None:
    graph = traced(function)
    assert not graph.of_kind("count")
    assert f"aten.{foreign}" in {op.attributes()["target"] for op in graph.of_kind("foreign")}


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.sign(x).relu(),
        lambda x: torch.sign(x).clamp(0, 1),
        lambda x: torch.sign(x).clamp(min=0),
        lambda x: torch.sign(F.relu(x)),
        lambda x: torch.sign(x.clamp(0, 3)),
        lambda x: torch.sign(x).relu().clamp(-1, 2),
    ],
)
def test_a_sign_within_bounds_is_a_comparison(function: Function) -> None:
    graph, x = traced(function), torch.arange(-24, 72).reshape(2, 48).double() / 8
    assert [op.kind for op in graph if op.kind != "foreign"] == ["input", "compare", "output"]
    np.testing.assert_array_equal(interpret(graph, x.numpy())["output"], function(x).numpy())
