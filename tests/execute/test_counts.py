"""Counted operations against a loop over spikes and synapses in plain Python."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from snncc.execute.counts import Counts, count
from snncc.ir import domain as dom
from snncc.ir.graph import Graph, Op
from snncc.ir.ops import Add, Conv, Input, Linear, MatMul, Output, Permute, Readout, Repeat


def steps(ops: list[Op], x: np.ndarray, weights: dict[str, np.ndarray], hi: int = 1) -> Graph:
    """A network that shows ``x`` for two time steps and reads the last op out."""
    entry = Input(name="x", shape=x.shape[1:], domain=dom.integers(0, hi), scale=1.0, varies=False)
    tail = [
        Readout(name="r", inputs=(ops[-1].name,), steps=2),
        Output(name="y", inputs=("r",)),
    ]
    return Graph((entry, Repeat(name="s", inputs=("x",)), *ops, *tail), weights, "step", 2)


GEOMETRIES = [
    (k, s, p, d, g)
    for k, s, p, d, g in itertools.product((1, 3), (1, 2), (0, 1, 2), (1, 2), (1, 2))
    if 6 + 2 * p >= d * (k - 1) + 1
]


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation", "groups"), GEOMETRIES)
def test_conv_counts_equal_brute_force(
    kernel: int, stride: int, padding: int, dilation: int, groups: int
) -> None:
    rng = np.random.default_rng(kernel * 100 + stride * 10 + padding)
    x = rng.integers(0, 4, (3, 4, 6, 5))
    weight = rng.integers(-9, 9, (6, 4 // groups, kernel, kernel)).astype(np.int8)
    conv = Conv(
        name="c", inputs=("s",), weight="w", stride=(stride, stride), padding=(padding, padding),
        dilation=(dilation, dilation), groups=groups,
    )  # fmt: skip
    graph = steps([conv], x, {"w": weight}, hi=3)
    height, width = graph.type_of("c").shape[1:]
    wanted = 0
    for n, c, i, j in np.argwhere(x):
        for oi, oj, ki, kj in itertools.product(
            range(height), range(width), range(kernel), range(kernel)
        ):
            here = (oi * stride - padding + ki * dilation, oj * stride - padding + kj * dilation)
            if here == (i, j):
                wanted += int(x[n, c, i, j]) * (6 // groups)
    counted = count(graph, x).ops["c"]
    assert counted.synaptic_ops.tolist() == [wanted, wanted]
    assert counted.events_in.tolist() == [np.count_nonzero(x)] * 2
    assert counted.value_in.tolist() == [x.sum()] * 2
    assert counted.dense_ops == 6 * height * width * (4 // groups) * kernel**2


def test_linear_counts() -> None:
    x = np.random.default_rng(0).integers(0, 2, (3, 7, 5))
    linear = Linear(name="l", inputs=("s",), weight="w", bias="b")
    weights: dict[str, np.ndarray] = {"w": np.ones((4, 5), np.int8), "b": np.ones(4, np.int32)}
    counted = count(steps([linear], x, weights), x).ops["l"]
    assert counted.synaptic_ops.tolist() == [4 * x.sum()] * 2
    assert counted.bias_ops.tolist() == [3 * 7 * 4] * 2
    assert counted.dense_ops == 7 * 5 * 4


def test_matmul_counts_pairs_of_spikes() -> None:
    x = np.random.default_rng(1).integers(0, 2, (2, 3, 6, 4))
    transposed = Permute(name="t", inputs=("s",), order=(0, 2, 1))
    product = MatMul(name="m", inputs=("s", "t"))
    counted = count(steps([transposed, product], x, {}), x).ops["m"]
    pairs = sum(
        int(x[b, h, i, k] and x[b, h, j, k])
        for b in range(2) for h in range(3) for i in range(6) for j in range(6) for k in range(4)
    )  # fmt: skip
    assert counted.synaptic_ops.tolist() == [pairs, pairs]
    assert counted.fan_out_ops.tolist() == [x.sum() * 6] * 2
    assert counted.dense_ops == 3 * 6 * 6 * 4


def test_counts_do_not_depend_on_the_batch_and_add_up() -> None:
    x = np.random.default_rng(2).integers(0, 2, (7, 3, 4))
    add = Add(name="a", inputs=("s", "s"))
    graph = steps([add], x, {})
    one, all_ = count(graph, x, batch=1), count(graph, x, batch=7)
    assert _as_lists(one) == _as_lists(all_)
    parts = count(graph, x[:3]) + count(graph, x[3:])
    assert _as_lists(parts) == _as_lists(all_)


def _as_lists(counts: Counts) -> dict[str, list[list[int]]]:
    fields = ("events_in", "value_in", "synaptic_ops", "bias_ops", "spikes_out", "updates")
    return {n: [getattr(op, f).tolist() for f in fields] for n, op in counts.ops.items()}


def test_no_samples_are_refused() -> None:
    x = np.zeros((1, 2, 3), int)
    with pytest.raises(ValueError, match="no samples"):
        count(steps([Add(name="a", inputs=("s", "s"))], x, {}), x[:0])
