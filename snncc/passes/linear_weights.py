"""The numbers of a chain of linear ops: one weight, one bias, summed in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeAlias, cast

import numpy as np

from snncc.ir.graph import Absent, Array, Shape, Weight, Weights
from snncc.ir.semantics import batch_norm_affine
from snncc.passes.linear_chain import Chain
from snncc.passes.linear_reach import Reach


@dataclass(frozen=True)
class _Map:
    """A weight as convolutions have it, in so many groups, and which places it reads."""

    weight: Array
    groups: int
    reach: Reach


def composed(chain: Chain, weights: Weights) -> tuple[Weight, Weight | None]:
    """Return the weight and the bias of the one op that a chain is; absent where any of it is.

    What pools divide by, and the factors behind, are multiplied in at the end, for a sum of
    windows is then exact.
    """
    names = [name for op in chain.ops for name in op.weight_names]
    if any(isinstance(weights[name], Absent) for name in names):
        bias = None if chain.offset is None else Absent((chain.fan_out,))
        return Absent(chain.weight_shape), bias
    arrays = cast(Mapping[str, Array], weights)
    axes = len(chain.reach.kernel)
    ones, reach = np.ones((chain.fan_in, 1, *(1,) * axes)), Reach.itself(chain.reach.size)
    made, share = _Map(ones, chain.fan_in, reach), Fraction(1)
    for op in cast(tuple[Any, ...], chain.ops):
        if op.kind == "avg_pool":
            share /= math.prod(op.kernel)
        if op.kind == "scale" and share != 1:
            share *= Fraction(op.factor)
        elif op.kind in _WINDOWS:
            made = _after(made, *_WINDOWS[op.kind](op, made, arrays))
        elif op.kind == "pad":
            lead = (0,) * (axes - len(op.before))
            padded = made.reach.padded((*lead, *op.before), (*lead, *op.after))
            made = replace(made, reach=padded)
        elif op.kind != "reshape":
            factor = op.factor if op.kind == "scale" else batch_norm_affine(op, arrays)[0]
            weight = made.weight * np.reshape(factor, (-1, *(1,) * (axes + 1)))
            made = replace(made, weight=weight)
    product = made.weight if share == 1 else made.weight * float(share)
    return _in_one_row(product, made.reach, chain) if chain.flat else product, chain.offset


def _in_one_row(weight: Array, reach: Reach, chain: Chain) -> Array:
    """Return the matrix of windows that stand at one place; what is read outside is left out.

    So are the last places where the reach leaves them out.
    """
    wide = np.zeros((*weight.shape[:2], *chain.size))
    taps, places = [slice(None)] * 2, [slice(None)] * 2
    sides = zip(reach.size, reach.kernel, reach.dilation, reach.before, strict=True)
    for size, kernel, step, before in sides:
        first, last = -(-before // step), min(kernel - 1, (size - 1 + before) // step)
        taps.append(slice(first, last + 1))
        places.append(slice(step * first - before, step * last - before + 1, step))
    wide[tuple(places)] = weight[tuple(taps)]
    return wide.reshape(len(weight), -1)


_Window: TypeAlias = tuple[Array, int, Shape, Shape, Shape]
"""A weight, its groups, stride, padding and dilation."""


def _conv(op: Any, made: _Map, arrays: Mapping[str, Array]) -> _Window:
    return arrays[op.weight], op.groups, op.stride, op.padding, op.dilation


def _linear(op: Any, made: _Map, arrays: Mapping[str, Array]) -> _Window:
    """One window that is the whole image, or no window at all."""
    places, weight = made.reach.places, arrays[op.weight]
    ones, none = (1,) * len(places), (0,) * len(places)
    return weight.reshape(len(weight), len(made.weight), *places), 1, ones, none, ones


def _pool(op: Any, made: _Map, arrays: Mapping[str, Array]) -> _Window:
    """The sum of each window; what it is divided by is counted beside it."""
    kernel = made.reach.places if op.kind == "sum" else op.kernel
    ones, channels = (1,) * len(kernel), len(made.weight)
    stride, padding = getattr(op, "stride", ones), getattr(op, "padding", (0,) * len(kernel))
    return np.ones((channels, 1, *kernel)), channels, stride, padding, ones


_WINDOWS: dict[str, Callable[[Any, _Map, Mapping[str, Array]], _Window]] = {
    "conv": _conv,
    "linear": _linear,
    "avg_pool": _pool,
    "sum": _pool,
}


def _after(
    first: _Map, second: Array, groups: int, stride: Shape, padding: Shape, dilation: Shape
) -> _Map:
    """Return what a weight makes of ``first``."""
    reach = first.reach
    then = reach.through(second.shape[2:], stride, padding, dilation)
    steps = tuple(
        (e * s // d, step // d)
        for e, s, step, d in zip(dilation, reach.stride, reach.dilation, then.dilation, strict=True)
    )
    joined = math.gcd(first.groups, groups)
    weight, second = first.weight, second.astype(np.float64)
    if weight.shape[:2] != (groups * second.shape[1], 1) or first.groups != len(weight):
        wide = _regrouped(weight, first.groups, joined)
        return _Map(_product(wide, second, groups, then.kernel, steps), joined, then)
    return _Map(_product_by_channel(weight, second, groups, then.kernel, steps), joined, then)


def _regrouped(weight: Array, groups: int, fewer: int) -> Array:
    """Return the weight in ``fewer`` groups, with zeros where it connects nothing."""
    times = groups // fewer
    if times == 1:
        return weight
    rows, fan_in, kernel = weight.shape[0] // groups, weight.shape[1], weight.shape[2:]
    wide = np.zeros((fewer, times, rows, times, fan_in, *kernel))
    each = np.arange(times)
    split = weight.reshape(fewer, times, rows, fan_in, *kernel)
    wide[:, each, :, each] = np.moveaxis(split, 1, 0)
    return wide.reshape(weight.shape[0], times * fan_in, *kernel)


def _product(
    first: Array, second: Array, groups: int, kernel: Shape, steps: tuple[tuple[int, int], ...]
) -> Array:
    """``W[o, i, step' k' + step k] = sum_m W'[o, m, k'] W[m, i, k]``, by groups of ``m``."""
    fan_out, middle, own = second.shape[0], second.shape[1], first.shape[2:]
    taps = second.shape[2:]
    left = np.moveaxis(second.reshape(groups, -1, middle, math.prod(taps)), 3, 1)
    right = first.reshape(groups, 1, middle, -1)
    product = (left @ right).reshape(groups, math.prod(taps), -1, first.shape[1], *own)
    result = np.zeros((fan_out, first.shape[1], *kernel))
    for at, tap in enumerate(np.ndindex(*taps)):
        part = product[:, at].reshape(fan_out, first.shape[1], *own)
        result[_places(tap, own, steps)] += part
    return result


def _product_by_channel(
    first: Array, second: Array, groups: int, kernel: Shape, steps: tuple[tuple[int, int], ...]
) -> Array:
    """``W[o, i, step' k' + step k] = W'[o, i, k'] W[i, k]``: nothing is summed over channels."""
    fan_out, middle, own = second.shape[0], second.shape[1], first.shape[2:]
    right = first.reshape(groups, 1, middle, *own)
    result = np.zeros((fan_out, middle, *kernel))
    for tap in np.ndindex(*second.shape[2:]):
        left = second[(..., *tap)].reshape(groups, -1, middle, *(1,) * len(own))
        result[_places(tap, own, steps)] += (left * right).reshape(fan_out, middle, *own)
    return result


def _places(tap: Shape, own: Shape, steps: tuple[tuple[int, int], ...]) -> Any:
    """Return where the taps of the first weight lie, from one tap of the second on."""
    return (slice(None), slice(None), *(
        slice(k * outer, k * outer + (n - 1) * inner + 1, max(inner, 1))
        for k, n, (outer, inner) in zip(tap, own, steps, strict=True)
    ))  # fmt: skip
