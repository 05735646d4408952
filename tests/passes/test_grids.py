"""The step of which numbers are multiples: found where there is one, and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc.ir.graph import Array
from snncc.passes.grids import most_shift, on_grid, steps_of


def multiples(rng: np.random.Generator, rows: int, taps: int, most: int) -> Array:
    """Whole numbers of which no row has a common divisor."""
    counts = rng.integers(-most, most + 1, (rows, taps))
    counts[:, 0], counts[:, 1] = most, most - 1
    return counts


@given(
    st.integers(0, 2**32 - 1), st.integers(2, 127), st.integers(2, 300),
    st.sampled_from([np.float32, np.float64]),
)  # fmt: skip
def test_multiples_of_a_step_are_found_again(
    seed: int, most: int, taps: int, kind: type[np.floating[Any]]
) -> None:
    """In float32 too, where each number is off by a rounding of its own."""
    rng = np.random.default_rng(seed)
    counts = multiples(rng, 5, taps, most)
    steps = 10 ** rng.uniform(-6, 3, 5)
    weights = (counts * steps[:, None]).astype(kind).astype(np.float64)
    found = steps_of(weights, 127)
    assert found is not None
    np.testing.assert_allclose(found, steps, rtol=1e-6)
    assert np.array_equal(np.rint(weights / found[:, None]), counts)


@given(st.integers(0, 2**32 - 1))
def test_weights_after_a_batch_norm_in_float32_are_still_on_their_grid(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = multiples(rng, 4, 9, 127).astype(np.float32)
    step, gamma, var = (rng.uniform(0.1, 3, 4).astype(np.float32)[:, None] for _ in range(3))
    weights = (counts * step) * (gamma / np.sqrt(var + np.float32(1e-5)))
    found = steps_of(weights.astype(np.float64), 127)
    assert found is not None
    assert np.array_equal(np.rint(weights / found[:, None]), counts)


@given(st.integers(0, 2**32 - 1))
def test_random_weights_are_on_no_grid(seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=(8, 6))
    assert steps_of(weights, 127) is None
    assert steps_of(weights.reshape(1, -1), 127) is None


def test_a_number_beside_its_multiple_breaks_a_grid() -> None:
    weights = np.array([[3.0, 4.0, 5.0, 127.0]]) * 0.01
    assert steps_of(weights, 127) is not None
    weights[0, 0] *= 1 + 1e-4
    assert steps_of(weights, 127) is None


def test_rows_of_zeros_have_no_step_and_large_multiples_none_either() -> None:
    found = steps_of(np.array([[0.0, 0.0], [2.0, 4.0]]), 127)
    assert found is not None
    assert found.tolist() == [0.0, 2.0]
    assert steps_of(np.array([[1.0, 128.0]]), 127) is None
    assert steps_of(np.array([[2.0, 128.0]]), 127) is not None


def test_what_a_float_cannot_tell_is_not_called_whole() -> None:
    assert on_grid(np.array([2.0**23 + 1]), 1.0)
    assert not on_grid(np.array([2.0**23 + 0.1]), 1.0)


@pytest.mark.parametrize(("counts", "bits"), [([0, 0], 0), ([8, -24, 0], 3), ([1, 4], 0)])
def test_bits_that_all_counts_leave_empty(counts: list[int], bits: int) -> None:
    assert most_shift(np.array(counts)) == bits
