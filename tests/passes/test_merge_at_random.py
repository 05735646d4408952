"""Linear layers in a row at random, and the published ones, against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from snncc.frontends.torch_export import trace
from snncc.ir import ops
from snncc.ir.domain import REAL, SPIKE
from snncc.ir.graph import Absent, Array, Graph, IRError, Op, Source, Weight
from snncc.ir.interpret import interpret
from snncc.ir.pad import Pad
from snncc.models.neuron import LIF
from snncc.models.rep_conv import RepConv
from snncc.passes.base import run_passes
from snncc.passes.canonicalise import Canonicalise
from snncc.passes.merge_linear_chains import MergeLinearChains
from snncc.passes.to_steps import ToSteps


def op(kind: type[Op], name: str, *inputs: str, **fields: Any) -> Op:
    """An op of the module `net.NAME`."""
    return kind(name=name, inputs=inputs, source=Source(f"net.{name}"), **fields)


class RandomChain:
    """Convolutions, batch norms, factors and borders in a row, with a proved border or not.

    With ``pools`` the input is spikes, sums and averages stand between, and a linear layer may read
    all places in one row.
    """

    def __init__(self, seed: int, *, pools: bool = False) -> None:
        self.pools = pools
        self.dice = Random(seed)  # noqa: S311
        self.rng = np.random.default_rng(seed)
        self.axes = self.dice.choice((1, 2) if pools else (0, 1, 2))
        self.channels = self.dice.choice((2, 4, 6))
        sizes = (self.dice.randint(4, 9) for _ in range(self.axes))
        lead = (3,) if self.axes == 0 else ()
        shape, domain = (*lead, self.channels, *sizes), SPIKE if pools else REAL
        self.ops: list[Op] = [op(ops.Input, "x", shape=shape, domain=domain)]
        self.weights: dict[str, Weight] = {}

    def weight(self, *shape: int, low: float = -1) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = self.rng.uniform(low, 1, shape).astype(np.float32)
        return name

    def add(self, kind: type[Op], **fields: Any) -> None:
        """Append an op; one that does not fit is left out."""
        made = op(kind, f"o{len(self.ops)}", self.ops[-1].name, **fields)
        try:
            shape = Graph((*self.ops, made), self.weights, "step").type_of(made.name).shape
        except IRError:
            return
        self.ops.append(made)
        self.channels = shape[len(shape) - self.axes - 1]

    def sizes(self, *choice: int) -> tuple[int, ...]:
        return tuple(self.dice.choice(choice) for _ in range(self.axes))

    def linear(self) -> None:
        fan_out = self.dice.choice((2, 4, 6))
        bias = self.weight(fan_out) if self.dice.random() < 0.4 else None
        if self.axes == 0:
            self.add(ops.Linear, weight=self.weight(fan_out, self.channels), bias=bias)
            return
        every = (n for n in (1, 2, 3, 6) if self.channels % n == 0 and fan_out % n == 0)
        groups = self.dice.choice(tuple(every))
        kernel = self.sizes(1, 1, 2, 3)
        self.add(
            ops.Conv,
            weight=self.weight(fan_out, self.channels // groups, *kernel),
            bias=bias,
            stride=self.sizes(1, 1, 2),
            padding=self.sizes(0, 0, 0, 1),
            dilation=self.sizes(1, 1, 2),
            groups=groups,
        )

    def norm(self) -> None:
        names = ("gamma", "beta", "mean")
        given: dict[str, str | None] = {each: self.weight(self.channels) for each in names}
        if self.dice.random() < 0.3:
            given |= {"beta": None, "mean": self.weight(self.channels)}
            self.weights[str(given["mean"])] = np.zeros(self.channels)
        var, axis = self.weight(self.channels, low=0.1), 1 if self.axes == 0 else 0
        self.add(ops.BatchNorm, var=var, eps=1e-5, axis=axis, **given)

    def border(self) -> None:
        value = None
        if self.dice.random() < 0.6:
            value = self.weight(self.channels)
            self.weights[value] = self.of_zeros()
        before = self.sizes(0, 1, 2)
        after = before if self.dice.random() < 0.7 else self.sizes(0, 1)
        self.add(Pad, before=before, after=after, value=value)

    def of_zeros(self) -> Array:
        """What the chain makes of zeros far from any border."""
        graph = Graph(
            (*(_unbordered(each) for each in self.ops), op(ops.Output, "y", self.ops[-1].name)),
            self.weights,
            "step",
        )
        zeros = np.zeros((1, self.ops[0].attributes()["shape"][0], *(200,) * self.axes))
        entry = op(ops.Input, "x", shape=zeros.shape[1:])
        y = interpret(graph.replace((entry, *graph.ops[1:])), zeros)["y"][0]
        return np.asarray(y[(slice(None), *(n // 2 for n in y.shape[1:]))])

    def pool(self) -> None:
        kernel, include = self.sizes(1, 2, 2, 3), self.dice.random() < 0.7
        stride = kernel if self.dice.random() < 0.6 else self.sizes(1, 2, 3)
        padding = tuple(self.dice.choice((0, 0, k // 2)) for k in kernel)
        window: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": padding}
        self.add(ops.AvgPool, **window, count_include_pad=include)
        if self.dice.random() < 0.3:
            self.add(ops.Scale, factor=float(np.prod(kernel)))

    def rows(self) -> None:
        """Put all places in one row, or sum over them, in front of a linear layer."""
        rank = self.axes + 1
        shape = Graph(tuple(self.ops), self.weights, "step").type_of(self.ops[-1].name).shape
        keeps, sums = self.dice.random() < 0.5, self.dice.random() < 0.4
        self.axes = 0
        if sums:
            self.add(ops.Sum, axes=tuple(range(1, rank)), keepdims=keeps)
            shape = (shape[0], *(1,) * (rank - 1 if keeps else 0))
        if len(shape) > 1:
            self.add(ops.Reshape, shape=(int(np.prod(shape)),))
        self.linear()

    def build(self) -> Graph:
        parts = [self.linear, self.linear, self.norm, self.scale]
        parts += [self.border] if self.axes else []
        if self.pools:
            self._build_with_pools([*parts, self.pool, self.pool])
        else:
            for _ in range(self.dice.randint(2, 7)):
                self.dice.choice(parts)()
        self.ops.append(op(ops.Output, "y", self.ops[-1].name))
        return Graph(tuple(self.ops), self.weights, "step")

    def _build_with_pools(self, parts: list[Callable[[], None]]) -> None:
        if self.dice.random() < 0.5:
            self.dice.choice((self.pool, self.pool, self.pool, self.scale, self.border))()
            if self.dice.random() < 0.7:
                self.linear()
            for _ in range(self.dice.randint(0, 3)):
                self.dice.choice(parts)()
        else:
            self.dice.choice((self.linear, self.pool, self.scale))()
        if self.dice.random() < 0.5:
            self.rows()
        one = {"kernel": (1,), "stride": (1,), "padding": (0,), "dilation": (1,)}
        self.add(ops.MaxPool, **one)  # without an op behind, the last layer were the head

    def scale(self) -> None:
        self.add(ops.Scale, factor=self.dice.choice((0.5, -2.0, 0.125)))


def _unbordered(each: Op) -> Op:
    """The op without a border, so that its constants alone count."""
    if isinstance(each, Pad):
        return op(ops.Scale, each.name, *each.inputs, factor=1.0)
    return each


def with_torch(graph: Graph, x: Tensor) -> Tensor:
    """The answer of a chain by PyTorch, in the precision of ``x``."""
    for each in graph.ops[1:-1]:
        x = _TORCH[each.kind](each, x, graph)
    return x


def _tensor(graph: Graph, name: str | None, x: Tensor) -> Tensor | None:
    return None if name is None else torch.tensor(np.asarray(graph.weights[name])).to(x)


def _conv(each: Any, x: Tensor, graph: Graph) -> Tensor:
    weight, bias = (_tensor(graph, name, x) for name in (each.weight, each.bias))
    convolve: Any = (F.conv1d, F.conv2d)[len(each.stride) - 1]
    y: Tensor = convolve(x, weight, bias, each.stride, each.padding, each.dilation, each.groups)
    return y


def _linear(each: Any, x: Tensor, graph: Graph) -> Tensor:
    weight, bias = (_tensor(graph, name, x) for name in (each.weight, each.bias))
    assert weight is not None
    return F.linear(x, weight, bias)


def _norm(each: Any, x: Tensor, graph: Graph) -> Tensor:
    names = (each.mean, each.var, each.gamma, each.beta)
    mean, var, gamma, beta = (_tensor(graph, name, x) for name in names)
    y = F.batch_norm(x.movedim(each.axis + 1, 1), mean, var, gamma, beta, eps=each.eps)
    return y.movedim(1, each.axis + 1)


def _border(each: Any, x: Tensor, graph: Graph) -> Tensor:
    sides = [n for pair in zip(each.before[::-1], each.after[::-1], strict=True) for n in pair]
    value = _tensor(graph, each.value, x)
    if value is None:
        return F.pad(x, sides)
    column = value.view(-1, *(1,) * len(each.before))
    return F.pad(x - column, sides) + column


def _pool(each: Any, x: Tensor, graph: Graph) -> Tensor:
    average: Any = (F.avg_pool1d, F.avg_pool2d)[len(each.stride) - 1]
    y: Tensor = average(
        x, each.kernel, each.stride, each.padding, each.ceil_mode, each.count_include_pad
    )
    return y


_TORCH: dict[str, Any] = {
    "avg_pool": _pool,
    "max_pool": lambda e, x, g: x,
    "sum": lambda e, x, g: x.sum([axis + 1 for axis in e.axes], keepdim=e.keepdims),
    "reshape": lambda e, x, g: x.flatten(1),
    "conv": _conv,
    "linear": _linear,
    "batch_norm": _norm,
    "scale": lambda e, x, g: x * e.factor,
    "pad": _border,
}


@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=150)
def test_chains_at_random(seed: int) -> None:
    graph = RandomChain(seed).build()
    result = MergeLinearChains(max_growth=1e9).run(graph)
    assert len(result.graph.ops) <= len(graph.ops)
    x = np.random.default_rng(seed).normal(size=(2, *graph.type_of("x").shape))
    wanted = with_torch(graph, torch.tensor(x)).numpy()
    size = max(1.0, np.abs(wanted).max())
    found, before = (interpret(each, x)["y"] for each in (result.graph, graph))
    np.testing.assert_allclose(found, before, atol=1e-12 * size)
    np.testing.assert_allclose(found, wanted, atol=1e-10 * size)


def test_chains_at_random_often_merge() -> None:
    results = [MergeLinearChains().run(RandomChain(seed).build()) for seed in range(200)]
    assert sum(any(not c.reason for c in r.chains) for r in results) > 60
    assert sum(any(c.reason for c in r.chains) for r in results) > 20
    assert sum(any(o.kind == "pad" for o in r.graph.ops) for r in results) > 10


@given(st.integers(0, 2**32))
@example(1081)  # places that a pool leaves out, behind which the next one pads
@settings(deadline=None, max_examples=150)
def test_pools_at_random(seed: int) -> None:
    """Values agree to 1e-12 of the largest, and a merged row reads nothing but its input."""
    graph = RandomChain(seed, pools=True).build()
    result = MergeLinearChains(max_growth=1e9).run(graph)
    x = np.random.default_rng(seed).integers(0, 2, (2, *graph.type_of("x").shape)).astype(float)
    wanted = with_torch(graph, torch.tensor(x)).numpy()
    size = max(1.0, np.abs(wanted).max())
    found, before = (interpret(each, x)["y"] for each in (result.graph, graph))
    np.testing.assert_allclose(found, before, atol=1e-12 * size)
    np.testing.assert_allclose(found, wanted, atol=1e-12 * size)


def test_pools_at_random_often_merge() -> None:
    before = [RandomChain(seed, pools=True).build() for seed in range(300)]
    after = [MergeLinearChains().run(each) for each in before]
    kinds = [{o.kind for o in r.graph.ops} for r in after]
    merged = [{o.kind for o in g.ops} - left for g, left in zip(before, kinds, strict=True)]
    assert sum("avg_pool" in each for each in merged) > 60
    assert sum("sum" in each for each in merged) > 3
    assert sum("slice" in each for each in kinds) > 2
    assert sum("linear" in each and "reshape" in each for each in kinds) > 15
    assert sum(any(c.reason for c in r.chains) for r in after) > 15


@given(st.integers(0, 2**32), st.booleans())
@settings(deadline=None, max_examples=60)
def test_without_numbers_shapes_stay(seed: int, pools: bool) -> None:
    graph = RandomChain(seed, pools=pools).build()
    absent: dict[str, Weight] = {name: Absent(w.shape) for name, w in graph.weights.items()}
    result = MergeLinearChains(max_growth=1e9).run(Graph(graph.ops, absent, "step"))
    assert result.graph.type_of("y").shape == graph.type_of("y").shape


class Network(nn.Module):
    """A neuron, and a RepConv with its outer norm, statistics at random."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lif = LIF()
        self.conv = nn.Sequential(RepConv(channels, channels), nn.BatchNorm2d(channels))
        generator = torch.Generator().manual_seed(0)
        for name, tensor in self.conv.state_dict().items():
            if tensor.ndim == 1:
                low = 0.5 if name.endswith(("var", "weight")) else -0.5
                tensor.uniform_(low, low + 1, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(self.lif(x).flatten(0, 1))
        return out.reshape(x.shape).sum(0)


def test_in_single_precision_the_answers_agree() -> None:
    """Relative error below 1e-6 where PyTorch computes a RepConv as published in float32."""
    network = Network(96).eval()
    x = torch.randn(1, 2, 96, 14, 14, generator=torch.Generator().manual_seed(1)) + 1
    tensor = trace(network, x, batch_axis=1)
    passes = [Canonicalise(), ToSteps(batch_axis=1), Canonicalise(), MergeLinearChains()]
    merged = run_passes(tensor, passes).graph
    assert [each.kind for each in merged.of_kind("conv", "batch_norm", "pad")] == ["conv"]
    found = interpret(merged, x.numpy())["output"]
    with torch.no_grad():
        single = network(x).numpy()
        double = network.double()(x.double()).numpy()
    size = np.abs(double).max()
    assert np.abs(found - single).max() < 1e-6 * size
    assert np.abs(found - double).max() < 1e-12 * size
