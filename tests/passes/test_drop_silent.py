"""A potential compared again behind its own reset: where it never fires, it is a number."""

from __future__ import annotations

import numpy as np
import pytest

from snncc.ir import ops
from snncc.ir.graph import Graph
from snncc.ir.interpret import interpret
from snncc.ir.text import dump
from snncc.passes.base import run_passes
from snncc.passes.canonicalise import Canonicalise
from snncc.passes.drop_silent import DropSilent
from snncc.passes.gather_steps import GatherSteps
from snncc.passes.join_pieces import JoinPieces
from snncc.passes.raise_neurons import RaiseNeurons
from tests.passes.test_raise_neurons import SHAPE, Code, T

GOLDEN = """\
graph tensor T1 {
  %input0 = input(shape=(3, 2, 4)) : <3x2x4; real>  # lif @ net.py:0
  %compare1 = compare(%input0, threshold=1.0, strict=True) : <3x2x4; spike>  # lif @ net.py:0
  %output8 = output(%compare1) : <3x2x4; spike>  # lif @ net.py:0
}
"""


def again(
    threshold: float, strict: bool, mark: float, again_strict: bool, rest: float = 0.0
) -> Graph:
    """``s = h > threshold; s + (h (1 - s) + rest s > mark)``."""
    code = Code()
    s = code.fires(code.x, threshold, strict=strict)
    reset = code.put(ops.Mask, code.x, code.inverse(s))
    if rest:
        reset = code.add(reset, code.scale(s, rest))
    second = code.fires(reset, mark, strict=again_strict)
    code.put(ops.Output, code.add(s, second))
    return Graph(tuple(code.ops), code.weights)


def assert_equal(graph: Graph, found: Graph) -> None:
    """Compare on numbers that meet every mark."""
    for seed in range(4):
        x = np.random.default_rng(seed).integers(-8, 8, (T, *SHAPE)) / 4
        mine, own = (interpret(g, x)[g.ops[-1].name] for g in (found, graph))
        np.testing.assert_array_equal(mine, own)


def test_a_silent_comparison() -> None:
    graph = again(1.0, True, 1.0, True)
    found = run_passes(graph, [DropSilent()]).graph
    assert dump(found) == GOLDEN
    assert_equal(graph, found)


@pytest.mark.parametrize(
    ("marks", "silent"),
    [
        ((1.0, True, 1.5, True), True),
        ((1.0, True, 1.5, False), True),
        ((1.0, True, 1.0, False), False),  # a potential of 1 does not fire, and is at the mark
        ((1.0, False, 1.0, False), True),
        ((1.0, False, 1.0, True), True),
        ((1.0, True, 0.5, True), False),
        ((-0.5, True, -0.5, True), False),  # what is reset is above it
        ((0.0, True, 0.0, True), True),
        ((1.0, True, 1.0, True, 1.0), True),
        ((1.0, False, 1.0, False, 1.0), False),
        ((1.0, True, 1.0, True, 1.25), False),
        ((0.5, True, 1.0, True, -0.25), True),
    ],
)
def test_what_is_silent(marks: tuple[float, bool, float, bool, float], silent: bool) -> None:
    graph = again(*marks)
    found = run_passes(graph, [DropSilent()]).graph
    assert len(found.of_kind("compare")) == (1 if silent else 2)
    assert_equal(graph, found)


def test_a_potential_that_something_enters_is_not_silent() -> None:
    code = Code()
    s = code.fires(code.x, strict=True)
    reset = code.add(
        code.put(ops.Mask, code.x, code.inverse(s)), code.put(ops.Sum, code.x, axes=())
    )
    code.put(ops.Output, code.add(s, code.fires(reset, strict=True)))
    graph = Graph(tuple(code.ops), code.weights)
    assert len(run_passes(graph, [DropSilent()]).graph.of_kind("compare")) == 2


def test_a_reset_that_is_asked_for_again() -> None:
    """What snnTorch's neurons do that reset at once: each step asks whether the last one fired."""
    code, v = Code(), ""
    spikes: list[str] = []
    for t in range(T):
        x, h = code.at(t), code.at(t)
        if v:
            fired = code.fires(v, strict=True)
            h = code.add(code.scale(v, 0.5), x)
            h = code.add(h, code.scale(code.put(ops.Mask, h, fired), -1.0))
        spikes.append(code.fires(h, strict=True))
        off = code.add(spikes[-1], code.scale(fired, -1.0)) if v else spikes[-1]
        v = code.add(h, code.scale(code.put(ops.Mask, h, off), -1.0))
    graph = code.done(spikes)
    passes = [JoinPieces(), Canonicalise(), DropSilent(), RaiseNeurons(), GatherSteps()]
    found = run_passes(graph, [*passes, Canonicalise()])
    assert found.diagnostics == ()
    (op,) = found.graph.of_kind("neuron")
    fields = op.attributes()
    assert (fields["tau"], fields["v_reset"], fields["strict"]) == (2.0, 0.0, True)
    assert_equal(graph, found.graph)
