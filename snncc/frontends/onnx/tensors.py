"""Stored tensors: their claimed sizes are held against the bytes that are there, then read."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from snncc.diagnostics.core import SnnccError
from snncc.frontends import rules
from snncc.frontends.onnx import limits
from snncc.frontends.onnx.proto import Place, short
from snncc.frontends.rules_of_exchange import OUTSIDE_DATA

_KINDS = onnx.TensorProto
_FIELDS = {
    _KINDS.FLOAT: "float_data", _KINDS.DOUBLE: "double_data", _KINDS.INT64: "int64_data",
    **dict.fromkeys(
        (_KINDS.INT32, _KINDS.INT16, _KINDS.INT8, _KINDS.UINT8, _KINDS.BOOL, _KINDS.FLOAT16,
         _KINDS.BFLOAT16), "int32_data",
    ),
}  # fmt: skip
"""Element types that are read, and where their values stand if not as raw bytes."""


def read_tensor(place: Place, proto: onnx.TensorProto, *, finite: bool = True) -> Tensor:
    """Return a stored tensor; 16-bit floats become float32. Raises ``SnnccError``.

    With ``finite`` numbers that are infinite or none are refused.
    """
    name = short(proto.name) or "a constant"
    shape = tuple(proto.dims)
    if proto.data_type not in _FIELDS:
        kinds = onnx.TensorProto.DataType
        kind = kinds.Name(proto.data_type) if proto.data_type in kinds.values() else "?"
        message = f"`{name}` has element type {kind}, wanted floats, integers or booleans"
        raise place.fault(rules.UNSUPPORTED_OP, message)
    if len(shape) > limits.MOST_AXES or any(n < 0 for n in shape):
        raise place.damaged(f"`{name}` has shape {shape[: limits.MOST_AXES]}")
    wide = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(proto.data_type)).itemsize
    external = proto.data_location == onnx.TensorProto.EXTERNAL
    if external:
        raw = _outside(place, proto, math.prod(shape) * wide)
        array = np.frombuffer(raw, onnx.helper.tensor_dtype_to_np_dtype(proto.data_type))
        array = array.reshape(shape)
    else:
        _check_stored(place, proto, name, math.prod(shape), wide)
        array = _decoded(place, proto, name)
    tensor = _as_tensor(array)
    if finite and tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        message = f"`{name}` has numbers that are infinite or none"
        raise place.fault(rules.NOT_FINITE, message)
    return tensor


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
    return torch.from_numpy(np.array(array, order="C"))


def _outside(place: Place, proto: onnx.TensorProto, size: int) -> bytes:
    """Return the bytes of a tensor that stands in another file of the same folder."""
    name = short(proto.name)
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
        with file.open("rb") as opened:
            opened.seek(start)
            return opened.read(length)
    except OSError as error:
        raise place.damaged(f"`{file.name}` cannot be read: {error.strerror}") from error


def _beside(place: Place, location: str, name: str) -> Path:
    """Return the file of that name in the model's folder: no path, no link."""
    parts = {PurePosixPath(location).name, PureWindowsPath(location).name}
    file = place.path.parent / location if parts == {location} else place.path.parent
    if parts != {location} or location in ("", ".", "..") or "\0" in location:
        raise _not_beside(place, name, f"at `{short(location)}`, wanted a file beside the model")
    if file.is_symlink():
        raise _not_beside(place, name, f"behind the link `{location}`")
    if not file.is_file():
        raise place.damaged(f"the data of `{name}` should stand in `{location}`, no file beside it")
    return file


def _not_beside(place: Place, name: str, where: str) -> SnnccError:
    return place.fault(OUTSIDE_DATA, f"the data of `{name}` are said to stand {where}")
