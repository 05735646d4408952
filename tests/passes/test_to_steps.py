"""Time and batch come off, nothing else changes; who mixes them is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.diagnostics.core import SnnccError
from snncc.ir import ops
from snncc.ir.graph import Absent, Array, Graph, Op, Source, Weight
from snncc.ir.interpret import interpret
from snncc.ir.text import dump
from snncc.passes.base import run_passes
from snncc.passes.to_steps import ToSteps

T, B = 4, 2


def steps(*made: Op, **weights: Weight) -> Graph:
    """The step graph of these ops."""
    return run_passes(Graph(made, weights), [ToSteps()]).graph


def refused(*made: Op, **weights: Weight) -> list[str]:
    """What is said of these ops."""
    with pytest.raises(SnnccError) as caught:
        steps(*made, **weights)
    return [f"{d.rule.code} {d.message}" for d in caught.value.diagnostics]


def op(kind: type[Op], name: str, *inputs: str, **fields: Any) -> Op:
    """An op of the module `net.NAME`."""
    return kind(name=name, inputs=inputs, source=Source(f"net.{name}", "net.py", 1), **fields)


def shown(*shape: int) -> tuple[Op, Op, Op]:
    """An image, repeated in time."""
    return (
        op(ops.Input, "x", shape=(B, *shape)),
        op(ops.Reshape, "one", "x", shape=(1, B, *shape)),
        op(ops.Expand, "seen", "one", shape=(T, B, *shape)),
    )


def same_as_before(graph: Graph, x: Array) -> Graph:
    """Run both levels, compare every neuron and the output, and return the step graph."""
    after = run_passes(graph, [ToSteps()]).graph
    entry: Any = after.ops[0]
    swapped = x.swapaxes(0, 1) if entry.varies else x
    old, new = interpret(graph, x), interpret(after, swapped)
    for neuron in after.of_kind("neuron"):
        a, b = old[neuron.name], new[neuron.name]
        if a.size == b.size:
            assert np.array_equal(a.reshape(b.shape), b), neuron.name
    np.testing.assert_allclose(new["y"].reshape(old["y"].shape), old["y"], atol=1e-9)
    return after


def test_golden() -> None:
    graph = Graph(
        (
            *shown(1, 4, 4),
            op(ops.Reshape, "flat", "seen", shape=(T * B, 1, 4, 4)),
            op(
                ops.Conv, "conv", "flat", weight="w", stride=(1, 1), padding=(1, 1), dilation=(1, 1)
            ),
            op(ops.Reshape, "unflat", "conv", shape=(T, B, 2, 4, 4)),
            op(ops.Neuron, "lif", "unflat"),
            op(ops.Sum, "total", "lif", axes=(0, 3, 4)),
            op(ops.Output, "y", "total"),
        ),
        {"w": np.ones((2, 1, 3, 3), np.float32)},
    )
    after = same_as_before(graph, np.random.default_rng(0).random((B, 1, 4, 4)))
    lines = [line.split("  #")[0] for line in dump(after).splitlines()]
    windows = "stride=(1, 1), padding=(1, 1), dilation=(1, 1)"
    assert lines == [
        "graph step T4 {",
        "  %x = input(shape=(1, 4, 4)) : <1x4x4; real>",
        "  %one = reshape(%x, shape=(1, 1, 4, 4)) : <1x1x4x4; real>",
        "  %one.shaped = reshape(%one, shape=(1, 4, 4)) : <1x4x4; real>",
        "  %one.shaped.repeat = repeat(%one.shaped) : <1x4x4; real>",
        f"  %conv = conv(%one.shaped.repeat, weight='w', {windows}) : <2x4x4; real>",
        "  %lif = neuron(%conv) : <2x4x4; spike>",
        "  %total.places = sum(%lif, axes=(1, 2)) : <2; int[0..16]>",
        "  %total = readout(%total.places, steps=4) : <2; int[0..64]>",
        "  %y = output(%total) : <2; int[0..64]>",
        "}",
    ]


@given(seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=60)
def test_values_stay(
    seed: int, random_network: Callable[[int], Graph], images: Callable[[Graph, int], Array]
) -> None:
    graph = random_network(seed)
    after = same_as_before(graph, images(graph, seed))
    assert after.level == "step"
    assert after.steps == graph.type_of(graph.of_kind("neuron")[0].name).shape[0]


@given(seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=30)
def test_values_of_networks_without_memory_stay(
    seed: int, random_network: Callable[[int], Graph], images: Callable[[Graph, int], Array]
) -> None:
    graph = random_network(seed)
    counts = [
        firing(each.name, *each.inputs, norm=4.0 if i % 2 else 1.0)
        if each.kind == "neuron"
        else each
        for i, each in enumerate(graph.ops)
    ]
    same_as_before(graph.replace(counts), images(graph, seed))


def test_a_convolution_before_the_repeat_is_made_once() -> None:
    after = steps(
        op(ops.Input, "x", shape=(B, 8)),
        op(ops.Linear, "stem", "x", weight="w"),
        op(ops.Reshape, "one", "stem", shape=(1, B, 8)),
        op(ops.Expand, "seen", "one", shape=(T, B, 8)),
        op(ops.Neuron, "lif", "seen"),
        op(ops.Sum, "total", "lif", axes=(0,)),
        op(ops.Output, "y", "total"),
        w=Absent((8, 8)),
    )
    kinds = [each.kind for each in after.ops if each.kind != "reshape"]
    assert kinds == ["input", "linear", "repeat", "neuron", "readout", "output"]


def test_events_vary() -> None:
    after = steps(
        op(ops.Input, "x", shape=(B, T, 8)),
        op(ops.Permute, "seen", "x", order=(1, 0, 2)),
        op(ops.Neuron, "lif", "seen"),
        op(ops.Output, "y", "lif"),
    )
    entry: Any = after["x"]
    assert entry.varies
    assert entry.shape == (8,)
    assert [each.kind for each in after.ops] == ["input", "neuron", "output"]


def test_time_first_with_the_batch_axis_given() -> None:
    graph = Graph(
        (
            op(ops.Input, "x", shape=(T, B, 8)),
            op(ops.Neuron, "lif", "x"),
            op(ops.Sum, "y0", "lif", axes=(0,)),
            op(ops.Output, "y", "y0"),
        )
    )
    after = ToSteps(batch_axis=1).run(graph).graph
    entry: Any = after["x"]
    assert entry.varies
    assert entry.shape == (8,)


def test_one_time_step() -> None:
    graph = Graph(
        (
            op(ops.Input, "x", shape=(B, 8)),
            op(ops.Reshape, "seen", "x", shape=(1, B, 8)),
            op(ops.Neuron, "lif", "seen"),
            op(ops.Reshape, "gone", "lif", shape=(B, 8)),
            op(ops.Output, "y", "gone"),
        )
    )
    after = same_as_before(graph, np.random.default_rng(0).uniform(0, 3, (B, 8)))
    assert after.steps == 1
    assert "readout" in {each.kind for each in after.ops}


def firing(name: str, read: str, **fields: Any) -> Op:
    """Integer-firing neurons without memory."""
    fixed = {"tau": 1.0, "decay_input": False, "v_reset": None, "levels": 4, "norm": 4.0}
    return op(ops.Neuron, name, read, **{**fixed, **fields})


def test_neurons_without_memory_need_no_time() -> None:
    geometry = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)}
    graph = Graph(
        (
            op(ops.Input, "x", shape=(B, 2, 4, 4)),
            op(ops.Conv, "stem", "x", weight="w", **geometry),
            firing("a", "stem"),
            op(ops.Conv, "conv", "a", weight="w", **geometry),
            op(ops.Add, "stream", "stem", "conv"),
            op(ops.Reshape, "tokens", "stream", shape=(B, 2, 16)),
            op(ops.Sum, "mean", "tokens", axes=(2,)),
            firing("b", "mean", norm=1.0, rounding="half_up"),
            op(ops.Linear, "head", "b", weight="v"),
            op(ops.Output, "y", "head"),
        ),
        {
            "w": np.random.default_rng(1).uniform(-1, 2, (2, 2, 3, 3)),
            "v": np.random.default_rng(2).uniform(-1, 2, (3, 2)),
        },
    )
    after = same_as_before(graph, np.random.default_rng(0).uniform(0, 1, (B, 2, 4, 4)))
    lines = [line.split("  #")[0].split(" : ") for line in dump(after).splitlines()]
    shapes = {line[0].split(" = ")[0].strip(): line[1] for line in lines if len(line) == 2}
    assert after.steps == 1
    assert shapes == {
        "%x": "<2x4x4; real>",
        "%stem": "<2x4x4; real>",
        "%stem.repeat": "<2x4x4; real>",
        "%a": "<2x4x4; grid(1/4, 0..4)>",
        "%conv": "<2x4x4; real>",
        "%stream": "<2x4x4; real>",
        "%tokens": "<2x16; real>",
        "%mean": "<2; real>",
        "%b": "<2; int[0..4]>",
        "%head": "<3; real>",
        "%head.readout": "<3; real>",
        "%y": "<3; real>",
    }


def test_neurons_without_memory_can_have_time_all_the_same() -> None:
    graph = Graph(
        (
            *shown(6),
            firing("a", "seen"),
            op(ops.Reshape, "flat", "a", shape=(T * B, 6)),
            op(ops.Linear, "fc", "flat", weight="w"),
            firing("b", "fc"),
            op(ops.Reshape, "unflat", "b", shape=(T, B, 3)),
            op(ops.Sum, "total", "unflat", axes=(0,)),
            op(ops.Output, "y", "total"),
        ),
        {"w": np.random.default_rng(1).uniform(-1, 2, (3, 6))},
    )
    after = same_as_before(graph, np.random.default_rng(0).uniform(0, 3, (B, 6)))
    assert after.steps == T


def test_neurons_with_memory_say_which_axis_is_time() -> None:
    graph = Graph(
        (
            *shown(6),
            op(ops.Neuron, "lif", "seen"),
            op(ops.Permute, "turned", "lif", order=(1, 0, 2)),
            firing("a", "turned"),
            op(ops.Sum, "total", "a", axes=(1,)),
            op(ops.Output, "y", "total"),
        )
    )
    assert ToSteps().run(graph).graph.steps == T


def test_neurons_with_memory_need_time() -> None:
    said = refused(
        op(ops.Input, "x", shape=(B, 6)),
        firing("a", "x"),
        firing("b", "a", tau=4 / 3),
        op(ops.Output, "y", "b"),
    )
    assert said == ["SNN153 `net.b` (neuron) takes the batch for time"]


def test_one_sample() -> None:
    graph = Graph(
        (
            op(ops.Input, "x", shape=(1, 2, 4, 4)),
            op(ops.Reshape, "one", "x", shape=(1, 1, 2, 4, 4)),
            op(ops.Expand, "seen", "one", shape=(T, 1, 2, 4, 4)),
            op(ops.Reshape, "flat", "seen", shape=(T, 2, 4, 4)),
            op(
                ops.Conv, "conv", "flat", weight="w", stride=(1, 1), padding=(0, 0), dilation=(1, 1)
            ),
            op(ops.Reshape, "unflat", "conv", shape=(T, 1, 2, 4, 4)),
            op(ops.Neuron, "lif", "unflat"),
            op(ops.Sum, "total", "lif", axes=(0,)),
            op(ops.Output, "y", "total"),
        ),
        {"w": np.random.default_rng(1).uniform(-1, 2, (2, 2, 1, 1))},
    )
    same_as_before(graph, np.random.default_rng(0).uniform(0, 3, (1, 2, 4, 4)))


def test_a_constant_of_equal_steps_is_stored_once() -> None:
    graph = Graph(
        (
            *shown(3),
            op(ops.Constant, "c", value="c"),
            op(ops.Add, "sum", "seen", "c"),
            op(ops.Neuron, "lif", "sum"),
            op(ops.Sum, "total", "lif", axes=(0,)),
            op(ops.Output, "y", "total"),
        ),
        {"c": np.broadcast_to(np.array([1.0, 2.0, 3.0]), (T, 1, 3)).copy()},
    )
    after = same_as_before(graph, np.random.default_rng(0).random((B, 3)))
    constant: Any = after["c"]
    assert after.weights[constant.value].shape == (1, 3)


def test_all_who_mix_time_are_named() -> None:
    said = refused(
        *shown(6),
        op(ops.Neuron, "lif", "seen"),
        op(ops.Slice, "last", "lif", axis=0, start=3, stop=4),
        op(ops.Permute, "turned", "lif", order=(1, 0, 2)),
        op(ops.Reshape, "wide", "turned", shape=(B, T * 6)),
        op(ops.Linear, "fc", "wide", weight="w"),
        op(ops.Output, "y", "fc"),
        op(ops.Output, "z", "last"),
        w=Absent((3, T * 6)),
    )
    assert said == [
        "SNN150 `net.last` (slice) mixes time steps: the axis that it takes places from holds time",
        "SNN150 `net.fc` (linear) mixes time steps: its feature axis holds time",
    ]


def test_who_reads_single_steps_is_told_what_may_be_read() -> None:
    with pytest.raises(SnnccError) as caught:
        steps(
            *shown(6),
            op(ops.Neuron, "lif", "seen"),
            op(ops.Slice, "last", "lif", axis=0, start=3, stop=4),
            op(ops.Output, "z", "last"),
        )
    assert [d.hint for d in caught.value.diagnostics] == [
        (
            "neurons alone go from step to step: in place of the last step, or of a leaky sum of"
            " them, answer with the sum or the mean of all steps"
        )
    ]


def test_a_convolution_over_time() -> None:
    said = refused(
        *shown(6),
        op(ops.Neuron, "lif", "seen"),
        op(ops.Permute, "turned", "lif", order=(1, 2, 0)),
        op(ops.Conv, "conv", "turned", weight="w", stride=(1,), padding=(1,), dilation=(1,)),
        op(ops.Output, "y", "conv"),
        w=Absent((3, 6, 3)),
    )
    assert said == [
        "SNN150 `net.conv` (conv) mixes time steps: an axis that it slides along holds time"
    ]


def test_a_sum_over_part_of_time() -> None:
    said = refused(
        *shown(6),
        op(ops.Neuron, "lif", "seen"),
        op(ops.Reshape, "halves", "lif", shape=(2, 2, B, 6)),
        op(ops.Sum, "total", "halves", axes=(1,)),
        op(ops.Output, "y", "total"),
    )
    assert said[0] == "SNN150 `net.halves` (reshape) cuts time in pieces"


def test_a_network_that_reads_some_of_the_frames() -> None:
    said = refused(
        op(ops.Input, "x", shape=(B, 4, 6)),
        op(ops.Slice, "half", "x", axis=1, start=0, stop=2),
        op(ops.Permute, "first", "half", order=(1, 0, 2)),
        op(ops.Neuron, "lif", "first"),
        op(ops.Sum, "total", "lif", axes=(0,)),
        op(ops.Output, "y", "total"),
    )
    assert said == [
        "SNN150 `net.half` (slice) mixes time steps: what it takes of 4 places holds time"
    ]


def test_a_sum_over_the_batch() -> None:
    said = refused(
        *shown(6),
        op(ops.Neuron, "lif", "seen"),
        op(ops.Sum, "total", "lif", axes=(0, 1)),
        op(ops.Output, "y", "total"),
    )
    assert said == [
        "SNN151 `net.total` (sum) mixes samples: an axis that it sums over holds the batch"
    ]


def test_the_sum_over_time_comes_after_all_steps() -> None:
    said = refused(
        *shown(6),
        op(ops.Neuron, "lif", "seen"),
        op(ops.Sum, "total", "lif", axes=(0,)),
        op(ops.Add, "back", "lif", "total"),
        op(ops.Neuron, "again", "back"),
        op(ops.Output, "y", "again"),
    )
    assert said[0] == (
        "SNN150 `net.back` (add) needs at every time step what is known after the last one"
    )


def test_no_neuron() -> None:
    said = refused(op(ops.Input, "x", shape=(B, 8)), op(ops.Output, "y", "x"))
    assert said == ["SNN152 the network has no spiking neuron"]


def test_a_neuron_that_reads_samples_as_steps() -> None:
    said = refused(
        *shown(6),
        op(ops.Neuron, "lif", "seen"),
        op(ops.Permute, "turned", "lif", order=(1, 0, 2)),
        op(ops.Neuron, "odd", "turned"),
        op(ops.Output, "y", "odd"),
    )
    assert said == ["SNN153 `net.odd` (neuron) takes the batch for time"]


def test_neurons_that_disagree() -> None:
    said = refused(
        *shown(6),
        op(ops.Neuron, "lif", "seen"),
        op(ops.Sum, "total", "lif", axes=(0,)),
        op(ops.Reshape, "again", "total", shape=(1, B, 6)),
        op(ops.Expand, "longer", "again", shape=(5, B, 6)),
        op(ops.Neuron, "odd", "longer"),
        op(ops.Output, "y", "odd"),
    )
    assert "SNN153 `net.odd` (neuron) has 5 time steps, the first neurons have 4" in said


def test_patches_in_the_batch_axis() -> None:
    said = refused(
        op(ops.Input, "x", shape=(B, 3, 1, 4, 4)),
        op(ops.Reshape, "flat", "x", shape=(B * 3, 1, 4, 4)),
        op(ops.Conv, "conv", "flat", weight="w", stride=(1, 1), padding=(1, 1), dilation=(1, 1)),
        op(ops.Reshape, "seen", "conv", shape=(1, B, 3, 2, 4, 4)),
        op(ops.Expand, "all", "seen", shape=(T, B, 3, 2, 4, 4)),
        op(ops.Neuron, "lif", "all"),
        op(ops.Output, "y", "lif"),
        w=Absent((2, 1, 3, 3)),
    )
    assert said == ["SNN154 `net.conv` (conv) has 3 places beside time and batch in its batch axis"]


def test_a_stored_tensor_that_changes_in_time() -> None:
    said = refused(
        *shown(3),
        op(ops.Constant, "c", value="c"),
        op(ops.Add, "sum", "seen", "c"),
        op(ops.Neuron, "lif", "sum"),
        op(ops.Output, "y", "lif"),
        c=np.arange(T * 3.0).reshape(T, 1, 3),
    )
    assert len(said) == 1
    assert said[0].startswith("SNN154 `net.c` (constant) is a stored tensor with values of its own")


def test_time_behind_the_channels_of_the_input() -> None:
    said = refused(
        op(ops.Input, "x", shape=(B, 8, T)),
        op(ops.Permute, "seen", "x", order=(2, 0, 1)),
        op(ops.Neuron, "lif", "seen"),
        op(ops.Output, "y", "lif"),
    )
    assert said == ["SNN154 `x` has time in axis 2, wanted as the first axis after the batch"]


def test_linear_time() -> None:
    """Ten times the blocks take some ten times as long, not a hundred times."""
    chain: list[Op] = [*shown(6), op(ops.Neuron, "n0", "seen")]
    for i in range(3000):
        chain.append(op(ops.Reshape, f"f{i}", f"n{i}", shape=(T * B, 6)))
        chain.append(op(ops.Reshape, f"u{i}", f"f{i}", shape=(T, B, 6)))
        chain.append(op(ops.Neuron, f"n{i + 1}", f"u{i}"))
    chain.append(op(ops.Output, "y", "n3000"))
    assert len(steps(*chain).of_kind("neuron")) == 3001
