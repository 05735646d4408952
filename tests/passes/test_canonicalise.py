"""Normal form: fewer ops, equal values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.ir import ops
from snncc.ir.graph import Absent, Array, Graph, Op, Source, Weight
from snncc.ir.interpret import interpret
from snncc.ir.text import dump
from snncc.passes.base import run_passes
from snncc.passes.canonicalise import Canonicalise


def op(kind: type[Op], name: str, *inputs: str, **fields: Any) -> Op:
    """An op of the module `net.NAME`."""
    return kind(name=name, inputs=inputs, source=Source(f"net.{name}"), **fields)


def cleaned(*made: Op, **weights: Weight) -> list[str]:
    """The ops left between input and output, without their types; values must be equal."""
    before = Graph((op(ops.Input, "x", shape=(2, 3, 4)), *made, op(ops.Output, "y", "z")), weights)
    after = run_passes(before, [Canonicalise()]).graph
    if not any(isinstance(w, Absent) for w in weights.values()):
        x = np.random.default_rng(0).normal(size=(2, 3, 4))
        old, new = interpret(before, x)["y"], interpret(after, x)["y"]
        np.testing.assert_allclose(new, old, atol=1e-12)
    lines = [line.split(" : ")[0].strip() for line in dump(after).splitlines()[2:-2]]
    reads = next(line for line in dump(after).splitlines() if "%y = " in line)
    return [*lines, reads.split(" : ")[0].strip()]


def test_reshapes_in_a_row() -> None:
    assert cleaned(
        op(ops.Reshape, "a", "x", shape=(6, 4)), op(ops.Reshape, "z", "a", shape=(2, 12))
    ) == ["%z = reshape(%x, shape=(2, 12))", "%y = output(%z)"]


def test_there_and_back() -> None:
    assert cleaned(
        op(ops.Reshape, "a", "x", shape=(6, 4)),
        op(ops.Permute, "b", "a", order=(1, 0)),
        op(ops.Permute, "c", "b", order=(1, 0)),
        op(ops.Reshape, "z", "c", shape=(2, 3, 4)),
    ) == ["%y = output(%x)"]


def test_permutes_in_a_row() -> None:
    assert cleaned(
        op(ops.Permute, "a", "x", order=(1, 2, 0)), op(ops.Permute, "z", "a", order=(1, 2, 0))
    ) == ["%z = permute(%x, order=(2, 0, 1))", "%y = output(%z)"]


def test_expansions_in_a_row() -> None:
    assert cleaned(
        op(ops.Expand, "a", "x", shape=(1, 2, 3, 4)), op(ops.Expand, "z", "a", shape=(5, 2, 3, 4))
    ) == ["%z = expand(%x, shape=(5, 2, 3, 4))", "%y = output(%z)"]


def test_scales_in_a_row() -> None:
    made = (op(ops.Scale, "a", "x", factor=0.5), op(ops.Scale, "z", "a", factor=0.25))
    assert cleaned(*made) == ["%z = scale(%x, factor=0.125)", "%y = output(%z)"]
    assert cleaned(op(ops.Scale, "z", "x", factor=1.0)) == ["%y = output(%x)"]


def test_what_does_nothing_goes() -> None:
    assert cleaned(
        op(ops.Slice, "a", "x", axis=1, start=0, stop=3),
        op(ops.Expand, "b", "a", shape=(2, 3, 4)),
        op(ops.Sum, "c", "b", axes=()),
        op(ops.Concat, "z", "c", axis=0),
    ) == ["%y = output(%x)"]


def test_what_nothing_reads_goes() -> None:
    dead = op(ops.Linear, "dead", "x", weight="w")
    made = op(ops.Scale, "z", "x", factor=2.0)
    assert cleaned(dead, made, w=np.ones((5, 4))) == [
        "%z = scale(%x, factor=2.0)",
        "%y = output(%z)",
    ]


def test_an_average_over_everything_is_a_sum() -> None:
    pool = op(ops.AvgPool, "z", "x", kernel=(3, 4), stride=(3, 4), padding=(0, 0))
    assert cleaned(pool) == [
        "%z.sum = sum(%x, axes=(1, 2), keepdims=True)",
        "%z = scale(%z.sum, factor=0.08333333333333333)",
        "%y = output(%z)",
    ]


def test_an_average_over_windows_stays() -> None:
    pool = op(ops.AvgPool, "z", "x", kernel=(3, 2), stride=(3, 2), padding=(0, 0))
    assert cleaned(pool)[0].startswith("%z = avg_pool(%x")


@pytest.mark.parametrize("kernel", [(3, 2), (2, 2), (1, 3)])
def test_modes_of_a_pool_that_change_nothing_go(kernel: tuple[int, int]) -> None:
    """Windows that all lie inside have one size; a last one that does not keeps its mode."""
    window: dict[str, Any] = {"kernel": kernel, "stride": kernel, "padding": (0, 0)}
    pool = op(ops.AvgPool, "z", "x", **window, ceil_mode=True, count_include_pad=False)
    before = Graph((op(ops.Input, "x", shape=(2, 3, 4)), pool, op(ops.Output, "y", "z")), {})
    found: Any = run_passes(before, [Canonicalise()]).graph["z"]
    whole = 3 % kernel[0] == 0 and 4 % kernel[1] == 0
    assert (found.ceil_mode, found.count_include_pad) == (not whole, whole)


def test_joining_copies_is_an_expansion() -> None:
    assert cleaned(
        op(ops.Reshape, "a", "x", shape=(1, 24)), op(ops.Concat, "z", "a", "a", "a", axis=0)
    ) == ["%a = reshape(%x, shape=(1, 24))", "%z = expand(%a, shape=(3, 24))", "%y = output(%z)"]


@pytest.mark.parametrize("value", [np.arange(24.0).reshape(6, 4), Absent((6, 4))])
def test_views_of_a_constant_are_a_constant(value: Array | Absent) -> None:
    assert cleaned(
        op(ops.Constant, "c", value="c"),
        op(ops.Reshape, "d", "c", shape=(4, 2, 3)),
        op(ops.Permute, "e", "d", order=(1, 2, 0)),
        op(ops.Slice, "f", "e", axis=0, start=0, stop=1),
        op(ops.Add, "z", "x", "f"),
        c=value,
    ) == ["%f = constant(value='f.value')", "%z = add(%x, %f)", "%y = output(%z)"]


def test_merged_views_keep_their_places() -> None:
    graph = Graph(
        (
            op(ops.Input, "x", shape=(2, 3)),
            op(ops.Reshape, "a", "x", shape=(6,)),
            op(ops.Reshape, "b", "a", shape=(3, 2)),
            op(ops.Output, "y", "b"),
        )
    )
    merged = Canonicalise().run(graph).graph["b"]
    assert merged.source.merged == ("net.a",)


def test_a_reshape_that_is_undone_behind_a_repeat_goes() -> None:
    made = (
        op(ops.Input, "x", shape=(3, 4)),
        op(ops.Reshape, "a", "x", shape=(1, 12)),
        op(ops.Repeat, "r", "a"),
        op(ops.Reshape, "b", "r", shape=(3, 4)),
        op(ops.Neuron, "n", "b"),
        op(ops.Readout, "s", "n", steps=4),
        op(ops.Output, "y", "s"),
    )
    before = Graph(made, {}, "step", 4)
    after = Canonicalise().run(before).graph
    assert [(each.kind, each.inputs) for each in after.ops[:3]] == [
        ("input", ()), ("repeat", ("x",)), ("neuron", ("b",)),
    ]  # fmt: skip
    x = np.random.default_rng(0).uniform(0, 3, (5, 3, 4))
    assert np.array_equal(interpret(before, x)["y"], interpret(after, x)["y"])


@given(seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=40)
def test_values_stay(
    seed: int, random_network: Callable[[int], Graph], images: Callable[[Graph, int], Array]
) -> None:
    graph = random_network(seed)
    after = run_passes(graph, [Canonicalise()]).graph
    old, new = interpret(graph, images(graph, seed)), interpret(after, images(graph, seed))
    for neuron in after.of_kind("neuron"):
        assert np.array_equal(old[neuron.name], new[neuron.name])
    np.testing.assert_allclose(new["y"], old["y"], atol=1e-12)
    assert run_passes(after, [Canonicalise()]).graph == after
