"""The numbers of a chain of linear ops: one weight, one bias, summed in float64."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from snncc.ir.graph import Absent, Array, Shape, Weight, Weights
from snncc.ir.ops import WEIGHTED
from snncc.ir.semantics import batch_norm_affine
from snncc.passes.linear_chain import Chain
from snncc.passes.linear_reach import Reach


def composed(chain: Chain, weights: Weights) -> tuple[Weight, Weight | None]:
    """Return the weight and the bias of the one op that a chain is; absent where any of it is."""
    names = [name for op in chain.ops for name in op.weight_names]
    if any(isinstance(weights[name], Absent) for name in names):
        bias = None if chain.offset is None else Absent((chain.fan_out,))
        return Absent(chain.weight_shape), bias
    arrays = cast(Mapping[str, Array], weights)
    axes = len(chain.reach.kernel)
    product, groups = np.ones((chain.fan_in, 1, *(1,) * axes)), chain.fan_in
    reach = Reach.itself(chain.reach.size)
    for op in cast(tuple[Any, ...], chain.ops):
        if op.kind in WEIGHTED:
            product, groups, reach = _after(product, groups, reach, op, arrays[op.weight])
        elif op.kind == "pad":
            lead = (0,) * (axes - len(op.before))
            reach = reach.padded((*lead, *op.before), (*lead, *op.after))
        else:
            factor = op.factor if op.kind == "scale" else batch_norm_affine(op, arrays)[0]
            product = product * np.reshape(factor, (-1, *(1,) * (axes + 1)))
    return product, chain.offset


def _after(
    first: Array, groups: int, reach: Reach, op: Any, second: Array
) -> tuple[Array, int, Reach]:
    """Return the weight of ``op`` after what has weight ``first``, its groups and its reach."""
    if op.kind == "linear":
        stride: Shape = ()
        padding, dilation, op_groups = stride, stride, 1
    else:
        stride, padding, dilation, op_groups = op.stride, op.padding, op.dilation, op.groups
    then = reach.through(second.shape[2:], stride, padding, dilation)
    steps = tuple(
        (e * s // d, step // d)
        for e, s, step, d in zip(dilation, reach.stride, reach.dilation, then.dilation, strict=True)
    )
    joined = math.gcd(groups, op_groups)
    wide = _regrouped(first, groups, joined)
    return _product(wide, second.astype(np.float64), op_groups, then.kernel, steps), joined, then


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
        places: Any = tuple(
            slice(k * outer, k * outer + (n - 1) * inner + 1, max(inner, 1))
            for k, n, (outer, inner) in zip(tap, own, steps, strict=True)
        )
        part = product[:, at].reshape(fan_out, first.shape[1], *own)
        result[(slice(None), slice(None), *places)] += part
    return result
