"""Every proof of a type, held against values: draw inputs from their domains, run the op, look."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from snncc.ir import domain as dom
from snncc.ir import ops
from snncc.ir.delay import Delay
from snncc.ir.domain import REAL, SPIKE, Domain, Grid
from snncc.ir.graph import Absent, Array, Graph, IRError, Op, Shape, Type, Weight
from snncc.ir.inference import window_positions
from snncc.ir.interpret import interpret
from snncc.ir.memory import integer_neuron_step, neuron_step
from snncc.ir.pad import Pad
from snncc.ir.semantics import apply
from snncc.ir.substeps import Thermometer

ARRAYS: dict[str, Weight] = {
    "w": np.random.default_rng(0).integers(-3, 4, (4, 2, 3, 3)).astype(np.int8),
    "dw": np.random.default_rng(1).integers(-3, 4, (4, 1, 3, 3)).astype(np.int8),
    "l": np.random.default_rng(2).integers(-3, 4, (5, 6)).astype(np.int8),
    "b4": np.array([5, -7, 0, 1], np.int32),
    "b5": np.array([5, -7, 0, 1, 2], np.int32),
    "c": np.array([[1, -2, 3]], np.int16),
    "f": np.array([[1.5, -2, 3]]),
}
MAP, SQUARE = (4, 6, 6), {"stride": (1, 1), "dilation": (1, 1)}
POOL: dict[str, Any] = {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1)}
THREES = {"kernel": (3, 3), "stride": (2, 2), "padding": (0, 0)}

CASES: list[tuple[type[Op], dict[str, Any], list[Shape]]] = [
    (ops.Conv, {"weight": "w", "padding": (1, 1), "groups": 2, **SQUARE}, [MAP]),
    (ops.Conv, {"weight": "dw", "bias": "b4", "padding": (0, 0), "groups": 4, **SQUARE}, [MAP]),
    (
        ops.Conv,
        {"weight": "w", "padding": (2, 1), "groups": 2, "stride": (2, 1), "dilation": (2, 1)},
        [MAP],
    ),
    (ops.Conv, {"weight": "w", "padding": (0, 0), "groups": 2, "shift": 2, **SQUARE}, [(3, *MAP)]),
    (ops.Linear, {"weight": "l"}, [(2, 3, 6)]),
    (ops.Linear, {"weight": "l", "bias": "b5", "shift": 1}, [(6,)]),
    (ops.Add, {}, [(2, 3), (3,)]),
    (ops.Add, {}, [(1, 3), (2, 1)]),
    (ops.Scale, {"factor": -0.25}, [(2, 3)]),
    (ops.Scale, {"factor": 0.0}, [(2, 3)]),
    (ops.MaxPool, {**POOL, "dilation": (1, 1)}, [MAP]),
    (ops.MaxPool, {**THREES, "dilation": (1, 1), "ceil_mode": True}, [MAP]),
    (ops.MaxPool, {**POOL, "dilation": (2, 1)}, [(2, *MAP)]),
    (ops.AvgPool, POOL, [MAP]),
    (ops.AvgPool, {**POOL, "count_include_pad": False}, [MAP]),
    (ops.AvgPool, {"kernel": (2, 3), "stride": (2, 3), "padding": (0, 0)}, [MAP]),
    (ops.MatMul, {}, [(2, 3, 4), (2, 4, 2)]),
    (ops.MatMul, {}, [(3, 4), (2, 4, 2)]),
    (ops.Mask, {}, [(2, 3), (1, 3)]),
    (ops.Sum, {"axes": (0, 2)}, [(2, 3, 4)]),
    (ops.Sum, {"axes": (1,), "keepdims": True}, [(2, 3, 4)]),
    (ops.Reshape, {"shape": (3, 4)}, [(2, 6)]),
    (ops.Permute, {"order": (2, 0, 1)}, [(2, 3, 4)]),
    (ops.Expand, {"shape": (5, 2, 3)}, [(2, 1)]),
    (ops.Slice, {"axis": 1, "start": 1, "stop": 6, "step": 2}, [(2, 6)]),
    (ops.Concat, {"axis": 1}, [(2, 3), (2, 1), (2, 2)]),
    (Pad, {"before": (1, 0), "after": (2, 1)}, [(2, 3, 4)]),
    (Pad, {"before": (1,), "after": (1,), "value": "b4"}, [(4, 3)]),
    (ops.Repeat, {}, [(2, 3)]),
    (Delay, {"steps": 3}, [(2, 3)]),
    (ops.Output, {}, [(2, 3)]),
]


def made(kind: type[Op], fields: dict[str, Any], count: int = 1) -> Op:
    return kind(name="y", inputs=tuple(f"x{i}" for i in range(count)), **fields)


@st.composite
def grids(draw: st.DrawFn, fields: dict[str, Any]) -> Grid:
    """Any small grid; integers for an op of an integer graph."""
    steps = (1, 1, 2, Fraction(1, 4), Fraction(1, 3))
    lo = draw(st.integers(-3, 3))
    step = draw(st.sampled_from(steps[:1] if {"bias", "shift"} & set(fields) else steps))
    return Grid(Fraction(step), lo, lo + draw(st.integers(0, 4)))


def drawn(domain: Grid, shape: Shape, rng: np.random.Generator) -> Array:
    """Counts where the grid is that of the integers, else floats."""
    counts = rng.integers(domain.lo, domain.hi + 1, shape)
    return counts if domain.step == 1 else counts * float(domain.step)


def inside(domain: Domain, values: Array) -> bool:
    if not isinstance(domain, Grid):
        return True
    counts = values / float(domain.step)
    near = np.abs(counts - np.rint(counts)).max() < 1e-6
    return bool(near and counts.min() > domain.lo - 1e-6 and counts.max() < domain.hi + 1e-6)


@pytest.mark.parametrize(("kind", "fields", "shapes"), CASES)
@given(data=st.data())
@settings(deadline=None, max_examples=25)
def test_infer_is_sound(
    kind: type[Op], fields: dict[str, Any], shapes: list[Shape], data: st.DataObject
) -> None:
    domains = [data.draw(grids(fields)) for _ in shapes]
    op = made(kind, fields, len(shapes))
    types = tuple(Type(s, d) for s, d in zip(shapes, domains, strict=True))
    claimed = op.infer(types, ARRAYS)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    for _ in range(4):
        inputs = tuple(drawn(d, s, rng) for s, d in zip(shapes, domains, strict=True))
        result = apply(op, inputs, ARRAYS, lead=0)
        assert result.shape == claimed.shape
        assert inside(claimed.domain, result), (claimed, result)


@pytest.mark.parametrize(("kind", "fields", "shapes"), CASES)
@given(data=st.data())
@settings(deadline=None, max_examples=10)
def test_wider_inputs_never_give_narrower_results(
    kind: type[Op], fields: dict[str, Any], shapes: list[Shape], data: st.DataObject
) -> None:
    op = made(kind, fields, len(shapes))
    narrow = [data.draw(grids(fields)) for _ in shapes]
    wide = [dom.join(d, data.draw(grids(fields))) for d in narrow]
    few = op.infer(tuple(Type(s, d) for s, d in zip(shapes, narrow, strict=True)), ARRAYS)
    many = op.infer(tuple(Type(s, d) for s, d in zip(shapes, wide, strict=True)), ARRAYS)
    assert few.shape == many.shape
    assert dom.includes(many.domain, few.domain)


@pytest.mark.parametrize(("kind", "fields", "shapes"), CASES)
def test_real_inputs_prove_nothing(
    kind: type[Op], fields: dict[str, Any], shapes: list[Shape]
) -> None:
    op = made(kind, fields, len(shapes))
    assert op.infer(tuple(Type(s, REAL) for s in shapes), ARRAYS).domain == REAL


def tensor(weight: Weight) -> torch.Tensor:
    assert not isinstance(weight, Absent)
    return torch.tensor(weight)


def with_torch(kind: type[Op], f: dict[str, Any], x: list[torch.Tensor]) -> torch.Tensor:
    """What PyTorch makes of an op."""
    if kind is ops.Conv:
        weight, bias = tensor(ARRAYS[f["weight"]]).double(), f.get("bias")
        stride, padding, dilation = f["stride"], f["padding"], f["dilation"]
        y = F.conv2d(x[0], weight, None, stride, padding, dilation, f["groups"])
        y = y * 2 ** f.get("shift", 0)
        return y + tensor(ARRAYS[bias]).view(-1, 1, 1) if bias else y
    if kind is ops.Linear:
        y = F.linear(x[0], tensor(ARRAYS[f["weight"]]).double()) * 2 ** f.get("shift", 0)
        return y + tensor(ARRAYS[f["bias"]]) if "bias" in f else y
    if kind is ops.MaxPool:
        ceil = f.get("ceil_mode", False)
        return F.max_pool2d(x[0], f["kernel"], f["stride"], f["padding"], f["dilation"], ceil)
    include = f.get("count_include_pad", True)
    return F.avg_pool2d(x[0], f["kernel"], f["stride"], f["padding"], False, include)


WINDOWED = [c for c in CASES if c[0] in (ops.Conv, ops.Linear, ops.MaxPool, ops.AvgPool)]


@pytest.mark.parametrize(("kind", "fields", "shapes"), WINDOWED)
def test_shapes_and_values_are_those_of_torch(
    kind: type[Op], fields: dict[str, Any], shapes: list[Shape]
) -> None:
    op = made(kind, fields)
    x = np.random.default_rng(0).integers(-3, 4, shapes[0])
    expected = with_torch(kind, fields, [torch.tensor(x).double()])
    assert op.infer((Type(shapes[0], REAL),), ARRAYS).shape == tuple(expected.shape)
    np.testing.assert_allclose(apply(op, (x,), ARRAYS, lead=0), expected.numpy(), atol=1e-12)


@given(
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(1, 2),
    st.booleans(),
)
@settings(deadline=None)
def test_windows_are_counted_as_torch_does(
    n: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> None:
    if padding > kernel // 2:
        return
    pool = torch.nn.MaxPool1d(kernel, stride, padding, dilation, ceil_mode=ceil_mode)
    try:
        expected = tuple(pool(torch.zeros(1, 1, n)).shape[2:])
    except RuntimeError:
        expected = None
    try:
        found = window_positions((n,), (kernel,), (stride,), (padding,), (dilation,), ceil_mode)
    except IRError:
        found = None
    assert found == expected


def test_absent_weights_prove_shapes_only() -> None:
    absent: dict[str, Weight] = {"w": Absent((4, 2, 3, 3)), "l": Absent((5, 6)), "c": Absent((2,))}
    conv = made(ops.Conv, {"weight": "w", "padding": (1, 1), "groups": 2, **SQUARE})
    assert conv.infer((Type(MAP, SPIKE),), absent) == Type((4, 6, 6), REAL)
    linear = made(ops.Linear, {"weight": "l"})
    assert linear.infer((Type((2, 6), SPIKE),), absent) == Type((2, 5), REAL)
    assert made(ops.Constant, {"value": "c"}, 0).infer((), absent) == Type((2,), REAL)


def test_float_weights_prove_nothing() -> None:
    linear = made(ops.Linear, {"weight": "f"})
    assert linear.infer((Type((3,), SPIKE),), ARRAYS).domain == REAL
    assert made(ops.Constant, {"value": "f"}, 0).infer((), ARRAYS) == Type((1, 3), REAL)
    assert made(ops.Constant, {"value": "c"}, 0).infer((), ARRAYS).domain == dom.integers(-2, 3)


def test_sums_beyond_counting_are_real() -> None:
    wide = Type((6,), dom.integers(0, 2**60))
    for fields in ({"weight": "l"}, {"weight": "l", "bias": "b5"}):
        assert made(ops.Linear, fields).infer((wide,), ARRAYS).domain == REAL
    coarse = Type((6,), dom.grid(2**62, 0, 1))
    assert made(ops.Linear, {"weight": "l", "bias": "b5"}).infer((coarse,), ARRAYS).domain == REAL
    assert made(ops.Linear, {"weight": "l"}).infer((coarse,), ARRAYS).domain != REAL


def test_neurons_make_spikes() -> None:
    neuron = ops.Neuron(name="s", inputs=("x",), tau=None, v_reset=None)
    assert neuron.infer((Type((3,), REAL),), {}) == Type((3,), SPIKE)
    state = None
    for x in np.random.default_rng(0).normal(size=(9, 3)):
        spikes, _, state = neuron_step(neuron, x, state)
        assert set(spikes.tolist()) <= {0, 1}


def test_integer_neurons_read_integers() -> None:
    weights = {"t": np.array([[3], [9]])}
    neuron = ops.IntegerNeuron(name="s", inputs=("x",), threshold="t", decay=2048, shift=0)
    assert neuron.infer((Type((2, 4), dom.integers(-5, 5)),), weights) == Type((2, 4), SPIKE)
    spikes, _, _ = integer_neuron_step(neuron, weights["t"], np.full((1, 2, 4), 5), None)
    assert spikes.tolist() == [[[1] * 4, [0] * 4]]
    with pytest.raises(IRError, match="current is real"):
        neuron.infer((Type((2, 4), REAL),), weights)
    with pytest.raises(IRError, match="broadcast"):
        neuron.infer((Type((3, 4), SPIKE),), weights)


def test_the_readout_sums_all_steps() -> None:
    graph = Graph(
        (
            ops.Input(name="x", shape=(2,), varies=True, domain=dom.integers(0, 3)),
            ops.Readout(name="r", inputs=("x",), steps=4),
            ops.Output(name="y", inputs=("r",)),
        ),
        level="step",
        steps=4,
    )
    assert graph.type_of("y") == Type((2,), dom.integers(0, 12))
    x = np.random.default_rng(0).integers(0, 4, (4, 3, 2))
    assert np.array_equal(interpret(graph, x)["y"], x.sum(0))


def test_batch_norm() -> None:
    weights = {"m": np.array([1.0, 2]), "v": np.array([4.0, 9]), "g": np.array([2.0, 3])}
    norm = made(
        ops.BatchNorm,
        {"gamma": "g", "beta": None, "mean": "m", "var": "v", "eps": 0.0, "axis": 0},
    )
    assert norm.infer((Type((2, 3), SPIKE),), weights) == Type((2, 3), REAL)
    got = apply(norm, (np.ones((2, 3)),), weights, lead=0)
    assert got.tolist() == [[0.0] * 3, [-1.0] * 3]


BAD: list[tuple[type[Op], dict[str, Any], list[Shape], str]] = [
    (ops.Conv, {"weight": "w", "padding": (1, 1), "groups": 1, **SQUARE}, [MAP], "does not meet"),
    (ops.Conv, {"weight": "dw", "padding": (0, 0), "groups": 4, **SQUARE}, [(4, 2, 2)], "window"),
    (ops.Linear, {"weight": "l"}, [(2, 5)], "does not meet"),
    (ops.Linear, {"weight": "l"}, [()], "does not meet"),
    (ops.Add, {}, [(2, 3), (4,)], "do not broadcast"),
    (ops.MatMul, {}, [(2, 3), (2, 3)], "does not multiply"),
    (ops.Sum, {"axes": (2,)}, [(2, 3)], "are not all axes"),
    (ops.Reshape, {"shape": (5,)}, [(2, 3)], "does not reshape"),
    (ops.Permute, {"order": (0, 0)}, [(2, 3)], "does not permute"),
    (ops.Expand, {"shape": (2, 4)}, [(2, 3)], "broadcast"),
    (ops.Slice, {"axis": 0, "start": 0, "stop": 3}, [(2, 3)], "are not all in"),
    (Delay, {"steps": 0}, [(2, 3)], "a delay of 0 steps, wanted one or more"),
]


@pytest.mark.parametrize(("kind", "fields", "shapes", "said"), BAD)
def test_shapes_that_do_not_meet(
    kind: type[Op], fields: dict[str, Any], shapes: list[Shape], said: str
) -> None:
    op = made(kind, fields, len(shapes))
    with pytest.raises(IRError, match=said):
        op.infer(tuple(Type(s, SPIKE) for s in shapes), ARRAYS)


def test_every_op_is_tried() -> None:
    by_hand = {
        "input", "constant", "neuron", "integer_neuron", "batch_norm", "readout", "foreign",
        "round_shift", "thermometer", "compare", "count", "synaptic_current", "integer_current",
    }  # fmt: skip
    assert {op.kind for op in ops.OPS} == {c[0].kind for c in CASES} | by_hand


@given(
    st.integers(-(2**40), 2**40), st.integers(0, 2**40), st.integers(1, 20),
    st.sampled_from((1, 2, 8)),
)  # fmt: skip
def test_round_shift_rounds_halves_up_and_stays_inside(
    lo: int, width: int, bits: int, step: int
) -> None:
    op = ops.RoundShift(name="y", inputs=("x",), bits=bits)
    proved = op.infer((Type((3,), dom.grid(Fraction(step), lo, lo + width)),), {}).domain
    x = step * np.array([lo, lo + width // 2, lo + width])
    y = apply(op, (x,), {}, lead=0)
    assert y.tolist() == [math.floor(Fraction(int(v), 2**bits) + Fraction(1, 2)) for v in x]
    assert proved == dom.integers(int(y[0]), int(y[2]))


@given(st.integers(2, 9), st.integers(-9, 0), st.integers(1, 9), st.integers(0, 99))
def test_a_bias_on_a_coarse_grid_stays_inside(step: int, lo: int, hi: int, seed: int) -> None:
    dice = np.random.default_rng(seed)
    weights = {"w": dice.integers(-9, 10, (4, 3)), "b": dice.integers(-99, 100, 4)}
    op = ops.Linear(name="y", inputs=("x",), weight="w", bias="b", shift=2)
    proved = op.infer((Type((3,), dom.grid(Fraction(step), lo, hi)),), weights).domain
    x = step * dice.integers(lo, hi + 1, (64, 3))
    assert isinstance(proved, dom.Grid)
    assert proved.minimum <= apply(op, (x,), weights, lead=1).min()
    assert apply(op, (x,), weights, lead=1).max() <= proved.maximum


def test_a_thermometer_sums_to_its_count() -> None:
    op = Thermometer(name="y", inputs=("x",), levels=4)
    x = np.arange(5).reshape(1, 5)
    y = apply(op, (x,), {}, lead=1)
    assert y.sum(axis=1).tolist() == x.tolist()
    assert op.infer((Type((5,), dom.integers(0, 4)),), {}) == Type((4, 5), SPIKE)
    for wide in (dom.integers(0, 5), dom.integers(-1, 2), REAL):
        with pytest.raises(IRError, match="reads"):
            op.infer((Type((5,), wide),), {})
