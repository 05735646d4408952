"""Borders and writes to slices, as official code has them, against PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import snncc
from snncc.frontends.torch_export import trace
from snncc.ir.graph import Absent, Graph
from snncc.ir.interpret import interpret
from snncc.ir.pad import Pad
from snncc.models.neuron import LIF
from snncc.models.rep_conv import RepConv


class Bordered(nn.Module):
    """A batch norm, then a border of what it makes of 0: written side by side, as published."""

    def __init__(self, pad: int = 1) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(4)
        self.pad = pad
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for tensor in (self.bn.weight, self.bn.bias, self.bn.running_mean, self.bn.running_var):
                assert isinstance(tensor, Tensor)
                tensor.uniform_(0.5, 2, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        y = F.pad(self.bn(x), [self.pad] * 4)
        mean, var = self.bn.running_mean, self.bn.running_var
        assert mean is not None
        assert var is not None
        sigma = torch.sqrt(var + self.bn.eps)
        zero = self.bn.bias.detach() - mean * self.bn.weight.detach() / sigma
        zero = zero.view(1, -1, 1, 1)
        y[:, :, 0 : self.pad, :] = zero
        y[:, :, -self.pad :, :] = zero
        y[:, :, :, 0 : self.pad] = zero
        y[:, :, :, -self.pad :] = zero
        return y


class Call(nn.Module):
    """A function of the input and one number a channel."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.c = nn.Parameter(torch.tensor([1.0, -2.0, 0.5, 3.0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.c.view(4, 1))


def traced(network: nn.Module) -> Graph:
    """The graph of a network, whose values are those of the network in float64."""
    network = network.eval()
    x = torch.rand(2, 4, 6, 5, generator=torch.Generator().manual_seed(1))
    graph = trace(network, x)
    with torch.no_grad():
        wanted = network.double()(x.double())
    np.testing.assert_allclose(interpret(graph, x.numpy())["output"], wanted.numpy(), atol=1e-13)
    return graph


def kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph.ops[1:-1]]


@pytest.mark.parametrize("pad", [1, 2])
def test_a_border_written_side_by_side_is_one_op(pad: int) -> None:
    graph = traced(Bordered(pad))
    assert kinds(graph) == ["batch_norm", "pad"]
    border = graph.ops[2]
    assert isinstance(border, Pad)
    assert (border.before, border.after) == ((pad, pad), (pad, pad))
    assert border.value is not None
    assert graph.weights[border.value].shape == (4,)
    assert border.source.file.endswith("test_aten_writes.py")


def test_without_numbers_the_parts_are_known_to_be_one() -> None:
    graph = trace(Bordered().to("meta").eval(), torch.empty(2, 4, 6, 5, device="meta"))
    assert kinds(graph) == ["batch_norm", "pad"]
    assert Absent((4,)) in graph.weights.values()


def test_a_rep_conv_of_ours() -> None:
    network = RepConv(4, 6)
    assert kinds(traced(network)) == ["conv", "pad", "batch_norm", "conv", "conv", "batch_norm"]


def rows(x: Tensor, value: Tensor | float, *sides: int) -> Tensor:
    """A border in which some sides are written to."""
    y = F.pad(x, (1, 1, 1, 1))
    for side in sides:
        y[:, :, side] = value
    return y


def crossed(x: Tensor, c: Tensor) -> Tensor:
    """Two values in one border."""
    y = rows(x, c, 0, -1)
    y[..., 0] = y[..., -1] = 2 * c
    return y


def within(x: Tensor, c: Tensor) -> Tensor:
    """More than the border is written to."""
    y = F.pad(x, (1, 1, 1, 1))
    y[:, :, :2] = c.unsqueeze(-1)
    return y


def overwritten(x: Tensor, c: Tensor) -> Tensor:
    """All of the border twice; the last value counts."""
    y = F.pad(x, (0, 0, 1, 1), value=7.0)
    for value in (c, 2 * c):
        y[:, :, 0] = value
        y[:, :, -1] = value
    return y


def listed(x: Tensor, c: Tensor) -> Tensor:
    """The border by its places, as a list."""
    y = F.pad(x, (1, 1, 1, 1))
    y[:, :, [0, -1]] = c.unsqueeze(-1)
    y[..., torch.tensor([0, y.shape[-1] - 1])] = c.unsqueeze(-1)
    return y


def exchanged(x: Tensor, c: Tensor) -> Tensor:
    """Computed values in listed places."""
    y = x.clone()
    y[:, [2, 0]] = 2 * x[:, :2]
    return y


CASES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], list[str]]] = {
    "zeros": (lambda x, c: F.pad(x, (1, 2, 0, 1)), ["pad"]),
    "zeros on one axis": (lambda x, c: F.pad(x, (0, 0, 1, 1)), ["pad"]),
    "a number": (lambda x, c: F.pad(x, (1, 1), value=-1.5), ["pad"]),
    "cut off": (lambda x, c: F.pad(x, (-1, 0, 1, -2)), ["slice", "slice", "pad"]),
    "only cut off": (lambda x, c: F.pad(x, (-1, 0)), ["slice"]),
    "nothing": (lambda x, c: F.pad(x, (0, 0)) + x, ["add"]),
    "module": (lambda x, c: nn.ZeroPad2d(1)(x), ["pad"]),
    "channels": (lambda x, c: F.pad(x, (0, 0, 0, 0, 1, 2)), ["pad"]),
    "one side": (lambda x, c: rows(x, c, 0)[:, :, 1:], []),
    "borders of borders": (lambda x, c: rows(rows(x, c, 0, -1), c, 0), []),
    "two values": (crossed, []),
    "more than the border": (within, []),
    "twice": (overwritten, ["pad"]),
    "places listed": (listed, ["pad"]),
    "computed values in places listed": (exchanged, []),
    "an image": (lambda x, c: rows(x, torch.arange(7.0), 0, -1), []),
}


@pytest.mark.parametrize("name", CASES)
def test_writes(name: str) -> None:
    function, wanted = CASES[name]
    found = kinds(traced(Call(function)))
    if wanted:
        assert found == wanted


class Written(nn.Module):
    """Spikes in one half of a layer; ``fill`` in the other."""

    def __init__(self, fill: float) -> None:
        super().__init__()
        self.fc1, self.lif1, self.fc2, self.lif2 = nn.Linear(8, 8), LIF(), nn.Linear(8, 8), LIF()
        self.fill = fill

    def forward(self, x: Tensor) -> Tensor:
        s = self.lif1(self.fc1(x.expand(4, -1, -1)))
        y = torch.full_like(s, self.fill)
        y[:, :, :4] = s[:, :, :4]
        return self.lif2(self.fc2(y)).mean(0)


@pytest.mark.parametrize(("fill", "clean"), [(0.0, True), (1.0, True), (0.5, False), (2.0, False)])
def test_spikes_written_into_zeros_or_ones_are_spikes(fill: float, clean: bool) -> None:
    torch.manual_seed(0)
    network = Written(fill)
    for layer in (network.fc1, network.fc2):
        nn.init.uniform_(layer.weight, -1, 3)
    checked = snncc.check(network, torch.zeros(1, 8))
    assert checked.clean is clean
    x = 3 * torch.rand(5, 8)
    with torch.no_grad():
        wanted = network.double()(x.double()).numpy()
    assert wanted.any()
    found = interpret(checked.graph, x.double().numpy())["output"]
    np.testing.assert_array_equal(found, wanted)
