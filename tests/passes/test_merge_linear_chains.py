"""Linear layers in a row become one where borders agree; what they compute stays as it was."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import numpy as np
import pytest

from snncc.execute.counts import count
from snncc.ir import domain as dom
from snncc.ir import ops
from snncc.ir.graph import Absent, Graph, Op, Source, Weight
from snncc.ir.interpret import interpret
from snncc.ir.pad import Pad
from snncc.ir.text import dump
from snncc.passes.base import run_passes
from snncc.passes.merge_linear_chains import Merged, MergeLinearChains, parameters

WINDOW: dict[str, Any] = {"stride": (1, 1), "dilation": (1, 1)}


def op(kind: type[Op], name: str, *inputs: str, **fields: Any) -> Op:
    """An op of the module `net.NAME`."""
    return kind(name=name, inputs=inputs, source=Source(f"net.{name}"), **fields)


def conv(name: str, read: str, weight: str, padding: int = 0, **fields: Any) -> Op:
    return op(ops.Conv, name, read, weight=weight, padding=(padding,) * 2, **{**WINDOW, **fields})


def norm(name: str, read: str, axis: int = 0) -> Op:
    statistics = {"gamma": "g", "beta": "b", "mean": "m", "var": "v"}
    return op(ops.BatchNorm, name, read, eps=1e-5, axis=axis, **statistics)


def pad(name: str, read: str, value: str | None = None, after: int = 1) -> Op:
    return op(Pad, name, read, before=(1, 1), after=(after, after), value=value)


def stored() -> dict[str, Weight]:
    """Weights for 4 channels; `zero` is what a batch norm makes of 0."""
    rng = np.random.default_rng(0)
    weights: dict[str, Weight] = {
        "g": rng.uniform(0.5, 2, 4).astype(np.float32),
        "b": rng.normal(size=4).astype(np.float32),
        "m": rng.normal(size=4).astype(np.float32),
        "v": rng.uniform(0.1, 2, 4).astype(np.float32),
        "w1": rng.normal(size=(4, 4, 1, 1)).astype(np.float32),
        "w3": rng.normal(size=(4, 4, 3, 3)).astype(np.float32),
        "dw3": rng.normal(size=(4, 1, 3, 3)).astype(np.float32),
        "dw7": rng.normal(size=(4, 1, 7, 7)).astype(np.float32),
        "l": rng.normal(size=(4, 4)).astype(np.float32),
        "bias": rng.normal(size=4).astype(np.float32),
    }
    g, b, m, v = (np.asarray(weights[name], np.float64) for name in "gbmv")
    weights["zero"] = b - m * g / np.sqrt(v + 1e-5)
    weights["zero32"] = np.asarray(weights["zero"]).astype(np.float32)
    weights["near"] = np.asarray(weights["zero"]) + np.array([0, 0, 0, 1e-4])
    return weights


def step(*made: Op, shape: tuple[int, ...] = (4, 6, 6), absent: bool = False) -> Graph:
    """A step graph that reads `x`, and answers `z`."""
    weights = stored()
    if absent:
        weights = {name: Absent(tuple(w.shape)) for name, w in weights.items()}
    every = (op(ops.Input, "x", shape=shape), *made, op(ops.Output, "y", "z"))
    return Graph(every, {}, "step").replace(every, weights)


def run(graph: Graph, **options: Any) -> Merged:
    """What the pass makes of a graph; its values must be equal."""
    pass_ = MergeLinearChains(**options)
    result = pass_.run(graph)
    assert run_passes(graph, [pass_]).graph == result.graph
    if not any(isinstance(w, Absent) for w in graph.weights.values()):
        x = np.random.default_rng(1).normal(size=(3, *graph.type_of("x").shape))
        before, after = interpret(graph, x)["y"], interpret(result.graph, x)["y"]
        scale = max(1.0, np.abs(before).max())
        np.testing.assert_allclose(after / scale, before / scale, atol=1e-12)
    return result


def kinds(graph: Graph) -> list[str]:
    return [each.kind for each in graph.ops[1:-1]]


REP_CONV = (
    conv("a", "x", "w1"),
    norm("n", "a"),
    pad("p", "n", "zero"),
    conv("d", "p", "dw3", groups=4),
    conv("e", "d", "w1"),
    norm("f", "e"),
    norm("z", "f"),
)
"""As published: the border holds what the batch norm makes of 0."""

OURS = (
    conv("a", "x", "w1"),
    pad("p", "a"),
    norm("n", "p"),
    conv("d", "n", "dw3", groups=4),
    conv("e", "d", "w1"),
    norm("z", "e"),
)
"""The border stands before the batch norm, so that it is 0."""

SEP_CONV = (conv("a", "x", "dw7", 3, groups=4), conv("e", "a", "w1"), norm("z", "e"))


def test_golden() -> None:
    result = run(step(*REP_CONV))
    weights = "weight='a.merged_weight', bias='a.merged_bias'"
    windows = "stride=(1, 1), padding=(1, 1), dilation=(1, 1)"
    modules = " + ".join(each.source.module for each in REP_CONV)
    assert dump(result.graph).splitlines()[1:-1] == [
        "  %x = input(shape=(4, 6, 6)) : <4x6x6; real>  # net.x",
        f"  %a = conv(%x, {weights}, {windows}) : <4x6x6; real>  # {modules}",
        "  %y = output(%a) : <4x6x6; real>  # net.y",
    ]
    assert result.graph.weights["a.merged_weight"].shape == (4, 4, 3, 3)
    assert {str(w.dtype) for w in result.graph.weights.values()} == {"float64"}


@pytest.mark.parametrize(
    ("made", "kernel", "count"),
    [(REP_CONV, (3, 3), 3), (OURS, (3, 3), 3), (SEP_CONV, (7, 7), 2)],
)
@pytest.mark.parametrize("absent", [False, True])
def test_published_chains(
    made: tuple[Op, ...], kernel: tuple[int, int], count: int, absent: bool
) -> None:
    graph = step(*made, absent=absent)
    result = run(graph)
    if absent and made is REP_CONV:
        assert "its numbers are not known" in result.chains[-1].reason
        return
    assert kinds(result.graph) == ["conv"]
    (chain,) = result.chains
    assert (chain.name, chain.kernel, len(chain.paths)) == ("a", kernel, count)
    assert chain.parameters == result.parameters == parameters(graph)
    assert chain.merged_parameters == result.merged_parameters == 4 * 4 * math.prod(kernel) + 4


def test_a_border_rounded_to_single_precision_is_the_same() -> None:
    made = [pad("p", "n", "zero32") if each.name == "p" else each for each in REP_CONV]
    assert kinds(MergeLinearChains().run(step(*made)).graph) == ["conv"]


LEFT: dict[str, tuple[tuple[Op, ...], str]] = {
    "3x3 after 3x3": (
        (conv("a", "x", "w3", 1), conv("z", "a", "w3", 1)),
        "`net.z` (conv) pads places at which the chain before it still reads its input",
    ),
    "zeros after a bias": (
        (conv("a", "x", "w1", bias="bias"), conv("z", "a", "w3", 1)),
        "the border of `net.z` (conv) is off by up to ",
    ),
    "another number": (
        (conv("a", "x", "w1"), norm("n", "a"), pad("p", "n", "near"), conv("z", "p", "w3")),
        "the border of `net.p` (pad) is off by up to 0.0001 from what the chain before it makes",
    ),
    "a border on one side": (
        (conv("a", "x", "w1"), pad("p", "a", after=0), conv("z", "p", "w3")),
        "more places are padded on one side than on the other",
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_chains_that_stay(name: str) -> None:
    made, reason = LEFT[name]
    result = run(step(*made))
    assert kinds(result.graph).count("conv") == 2
    assert [each.reason[: len(reason)] for each in result.chains if each.reason] == [reason]
    (note,) = (d for d in result.diagnostics if d.rule.code == "SNN211")
    first = next(each for each in made if each.kind == "conv")
    assert note.message == f"2 layers in a row, `net.{first.name}` first, do not become one"
    assert note.because[0].startswith(reason)


def test_without_numbers_a_border_is_not_proved() -> None:
    made = (conv("a", "x", "w1", bias="bias"), conv("z", "a", "w3", 1))
    graph = step(*made, absent=True)
    result = run(graph)
    assert result.graph is graph
    assert result.chains[0].reason.startswith("the border of `net.z` (conv) is not proved")


def test_growth_is_limited() -> None:
    graph = step(*SEP_CONV)
    assert run(graph, max_growth=3).graph is graph
    (left,) = run(graph, max_growth=3).chains
    assert left.reason == (
        "the merged op would have 788 parameters, 3.58 times the 220 of the chain; "
        "the limit is 3 times"
    )
    assert run(graph, max_weights=783).graph is graph
    assert kinds(run(graph, max_growth=4, max_weights=784).graph) == ["conv"]


def test_what_another_op_reads_ends_a_chain() -> None:
    made = (
        conv("a", "x", "w1"),
        conv("b", "a", "w1"),
        conv("c", "b", "w1"),
        op(ops.Add, "z", "b", "c"),
    )
    result = run(step(*made))
    assert kinds(result.graph) == ["conv", "conv", "add"]
    assert [each.paths for each in result.chains] == [("net.a", "net.b")]


def test_neurons_end_a_chain() -> None:
    made = (
        op(ops.Repeat, "r", "x"),
        conv("a", "r", "w1"),
        op(ops.Neuron, "s", "a"),
        conv("c", "s", "w1"),
        op(ops.Readout, "z", "c", steps=1),
    )
    graph = step(*made)
    result = run(graph)
    assert result.graph is graph
    assert not result.chains
    assert not result.diagnostics


def test_a_border_before_a_convolution_goes_into_it() -> None:
    result = run(step(pad("p", "x"), conv("z", "p", "w3")))
    assert kinds(result.graph) == ["conv"]
    assert result.graph["z"].attributes()["padding"] == (1, 1)


def test_linear_layers() -> None:
    made = (
        op(ops.Linear, "a", "x", weight="l", bias="bias"),
        norm("n", "a", axis=1),
        op(ops.Scale, "s", "n", factor=0.5),
        op(ops.Linear, "z", "s", weight="l"),
    )
    result = run(step(*made, shape=(3, 4)))
    assert kinds(result.graph) == ["linear"]
    (chain,) = result.chains
    assert (chain.parameters, chain.merged_parameters) == (28, 20)


def test_a_norm_of_another_axis_ends_a_chain() -> None:
    made = (
        op(ops.Linear, "a", "x", weight="l"),
        norm("n", "a", axis=0),
        op(ops.Linear, "z", "n", weight="l"),
    )
    result = run(step(*made, shape=(4, 4)))
    assert result.chains[0].reason == "`net.n` (batch_norm) normalises another axis"


def test_the_summary() -> None:
    (note,) = run(step(*SEP_CONV)).diagnostics
    assert note.rule.code == "SNN210"
    assert note.message == (
        "1 linear chain became one layer: 220 parameters became 788, 3.58 times as many"
    )


def test_time_is_linear_in_the_length_of_a_chain() -> None:
    """A row of 2000 layers, each the only reader of the one before, is walked once."""
    made: list[Op] = []
    for i in range(2000):
        made.append(op(ops.Linear, f"l{i}", made[-1].name if made else "x", weight="l"))
    graph = step(*made[:-1], op(ops.Linear, "z", "l1998", weight="l"), shape=(4,))
    result = MergeLinearChains(max_growth=0).run(graph)
    assert len(result.chains) == 1
    assert len(result.chains[0].paths) == 2000


WINDOWS: dict[str, Any] = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0)}
"""A pool of 2x2, as most are."""


def pool(name: str, read: str, **fields: Any) -> Op:
    return op(ops.AvgPool, name, read, **{**WINDOWS, **fields})


def spiking(
    *made: Op, shape: tuple[int, ...] = (4, 6, 6), levels: int = 1, **more: Weight
) -> Graph:
    """A step graph in which neurons `s` fire what `made` reads, and others read `z`."""
    entry = op(ops.Input, "x", shape=shape)
    fire = (op(ops.Repeat, "r", "x"), op(ops.Neuron, "s", "r", levels=levels, v_reset=None))
    tail = (op(ops.Neuron, "t", "z"), op(ops.Readout, "u", "t", steps=2), op(ops.Output, "y", "u"))
    weights = {**stored(), **more}
    every = (entry, *fire, *made, *tail)
    return Graph(every, {}, "step", 2).replace(every, weights)


def same(graph: Graph, **options: Any) -> Merged:
    """What the pass makes of a spiking graph; currents of `t` and its spikes must be equal."""
    result = MergeLinearChains(**options).run(graph)
    x = np.random.default_rng(2).normal(0.5, 1, (3, *graph.type_of("x").shape))
    before, after = interpret(graph, x), interpret(result.graph, x)
    assert before["s"].mean() > 0.05
    read = result.graph["t"].inputs[0]
    np.testing.assert_allclose(after[read], before["z"], atol=1e-12 * np.abs(before["z"]).max())
    np.testing.assert_array_equal(after["t"], before["t"])
    return result


def lines(graph: Graph) -> list[str]:
    """The ops between the neurons, without weights and sources."""
    first = [line.strip().split("  # ")[0] for line in dump(graph).splitlines()[4:-4]]
    return [re.sub(r"(weight|bias)='[^']*', ", "", line) for line in first]


def test_golden_pool() -> None:
    """A pool of 2x2 in front of a padded 3x3: a 6x6 with stride 2, seven places less one."""
    graph = spiking(pool("p", "s"), conv("z", "p", "w3", 1), shape=(4, 7, 6))
    result = same(graph)
    windows = "stride=(2, 2), padding=(2, 2), dilation=(1, 1)"
    assert lines(result.graph) == [
        "%z.cropped = slice(%s, axis=1, start=0, stop=6) : <4x6x6; spike>",
        f"%z = conv(%z.cropped, {windows}) : <4x3x3; real>",
    ]
    assert result.graph["z"].source.merged == ("net.p",)
    (chain,) = result.chains
    assert (chain.paths, chain.kernel) == (("net.p", "net.z"), (6, 6))
    assert (chain.parameters, chain.merged_parameters) == (144, 576)


FLAT = op(ops.Reshape, "f", "p", shape=(36,))
WHOLE = op(ops.Sum, "g", "s", axes=(1, 2), keepdims=True)
POOLED: dict[str, tuple[tuple[Op, ...], str]] = {
    "pool, linear": ((pool("p", "s"), FLAT, op(ops.Linear, "z", "f", weight="l36")), "144"),
    "padded pool, linear": (
        (pool("p", "s", kernel=(3, 3), padding=(1, 1)), FLAT,
         op(ops.Linear, "z", "f", weight="l36")), "144",
    ),
    "all places, linear": (
        (WHOLE, op(ops.Scale, "k", "g", factor=1 / 36), op(ops.Reshape, "f", "k", shape=(4,)),
         op(ops.Linear, "z", "f", weight="l", bias="bias")), "144",
    ),
    "all places, conv": ((WHOLE, conv("z", "g", "w1")), "conv"),
    "pool, conv, pool": ((pool("p", "s"), conv("c", "p", "w1"), pool("z", "c", kernel=(3, 3),
                                                                    stride=(1, 1))), "conv"),
    "all places, pool that steps, padded conv": (
        (WHOLE, pool("p", "g", kernel=(1, 1), stride=(6, 6)),
         conv("z", "p", "w3", 2, stride=(3, 3))), "conv",
    ),
    "conv, pool": ((conv("c", "s", "w3", 1, bias="bias"), pool("z", "c")), "conv"),
    "conv, pool, conv": (
        (conv("c", "s", "w3"), norm("n", "c"), pool("p", "n"), conv("z", "p", "w1")), "conv",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", POOLED)
def test_pools_become_part_of_weights(name: str) -> None:
    made, form = POOLED[name]
    rows = np.random.default_rng(3).normal(size=(5, 36)).astype(np.float32)
    result = same(spiking(*made, l36=rows))
    found = result.graph.of_kind("conv", "linear", "avg_pool", "sum")
    assert [dom.is_spike(result.graph.type_of(each.inputs[0]).domain) for each in found] == [True]
    kind = "conv" if form == "conv" else "linear"
    assert found[0].kind == kind
    if kind == "linear":
        assert result.graph.type_of(found[0].inputs[0]).shape == (int(form),)
    assert [d.rule.code for d in result.diagnostics] == ["SNN210"]


def test_a_sum_of_windows_is_exact() -> None:
    """49 times one 49th is not 1 in floats: whole weights stay whole."""
    summed = op(ops.Scale, "k", "p", factor=49.0)
    made = (pool("p", "s", kernel=(7, 7), stride=(7, 7)), summed, conv("z", "k", "whole"))
    whole = np.arange(-8, 8, dtype=np.float32).reshape(4, 4, 1, 1)
    result = same(spiking(*made, shape=(4, 7, 7), whole=whole))
    weight = result.graph.weights[result.graph["z"].attributes()["weight"]]
    np.testing.assert_array_equal(weight, np.broadcast_to(whole, (4, 4, 7, 7)))


def test_counts_of_neurons_are_as_good_as_spikes() -> None:
    result = same(spiking(pool("p", "s"), conv("z", "p", "w3", 1), levels=4))
    assert result.graph.of_kind("avg_pool") == ()
    assert str(result.graph.type_of("s").domain) == "int[0..4]"


STAYS: dict[str, tuple[Op, ...]] = {
    "it reads a sum": (op(ops.Add, "a", "s", "s"), pool("p", "a"), conv("z", "p", "w3", 1)),
    "no weights": (pool("z", "s"),),
    "a sum over channels": (
        op(ops.Sum, "g", "s", axes=(0,), keepdims=True), op(ops.Concat, "h", *["g"] * 4, axis=0),
        conv("z", "h", "w1"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STAYS)
def test_pools_that_gain_nothing_stay(name: str) -> None:
    graph = spiking(*STAYS[name])
    result = same(graph)
    assert result.graph is graph
    assert result.diagnostics == ()


def test_pools_around_a_head_stay() -> None:
    """The host runs the head: it reads counts, and gathers its answers."""
    front = (pool("p", "s"), op(ops.Reshape, "f", "p", shape=(36,)))
    behind = (conv("a", "s", "w1"), op(ops.AvgPool, "z", "a", **WINDOWS))
    rows = np.zeros((5, 36), np.float32)
    for made in ((*front, op(ops.Linear, "z", "f", weight="l36")), behind):
        graph = spiking(*made, l36=rows)
        ops_ = tuple(each for each in graph.ops if each.name != "t")
        readout = op(ops.Readout, "u", "z", steps=2)
        ops_ = tuple(readout if each.name == "u" else each for each in ops_)
        headed = graph.replace(ops_, graph.weights)
        assert MergeLinearChains().run(headed).graph is headed


UNPOOLED: dict[str, tuple[tuple[Op, ...], str]] = {
    "uneven": (
        (pool("p", "s", padding=(1, 1), count_include_pad=False), conv("z", "p", "w1")),
        "`net.p` (avg_pool) divides windows at the border by fewer places",
    ),
    "overlap": (
        (pool("p", "s", kernel=(3, 3), stride=(1, 1)), conv("z", "p", "w3", 1)),
        "`net.z` (conv) pads places at which the chain before it still reads its input",
    ),
    "tokens": (
        (pool("p", "s"), op(ops.Reshape, "f", "p", shape=(4, 9)),
         op(ops.Conv, "z", "f", weight="c1", stride=(1,), padding=(0,), dilation=(1,))),
        "`net.f` (reshape) puts places into other axes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNPOOLED)
def test_pools_that_cannot_be_merged(name: str) -> None:
    made, reason = UNPOOLED[name]
    graph = spiking(*made, c1=np.ones((4, 4, 1), np.float32))
    result = same(graph)
    assert result.graph is graph
    (note,) = result.diagnostics
    assert note.rule.code == "SNN211"
    assert note.message == "2 layers in a row, `net.p` first, do not become one"
    assert note.because == (reason,)


def test_what_is_too_large_with_its_pool_merges_without() -> None:
    made = (
        pool("p", "s"),
        *(
            dataclasses.replace(each, name=new, inputs=(read,))
            for each, new, read in zip(SEP_CONV, "bcz", "pbc", strict=True)
        ),
    )
    result = same(spiking(*made), max_growth=4)
    assert [each.kind for each in result.graph.of_kind("avg_pool", "conv")] == ["avg_pool", "conv"]
    assert [d.rule.code for d in result.diagnostics] == ["SNN211", "SNN210"]
    (left, merged) = result.chains
    assert left.reason.endswith("the limit is 4 times")
    assert merged.merged_parameters == 788


def test_synaptic_operations_of_a_merged_pool() -> None:
    """As many as places of results that windows of the pool and of the weights reach."""
    graph = spiking(pool("p", "s"), conv("z", "p", "w3", 1), shape=(4, 7, 6))
    merged = MergeLinearChains().run(graph).graph
    x = np.random.default_rng(4).normal(0.5, 1, (3, 4, 7, 6))
    spikes = interpret(graph, x)["s"][..., :6, :]
    met = 0
    for row, column in np.argwhere(spikes.sum((0, 1, 2)) > 0):
        outs = [sum(0 <= at // 2 + 1 - k < 3 for k in range(3)) for at in (int(row), int(column))]
        met += int(spikes[..., row, column].sum()) * 4 * outs[0] * outs[1]
    assert int(count(merged, x).ops["z"].synaptic_ops.sum()) == met
