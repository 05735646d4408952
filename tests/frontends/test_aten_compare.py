"""Comparisons and choices: what each becomes, and that it means what PyTorch does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snncc.frontends.torch_export import trace
from snncc.ir.graph import Absent, Graph
from snncc.ir.interpret import interpret

Function = Callable[[Tensor], Tensor]


class Call(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def traced(function: Function) -> Graph:
    """The graph of a function of a `[2, 6]` input, held against PyTorch."""
    x = torch.tensor([[-1, -0.5, 0, 0.25, 0.5, 2], [0.5, 1, -0.0, 0.75, 0.5, -0.5]])
    graph = trace(Call(function), x)
    found = interpret(graph, x.numpy())["output"]
    np.testing.assert_array_equal(found, function(x).numpy())
    return graph


def cleared(x: Tensor) -> Tensor:
    y = x.clone()
    y[x > 0.5] = -1.0
    return y


CASES: dict[str, tuple[Function, list[str]]] = {
    "gt": (lambda x: (x > 0.5).float(), ["compare"]),
    "ge": (lambda x: x.ge(0.5).float(), ["compare"]),
    "lt": (lambda x: (x < 0.5).float(), ["scale", "compare"]),
    "le": (lambda x: (x <= 0.5).float(), ["scale", "compare"]),
    "a number on the left": (
        lambda x: torch.gt(torch.tensor(0.5), x).float(),
        ["scale", "compare"],
    ),
    "two values": (lambda x: (x > x[:, 3:4]).float(), []),
    "a stored number": (lambda x: (x >= torch.tensor(0.5)).float(), ["compare"]),
    "stored numbers": (lambda x: (x > torch.linspace(-1, 1, 6)).float(), []),
    "numbers above it": (lambda x: (torch.linspace(-1, 1, 6) >= x).float(), []),
    "eq": (lambda x: (x == 0.5).float(), []),
    "ne": (lambda x: (x != 0.5).float(), []),
    "not": (lambda x: (~(x > 0.5)).float(), []),
    "logical not": (lambda x: torch.logical_not(x).float(), []),
    "and": (lambda x: ((x > 0) & (x < 1)).float(), []),
    "sign": (torch.sign, []),
    "heaviside, 0": (lambda x: torch.heaviside(x, torch.tensor(0.0)), ["compare"]),
    "heaviside, 1": (lambda x: torch.heaviside(x, torch.tensor(1.0)), ["compare"]),
    "heaviside, 0.5": (lambda x: torch.heaviside(x, torch.tensor(0.5)), []),
    "as bool": (lambda x: x.bool().float(), []),
    "as bool, as int": (lambda x: (x > 0.5).int().bool().long().float(), ["compare"]),
    "where": (lambda x: torch.where(x > 0.5, x, -x), []),
    "where, numbers": (lambda x: torch.where(x > 0.5, 1.0, 0.0), ["compare"]),
    "where, other numbers": (lambda x: torch.where(x > 0.5, 2.0, 0.25), []),
    "where, fixed": (lambda x: torch.where(torch.tensor(True), 2 * x, x), ["scale"]),
    "masked fill": (lambda x: x.masked_fill(x > 0.5, 0.0), []),
    "places chosen by a comparison": (cleared, []),
}


@pytest.mark.parametrize("name", CASES)
def test_operator(name: str) -> None:
    function, wanted = CASES[name]
    found = [op.kind for op in traced(function).ops if op.kind not in ("input", "output")]
    assert "foreign" not in found
    if wanted:
        assert found == wanted


@pytest.mark.parametrize(
    ("target", "function"),
    {
        "aten.heaviside": lambda x: torch.heaviside(x, torch.linspace(0, 1, 6)),
        "aten.masked_fill": lambda x: x.masked_fill(x > 0.5, float("-inf")),
        "aten.where": lambda x: torch.where(torch.tensor([True, False] * 3), x, -x),
        "aten._to_copy": lambda x: x.int().float(),
    }.items(),
)
def test_what_has_no_meaning_here(target: str, function: Function) -> None:
    graph = trace(Call(function), torch.rand(2, 6))
    assert [op.attributes()["target"] for op in graph.of_kind("foreign")] == [target]


def test_a_tensor_of_one_number_is_stored_once() -> None:
    def written(x: Tensor) -> Tensor:
        y = torch.zeros(4, 2, 6)
        y[1] = x
        return y

    graph = trace(Call(written), torch.rand(1, 6))
    stored = [w for w in graph.weights.values() if not isinstance(w, Absent)]
    assert [w.shape for w in stored][:2] == [(1, 2, 6), (2, 2, 6)]
    assert not any(any(w.strides) for w in stored)
