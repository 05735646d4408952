"""Operators that write into a value: borders around it, and what code assigns to slices of it.

``y = F.pad(x); y[:, :, :1] = c; ...`` is one ``Pad`` once every part of the border holds ``c``.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch

from snncc.frontends import aten_compare as compare
from snncc.frontends.aten_views import expanded, reshaped, sliced
from snncc.frontends.build import Border, Builder, Dynamic, Static, Value, number
from snncc.ir import ops
from snncc.ir.graph import Shape
from snncc.ir.pad import Pad

Arguments = Mapping[str, Any]


def _pad(b: Builder, a: Arguments, out: Shape) -> Any:
    """Borders are given for the last axis first, before and after; negative ones cut off."""
    if a.get("mode", "constant") != "constant" or isinstance(a["value"], Dynamic | Static):
        return NotImplemented
    x, widths = a["self"], list(a["pad"])
    before, after = tuple(widths[-2::-2]), tuple(widths[::-2])
    first = len(out) - len(before)
    for axis, (front, back) in enumerate(zip(before, after, strict=True), start=first):
        x = sliced(b, x, axis, max(0, -front), x.shape[axis] - max(0, -back))
    wide = [max(0, n) for n in before], [max(0, n) for n in after]
    lead = next((i for i, sides in enumerate(zip(*wide, strict=True)) if any(sides)), None)
    if lead is None:
        return x
    value = number(float(a["value"] or 0))
    return _bordered(b, b.dynamic(x), tuple(wide[0][lead:]), tuple(wide[1][lead:]), value)


def _bordered(b: Builder, x: Dynamic, before: Shape, after: Shape, value: Static) -> Dynamic:
    """Return ``x`` with a border of one value, or one a channel, and remember its parts."""
    is_zero = value.is_known and not value.tensor.any()
    made = b.emit(Pad, x, before=before, after=after, value=None if is_zero else value)
    sides = itertools.product((-1, 0, 1), repeat=len(before))
    parts = {at: value for at in sides if any(at) and _exists(at, before, after)}
    b.borders[made.name] = Border(x, before, after, parts)
    return made


def _exists(part: Shape, before: Shape, after: Shape) -> bool:
    sides = zip(part, before, after, strict=True)
    return all({-1: front, 0: 1, 1: back}[at] for at, front, back in sides)


def _scatter(b: Builder, a: Arguments, out: Shape) -> Any:
    axis, places = a["dim"] % len(out), out[a["dim"]]
    start, stop, step = slice(a["start"], a["end"]).indices(places)
    if a["step"] != 1 or step != 1:
        return NotImplemented
    return _written(b, a["self"], a["src"], axis, (start, stop))


def _select_scatter(b: Builder, a: Arguments, out: Shape) -> Value:
    axis = a["dim"] % len(out)
    place = a["index"] % out[axis]
    written = reshaped(b, a["src"], (*out[:axis], 1, *out[axis + 1 :]))
    return _written(b, a["self"], written, axis, (place, place + 1))


def _index_put(b: Builder, a: Arguments, out: Shape) -> Any:
    """Whole places of one axis, listed, or one number for all that a comparison chooses."""
    given = [(axis, index) for axis, index in enumerate(a["indices"]) if index is not None]
    if len(given) != 1 or a.get("accumulate") or not isinstance(given[0][1], Static):
        return compare.index_put(b, a, out)
    axis, places = given[0][0], given[0][1].tensor
    if places.ndim != 1 or places.is_meta or places.dtype == torch.bool:
        return NotImplemented
    shape = (*out[:axis], len(places), *out[axis + 1 :])
    new = _copy(b, {"src": a["values"]}, shape)
    made: Value = a["self"]
    for i, place in enumerate(int(each) % out[axis] for each in places):
        made = _written(b, made, sliced(b, new, axis, i, i + 1), axis, (place, place + 1))
    return made


def _written(b: Builder, base: Value, new: Value, axis: int, span: tuple[int, int]) -> Value:
    """Return what is written between what is left of the places before and after it."""
    border = _border_after(b, base, new, axis, span)
    if border:
        first, *others = border.parts.values()
        if all(_same(first, other) for other in others):
            return _bordered(b, border.inner, border.before, border.after, first)
    start, stop = span
    parts = [new]
    if start > 0:
        parts.insert(0, sliced(b, base, axis, 0, start))
    if stop < base.shape[axis]:
        parts.append(sliced(b, base, axis, stop, base.shape[axis]))
    if len(parts) == 1:
        return new
    made = b.emit(ops.Concat, *(_as_spikes(part) for part in parts), axis=axis)
    if border:
        b.borders[made.name] = border
    return made


def _as_spikes(part: Value) -> Value:
    """Return zeros and ones that the code has made as integers, which are proved to be spikes."""
    if isinstance(part, Dynamic) or part.name or part.tensor.is_meta:
        return part
    tensor = part.tensor
    stored = tensor[tuple(slice(None if stride else 1) for stride in tensor.stride())]
    whole = stored.to(torch.int8)
    spikes = bool(((whole == stored) & (whole >= 0) & (whole <= 1)).all())
    return Static(whole.expand(tensor.shape)) if spikes else part


def _border_after(
    b: Builder, base: Value, new: Value, axis: int, span: tuple[int, int]
) -> Border | None:
    """Return the border with whole parts of it written over; None where that is not the case."""
    border = b.borders.get(base.name) if isinstance(base, Dynamic) else None
    if border is None or not isinstance(new, Static):
        return None
    first = len(base.shape) - len(border.before)
    side = _side(border, axis - first, span, base.shape[axis]) if axis >= first else None
    vector = _along_channels(new, first - 1)
    if side is None or vector is None:
        return None
    parts = {at: vector if at[axis - first] == side else old for at, old in border.parts.items()}
    return dataclasses.replace(border, parts=parts)


def _side(border: Border, i: int, span: tuple[int, int], places: int) -> int | None:
    if span == (0, border.before[i]):
        return -1
    return 1 if span == (places - border.after[i], places) else None


def _along_channels(value: Static, axis: int) -> Static | None:
    """Return one number for each place of ``axis``, the same along all other axes; or None."""
    tensor = value.tensor
    for i in reversed(range(tensor.ndim)):
        if i == axis:
            continue
        if tensor.shape[i] != 1 and tensor.stride(i) != 0:
            return None
        tensor = tensor.select(i, 0)
    return Static(tensor)


def _same(a: Static, b: Static) -> bool:
    if a.tensor.shape != b.tensor.shape:
        return False
    if a.is_known and b.is_known:
        return torch.equal(a.tensor, b.tensor)
    return _looks_at(a.tensor) == _looks_at(b.tensor)


def _looks_at(tensor: torch.Tensor) -> tuple[int, Shape, int]:
    """Return which numbers a tensor without numbers would show: those of which other, and where."""
    base = tensor._base  # noqa: SLF001 - a view's tensor has no public name
    return (
        id(tensor if base is None else base),
        tuple(tensor.stride()),
        int(tensor.storage_offset()),
    )


def _copy(b: Builder, a: Arguments, out: Shape) -> Value:
    source = a["src"]
    if isinstance(source, Static):
        return Static(source.tensor.expand(out))
    return expanded(b, source, out)


CONVERTERS: Mapping[str, Callable[[Builder, Arguments, Shape], Any]] = {
    "aten.pad": _pad,
    "aten.constant_pad_nd": _pad,
    "aten.slice_scatter": _scatter,
    "aten.select_scatter": _select_scatter,
    "aten.index_put": _index_put,
    "aten.copy": _copy,
}
"""By namespace and operator; all overloads of an operator share one function."""
