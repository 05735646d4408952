"""All kernels that take a layer give the same integers, on random and on extreme values."""

from __future__ import annotations

import numpy as np
import pytest

from snncc.execute.kernels import products
from snncc.execute.kernels.layer import Layer
from snncc.ir.graph import Array
from snncc.ir.ops import Conv, Linear
from snncc.ir.semantics import apply


def conv(
    channels: tuple[int, int], kernel: tuple[int, ...], groups: int = 1, **geometry: int
) -> tuple[Conv, tuple[int, ...]]:
    n = len(kernel)
    op = Conv(
        name="c", inputs=("x",), weight="w", groups=groups,
        stride=(geometry.get("stride", 1),) * n, padding=(geometry.get("padding", 0),) * n,
        dilation=(geometry.get("dilation", 1),) * n,
    )  # fmt: skip
    return op, (channels[1], channels[0] // groups, *kernel)


LAYERS: tuple[tuple[Conv | Linear, tuple[int, ...], tuple[int, ...]], ...] = (
    (Linear(name="l", inputs=("x",), weight="w"), (33, 40), (5, 40)),
    (Linear(name="l", inputs=("x",), weight="w"), (1, 1), (1,)),
    (*conv((16, 24), (1, 1)), (16, 7, 5)),
    (*conv((3, 20), (3, 3), padding=1), (3, 9, 9)),
    (*conv((16, 24), (3, 3), padding=1, stride=2), (16, 9, 9)),
    (*conv((8, 8), (7, 7), groups=8, padding=3), (8, 10, 10)),
    (*conv((8, 12), (3, 3), groups=4, dilation=2), (8, 11, 9)),
    (*conv((16, 24), (1,)), (16, 12)),
    (*conv((6, 10), (3,), padding=1, stride=2), (6, 12)),
    (*conv((3, 4), (3, 2, 2)), (3, 5, 4, 4)),
)


def integers(layer: Layer, x: Array) -> Array:
    """What the interpreter makes of the layer."""
    return apply(layer.op, (x,), {"w": layer.weight}, 1)


def agree(layer: Layer, x: Array) -> set[str]:
    """Hold every kernel that takes the layer to the interpreter; return their names."""
    want = integers(layer, x)
    took = [kernel for kernel in products.KERNELS if kernel.takes(layer)]
    for kernel in took:
        got = kernel.prepare(layer)(x)
        assert got.shape == want.shape, kernel.name
        assert (got == want).all(), kernel.name
    return {kernel.name for kernel in took}


def layer_of(op: Conv | Linear, weight: Array, span: tuple[int, int]) -> Layer:
    taps = int(np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(axis=1).max())
    return Layer(op, weight, span, taps * max(-span[0], span[1]))


@pytest.mark.parametrize(("op", "weights", "shape"), LAYERS)
@pytest.mark.parametrize("span", [(0, 1), (0, 128), (-7, 9), (0, 255), (0, 40_000)])
def test_kernels_agree_on_random_values(
    op: Conv | Linear, weights: tuple[int, ...], shape: tuple[int, ...], span: tuple[int, int]
) -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(-128, 128, weights).astype(np.int8)
    x = rng.integers(span[0], span[1] + 1, (3, *shape))
    x = x.astype(np.int8) if span[1] <= 127 else x.astype(np.int64)
    names = agree(layer_of(op, weight, span), x)
    assert {"float64", "integer"} <= names
    assert ("onednn" in names) <= (span[0] >= 0 and span[1] <= 128)


@pytest.mark.parametrize(("op", "weights", "shape"), LAYERS)
@pytest.mark.parametrize("sign", [1, -1])
def test_kernels_agree_where_every_sum_is_the_largest(
    op: Conv | Linear, weights: tuple[int, ...], shape: tuple[int, ...], sign: int
) -> None:
    weight = np.full(weights, 127 if sign > 0 else -128, np.int8)
    for largest in (1, 128):
        x = np.full((2, *shape), largest, np.int64)
        agree(layer_of(op, weight, (0, largest)), x)


def test_no_kernel_is_taken_beyond_what_it_holds() -> None:
    op = Linear(name="l", inputs=("x",), weight="w")
    weight = np.full((1, 4), 127, np.int8)
    at = {bound: products.choose(Layer(op, weight, (0, 1), bound)).name for bound in
          (2**24 - 1, 2**24, 2**53 - 1, 2**53)}  # fmt: skip
    assert at[2**24 - 1] in ("onednn", "float32")
    assert (at[2**24], at[2**53 - 1], at[2**53]) == ("float64", "float64", "integer")
    assert products.choose(Layer(op, weight, None, None)).name == "integer"


def test_sums_at_the_edge_of_float32_are_exact() -> None:
    """Odd sums just below 2**24: a float with one bit less would round them."""
    weight = np.full((1, 1040), 127, np.int8)
    weight[0, 0] = 126
    op = Linear(name="l", inputs=("x",), weight="w")
    x = np.full((1, 1040), 127, np.int64)
    layer = layer_of(op, weight, (0, 127))
    assert 2**23 < layer.bound < 2**24  # type: ignore[operator]
    agree(layer, x)


def test_values_may_lie_in_any_order_in_memory() -> None:
    op, weights = conv((16, 24), (3, 3), padding=1)
    rng = np.random.default_rng(1)
    weight = rng.integers(-127, 128, weights).astype(np.int8)
    x = rng.integers(0, 2, (2, 9, 7, 16)).astype(np.int8).transpose(0, 3, 1, 2)
    agree(layer_of(op, weight, (0, 1)), x)
    still = np.broadcast_to(x[:1], x.shape)
    agree(layer_of(op, weight, (0, 1)), still)
