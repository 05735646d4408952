"""Batch norms fold into weights where that is exact, and are reported where it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.diagnostics.core import Severity
from snncc.ir import ops
from snncc.ir.graph import Absent, Array, Graph, Op, Source, Weight
from snncc.ir.interpret import interpret
from snncc.ir.text import dump
from snncc.passes.base import run_passes
from snncc.passes.fold_batch_norm import FoldBatchNorm, no_batch_norm
from snncc.passes.to_steps import ToSteps

WINDOW: dict[str, Any] = {"stride": (1, 1), "dilation": (1, 1)}


def op(kind: type[Op], name: str, *inputs: str, **fields: Any) -> Op:
    """An op of the module `net.NAME`."""
    return kind(name=name, inputs=inputs, source=Source(f"net.{name}"), **fields)


def norm(name: str, read: str, axis: int = 0, **fields: Any) -> Op:
    """A batch norm of 4 channels."""
    named = {"gamma": "g", "beta": "b", "mean": "m", "var": "v"} | fields
    return op(ops.BatchNorm, name, read, eps=1e-5, axis=axis, **named)


def conv(name: str, read: str, *, kernel: int = 3, padding: int = 0, groups: int = 1) -> Op:
    """A convolution of 4 channels; weights are called by kernel and groups."""
    weight = f"w{kernel}{groups}"
    return op(ops.Conv, name, read, weight=weight, padding=(padding,) * 2, groups=groups, **WINDOW)


def step(*made: Op, absent: bool = False) -> Graph:
    """A step graph that reads `x`, 4 channels of 6x6, and answers `z`."""
    rng = np.random.default_rng(0)
    weights: dict[str, Weight] = {
        "g": rng.uniform(-2, 2, 4).astype(np.float32),
        "b": rng.normal(size=4).astype(np.float32),
        "m": rng.normal(size=4).astype(np.float32),
        "v": rng.uniform(0.1, 2, 4).astype(np.float32),
        "l": rng.normal(size=(4, 4)).astype(np.float32),
        "bias": rng.normal(size=4).astype(np.float32),
        "zero": np.zeros(4, np.float32),
    }
    for kernel in (1, 3):
        for groups in (1, 2, 4):
            shape = (4, 4 // groups, kernel, kernel)
            weights[f"w{kernel}{groups}"] = rng.normal(size=shape).astype(np.float32)
    if absent:
        weights = {n: Absent(tuple(w.shape), "float32") for n, w in weights.items()}
    before = (op(ops.Input, "x", shape=(4, 6, 6)), *made, op(ops.Output, "y", "z"))
    return Graph(before, {}, "step", 2).replace(before, weights)


def folded(*made: Op) -> Graph:
    """The graph after the pass; its values must be equal."""
    graph = step(*made)
    after = run_passes(graph, [FoldBatchNorm()]).graph
    x = np.random.default_rng(1).normal(size=(3, 4, 6, 6))
    np.testing.assert_allclose(interpret(after, x)["y"], interpret(graph, x)["y"], atol=1e-10)
    return after


def test_golden() -> None:
    after = folded(conv("c", "x"), norm("z", "c"))
    windows = "stride=(1, 1), padding=(0, 0), dilation=(1, 1)"
    assert [line.split(" : ")[0] for line in dump(after).splitlines()[2:-1]] == [
        f"  %c = conv(%x, weight='c.folded_weight', bias='c.folded_bias', {windows})",
        "  %y = output(%c)",
    ]
    assert after["c"].source.merged == ("net.z",)
    assert {str(w.dtype) for w in after.weights.values()} == {"float64"}


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("padding", [0, 1])
def test_behind_a_convolution(groups: int, padding: int) -> None:
    after = folded(conv("c", "x", padding=padding, groups=groups), norm("z", "c"))
    assert not after.of_kind("batch_norm")


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("kernel", [1, 3])
def test_before_a_convolution(groups: int, kernel: int) -> None:
    after = folded(norm("n", "x"), conv("z", "n", kernel=kernel, groups=groups))
    assert not after.of_kind("batch_norm")


def test_before_two_convolutions() -> None:
    after = folded(
        norm("n", "x"), conv("a", "n"), conv("b", "n", groups=2), op(ops.Add, "z", "a", "b")
    )
    assert not after.of_kind("batch_norm")


def test_through_views() -> None:
    after = folded(
        op(ops.Reshape, "flat", "x", shape=(4, 36)),
        op(ops.Permute, "tokens", "flat", order=(1, 0)),
        op(ops.Linear, "fc", "tokens", weight="l", bias="bias"),
        op(ops.Permute, "back", "fc", order=(1, 0)),
        op(ops.Reshape, "map", "back", shape=(1, 4, 6, 6)),
        op(ops.Slice, "part", "map", axis=2, start=1, stop=6),
        norm("z", "part", axis=1),
    )
    assert not after.of_kind("batch_norm")


def test_ahead_through_views() -> None:
    after = folded(
        norm("n", "x"),
        op(ops.Reshape, "flat", "n", shape=(4, 36)),
        op(ops.Permute, "tokens", "flat", order=(1, 0)),
        op(ops.Linear, "z", "tokens", weight="l"),
    )
    assert not after.of_kind("batch_norm")


def test_two_in_a_row() -> None:
    assert not folded(conv("c", "x"), norm("n", "c"), norm("z", "n")).of_kind("batch_norm")


def test_without_gamma_and_beta() -> None:
    after = folded(conv("c", "x"), norm("z", "c", gamma=None, beta=None))
    assert not after.of_kind("batch_norm")


def test_weights_that_two_ops_share_fold_apart() -> None:
    after = folded(
        conv("a", "x"),
        conv("b", "x"),
        norm("n", "a"),
        norm("o", "b", gamma="b", beta="g"),
        op(ops.Add, "z", "n", "o"),
    )
    assert not after.of_kind("batch_norm")
    assert len(after.weights) == 4


def test_no_offset_passes_zero_padding() -> None:
    plain = norm("n", "x", mean="zero", beta=None)
    assert not folded(plain, conv("z", "n", padding=1)).of_kind("batch_norm")


NOT_FOLDED: dict[str, tuple[Op, ...]] = {
    "zero padding behind it": (norm("n", "x"), conv("z", "n", padding=1)),
    "a sum before it": (op(ops.Add, "s", "x", "x"), norm("z", "s")),
    "another reader of the convolution": (
        conv("c", "x"),
        norm("n", "c"),
        op(ops.Add, "z", "n", "c"),
    ),
    "a channel axis that was cut": (
        conv("c", "x"),
        op(ops.Reshape, "r", "c", shape=(2, 2, 4, 4)),
        op(ops.Permute, "p", "r", order=(2, 0, 1, 3)),
        norm("z", "p"),
    ),
    "another axis": (conv("c", "x"), norm("z", "c", axis=1)),
    "a pool with more readers": (
        op(ops.MaxPool, "p", "x", kernel=(2, 2), padding=(0, 0), **WINDOW),
        norm("z", "p"),
    ),
}


@pytest.mark.parametrize("made", NOT_FOLDED.values(), ids=NOT_FOLDED)
def test_what_does_not_fold_is_reported(made: tuple[Op, ...]) -> None:
    after = folded(*made)
    left = after.of_kind("batch_norm")
    found = FoldBatchNorm().run(after).diagnostics
    assert len(left) == len(found) == 1
    assert found == tuple(no_batch_norm(after))
    assert found[0].rule.code == "SNN207"
    assert found[0].severity is Severity.ERROR
    assert found[0].message == f"`net.{left[0].name}` cannot fold into weights"
    assert found[0].source == left[0].source


def test_absent_weights_stay_absent() -> None:
    graph = step(
        norm("n", "x"),
        conv("c", "n", kernel=1),
        norm("o", "c"),
        conv("z", "o", padding=1),
        absent=True,
    )
    after = run_passes(graph, [FoldBatchNorm()]).graph
    assert not after.of_kind("batch_norm")
    assert all(isinstance(w, Absent) for w in after.weights.values())


def test_an_unknown_offset_does_not_pass_zero_padding() -> None:
    graph = step(norm("n", "x"), conv("z", "n", padding=1), absent=True)
    assert run_passes(graph, [FoldBatchNorm()]).graph.of_kind("batch_norm")


@given(seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=40)
def test_spikes_stay(
    seed: int, random_network: Callable[[int], Graph], images: Callable[[Graph, int], Array]
) -> None:
    tensor = random_network(seed)
    graph = run_passes(tensor, [ToSteps()]).graph
    after = run_passes(graph, [FoldBatchNorm()]).graph
    entry: Any = graph.ops[0]
    x = images(tensor, seed)
    x = x.swapaxes(0, 1) if entry.varies else x
    old, new = interpret(graph, x), interpret(after, x)
    for neuron in graph.of_kind("neuron"):
        assert np.array_equal(old[neuron.name], new[neuron.name])
    np.testing.assert_allclose(new["y"], old["y"], atol=1e-9)
