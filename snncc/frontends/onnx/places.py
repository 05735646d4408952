"""``ScatterND`` and ``ScatterElements``: what code writes over a part of a value, by its places."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snncc.frontends.build import Static
from snncc.frontends.onnx import limits
from snncc.frontends.onnx.importer import Importer
from snncc.frontends.onnx.proto import Node
from snncc.ir.graph import Shape

Spans = list[tuple[int, int]]
"""The first place and the one behind the last, for each axis of a value."""


def scatter_nd(c: Importer, node: Node, x: list[Any]) -> Any:
    """Return a value written over: ``y[t] = spikes`` in a loop over time, ``y[:, :, :1] = border``.

    Rows of the first axis may be any; of several axes a part has to be whole.
    """
    data, index, rows = x
    alone = c.shape_as_stated(data, list(index.shape))
    spans = _part(index.tensor) if isinstance(index, Static) and index.shape[-1:] > (1,) else None
    if node.attributes.get("reduction", "none") == "none":
        if spans and len(spans) == len(data.shape):
            return _part_written(c, data, rows, _as_many(data, spans, alone))
        if index.shape[-1:] == (1,):
            return _rows_written(c, data, index, rows)
    return c.refuse(f"it writes values of shape {rows.shape} to places of shape {index.shape}")


def scatter_elements(c: Importer, node: Node, x: list[Any]) -> Any:
    """Return a value with whole places of one axis written over, as ``y[t] = spikes`` has it."""
    data, index, rows = x
    axis = node.attributes.get("axis", 0) % len(data.shape)
    places = _listed(index.tensor, axis) if isinstance(index, Static) else None
    alone = c.shape_as_stated(data, list(index.shape))
    whole = (*alone[:axis], index.shape[axis], *alone[axis + 1 :]) == index.shape
    if node.attributes.get("reduction", "none") != "none" or places is None or not whole:
        c.refuse(f"it writes values of shape {rows.shape} to places of shape {index.shape}")
    return _places_written(c, data, places, rows, axis)


def _listed(index: Tensor, axis: int) -> list[int] | None:
    """Return the places of one axis that an index lists, None where others differ in them."""
    if index.shape[axis] > limits.MOST_INPUTS or not index.numel():
        return None
    line = index.movedim(axis, -1).reshape(-1, index.shape[axis])
    return [int(n) for n in line[0]] if bool((line == line[0]).all()) else None


def _rows_written(c: Importer, data: Any, index: Any, rows: Any) -> Any:
    places = c.ints(index, "places")
    if len(places) > limits.MOST_INPUTS:
        message = f"writes over {len(places):,} rows, more than {limits.MOST_INPUTS:,}"
        raise c.place.too_large(message, node=c.node.called)
    if len(index.shape) != 2:  # as many rows in several axes are as many in one
        inner = rows.shape[len(index.shape) - 1 :]
        rows = c.aten("reshape", rows, [len(places), *inner])
    return _places_written(c, data, places, rows, 0)


def _places_written(c: Importer, data: Any, places: list[int], rows: Any, axis: int) -> Any:
    """Return a value with the listed places of an axis written over by those of another."""
    if isinstance(data, Static) and c.before is not None and len(rows.shape) == len(data.shape):
        wide = (*rows.shape[:axis], data.shape[axis], *rows.shape[axis + 1 :])
        data = Static(data.tensor.expand(wide))
    shape = (*data.shape[:axis], len(places), *data.shape[axis + 1 :])
    if isinstance(rows, Static) and rows.shape != shape and len(rows.shape) == len(shape):
        rows = Static(folded(rows.tensor, shape).expand(shape))
    if rows.shape != shape:
        c.refuse(f"it writes values of shape {rows.shape} where {shape} belong")
    for i, place in enumerate(places):
        written = c.aten("select.int", rows, axis, i)
        data = c.aten("select_scatter", data, written, axis, place)
    return data


def _part(index: Tensor) -> Spans | None:
    """Return the part of which an index lists the places in order, None for any other index."""
    axes = index.shape[-1]
    if index.ndim != axes + 1 or not index.numel():
        return None
    listed = index.reshape(-1, axes)
    spans = [(int(a), int(b) + 1) for a, b in zip(listed[0], listed[-1], strict=True)]
    sizes = tuple(stop - start for start, stop in spans)
    if sizes != index.shape[:-1] or min(start for start, _ in spans) < 0:
        return None
    grid = torch.meshgrid(*(torch.arange(*span) for span in spans), indexing="ij")
    return spans if torch.equal(torch.stack(grid, -1), index.long()) else None


def _as_many(data: Any, spans: Spans, alone: Shape) -> Spans:
    """Return the part with all samples, where it has all of a file that is of one."""
    return [
        (0, now) if span == (0, before) else span
        for span, before, now in zip(spans, alone, data.shape, strict=True)
    ]


def _part_written(c: Importer, data: Any, rows: Any, spans: Spans) -> Any:
    shape = [stop - start for start, stop in spans]
    if isinstance(rows, Static):
        rows = Static(folded(rows.tensor, (0,) * len(shape)).expand(shape))
    elif list(rows.shape) != shape:
        c.refuse(f"it writes values of shape {rows.shape} to a part of shape {tuple(shape)}")
    partial = [axis for axis, span in enumerate(spans) if span != (0, data.shape[axis])]
    return _nested(c, data, rows, partial, spans)


def _nested(c: Importer, data: Any, rows: Any, axes: list[int], spans: Spans) -> Any:
    """Write over a part of the first axis that is cut, and within it of the next."""
    if not axes:
        return rows
    axis, (start, stop) = axes[0], spans[axes[0]]
    if len(axes) > 1:
        inside = c.aten("slice.Tensor", data, axis, start, stop, 1)
        rows = _nested(c, inside, rows, axes[1:], spans)
    return c.aten("slice_scatter", data, rows, axis, start, stop, 1)


def folded(tensor: Tensor, shape: Shape) -> Tensor:
    """Return a tensor with one place where it does not meet a shape, and stays the same."""
    for back in range(1, 1 + min(tensor.ndim, len(shape))):
        first = tensor.narrow(-back, 0, 1) if tensor.numel() else tensor
        apart = shape[-back] not in (1, tensor.shape[-back])
        if apart and bool((tensor == first).all()):
            tensor = first
    return tensor
