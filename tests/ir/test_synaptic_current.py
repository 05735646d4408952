"""Currents that outlast a time step: their equation, their bounds, one meaning everywhere."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.execute.executor import Executor
from snncc.ir import domain as dom
from snncc.ir import ops
from snncc.ir.domain import REAL, Domain
from snncc.ir.graph import Array, Graph, IRError, Op, Type
from snncc.ir.interpret import interpret
from snncc.ir.memory import current_step, integer_current_step
from snncc.ir.synaptic_current import IntegerCurrent, SynapticCurrent
from snncc.ir.text import dump, parse
from snncc.ir.timing import Timing, timings
from snncc.passes.to_steps import ToSteps


def toward_zero(value: Fraction) -> int:
    return int(value)


def current(**fields: Any) -> IntegerCurrent:
    return IntegerCurrent(**{"name": "i", "inputs": ("x",), "shift": 6, "steps": 4, **fields})


@given(st.integers(0, 4096), st.integers(1, 6), st.integers(-9, 0), st.integers(1, 9))
def test_counts_of_a_coarse_grid_are_shifted_by_what_they_are_worth(
    decay: int, step: int, lo: int, hi: int
) -> None:
    """As behind weights whose lowest bits are all zero."""
    op = current(decay=decay)
    coarse = Type((3,), dom.grid(Fraction(step), lo, hi))
    whole = Type((3,), dom.integers(step * lo, step * hi))
    assert op.infer((coarse,), {}) == op.infer((whole,), {})


@given(
    st.integers(0, 4096), st.integers(0, 8), st.integers(1, 9), st.integers(-300, 300),
    st.integers(0, 400), st.integers(0, 2**32),
)  # fmt: skip
@settings(deadline=None)
def test_integers_follow_the_equation_inside_their_bounds(
    decay: int, shift: int, steps: int, lo: int, width: int, seed: int
) -> None:
    op = current(decay=decay, shift=shift, steps=steps)
    claimed = op.infer((Type((3,), dom.integers(lo, lo + width)),), {}).domain
    x = np.random.default_rng(seed).integers(lo, lo + width + 1, (steps, 3))
    x[:, 0], x[:, 1] = lo, lo + width
    state, wanted = None, [0, 0, 0]
    reached: list[int] = []
    for frame in x:
        state = integer_current_step(op, frame, state)
        wanted = [
            toward_zero(Fraction(w * (4096 - decay), 4096)) + (int(v) << shift)
            for w, v in zip(wanted, frame, strict=True)
        ]
        assert state.tolist() == wanted
        reached += wanted
    assert claimed == dom.integers(min(reached), max(reached))


def test_floats_follow_the_equation() -> None:
    op = SynapticCurrent(name="i", inputs=("x",), keep=0.5)
    x = np.array([4.0, 1.0, 0.0])
    first = current_step(op, x, None)
    assert current_step(op, x, first).tolist() == [6.0, 1.5, 0.0]
    assert op.infer((Type((3,), dom.integers(0, 1)),), {}) == Type((3,), REAL)


@pytest.mark.parametrize(
    ("op", "domain", "said"),
    [
        (SynapticCurrent(name="i", inputs=("x",), keep=1.5), REAL, "keeps 1.5 of its current"),
        (SynapticCurrent(name="i", inputs=("x",), keep=-0.5), REAL, "keeps -0.5 of its current"),
        (current(decay=4097), dom.integers(0, 1), "decays by 4097 of 4096"),
        (current(decay=1, steps=0), dom.integers(0, 1), "for 0 steps"),
        (current(decay=1, shift=-1), dom.integers(0, 1), "shifts by -1"),
        (current(decay=1), REAL, "current is real, not an integer"),
    ],
)
def test_what_is_no_current_is_refused(op: Op, domain: Domain, said: str) -> None:
    with pytest.raises(IRError, match=said):
        op.infer((Type((3,), domain),), {})


def test_bounds_beyond_counting_are_real() -> None:
    endless = current(decay=0, steps=10**18)
    assert endless.infer((Type((1,), dom.integers(0, 1000)),), {}).domain == REAL
    settled = current(decay=4096, shift=0, steps=10**12)
    assert settled.infer((Type((1,), dom.integers(0, 9)),), {}).domain == dom.integers(0, 9)


def step_graph(*, whole: bool) -> Graph:
    """An input that varies, a current, and what reads it."""
    kind: Op = (
        current(decay=1000)
        if whole
        else SynapticCurrent(name="i", inputs=("x",), keep=0.75)
    )  # fmt: skip
    domain = dom.integers(-9, 9) if whole else REAL
    made = (
        ops.Input(name="x", shape=(2, 3), varies=True, domain=domain, scale=1.0 if whole else None),
        kind,
        ops.Readout(name="r", inputs=("i",), steps=4),
        ops.Output(name="y", inputs=("r",)),
    )
    return Graph(made, {}, "step", 4)


@pytest.mark.parametrize("whole", [True, False])
def test_the_executor_computes_what_the_interpreter_does(whole: bool) -> None:
    graph = step_graph(whole=whole)
    assert timings(graph)["i"] is Timing.STEP
    assert parse(dump(graph), {}) == graph
    x: Array = np.random.default_rng(0).integers(-9, 10, (4, 5, 2, 3)).astype(np.float64)
    values = interpret(graph, x)
    assert values["i"].shape == (4, 5, 2, 3)
    assert np.array_equal(values["y"], values["i"].sum(0))
    run = Executor(graph).run(x, keep=["i"])
    assert np.array_equal(run.values["i"], values["i"])
    assert np.array_equal(run.output, values["y"])


def test_time_is_taken_off_a_current() -> None:
    tensor = Graph(
        (
            ops.Input(name="x", shape=(2, 4, 3)),
            ops.Permute(name="p", inputs=("x",), order=(1, 0, 2)),
            SynapticCurrent(name="i", inputs=("p",), keep=0.5),
            ops.Neuron(name="s", inputs=("i",)),
            ops.Sum(name="m", inputs=("s",), axes=(0,)),
            ops.Output(name="y", inputs=("m",)),
        )
    )
    steps = ToSteps().run(tensor).graph
    assert steps.steps == 4
    assert [op.kind for op in steps.of_kind("synaptic_current")] == ["synaptic_current"]
    x = np.random.default_rng(0).normal(size=(2, 4, 3))
    over_time = interpret(steps, x.swapaxes(0, 1))
    assert np.array_equal(interpret(tensor, x)["s"], over_time["s"])
