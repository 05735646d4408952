"""The comparison and the count: proofs of types, values, text; no step graph has one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc.ir import ops
from snncc.ir.compare import Compare, Count
from snncc.ir.domain import REAL, SPIKE, Domain, integers
from snncc.ir.graph import Graph, Type
from snncc.ir.semantics import apply
from snncc.ir.text import dump, parse
from snncc.passes.base import PassError, run_passes
from snncc.passes.to_steps import ToSteps


def compare(threshold: float = 0.5, *, strict: bool = False) -> Compare:
    return Compare(name="y", inputs=("x",), threshold=threshold, strict=strict)


@pytest.mark.parametrize("domain", [REAL, SPIKE])
def test_what_is_compared_is_a_spike(domain: Domain) -> None:
    assert compare().infer((Type((2, 3), domain),), {}) == Type((2, 3), SPIKE)


@given(st.lists(st.sampled_from((-1.0, 0.0, 0.25, 0.5, 2.0)), min_size=1), st.booleans())
def test_values(values: list[float], strict: bool) -> None:
    x = np.array(values)
    for threshold in (0.0, 0.5):
        found = apply(compare(threshold, strict=strict), (x,), {}, lead=0)
        assert found.dtype == np.int8
        assert found.tolist() == [int(v > threshold or (v == threshold and not strict)) for v in x]


@given(st.lists(st.integers(-12, 48), min_size=1), st.sampled_from((1, 2, 4)))
def test_counts(eighths: list[int], levels: int) -> None:
    x = np.array(eighths) / 8
    for rounding in ("half_even", "half_up"):
        count = Count(name="y", inputs=("x",), levels=levels, rounding=rounding)
        assert count.infer((Type(x.shape, REAL),), {}) == Type(x.shape, integers(0, levels))
        found = apply(count, (x,), {}, lead=0)
        assert found.dtype == np.int8
        bounded = [min(max(v, 0.0), float(levels)) for v in x]
        half_up = [int(v + 0.5) for v in bounded]
        wanted = half_up if rounding == "half_up" else [round(v) for v in bounded]
        assert found.tolist() == wanted


def test_a_count_outside_of_a_neuron_breaks_a_promise() -> None:
    count = Count(name="y", inputs=("x",), levels=4, rounding="half_up")
    made = (ops.Input(name="x", shape=(2, 3)), count, ops.Output(name="out", inputs=("y",)))
    graph = Graph(made)
    assert "%y = count(%x, levels=4, rounding='half_up') : <2x3; int[0..4]>" in dump(graph)
    assert parse(dump(graph), {}) == graph
    with pytest.raises(PassError, match="`y` is a count outside of a neuron"):
        run_passes(graph, [ToSteps()])


def test_text_and_levels() -> None:
    made = (
        ops.Input(name="x", shape=(2, 3)),
        compare(strict=True),
        ops.Output(name="out", inputs=("y",)),
    )
    graph = Graph(made)
    assert "%y = compare(%x, threshold=0.5, strict=True) : <2x3; spike>" in dump(graph)
    assert parse(dump(graph), {}) == graph
    with pytest.raises(PassError, match="`y` is a comparison outside of a neuron"):
        run_passes(graph, [ToSteps()])
