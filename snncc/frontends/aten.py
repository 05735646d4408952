"""What each operator of a traced program is in the IR: a table, and one small function an entry.

A function gets the builder, the operator's arguments by name, and the shape of its result.
``NotImplemented`` says that this use of the operator has no meaning in the IR: it becomes a
``Foreign`` op, as any operator does that is not in the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch

from snncc.frontends import analog_neuron, call_op, current_op
from snncc.frontends import aten_compare as compare
from snncc.frontends import aten_counts as counts
from snncc.frontends import aten_signs as signs
from snncc.frontends import aten_views as views
from snncc.frontends import aten_writes as writes
from snncc.frontends.aten_signs import as_number
from snncc.frontends.build import Builder, Dynamic, Static, Value, number, sizes
from snncc.ir import ops
from snncc.ir.graph import IRError, Shape

Arguments: TypeAlias = Mapping[str, Any]
Converter: TypeAlias = Callable[[Builder, Arguments, Shape], Any]


def _conv(b: Builder, a: Arguments, out: Shape) -> Any:
    weight, bias, padding = a["weight"], a["bias"], a["padding"]
    if not isinstance(weight, Static) or isinstance(bias, Dynamic) or a.get("transposed"):
        return NotImplemented
    n = len(weight.shape) - 2
    stride, dilation = sizes(a["stride"], n), sizes(a["dilation"], n)
    if padding in ("same", "valid"):
        total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        padding = [t // 2 if padding == "same" else 0 for t in total]
        if a["padding"] == "same" and any(t % 2 for t in total):
            return NotImplemented
    return b.emit(
        ops.Conv, a["input"], weight=weight, bias=bias, stride=stride,
        padding=sizes(padding, n), dilation=dilation, groups=a["groups"],
    )  # fmt: skip


def _linear(b: Builder, a: Arguments, out: Shape) -> Any:
    weight, bias = a["weight"], a["bias"]
    if isinstance(weight, Static) and isinstance(bias, Static | None):
        return b.emit(ops.Linear, a["input"], weight=weight, bias=bias)
    product = b.emit(ops.MatMul, a["input"], views.swapped(b, weight, -1, -2))
    return product if bias is None else b.emit(ops.Add, product, bias)


def _matmul(b: Builder, a: Arguments, out: Shape) -> Any:
    x, y = a["self"], a["mat2"] if "mat2" in a else a["other"]
    if len(x.shape) < 2 or len(y.shape) < 2:
        return NotImplemented
    right, left = _one_matrix(y, x), _one_matrix(x, y)
    if right is not None:
        return b.emit(ops.Linear, x, weight=Static(right.mT))
    if left is not None:
        weight = x if len(x.shape) == 2 else Static(left)
        rows = b.emit(ops.Linear, views.swapped(b, y, -1, -2), weight=weight)
        return views.swapped(b, rows, -1, -2)
    return b.emit(ops.MatMul, x, y)


def _one_matrix(x: Value, other: Value) -> torch.Tensor | None:
    """Return the stored matrix that multiplies all of ``other``, as ``einsum`` writes it; or None.

    A stack of matrices is one where it has a single place, or shows the same one at each.
    """
    if not isinstance(x, Static) or len(x.shape) > max(2, len(other.shape)):
        return None
    lead = x.tensor.shape[:-2]
    alike = all(n == 1 or x.tensor.stride(i) == 0 for i, n in enumerate(lead))
    # A stack that is longer than what it multiplies repeats that.
    ahead = other.shape[:-2][len(other.shape) - len(x.shape) :]
    grown = any(n > m for n, m in zip(lead, ahead, strict=True))
    return x.tensor[(0,) * len(lead)] if alike and not grown else None


def _addmm(b: Builder, a: Arguments, out: Shape) -> Any:
    if a["beta"] != 1 or a["alpha"] != 1:
        return NotImplemented
    bias, weight = a["self"], a.get("mat2", a.get("batch2"))
    x = a.get("mat1", a.get("batch1"))
    if isinstance(weight, Static) and isinstance(bias, Static) and len(bias.shape) == 1:
        return b.emit(ops.Linear, x, weight=Static(weight.tensor.mT), bias=bias)
    product = _matmul(b, {"self": x, "mat2": weight}, out)
    return b.emit(ops.Add, product, bias)


def _batch_norm(b: Builder, a: Arguments, out: Shape) -> Any:
    mean, var = a["running_mean"], a["running_var"]
    if a.get("training") or not (isinstance(mean, Static) and isinstance(var, Static)):
        return NotImplemented
    made = b.emit(
        ops.BatchNorm, a["input"], gamma=a["weight"], beta=a["bias"], mean=mean, var=var,
        eps=a["eps"], axis=1,
    )  # fmt: skip
    return [made, None, None]


def _only_batch_norm(b: Builder, a: Arguments, out: Shape) -> Any:
    made = _batch_norm(b, a, out)
    return made if made is NotImplemented else made[0]


def _neuron(b: Builder, a: Arguments, out: Shape) -> Value:
    return b.emit(ops.Neuron, a["x"], **{name: given for name, given in a.items() if name != "x"})


def _max_pool(axes: int) -> Converter:
    def convert(b: Builder, a: Arguments, out: Shape) -> Value:
        kernel = sizes(a["kernel_size"], axes)
        return b.emit(
            ops.MaxPool, a["self"], kernel=kernel, stride=sizes(a["stride"] or kernel, axes),
            padding=sizes(a["padding"], axes), dilation=sizes(a["dilation"], axes),
            ceil_mode=a["ceil_mode"],
        )  # fmt: skip

    return convert


def _max_pool_with_indices(axes: int) -> Converter:
    return lambda b, a, out: [_max_pool(axes)(b, a, out), None]


def _avg_pool(axes: int) -> Converter:
    def convert(b: Builder, a: Arguments, out: Shape) -> Any:
        kernel = sizes(a["kernel_size"], axes)
        pooled = b.emit(
            ops.AvgPool, a["self"], kernel=kernel, stride=sizes(a["stride"] or kernel, axes),
            padding=sizes(a["padding"], axes), ceil_mode=a["ceil_mode"],
            count_include_pad=a["count_include_pad"],
        )  # fmt: skip
        divisor = a.get("divisor_override")
        return _scaled(b, pooled, math.prod(kernel) / divisor) if divisor else pooled

    return convert


def _adaptive_avg_pool(axes: int) -> Converter:
    def convert(b: Builder, a: Arguments, out: Shape) -> Any:
        places = a["self"].shape[-axes:]
        if any(n % m for n, m in zip(places, out[-axes:], strict=True)):
            return NotImplemented
        kernel = tuple(n // m for n, m in zip(places, out[-axes:], strict=True))
        return b.emit(ops.AvgPool, a["self"], kernel=kernel, stride=kernel, padding=(0,) * axes)

    return convert


def _scaled(b: Builder, x: Value, factor: float) -> Value:
    if not math.isfinite(factor):
        raise IRError(f"it multiplies by {factor}, wanted a number")
    return x if factor == 1 else b.emit(ops.Scale, x, factor=float(factor))


def _add(sign: int) -> Converter:
    def convert(b: Builder, a: Arguments, out: Shape) -> Value:
        x, y, factor = a["self"], a["other"], sign * a.get("alpha", 1)
        rest = _without(b, x, y) or _without(b, y, x) if factor == 1 else None
        if rest is not None and rest.shape == out:
            return rest
        if isinstance(y, int | float):
            return b.emit(ops.Add, x, number(factor * y))
        x, y = _whole(x, y.shape == out), _whole(y, x.shape == out)
        if isinstance(y, Static) and factor != 1:
            return b.emit(ops.Add, x, Static(y.tensor * factor))
        return b.emit(ops.Add, x, _scaled(b, y, factor))

    return convert


def _whole(x: Value, other_is_whole: bool) -> Value:
    """Return a stored scalar as an integer where it is one, so that its domain is known."""
    single = isinstance(x, Static) and x.is_known and x.tensor.numel() == 1 and other_is_whole
    if not isinstance(x, Static) or not single or not float(x.tensor).is_integer():
        return x
    return number(float(x.tensor))


def _without(b: Builder, total: Any, x: Any) -> Dynamic | None:
    """Return what is left of ``total + x`` where x was taken off: surrogate gradients are so."""
    made = b.made(total) if isinstance(total, Dynamic) and isinstance(x, Dynamic) else None
    if made is None or made.kind != "add":
        return None
    for name, other in (made.inputs, made.inputs[::-1]):
        op: Any = b.made(Dynamic(name, ()))
        if op.kind == "scale" and op.factor == -1 and op.inputs == (x.name,):
            return b.emitted.get(other)
    return None


def _reversed_sub(b: Builder, a: Arguments, out: Shape) -> Value:
    x = _scaled(b, a["self"], -a.get("alpha", 1))
    return _add(1)(b, {"self": x, "other": a["other"]}, out)


def _neg(b: Builder, a: Arguments, out: Shape) -> Value:
    return _scaled(b, a["self"], -1)


def _mul(b: Builder, a: Arguments, out: Shape) -> Any:
    x, y = a["self"], a["other"]
    if isinstance(x, Static):
        x, y = y, x
    if isinstance(y, int | float):
        return _scaled(b, x, y)
    if isinstance(y, Static):
        return _times_constant(b, x, y)
    return b.emit(ops.Mask, x, y)


def _div(b: Builder, a: Arguments, out: Shape) -> Any:
    x, y = a["self"], a["other"]
    if a.get("rounding_mode") or isinstance(y, Dynamic) or as_number(y) == 0:
        return NotImplemented
    inverse = Static(1 / y.tensor.double()) if isinstance(y, Static) else 1 / y
    return _mul(b, {"self": x, "other": inverse}, out)


def _times_constant(b: Builder, x: Value, y: Static) -> Any:
    """One number is a ``Scale``; one value a place of one axis an affine map without offset."""
    one, wide = (
        as_number(y),
        [max(n, m) for n, m in zip(x.shape[::-1], y.shape[::-1], strict=False)],
    )
    if (
        one is not None
        and len(y.shape) <= len(x.shape)
        and x.shape[::-1][: len(wide)] == tuple(wide)
    ):
        return _scaled(b, x, one)
    axes = [axis for axis, n in enumerate(y.shape, len(x.shape) - len(y.shape)) if n > 1]
    if not axes and len(y.shape) <= len(x.shape):
        return _scaled(b, x, float(y.tensor)) if y.is_known else NotImplemented
    if len(axes) > 1 or axes[0] < 0 or x.shape[axes[0]] != max(y.shape):
        return b.emit(ops.Mask, x, y)
    gamma = Static(y.tensor.flatten(), y.name if len(y.shape) == 1 else "")
    zeros, ones = (torch.full(gamma.shape, v) for v in (0.0, 1.0))
    return b.emit(
        ops.BatchNorm, x, gamma=gamma, beta=None, mean=Static(zeros), var=Static(ones),
        eps=0.0, axis=axes[0],
    )  # fmt: skip


def _sum(b: Builder, a: Arguments, out: Shape) -> Value:
    rank, dims = len(a["self"].shape), a.get("dim")
    dims = range(rank) if dims is None or dims == [] else sizes(dims, 1)
    axes = tuple(sorted(d % rank for d in dims))
    return b.emit(ops.Sum, a["self"], axes=axes, keepdims=a.get("keepdim", False))


def _mean(b: Builder, a: Arguments, out: Shape) -> Value:
    terms = math.prod(a["self"].shape) // max(math.prod(out), 1)
    return _scaled(b, _sum(b, a, out), 1 / terms)


def _identity(b: Builder, a: Arguments, out: Shape) -> Any:
    return a.get("self", a.get("input"))


def _cast(b: Builder, a: Arguments, out: Shape) -> Any:
    return compare.cast(b, _identity(b, a, out), a["dtype"], out)


def _dropout(b: Builder, a: Arguments, out: Shape) -> Any:
    return NotImplemented if a["train"] else _identity(b, a, out)


def _lerp(b: Builder, a: Arguments, out: Shape) -> Any:
    """``x + w (y - x)``."""
    x, y = a["self"], a["end"]
    way = _mul(b, {"self": _add(-1)(b, {"self": y, "other": x}, out), "other": a["weight"]}, out)
    return _add(1)(b, {"self": way, "other": x}, out)


def _add_product(b: Builder, a: Arguments, out: Shape) -> Any:
    """``x + value y z``."""
    y, z = a["tensor1"], a["tensor2"]
    known = isinstance(y, Static) and isinstance(z, Static)
    product = Static(y.tensor * z.tensor) if known else _mul(b, {"self": y, "other": z}, out)
    return _add(1)(b, {"self": a["self"], "other": product, "alpha": a["value"]}, out)


def _add_quotient(b: Builder, a: Arguments, out: Shape) -> Any:
    """``x + value y / z``."""
    if not isinstance(a["tensor2"], Static):
        return NotImplemented
    inverse = Static(1 / a["tensor2"].tensor.double())
    return _add_product(b, {**a, "tensor2": inverse}, out)


_OPERATORS: Mapping[str, Converter] = {
    "snncc.neuron": _neuron,
    "snncc.analog_neuron": analog_neuron.convert,
    "snncc.neuron_call": call_op.convert,
    "snncc.synaptic_current": current_op.convert,
    "aten.conv1d": _conv,
    "aten.conv2d": _conv,
    "aten.conv3d": _conv,
    "aten.convolution": _conv,
    "aten.linear": _linear,
    "aten.addmm": _addmm,
    "aten.baddbmm": _addmm,
    "aten.mm": _matmul,
    "aten.bmm": _matmul,
    "aten.matmul": _matmul,
    "aten.batch_norm": _only_batch_norm,
    "aten._native_batch_norm_legit_no_training": _batch_norm,
    "aten._native_batch_norm_legit": _batch_norm,
    "aten.native_batch_norm": _batch_norm,
    "aten.max_pool1d": _max_pool(1),
    "aten.max_pool2d": _max_pool(2),
    "aten.max_pool3d": _max_pool(3),
    "aten.max_pool2d_with_indices": _max_pool_with_indices(2),
    "aten.max_pool3d_with_indices": _max_pool_with_indices(3),
    "aten.avg_pool1d": _avg_pool(1),
    "aten.avg_pool2d": _avg_pool(2),
    "aten.avg_pool3d": _avg_pool(3),
    "aten.adaptive_avg_pool1d": _adaptive_avg_pool(1),
    "aten.adaptive_avg_pool2d": _adaptive_avg_pool(2),
    "aten.adaptive_avg_pool3d": _adaptive_avg_pool(3),
    "aten._adaptive_avg_pool2d": _adaptive_avg_pool(2),
    "aten._adaptive_avg_pool3d": _adaptive_avg_pool(3),
    "aten.add": _add(1),
    "aten.addcdiv": _add_quotient,
    "aten.addcmul": _add_product,
    "aten.sub": _add(-1),
    "aten.rsub": _reversed_sub,
    "aten.neg": _neg,
    "aten.lerp": _lerp,
    "aten.mul": _mul,
    "aten.div": _div,
    "aten.sum": _sum,
    "aten.mean": _mean,
    "aten.clone": _identity,
    "aten.contiguous": _identity,
    "aten.detach": _identity,
    "aten.alias": _identity,
    "aten.lift_fresh": _identity,
    "aten.lift_fresh_copy": _identity,
    "aten.dropout": _dropout,
    "aten.feature_dropout": _dropout,
    "aten.native_dropout": _dropout,
    "aten._to_copy": _cast,
    "aten.to": _cast,
    **compare.CONVERTERS,
    **counts.CONVERTERS,
    **views.CONVERTERS,
    **writes.CONVERTERS,
}

CONVERTERS: Mapping[str, Converter] = {
    **_OPERATORS,
    **{name: signs.known_or(name, _OPERATORS.get(name)) for name in signs.FUNCTIONS},
}
"""By namespace and operator; all overloads of an operator share one function."""


def by_result(target: str, made: object) -> str:
    """Return the name of an operator as its result has it: true and true make true, not 2."""
    of_truths = isinstance(made, torch.Tensor) and made.dtype is torch.bool
    return "aten.logical_or" if target == "aten.add" and of_truths else target
