"""The executor against the interpreter, value for value."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snncc.execute.block import Seen
from snncc.execute.executor import Executor
from snncc.execute.values import Product
from snncc.ir.graph import Graph, IRError, Op
from snncc.ir.interpret import interpret
from snncc.ir.text import parse

TEXT = """graph step T4 {
  %x = input(shape=(2, 6, 6), domain='int[0..15]', scale=0.0625) : <2x6x6; int[0..15]>
  %r = repeat(%x) : <2x6x6; int[0..15]>
  %c = conv(%r, weight='c.w', bias='c.b', stride=(1, 1), padding=(1, 1), dilation=(1, 1), shift=1) \
: <3x6x6; DOMAIN_C>
  %s = integer_neuron(%c, threshold='s.t', decay=2048, shift=9) : <3x6x6; spike>
  %p = max_pool(%s, kernel=(2, 2), stride=(2, 2), padding=(0, 0), dilation=(1, 1)) : <3x3x3; spike>
  %f = reshape(%p, shape=(3, 9)) : <3x9; spike>
  %ft = permute(%f, order=(1, 0)) : <9x3; spike>
  %a = matmul(%f, %ft) : <3x3; int[0..9]>
  %an = integer_neuron(%a, threshold='a.t', decay=2048, shift=9) : <3x3; spike>
  %l = linear(%an, weight='l.w') : <3x4; DOMAIN_L>
  %sum = sum(%l, axes=(0,)) : <4; DOMAIN_S>
  %out = readout(%sum, steps=4) : <4; DOMAIN_R>
  %y = output(%out, scale='y.s') : <4; DOMAIN_R>
}
"""


def network(seed: int = 0) -> Graph:
    rng = np.random.default_rng(seed)
    weights: dict[str, np.ndarray] = {
        "c.w": rng.integers(-127, 128, (3, 2, 3, 3)).astype(np.int8),
        "c.b": rng.integers(-50, 50, 3).astype(np.int32),
        "s.t": (rng.integers(10, 900, (3, 1, 1)) * 64 + 1).astype(np.int32),
        "a.t": np.array([[1025]], np.int32),
        "l.w": rng.integers(-127, 128, (4, 3)).astype(np.int8),
        "y.s": np.array([0.5]),
    }
    lines = [line.split(" : ")[0] for line in TEXT.splitlines()]
    bare = [f"{line} : <>" if line.startswith("  ") else line for line in lines]
    return parse_untyped("\n".join(bare), weights)


def parse_untyped(text: str, weights: dict[str, np.ndarray]) -> Graph:
    """Parse a graph whose types are left open."""
    from snncc.ir import text as form

    lines = text.splitlines()
    ops = tuple(form._parse_op(line)[0] for line in lines[1:-1])
    return Graph(ops, weights, "step", 4)


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_interpreter_value_for_value(seed: int) -> None:
    graph = network(seed)
    x = np.random.default_rng(seed + 10).random((5, 2, 6, 6))
    want = interpret(graph, x)
    names = [op.name for op in graph.ops]
    run = Executor(graph).run(x, keep=names)
    for name in names:
        assert np.array_equal(run.values[name], want[name]), name
    assert np.array_equal(run.output, want["y"])
    assert run.values["s"].any()
    assert not run.values["s"].all()


def test_results_do_not_depend_on_the_batch() -> None:
    graph = network()
    x = np.random.default_rng(3).random((6, 2, 6, 6))
    whole = Executor(graph).run(x).output
    parts = [Executor(graph).run(x[i : i + 1]).output for i in range(6)]
    assert np.array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize("block", [1, 2, 4, 6, 100])
@pytest.mark.parametrize("threads", [1, 2])
def test_results_do_not_depend_on_blocks_or_threads(block: int, threads: int) -> None:
    graph = network()
    x = np.random.default_rng(3).random((6, 2, 6, 6))
    names = [op.name for op in graph.ops]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    run = Executor(graph, block=block).run(x, keep=names)
    torch.set_num_threads(before)
    want = Executor(graph).run(x, keep=names)
    assert np.array_equal(run.output, want.output)
    assert run.potentials == want.potentials
    assert all(np.array_equal(run.values[name], want.values[name]) for name in names)


def test_an_observer_sees_what_the_interpreter_computes() -> None:
    graph = network(1)
    x = np.random.default_rng(4).random((5, 2, 6, 6))
    want = interpret(graph, x)
    seen: dict[str, list[np.ndarray]] = {}

    def observe(op: Op, shown: Seen) -> None:
        seen.setdefault(op.name, []).append(shown.result)
        for name, value in zip(op.inputs, shown.inputs, strict=True):
            assert value.shape[-len(graph.type_of(name).shape) :] == graph.type_of(name).shape
        if op.kind == "integer_neuron":
            axes = tuple(range(2, shown.result.ndim))
            assert np.array_equal(shown.firing.spikes, shown.result.sum(axis=axes))
            assert np.array_equal(shown.firing.active, (shown.inputs[0] != 0).sum(axis=axes))

    Executor(graph, block=2).run(x, observe=observe)
    for op in graph.ops:
        axis = int(want[op.name].ndim > len(graph.type_of(op.name).shape) + 1)
        assert np.array_equal(np.concatenate(seen[op.name], axis=axis), want[op.name]), op.name


@pytest.mark.parametrize("shapes", [((40, 3), (3, 40), (40, 3)), ((3, 40), (40, 4), (4, 50))])
def test_three_factors_are_multiplied_in_either_order(shapes: tuple[tuple[int, ...], ...]) -> None:
    """(a b) c where one order is cheaper, and where the other is."""
    rng = np.random.default_rng(5)
    a, b, c = (rng.integers(0, 9, (4, 2, *s)) for s in shapes)
    product = Product(a, b, (8, 8), np.int32)
    want = (a @ b) @ c
    assert np.array_equal(product.times(c, 8, np.int32).settled(), want)
    assert np.array_equal(product.settled(), a @ b)


def test_reports_the_potentials_that_occurred() -> None:
    graph = network()
    run = Executor(graph).run(np.random.default_rng(3).random((2, 2, 6, 6)))
    low, high = run.potentials["s"]
    assert low < 0 < high


def test_refuses_a_tensor_graph() -> None:
    with pytest.raises(IRError, match="step graphs"):
        Executor(Graph((), {}, "tensor"))


def test_a_text_graph_parses_with_its_types() -> None:
    from snncc.ir.text import dump

    graph = network()
    assert parse(dump(graph), graph.weights) == graph
