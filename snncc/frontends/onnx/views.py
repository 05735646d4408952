"""ONNX operators that move values about, and those that compute shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch

from snncc.frontends.build import Dynamic, Static, Value, is_one_number
from snncc.frontends.onnx import limits
from snncc.frontends.onnx.importer import Importer
from snncc.frontends.onnx.places import folded, scatter_elements, scatter_nd
from snncc.frontends.onnx.proto import Node
from snncc.frontends.onnx.tensors import read_tensor
from snncc.frontends.samples import stated_shape
from snncc.ir.graph import Shape
from snncc.ir.inference import broadcast_shape

Inputs: TypeAlias = list[Any]
Operator: TypeAlias = Callable[[Importer, Node, Inputs], Any]


def optional(x: Inputs, place: int) -> Any:
    """Return an input that may be left out; None where it is."""
    return x[place] if place < len(x) else None


def axes_of(c: Importer, node: Node, x: Inputs, place: int) -> list[int] | None:
    """Return axes, which are an input or, in older opsets, an attribute; None for all of them."""
    if optional(x, place) is not None:
        return c.ints(x[place], "axes")
    found = node.attributes.get("axes")
    return None if found is None else [int(axis) for axis in found]


def _constant(c: Importer, node: Node, x: Inputs) -> Value:
    a = node.attributes
    if a.get("value") is not None:
        return Static(read_tensor(c.place, a["value"], finite=False))
    for key in ("value_float", "value_floats", "value_int", "value_ints"):
        if a.get(key) is not None:
            return Static(torch.tensor(a[key]))
    return c.refuse(f"a constant of {', '.join(a) or 'nothing'} is not read")


def _constant_of_shape(c: Importer, node: Node, x: Inputs) -> Value:
    shape = sized(c, c.ints(x[0], "shape"))
    stored = node.attributes.get("value")
    fill = torch.zeros(1) if stored is None else read_tensor(c.place, stored)
    return Static(fill.reshape(()).expand(shape))


def sized(c: Importer, shape: list[int]) -> list[int]:
    """Return a shape that is no larger than a value may be. Raises ``SnnccError``."""
    if any(n < 0 for n in shape):
        raise c.fault_of_file(f"a value has shape {shape[: limits.MOST_AXES]}")
    if len(shape) > limits.MOST_AXES or math.prod(shape) > limits.LARGEST_VALUE:
        few = shape[: limits.MOST_AXES]
        raise c.place.too_large(f"claims a value of shape {few}", node=c.node.called)
    return shape


def _identity(c: Importer, node: Node, x: Inputs) -> Any:
    return x[0]


def _shape(c: Importer, node: Node, x: Inputs) -> Value:
    start, end = node.attributes.get("start", 0), node.attributes.get("end")
    return Static(torch.tensor(x[0].shape[start:end], dtype=torch.int64))


def _size(c: Importer, node: Node, x: Inputs) -> Value:
    return Static(torch.tensor(math.prod(x[0].shape)))


def _reshape(c: Importer, node: Node, x: Inputs) -> Any:
    wanted = c.ints(x[1], "shape")
    before = c.shape_as_stated(x[0], wanted)
    if not node.attributes.get("allowzero", 0):
        wanted = [before[i] if n == 0 and i < len(before) else n for i, n in enumerate(wanted)]
    return _reshaped(c, x[0], before, wanted)


def _reshaped(c: Importer, x: Value, before: Shape, wanted: list[int]) -> Any:
    """Return ``x`` under another shape, -1 for what is left; see ``stated_shape``."""
    known = math.prod(n for n in wanted if n != -1)
    if -1 in wanted and isinstance(x, Static):  # places, not samples
        return c.aten("reshape", x, wanted)
    if -1 in wanted and known and before != x.shape:
        wanted = [math.prod(before) // known if n == -1 else n for n in wanted]
    if before != x.shape:
        wanted = stated_shape(before, x.shape, wanted)
    return c.aten("reshape", x, wanted)


def _flatten(c: Importer, node: Node, x: Inputs) -> Any:
    shape, axis = x[0].shape, node.attributes.get("axis", 1)
    axis = axis % len(shape) if axis < 0 else axis
    return c.aten("reshape", x[0], [math.prod(shape[:axis]), math.prod(shape[axis:])])


def _squeeze(c: Importer, node: Node, x: Inputs) -> Any:
    shape, axes = x[0].shape, axes_of(c, node, x, 1)
    before = c.shape_as_stated(x[0], [])
    if axes is None:
        gone = {i for i, n in enumerate(before) if n == 1 and shape[i] == 1}
    else:
        gone = {axis % len(shape) for axis in axes}
    if any(shape[i] != 1 for i in gone):
        c.refuse(f"it takes an axis off that has more than one place in {shape}")
    return c.aten("reshape", x[0], [n for i, n in enumerate(shape) if i not in gone])


def _unsqueeze(c: Importer, node: Node, x: Inputs) -> Any:
    axes = axes_of(c, node, x, 1) or []
    rank = len(x[0].shape) + len(axes)
    if rank > limits.MOST_AXES:
        raise c.place.too_large(f"has a value of {rank} axes", node=node.called)
    new, left = {axis % rank for axis in axes}, iter(x[0].shape)
    return c.aten("reshape", x[0], [1 if i in new else next(left) for i in range(rank)])


def _transpose(c: Importer, node: Node, x: Inputs) -> Any:
    order = node.attributes.get("perm") or list(reversed(range(len(x[0].shape))))
    return c.aten("permute", x[0], order)


def _concat(c: Importer, node: Node, x: Inputs) -> Any:
    return c.aten("cat", x, node.attributes["axis"])


def _split(c: Importer, node: Node, x: Inputs) -> Any:
    axis = node.attributes.get("axis", 0) % len(x[0].shape)
    places, parts = x[0].shape[axis], len(node.outputs)
    if parts > limits.MOST_INPUTS:
        raise c.place.too_large(f"has a node of {parts:,} outputs", node=node.called)
    if optional(x, 1) is not None:
        widths = c.ints(x[1], "split")
    else:
        width = -(-places // max(parts, 1))
        widths = [min(width, places - start) for start in range(0, places, max(width, 1))]
    if sum(widths) != places or min(widths, default=0) < 0 or len(widths) < parts:
        raise c.fault_of_file(f"it splits {places} places into {widths[: limits.MOST_AXES]}")
    return c.aten("split_with_sizes", x[0], widths, axis)


def _slice(c: Importer, node: Node, x: Inputs) -> Any:
    starts, ends = c.ints(x[1], "start"), c.ints(x[2], "end")
    axes = list(range(len(starts))) if optional(x, 3) is None else c.ints(x[3], "axes")
    steps = [1] * len(starts) if optional(x, 4) is None else c.ints(x[4], "step")
    y = x[0]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step < 1 and isinstance(y, Static) and step:
            y = _backwards(c, y, axis, slice(start, end, step))
            continue
        if step < 1:
            c.refuse("it takes places backwards")
        edge = 2**62
        y = c.aten("slice.Tensor", y, axis, max(start, -edge), min(max(end, -edge), edge), step)
    return y


def _backwards(c: Importer, x: Static, axis: int, places: slice) -> Static:
    """Return places of a known value from the last to the first; torch has no such slices."""
    taken = range(x.shape[axis])[places]
    c.hold_computed(len(taken) * (1 + math.prod(x.shape) // max(x.shape[axis], 1)))
    index = torch.arange(taken.start, taken.stop, taken.step) if taken else torch.zeros(0)
    return Static(x.tensor.index_select(axis, index.long()))


def _gather(c: Importer, node: Node, x: Inputs) -> Any:
    axis, index = node.attributes.get("axis", 0), x[1]
    places, size = c.ints(index, "index"), x[0].shape[axis]
    if any(not -size <= n < size for n in places):
        raise c.fault_of_file(f"it takes a place beyond the {size} of axis {axis}")
    if not index.shape:
        return c.aten("select.int", x[0], axis, places[0])
    if len(index.shape) > 1 or len(places) > limits.MOST_AXES * 100:
        c.refuse(f"it takes places by an index of shape {index.shape}")
    parts = [c.aten("slice.Tensor", x[0], axis, n, n + 1 or None, 1) for n in places]
    return parts[0] if len(parts) == 1 else c.aten("cat", parts, axis)


def _expand(c: Importer, node: Node, x: Inputs) -> Any:
    """An axis with the batch in it, which keeps its places for one sample, keeps those of more."""
    wanted = sized(c, c.ints(x[1], "shape"))
    shape = x[0].shape
    before = c.shape_as_stated(x[0], list(wanted))
    for back in range(1, 1 + min(len(shape), len(wanted))):
        if wanted[-back] == before[-back] != shape[-back]:
            wanted[-back] = shape[-back]
    y = x[0]
    if isinstance(y, Static) and c.before is not None:
        y = Static(folded(y.tensor, tuple(wanted)))
    made = c.aten("expand", y, list(broadcast_shape(y.shape, tuple(wanted))))
    if isinstance(made, Static) and not is_one_number(made.tensor):
        c.hold_computed(made.tensor.numel())  # stored as a weight it takes that much
    return made


def _tile(c: Importer, node: Node, x: Inputs) -> Any:
    times = sized(c, c.ints(x[1], "repeats"))
    sized(c, [n * t for n, t in zip(x[0].shape, times, strict=True)])
    return c.aten("repeat", x[0], times)


def _range(c: Importer, node: Node, x: Inputs) -> Any:
    start, limit, step = (c.aten("_to_copy", each, dtype=torch.float64) for each in x)
    first, last, by = (float(each.tensor) for each in (start, limit, step))
    if not by or (last - first) / by > limits.MOST_NODES:
        raise c.place.too_large(f"counts from {first:g} to {last:g} by {by:g}", node=node.called)
    return Static(torch.arange(first, last, by, dtype=torch.float64).to(x[0].tensor.dtype))


def _pad(c: Importer, node: Node, x: Inputs) -> Any:
    if node.attributes.get("mode", "constant") != "constant":
        c.refuse(f"it pads by {node.attributes['mode']}")
    rank, pads = len(x[0].shape), c.ints(x[1], "pads")
    axes = list(range(rank)) if optional(x, 3) is None else c.ints(x[3], "axes")
    if len(pads) != 2 * len(axes):
        raise c.fault_of_file(f"it has {len(pads)} pads for {len(axes)} axes")
    sides = {axis % rank: (pads[i], pads[i + len(axes)]) for i, axis in enumerate(axes)}
    fill = optional(x, 2)
    if isinstance(fill, Dynamic):
        c.refuse("it pads with a value that the network computes")
    listed = [n for axis in reversed(range(rank)) for n in sides.get(axis, (0, 0))]
    return c.aten("constant_pad_nd", x[0], listed, float(fill.tensor) if fill else 0.0)


VIEWS: Mapping[str, Operator] = {
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Identity": _identity,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""By the operator's name in the standard domain."""
