"""Linear layers in a row become one where borders agree; what they compute stays as it was."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

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
