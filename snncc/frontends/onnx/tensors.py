"""Stored tensors: their claimed sizes are held against the bytes that are there, then read."""

from __future__ import annotations

import math
import posixpath
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from snncc.diagnostics.core import SnnccError
from snncc.files.kinds import kind_of
from snncc.frontends import rules
from snncc.frontends.onnx import limits
from snncc.frontends.onnx.proto import Place, short
from snncc.frontends.rules_of_exchange import OUTSIDE_DATA
from snncc.ir.graph import Array

_KINDS = onnx.TensorProto
_FIELDS = {
    _KINDS.FLOAT: "float_data", _KINDS.DOUBLE: "double_data", _KINDS.INT64: "int64_data",
    **dict.fromkeys(
        (_KINDS.INT32, _KINDS.INT16, _KINDS.INT8, _KINDS.UINT8, _KINDS.BOOL, _KINDS.FLOAT16,
         _KINDS.BFLOAT16), "int32_data",
    ),
}  # fmt: skip
"""Element types that are read, and where their values stand if not as raw bytes."""


_LARGE = 2**12
"""Numbers of a tensor that is worth looking through."""


def read_tensor(place: Place, proto: onnx.TensorProto, *, finite: bool = True) -> Tensor:
    """Return a stored tensor; 16-bit floats become float32. Raises ``SnnccError``.

    With ``finite`` numbers that are infinite or none are refused. What is read again, in the next
    step of a loop or the next call of a function, takes no memory again.
    """
    if id(proto) not in place.tensors:
        place.tensors[id(proto)] = proto, _read(place, proto)
    tensor: Tensor = place.tensors[id(proto)][1]
    if finite and id(proto) not in place.finite:
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            message = f"`{short(proto.name) or 'a constant'}` has numbers that are infinite or none"
            raise place.fault(rules.NOT_FINITE, message)
        place.finite.add(id(proto))
    return tensor


def element_type(number: int) -> str:
    """Return an element type as people read it: its number, and its name where ONNX has one."""
    kinds = onnx.TensorProto.DataType
    return f"{number} ({kinds.Name(number)})" if number in kinds.values() else f"{number}"


def shown_once(tensor: Tensor) -> Tensor:
    """Return a large tensor of one number as that number, shown in all its places.

    Exporters store potentials at rest like this, as large as a layer.
    """
    if tensor.numel() < _LARGE:
        return tensor
    first = tensor[(0,) * tensor.ndim]
    return first.clone().expand(tensor.shape) if bool((tensor == first).all()) else tensor


def _read(place: Place, proto: onnx.TensorProto) -> Tensor:
    name = short(proto.name) or "a constant"
    shape = tuple(proto.dims)
    if proto.data_type not in _FIELDS:
        found = element_type(proto.data_type)
        message = f"`{name}` has element type {found}, wanted floats, integers or booleans"
        raise place.fault(rules.UNSUPPORTED_OP, message)
    if len(shape) > limits.MOST_AXES or any(n < 0 for n in shape):
        raise place.damaged(f"`{name}` has shape {shape[: limits.MOST_AXES]}")
    kind = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(proto.data_type))
    if proto.data_location == onnx.TensorProto.EXTERNAL:
        array = _outside(place, proto, math.prod(shape), kind).reshape(shape)
    else:
        _check_stored(place, proto, name, math.prod(shape), kind.itemsize)
        array = _decoded(place, proto, name)
    return shown_once(_as_tensor(array))


def _check_stored(place: Place, proto: Any, name: str, wanted: int, wide: int) -> None:
    """Hold the claimed shape against what is stored."""
    if proto.HasField("raw_data"):
        found = len(proto.raw_data) / wide
    else:
        found = len(getattr(proto, _FIELDS[proto.data_type]))
    if found != wanted:
        shape = tuple(proto.dims)
        message = f"`{name}` of shape {shape} has {wanted:,} values, and {found:,.6g} are stored"
        raise place.damaged(message)


def _decoded(place: Place, proto: onnx.TensorProto, name: str) -> Any:
    try:
        return numpy_helper.to_array(proto)
    except (ValueError, TypeError, OverflowError) as error:
        raise place.damaged(f"`{name}` cannot be read: {error}") from error


def _as_tensor(array: Any) -> Tensor:
    if array.dtype.itemsize == 2 and array.dtype.kind not in "iu":
        array = array.astype(np.float32)
    return torch.from_numpy(np.require(array, requirements=("C", "W")))


def _outside(place: Place, proto: onnx.TensorProto, count: int, kind: np.dtype[Any]) -> Array:
    """Return the values of a tensor that stands in another file of the same folder."""
    name, size = short(proto.name), count * kind.itemsize
    given = {each.key: each.value for each in proto.external_data}
    try:
        start, length = int(given.get("offset", "0")), int(given.get("length", str(size)))
    except ValueError as error:
        raise place.damaged(f"`{name}` says no number for where its data stand") from error
    file = _beside(place, given.get("location", ""), name)
    try:
        there = file.stat().st_size
        if length != size or start < 0 or start + length > there:
            message = (
                f"`{name}` wants {size:,} bytes from {start:,} on, `{file.name}` has {there:,}"
            )
            raise place.damaged(message)
        _hold_taken(place, file, there, size)
        array = np.fromfile(file, kind, count, offset=start)
    except OSError as error:
        raise place.damaged(f"`{file.name}` cannot be read: {error.strerror}") from error
    if len(array) != count:
        raise place.damaged(f"`{file.name}` ends too early")
    return array


def _hold_taken(place: Place, file: Path, there: int, size: int) -> None:
    """Hold what all tensors together take from other files against what stands in those."""
    outside = place.outside
    outside.stored[str(file)] = there
    outside.taken += size
    stored = sum(outside.stored.values())
    if outside.taken > min(limits.MOST_OUTSIDE, limits.SHARED * stored):
        files = ", ".join(f"`{short(Path(name).name)}`" for name in list(outside.stored)[:3])
        message = f"takes {outside.taken:,} bytes from {files}, where {stored:,} bytes are stored"
        raise place.too_large(message)


def _beside(place: Place, location: str, name: str) -> Path:
    """Return the file of that name within the model's folder, wherever links lead."""
    path = PurePosixPath(posixpath.normpath(location))
    windows = PureWindowsPath(location)
    astray = path.is_absolute() or ".." in path.parts or windows.drive or "\\" in location
    if astray or path == PurePosixPath() or "\0" in location:
        where = f"at `{short(location)}`, wanted a file within the model's folder"
        raise _not_within(place, name, where)
    folder = place.path.parent
    file = folder / path
    try:
        inside = file.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a circle of links
        inside = False
    if not inside:
        raise _not_within(place, name, f"behind a link that leads out of the folder, `{path}`")
    if what := kind_of(file):
        raise place.damaged(f"the data of `{name}` should stand in `{path}`, which {what}")
    return file


def _not_within(place: Place, name: str, where: str) -> SnnccError:
    return place.fault(OUTSIDE_DATA, f"the data of `{name}` are said to stand {where}")
