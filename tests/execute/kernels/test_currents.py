"""Currents that outlast a time step, in one pass: the numbers of the slow equation, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.execute.kernels import currents, jit
from snncc.execute.kernels.memory import CHUNK
from snncc.ir.graph import Array
from snncc.ir.memory import current_step, integer_current_step
from snncc.ir.synaptic_current import IntegerCurrent, SynapticCurrent


def given_frames(steps: int, frames: int, samples: int, size: int, seed: int) -> Array:
    shape = (steps if frames > 1 else 1, samples, size)
    return np.random.default_rng(seed).integers(-200, 200, shape)


@settings(max_examples=40, deadline=None)
@given(
    decay=st.integers(0, 4096) | st.just(2048), shift=st.integers(0, 7), steps=st.integers(1, 6),
    frames=st.integers(1, 2), size=st.sampled_from((1, 5, CHUNK, CHUNK + 3)),
    kind=st.sampled_from((np.int32, np.int64)), given_as=st.sampled_from((np.int16, np.float32)),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_integers(
    decay: int, shift: int, steps: int, frames: int, size: int, kind: type, given_as: type,
    seed: int,
) -> None:  # fmt: skip
    x = given_frames(steps, frames, 2, size, seed)
    op = IntegerCurrent(name="i", inputs=("x",), decay=decay, shift=shift, steps=steps)
    found = currents.keep_integers(x.astype(given_as), decay, shift, steps, kind)
    assert found.dtype == kind
    state = None
    for t in range(steps):
        state = integer_current_step(op, x[t if len(x) > 1 else 0], state)
        assert np.array_equal(found[t], state)


@settings(max_examples=20, deadline=None)
@given(
    share=st.sampled_from((0.0, 0.3, 0.9, 1.0)), steps=st.integers(1, 6),
    frames=st.integers(1, 2), seed=st.integers(0, 99),
)  # fmt: skip
def test_floats(share: float, steps: int, frames: int, seed: int) -> None:
    x = given_frames(steps, frames, 2, 17, seed) / 7
    op = SynapticCurrent(name="i", inputs=("x",), keep=share)
    found, state = currents.keep_floats(x, share, steps), None
    for t in range(steps):
        state = current_step(op, x[t if len(x) > 1 else 0], state)
        assert np.array_equal(found[t], state)


@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = given_frames(3, 3, 40, 2 * CHUNK + 1, 0)
    alone = currents.keep_integers(x, 410, 6, 3, np.int32), currents.keep_floats(x, 0.9, 3)
    monkeypatch.setattr(jit, "_threads", lambda: threads)
    assert np.array_equal(currents.keep_integers(x, 410, 6, 3, np.int32), alone[0])
    assert np.array_equal(currents.keep_floats(x, 0.9, 3), alone[1])
