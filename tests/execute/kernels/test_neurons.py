"""The neurons' pass against the arithmetic of the interpreter, value for value."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.execute.kernels import neurons, pools, real_neurons
from snncc.execute.kernels.memory import CHUNK, chunk_of, flat, order_of, shaped, tiled
from snncc.ir.graph import Array
from snncc.ir.memory import integer_neuron_step, neuron_step
from snncc.ir.ops import IntegerNeuron, MaxPool, Neuron
from snncc.ir.semantics import apply


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def by_steps(
    op: IntegerNeuron, thresholds: Array, unit: Array | None, current: Array
) -> tuple[Array, Array]:
    """Run the interpreter's step; return spikes and potentials at the compare."""
    state, spikes, potentials = None, [], []
    for x in current:
        fired, potential, state = integer_neuron_step(op, thresholds, x, state, unit)
        spikes.append(fired)
        potentials.append(potential)
    return np.stack(spikes), np.stack(potentials)


def rule_of(op: IntegerNeuron, rows: Array, kind: type) -> neurons.Rule:
    return neurons.Rule(rows.astype(kind), op.decay, op.shift, op.reset == "hard")


@settings(max_examples=60, deadline=None)
@given(
    decay=st.sampled_from([0, 1, 1000, 2047, 2048, 4095, 4096]),
    levels=st.one_of(st.integers(1, 4), st.just(200)),
    reset=st.sampled_from(["hard", "soft"]),
    shift=st.integers(0, 9),
    wide=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_a_layer_is_the_interpreters_step_for_step(
    decay: int, levels: int, reset: str, shift: int, wide: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    steps, samples, size = 4, 2, int(rng.integers(1, 70))
    thresholds = np.sort(rng.integers(1, 5000, (levels, size)), axis=0)
    unit = rng.integers(1, 5000, size) if levels > 1 else None
    x = rng.integers(-900, 900, (steps, samples, size)).astype(np.float32)
    bias = rng.integers(-50, 50, size)
    rest = rng.integers(-900, 900, (steps, samples, size)).astype(np.int32)
    op = IntegerNeuron(
        name="n", inputs=("x",), threshold="t", decay=decay, shift=shift,
        reset=reset,  # type: ignore[arg-type]
        levels=levels,
    )  # fmt: skip
    current = (x.astype(np.int64) << 2) + bias + rest
    whole = thresholds[0] if levels == 1 else thresholds[:, None]
    spikes, potentials = by_steps(op, whole, unit, current)
    rows = np.stack([bias, *thresholds, thresholds[0] if unit is None else unit])
    total = np.empty(x.shape, np.int64 if wide else np.int32)
    rule = rule_of(op, rows, np.int64 if wide else np.int32)
    done = neurons.fire(neurons.Current(x, 2, rest), rule, steps, total)
    assert (done.spikes == spikes).all()
    assert (total == current).all()
    assert (done.fired == spikes.sum(axis=2)).all()
    assert (done.active == (current != 0).sum(axis=2)).all()
    assert done.lowest.min() == potentials.min()
    assert done.highest.max() == potentials.max()


def test_threads_and_chunks_change_nothing(threads: int) -> None:
    rng = np.random.default_rng(2)
    size = 37 * CHUNK + 5
    x = rng.integers(-900, 900, (1, 3, size))
    op = IntegerNeuron(name="n", inputs=("x",), threshold="t", decay=2048, shift=3)
    thresholds = rng.integers(1, 5000, size)
    rows = np.stack([np.zeros(size, np.int64), thresholds, thresholds])
    none = np.empty((0, 0, 0), np.int32)
    done = neurons.fire(neurons.Current(x, 0, none), rule_of(op, rows, np.int32), 4, none)
    spikes, _ = by_steps(op, thresholds, None, np.broadcast_to(x[0], (4, 3, size)))
    assert (done.spikes == spikes).all()


@pytest.mark.parametrize("shape", [(), (7,), (3, 5), (6, 4, 5), (2, 3, 4, 5)])
def test_memory_orders_are_undone(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        turn = tuple(rng.permutation(len(shape)))
        x = rng.integers(0, 99, (2, 3, *(shape[a] for a in turn)))
        logical = x.transpose(0, 1, *(2 + turn.index(a) for a in range(len(shape))))
        order = order_of(logical)
        rows = flat(logical, order)
        assert (shaped(rows, shape, order) == logical).all()
        assert np.shares_memory(rows, x)


@pytest.mark.parametrize("broadcast", [(1, 1, 1), (6, 1, 1), (1, 4, 1), (6, 4, 5), (5000, 1, 1)])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
def test_parameters_repeat_as_the_neurons_lie(
    broadcast: tuple[int, ...], order: tuple[int, ...]
) -> None:
    shape = (max(6, broadcast[0]), 4, 5)
    rows = np.random.default_rng(4).integers(0, 10**6, (2, *broadcast))
    tile = tiled(rows, shape, order)
    want = np.broadcast_to(rows, (2, *shape)).transpose(0, *(a + 1 for a in order)).reshape(2, -1)
    period, size = tile.shape[1], want.shape[1]
    for lo in range(0, size, chunk_of(period)):
        first = lo % period
        piece = want[:, lo : lo + chunk_of(period)]
        assert (tile[:, first : first + piece.shape[1]] == piece).all()


NEURONS = (
    Neuron(name="n", inputs=("x",)),
    Neuron(name="n", inputs=("x",), tau=None, v_reset=None),
    Neuron(name="n", inputs=("x",), tau=1.7, decay_input=False, strict=True, v_threshold=0.5),
    Neuron(name="n", inputs=("x",), tau=3.0, v_reset=-0.3, v_threshold=0.7),
    Neuron(name="n", inputs=("x",), tau=None, v_reset=None, v_subtract=0.4),
    Neuron(name="n", inputs=("x",), tau=None, v_reset=None, levels=4),
    Neuron(name="n", inputs=("x",), tau=2.0, v_reset=None, levels=4, rounding="half_up"),
    Neuron(name="n", inputs=("x",), tau=None, v_reset=None, v_threshold=0.01, levels=300),
)


@pytest.mark.parametrize("op", NEURONS, ids=range(len(NEURONS)))
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_float_layers_are_the_interpreters_bit_for_bit(op: Neuron, kind: type) -> None:
    rng = np.random.default_rng(5)
    x: Array = (rng.normal(size=(4, 2, 3000)) + 0.4).astype(kind)
    x[:, :, :50] = rng.integers(-4, 8, (4, 2, 50)) / 4  # sums that meet the threshold itself
    state, want = None, []
    for current in x.astype(np.float64):
        fired, _, state = neuron_step(op, current, state)
        want.append(fired)
    spikes, fired_sum, active = real_neurons.fire(op, x, 4)
    assert (spikes == np.stack(want)).all()
    assert spikes.any()
    assert (fired_sum == spikes.sum(axis=2)).all()
    assert (active == (x != 0).sum(axis=2)).all()


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), [
    (2, 2, 0, 1), (3, 2, 1, 1), (3, 1, 1, 1), (2, 1, 0, 2), (3, 3, 1, 2),
])  # fmt: skip
@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("kind", [np.int8, np.float32, np.int32])
def test_pools_are_the_interpreters(
    kernel: int, stride: int, padding: int, dilation: int, ceil: bool, kind: type
) -> None:
    rng = np.random.default_rng(6)
    x: Array = rng.integers(-9, 9, (3, 5, 11, 8)).astype(kind)
    op = MaxPool(
        name="p", inputs=("x",), kernel=(kernel,) * 2, stride=(stride,) * 2,
        padding=(padding,) * 2, dilation=(dilation,) * 2, ceil_mode=ceil,
    )  # fmt: skip
    want = apply(op, (x,), {}, 1)
    window = pools.Window(*(2 * (n,) for n in (kernel, stride, padding, dilation)))
    planes = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    got = pools.max_pool(planes, window, want.shape[-2:])
    assert (got.transpose(0, 3, 1, 2) == want).all()
