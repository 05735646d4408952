"""Each entry of the operator table: what it becomes, and that it means what PyTorch does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snncc.frontends.torch_export import trace
from snncc.ir.graph import Graph
from snncc.ir.interpret import interpret

Function = Callable[[Tensor], Tensor]


class Call(nn.Module):
    """A function of the input, with some stored tensors at hand."""

    def __init__(self, function: Callable[[Call, Tensor], Tensor]) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.function = function
        self.scalar = nn.Parameter(torch.tensor(0.5))
        self.per_channel = nn.Parameter(torch.rand(4, 1, 1, generator=generator))
        self.square = nn.Parameter(torch.rand(6, 6, generator=generator))
        self.image = nn.Parameter(torch.rand(4, 6, 6, generator=generator))
        self.kernel = nn.Parameter(torch.rand(8, 2, 3, 3, generator=generator))
        self.norm = nn.BatchNorm2d(4)
        self.plain_norm = nn.BatchNorm2d(4, affine=False)
        self.norm3d = nn.BatchNorm3d(4)
        self.fc = nn.Linear(6, 5)
        for norm in (self.norm, self.plain_norm, self.norm3d):
            assert norm.running_mean is not None
            norm.running_mean += torch.rand(4, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def traced(function: Callable[[Call, Tensor], Tensor]) -> Graph:
    """The graph of a function of a `[2, 4, 6, 6]` input, held against PyTorch."""
    network = Call(function).eval()
    x = torch.rand(2, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    graph = trace(network, x)
    with torch.no_grad():
        wanted = network(x)
    found = interpret(graph, x.numpy())["output"]
    assert found.shape == tuple(wanted.shape)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-5)
    return graph


def kinds(graph: Graph) -> list[str]:
    """The kinds of the ops between input and output."""
    return [op.kind for op in graph.ops if op.kind not in ("input", "output")]


def written(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[:, :, 1:3] = x[:, :, 2:4]
    y[:, 0] = x[:, 1]
    return y


def looped(x: Tensor) -> Tensor:
    total = x[:, 0]
    for i in range(1, 4):
        total = total + x[:, i]
    return total


def inplace(x: Tensor) -> Tensor:
    y = x * 2
    y += x
    y.unsqueeze_(0)
    return y


CASES: dict[str, tuple[Callable[[Call, Tensor], Tensor], list[str]]] = {
    "conv with groups": (
        lambda m, x: F.conv2d(x, m.kernel, stride=2, padding=1, groups=2),
        ["conv"],
    ),
    "dilated": (lambda m, x: F.conv2d(x[:, :2], m.kernel, dilation=(2, 1)), ["slice", "conv"]),
    "same": (lambda m, x: F.conv2d(x, m.kernel, padding="same", groups=2), ["conv"]),
    "valid": (lambda m, x: F.conv2d(x, m.kernel, padding="valid", groups=2), ["conv"]),
    "conv1d": (
        lambda m, x: F.conv1d(x.flatten(2), m.kernel[:, :, 0], groups=2, padding=1),
        ["reshape", "conv"],
    ),
    "linear": (lambda m, x: m.fc(x), ["linear"]),
    "matmul with a parameter": (lambda m, x: x @ m.square, ["linear"]),
    "matmul with a transposed one": (lambda m, x: x @ m.square.t(), ["linear"]),
    "parameter on the left": (lambda m, x: m.square @ x, ["permute", "linear", "permute"]),
    "addmm": (
        lambda m, x: torch.addmm(m.fc.bias, x.reshape(-1, 6), m.fc.weight.t()),
        ["reshape", "linear"],
    ),
    "linear with computed weights": (
        lambda m, x: F.linear(x[0, 0], x[1, 0]),
        ["slice", "reshape", "slice", "reshape", "slice", "reshape", "slice", "reshape",
         "permute", "matmul"],
    ),
    "bmm": (lambda m, x: torch.bmm(x[:, 0], x[:, 1]), ["slice", "reshape"] * 2 + ["matmul"]),
    "einsum": (
        lambda m, x: torch.einsum("bhnd,bhmd->bhnm", x, 2 * x),
        [],
    ),
    "einsum with a stored matrix": (
        lambda m, x: torch.einsum("bci,io->bco", x[:, :, 0], m.square),
        [],
    ),
    "einsum with a stored matrix on the left": (
        lambda m, x: torch.einsum("oi,bi->bo", m.square, x[:, 0, 0]),
        [],
    ),
    "tensordot": (lambda m, x: torch.tensordot(x, m.square, dims=1), []),
    "a stack of one matrix": (
        lambda m, x: torch.bmm(x[:, 0], m.square.expand(2, 6, 6)),
        ["slice", "reshape", "linear"],
    ),
    "a stack of matrices that differ": (lambda m, x: x @ m.image, ["constant", "matmul"]),
    "a stack longer than what it multiplies": (
        lambda m, x: x[:1, 0] @ m.square.expand(3, 6, 6), []
    ),
    "second names": (
        lambda m, x: torch.subtract(torch.multiply(x, 2), torch.true_divide(x, 4)),
        ["scale", "scale", "scale", "add"],
    ),
    "as another's type": (lambda m, x: x * (x > 0.5).logical_not().type_as(x), []),
    "tile": (lambda m, x: x.tile(2, 1, 1, 1), ["expand", "reshape", "reshape"]),
    "concatenate": (lambda m, x: torch.concatenate((x, 2 * x), 1), ["scale", "concat"]),
    "batch norm": (lambda m, x: m.norm(x), ["batch_norm"]),
    "batch norm without weights": (lambda m, x: m.plain_norm(x), ["batch_norm"]),
    "batch norm over time": (
        lambda m, x: m.norm3d(x.unsqueeze(2)).squeeze(2),
        ["reshape", "batch_norm", "reshape"],
    ),
    "max pool": (lambda m, x: F.max_pool2d(x, 3, 2, 1), ["max_pool"]),
    "max pool, default stride": (lambda m, x: F.max_pool2d(x, 2), ["max_pool"]),
    "max pool with indices": (
        lambda m, x: F.max_pool2d(x, 2, return_indices=True)[0],
        ["max_pool"],
    ),
    "max pool 3d": (
        lambda m, x: F.max_pool3d(x, (1, 3, 3), (1, 1, 1), (0, 1, 1)),
        ["max_pool"],
    ),
    "avg pool": (lambda m, x: F.avg_pool2d(x, 2), ["avg_pool"]),
    "avg pool, padding left out": (
        lambda m, x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        ["avg_pool"],
    ),
    "avg pool with a divisor": (
        lambda m, x: F.avg_pool2d(x, 2, divisor_override=3),
        ["avg_pool", "scale"],
    ),
    "adaptive avg pool": (lambda m, x: F.adaptive_avg_pool2d(x, 2), ["avg_pool"]),
    "global avg pool": (lambda m, x: F.adaptive_avg_pool2d(x, 1), None or []),
    "residual": (lambda m, x: x + x, ["add"]),
    "add with a factor": (lambda m, x: torch.add(x, x, alpha=3), ["scale", "add"]),
    "add a parameter": (lambda m, x: x + m.per_channel, ["constant", "add"]),
    "add a number": (lambda m, x: x + 1, ["constant", "add"]),
    "subtract": (lambda m, x: x - x.mT, ["permute", "scale", "add"]),
    "subtract a number": (lambda m, x: x - 0.25, ["constant", "add"]),
    "subtract a parameter": (lambda m, x: x - m.image, ["constant", "add"]),
    "subtract from a number": (lambda m, x: 1 - x, ["scale", "constant", "add"]),
    "negate": (lambda m, x: -x, ["scale"]),
    "times a number": (lambda m, x: x * 0.125, ["scale"]),
    "number times": (lambda m, x: 0.125 * x, ["scale"]),
    "over a number": (lambda m, x: x / 8, ["scale"]),
    "times one": (lambda m, x: x * 1.0 + x, ["add"]),
    "times a stored number": (lambda m, x: x * m.scalar, ["scale"]),
    "times a stored number per channel": (lambda m, x: m.per_channel * x, ["batch_norm"]),
    "over a stored number per channel": (lambda m, x: x / m.per_channel, ["batch_norm"]),
    "times a stored image": (lambda m, x: x * m.image, ["constant", "mask"]),
    "mask": (lambda m, x: x * x.mT, ["permute", "mask"]),
    "sum": (lambda m, x: x.sum(-1), ["sum"]),
    "sum of all": (lambda m, x: x.sum(), ["sum"]),
    "mean, kept": (lambda m, x: x.mean((2, 3), keepdim=True), ["sum", "scale"]),
    "flatten": (lambda m, x: x.flatten(1), ["reshape"]),
    "view": (lambda m, x: x.view(2, 2, 2, -1), ["reshape"]),
    "permute": (lambda m, x: x.permute(0, -1, 1, 2), ["permute"]),
    "transpose then reshape": (
        lambda m, x: x.transpose(1, 2).reshape(2, -1),
        ["permute", "reshape"],
    ),
    "permute to itself": (lambda m, x: x.permute(0, 1, 2, 3) + x, ["add"]),
    "expand": (lambda m, x: x[:, :1].expand(-1, 4, -1, -1), ["slice", "expand"]),
    "repeat of a new axis": (
        lambda m, x: x.unsqueeze(0).repeat(3, 1, 1, 1, 1),
        ["reshape", "expand"],
    ),
    "repeat in front": (lambda m, x: x.repeat(3, 1, 1, 1, 1), ["expand"]),
    "repeat of an axis": (lambda m, x: x.repeat(1, 3, 1, 1), ["reshape", "expand", "reshape"]),
    "repeat once": (lambda m, x: x.repeat(1, 1, 1, 1) + x, ["add"]),
    "slice with a step": (lambda m, x: x[:, :, 1::2], ["slice"]),
    "negative index": (lambda m, x: x[:, -1], ["slice", "reshape"]),
    "split": (lambda m, x: torch.tensor_split(x, [1], 1)[1], ["slice"]),
    "chunk": (lambda m, x: torch.cat(x.chunk(2, 1)[::-1], 1), ["slice", "slice", "concat"]),
    "uneven chunk": (lambda m, x: x.chunk(3, 1)[-1], ["slice"]),
    "unbind": (lambda m, x: x.unbind(1)[2], ["slice", "reshape"]),
    "stack": (lambda m, x: torch.stack([x, x], 1), ["reshape", "reshape", "concat"]),
    "identities": (
        lambda m, x: F.dropout(x.contiguous().clone().detach().float(), 0.5, m.training) + x,
        ["add"],
    ),
    "a loop over an axis": (lambda m, x: looped(x), ["slice", "reshape"] * 4 + ["add"] * 3),
    "in place": (lambda m, x: inplace(x), ["scale", "add", "reshape"]),
    "slices written": (lambda m, x: written(x), []),
    "a stored tensor shown": (lambda m, x: torch.cat([x, m.image[None].expand(2, -1, -1, -1)]), []),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_operator(name: str) -> None:
    function, wanted = CASES[name]
    found = kinds(traced(function))
    if wanted:
        assert sorted(found) == sorted(wanted)


@pytest.mark.parametrize(
    ("name", "function"),
    {
        "aten.softmax": lambda _, x: x.softmax(-1),
        "aten.layer_norm": lambda _, x: F.layer_norm(x, (6,)),
        "aten.gelu": lambda _, x: F.gelu(x),
        "aten.sigmoid": lambda _, x: x.sigmoid(),
        "aten.div": lambda _, x: x / (x + 1),
        "aten.max[0]": lambda _, x: x.max(-1)[0],
        "aten.exp": lambda _, x: x.exp(),
        "aten.pad": lambda _, x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
    }.items(),
)
def test_what_has_no_meaning_here_keeps_its_shape(
    name: str, function: Callable[[Call, Tensor], Tensor]
) -> None:
    graph = trace(Call(function), torch.rand(2, 4, 6, 6))
    foreign = graph.of_kind("foreign")
    assert [op.attributes()["target"] for op in foreign] == [name]
    wanted = function(Call(function), torch.rand(2, 4, 6, 6)).shape
    assert graph.type_of("output").shape == tuple(wanted)


def test_an_iand_gate_keeps_its_domain() -> None:
    """`(1 - a) b` of two spikes is a spike: the 1 is an integer."""
    lif = torch.ops.snncc.neuron

    def gate(_: Call, x: Tensor) -> Tensor:
        a, b = (lif(x + n, 2.0, True, 1.0, 0.0, False) for n in (0, 1))
        return (1 - a) * b

    graph = trace(Call(gate), torch.rand(2, 4, 6, 6))
    assert str(graph.type_of("output").domain) == "spike"


def test_scalar_scale_keeps_the_grid() -> None:
    def scaled(_: Call, x: Tensor) -> Tensor:
        return torch.ops.snncc.neuron(x, None, True, 1.0, None, False) * 0.125

    graph = trace(Call(scaled), torch.rand(2, 4, 6, 6))
    assert str(graph.type_of("output").domain) == "grid(1/8, 0..1)"


@pytest.mark.parametrize("equation", ["bti,oi->bto", "oi,bti->bto", "bti,oi->tbo"])
def test_a_weight_in_einsum_is_a_linear_layer(equation: str) -> None:
    terms = equation.partition("->")[0].split(",")

    def product(m: Call, x: Tensor) -> Tensor:
        both = {"oi": m.square, "bti": x[:, 0]}
        return torch.einsum(equation, *(both[term] for term in terms))

    assert "linear" in (found := kinds(traced(product)))
    assert "matmul" not in found
