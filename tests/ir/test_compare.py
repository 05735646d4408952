"""The comparison: its proof of types, its values, its text; no step graph has one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc.ir import ops
from snncc.ir.compare import Compare
from snncc.ir.domain import REAL, SPIKE, Domain
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
