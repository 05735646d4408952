"""The text form: what is written reads back, whatever the names."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.ir import domain as dom
from snncc.ir import ops
from snncc.ir.graph import Absent, Graph, IRError, Source, Weight
from snncc.ir.text import dump, parse
from snncc.passes.to_steps import ToSteps


@given(seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=30)
def test_graphs_read_back(seed: int, random_network: Callable[[int], Graph]) -> None:
    graph = random_network(seed)
    for each in (graph, ToSteps().run(graph).graph):
        again = parse(dump(each), each.weights)
        assert again == each
        assert [op.source for op in again] == [op.source for op in each]
        assert dump(again) == dump(each)


hostile = st.text(
    st.one_of(st.sampled_from(list(" %#:<>(){}[],='\"\\+@/;\n\r\t\u2028é")), st.characters()),
    max_size=12,
)
names = st.text(st.sampled_from("abxyz019._"), min_size=1, max_size=8)


@given(names, hostile, hostile, hostile, st.lists(hostile, max_size=3), st.integers(0, 10**6))
@settings(deadline=None)
def test_hostile_names(
    name: str, weight: str, module: str, file: str, merged: list[str], line: int
) -> None:
    source = Source(module, file, line, tuple(merged))
    weights: dict[str, Weight] = {weight: Absent((3, 2))}
    graph = Graph(
        (
            ops.Input(name=name, shape=(2,), source=source),
            ops.Linear(name=f"{name}!", inputs=(name,), weight=weight, source=source),
            ops.Foreign(
                name=f"{name}?", inputs=(f"{name}!", name), target=module, shape=(), source=source
            ),
            ops.Output(name="y", inputs=(f"{name}?",)),
        ),
        weights,
    )
    again = parse(dump(graph), weights)
    assert again == graph
    assert [op.source for op in again] == [op.source for op in graph]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_read_back_exactly(factor: float) -> None:
    x = ops.Input(name="x", shape=(1,))
    graph = Graph((x, ops.Scale(name="s", inputs=("x",), factor=factor)))
    assert parse(dump(graph), {}) == graph


def test_golden() -> None:
    graph = Graph(
        (
            ops.Input(name="x", shape=(1, 8, 8), domain=dom.integers(0, 255)),
            ops.Conv(
                name="c",
                inputs=("x",),
                source=Source("stem", "net.py", 7, ("bn",)),
                weight="w",
                stride=(1, 1),
                padding=(0, 0),
                dilation=(1, 1),
            ),
            ops.Output(name="y", inputs=("c",), source=Source("a b+c", 'n"et.py', 7)),
        ),
        {"w": np.ones((2, 1, 3, 3), np.int8)},
        "step",
        4,
    )
    windows = "stride=(1, 1), padding=(0, 0), dilation=(1, 1)"
    assert dump(graph).splitlines() == [
        "graph step T4 {",
        "  %x = input(shape=(1, 8, 8), domain='int[0..255]') : <1x8x8; int[0..255]>",
        f"  %c = conv(%x, weight='w', {windows}) : <2x6x6; int[0..2295]>  # stem + bn @ net.py:7",
        '  %y = output(%c) : <2x6x6; int[0..2295]>  # ["a b+c", "n\\"et.py", 7, []]',
        "}",
    ]


HEAD = "graph tensor T1 {\n"
INPUT = "  %x = input(shape=(2,)) : <2; real>\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a graph"),
        ("graph tensor T1 {\n", "not a graph"),
        ("graph odd T1 {\n}", "not a graph"),
        (HEAD + "  x = input()\n}", "line 2: not an op"),
        (HEAD + "  %x = conjure() : <2; real>\n}", "line 2: unknown op `conjure`"),
        (HEAD + "  %x = input(shape=open('f')) : <2; real>\n}", "line 2: malformed node"),
        (HEAD + "  %x = input(shape=(2,), domain='odd') : <2; real>\n}", "`odd` is no domain"),
        (HEAD + "  %x = input(size=2) : <2; real>\n}", "unexpected keyword argument 'size'"),
        (HEAD + "  %x = input(shape=(2,) : <2; real>\n}", "line 2"),
        (HEAD + "  %x = input(shape=(2,)) : <3; real>\n}", "`x` is <2; real>, the text claims"),
        (HEAD + INPUT + "  %y = output(%z) : <2; real>\n}", "`y` reads 'z'"),
        (HEAD + "  %x = input(shape=2) : <2; real>\n}", "line 2: `shape` of input is 2"),
        (HEAD + "  %x = input(shape=(True,)) : <2; real>\n}", "line 2: `shape` of input"),
        (HEAD + "  %x = input(shape=(2,), scale='a') : <2; real>\n}", "line 2: `scale` of input"),
        (HEAD + "  %x = input(shape=(2,), scale=nan) : <2; real>\n}", "line 2: malformed node"),
        (HEAD + "  %x = input(shape=(2,), domain='grid(1/0, 0..1)') : <2; real>\n}", "line 2"),
        (HEAD + f"  %x = input(shape=({'-' * 90_000}2,)) : <2; real>\n}}", "line 2"),
        (HEAD + f"  %x = input(shape=({'(' * 90_000}2,)) : <2; real>\n}}", "line 2"),
        (HEAD + f"  %x = input(shape=({'9' * 9_000},)) : <2; real>\n}}", "line 2"),
        (
            HEAD + INPUT + "  %n = integer_neuron(%x, threshold='t', decay=0, shift=0, reset='odd')"
            " : <2; spike>\n}",
            "line 3: `reset` of integer_neuron is 'odd'",
        ),
    ],
)
def test_what_is_no_graph(text: str, said: str) -> None:
    with pytest.raises(IRError, match=re.escape(said)):
        parse(text, {})


def test_a_module_without_a_line_is_written_alone() -> None:
    x = ops.Input(name="x", shape=(2,), source=Source("net.x", node="node `x`"))
    y = ops.Output(name="y", inputs=("x",), source=Source("y", merged=("z",)))
    graph = Graph((x, y), {})
    text = dump(graph)
    assert [line.partition("  # ")[2] for line in text.splitlines()] == ["", "net.x", "y + z", ""]
    assert [op.source for op in parse(text, {})] == [x.source, y.source]
    older = text.replace("# net.x", "# net.x @ :0")
    assert parse(older, {}) == graph
