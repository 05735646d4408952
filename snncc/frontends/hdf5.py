"""Opens an HDF5 file that a stranger wrote, and returns what it holds as plain arrays.

Nothing is allocated that the file does not hold: what a data set claims is compared with what is
stored, and compressed parts are unpacked piece by piece first to learn their size. No file but the
one named is opened: external links, external storage, virtual data sets and filters other than
zlib's are refused. HDF5 itself holds no code.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np

from snncc.diagnostics.core import Rule, SnnccError
from snncc.frontends.rules_of_files import MISSING_FILE
from snncc.frontends.rules_of_hdf5 import (
    DAMAGED_HDF5,
    NOT_HDF5,
    OVERSIZED_HDF5,
    UNSAFE_HDF5,
)
from snncc.ir.graph import Array, Source

Tree: TypeAlias = Mapping[str, "Leaf"]
"""A group: what it holds by name. Texts are ``str``, lists of texts are arrays of objects."""
Leaf: TypeAlias = "Tree | Array | str"

SIGNATURE = b"\x89HDF\r\n\x1a\n"

MOST_BYTES = 1 << 30
"""What all numbers of a file may take in memory."""
MOST_TEXT = 16 << 20
MOST_OBJECTS = 50_000
DEEPEST = 32

_PIECE = 1 << 16
_DEFLATE, _SHUFFLE = 1, 2
_CONTIGUOUS, _VIRTUAL = 1, 3


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 does."""
    try:
        with path.open("rb") as file:
            return file.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False


def read_tree(path: Path) -> Tree:
    """Return everything in an HDF5 file. Raises ``SnnccError``."""
    if not path.is_file():
        raise fault(MISSING_FILE, path, f"`{path}` does not exist or is no file")
    if not is_hdf5(path):
        raise fault(NOT_HDF5, path, f"`{path}` is no HDF5 file: it begins otherwise")
    try:
        with h5py.File(path, "r") as file:
            return _Reader(path).group(file, "", 0)
    except SnnccError:
        raise
    # What HDF5's own library says of a damaged file comes as one of nearly all kinds of error.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise fault(DAMAGED_HDF5, path, f"`{path}` is damaged: {reason}") from error


def fault(rule: Rule, path: Path, message: str, hint: str = "") -> SnnccError:
    """Return the error of a finding in a file as a whole."""
    return SnnccError(rule.at(Source(file=str(path)), message, hint=hint))


class _Reader:
    """Reads one file, and counts what it has read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = path.stat().st_size
        self._bytes, self._text, self._objects = 0, 0, 0

    def group(self, group: Any, place: str, depth: int) -> Tree:
        if depth > DEEPEST:
            raise self._refused(OVERSIZED_HDF5, f"`{place}` lies {depth} groups deep")
        found: dict[str, Leaf] = {}
        for name in group:
            self._objects += 1
            if self._objects > MOST_OBJECTS:
                raise self._refused(OVERSIZED_HDF5, f"it holds more than {MOST_OBJECTS} objects")
            inner = f"{place}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise self._refused(UNSAFE_HDF5, f"`{inner}` is a link to another place")
            found[name] = self._member(group[name], inner, depth)
        return found

    def _member(self, item: Any, place: str, depth: int) -> Leaf:
        if isinstance(item, h5py.Group):
            return self.group(item, place, depth + 1)
        if isinstance(item, h5py.Dataset):
            return self._dataset(item, place)
        raise self._refused(DAMAGED_HDF5, f"`{place}` is neither a group nor a data set")

    def _dataset(self, data: Any, place: str) -> Leaf:
        layout = data.id.get_create_plist().get_layout()
        if layout == _VIRTUAL or data.external:
            raise self._refused(UNSAFE_HDF5, f"`{place}` is stored in another file")
        if data.shape is None:
            raise self._refused(DAMAGED_HDF5, f"`{place}` is empty")
        self._claim(data, place)
        self._stored(data, place, layout)
        if h5py.check_string_dtype(data.dtype) is not None:
            return self._texts(data)
        if data.dtype.kind not in "iufb" or data.dtype.itemsize > 8:
            raise self._refused(DAMAGED_HDF5, f"`{place}` holds {data.dtype}, wanted numbers")
        return np.asarray(data[()])

    def _claim(self, data: Any, place: str) -> None:
        """Count the bytes that a data set takes in memory. Raises ``SnnccError``."""
        self._bytes += math.prod(data.shape) * data.dtype.itemsize
        chunk = math.prod(data.chunks or ()) * data.dtype.itemsize
        if max(self._bytes, chunk) > MOST_BYTES:
            shape = "x".join(map(str, data.shape))
            message = f"`{place}` claims {shape} values: all may take {MOST_BYTES >> 20} MiB"
            raise self._refused(OVERSIZED_HDF5, message)

    def _stored(self, data: Any, place: str, layout: int) -> None:
        """Hold what a data set claims against what is stored of it."""
        wanted = math.prod(data.shape) * data.dtype.itemsize
        if layout == _CONTIGUOUS and data.id.get_storage_size() < wanted:
            raise self._refused(DAMAGED_HDF5, f"`{place}` claims values that are not stored")
        if data.chunks is None:
            return
        filters = data.id.get_create_plist()
        used = [filters.get_filter(i)[0] for i in range(filters.get_nfilters())]
        if used not in ([], [_DEFLATE], [_SHUFFLE], [_SHUFFLE, _DEFLATE]):
            message = f"`{place}` is packed by filters {used}, wanted gzip or none"
            raise self._refused(UNSAFE_HDF5, message)
        grid = (-(-n // c) for n, c in zip(data.shape, data.chunks, strict=True))
        if data.id.get_num_chunks() != math.prod(grid):
            raise self._refused(DAMAGED_HDF5, f"`{place}` claims values that are not stored")
        if _DEFLATE in used:
            self._unpacked(data, place)

    def _unpacked(self, data: Any, place: str) -> None:
        """Unpack every part of a data set in pieces, and see that none is larger than it says."""
        part = math.prod(data.chunks) * data.dtype.itemsize
        for index in range(data.id.get_num_chunks()):
            stored = data.id.get_chunk_info(index)
            if stored.size > self._size:
                raise self._refused(DAMAGED_HDF5, f"`{place}` claims more than the file holds")
            mask, packed = data.id.read_direct_chunk(stored.chunk_offset)
            if mask == 0 and sum(_sizes(packed)) > part:
                raise self._refused(OVERSIZED_HDF5, f"`{place}` unpacks to more than it claims")

    def _texts(self, data: Any) -> str | Array:
        flat = [self._text_of(value) for value in self._values(data)]
        if data.size == 1:
            return flat[0]
        return np.array(flat, dtype=object).reshape(data.shape)

    def _values(self, data: Any) -> Iterator[Any]:
        """Return the texts of a data set, so many at a time as the file can hold at their worst."""
        if data.ndim == 0:
            yield data[()]
            return
        if math.prod(data.shape) > MOST_OBJECTS:
            raise self._refused(OVERSIZED_HDF5, f"`{data.name}` holds {data.shape} texts")
        rows = max(1, MOST_TEXT // max(1, self._size * math.prod(data.shape[1:])))
        for start in range(0, data.shape[0], rows):
            yield from np.asarray(data[start : start + rows]).reshape(-1)

    def _text_of(self, value: Any) -> str:
        text = value.decode("utf-8") if isinstance(value, bytes) else str(value)
        self._text += len(text)
        if self._text > MOST_TEXT:
            raise self._refused(OVERSIZED_HDF5, f"its texts take more than {MOST_TEXT >> 20} MiB")
        return text

    def _refused(self, rule: Rule, message: str) -> SnnccError:
        return fault(rule, self._path, f"`{self._path}`: {message}")


def _sizes(packed: bytes) -> Iterator[int]:
    """Return the sizes of the pieces to which a zlib stream unpacks."""
    stream = zlib.decompressobj()
    while packed and not stream.eof:
        yield len(stream.decompress(packed, _PIECE))
        packed = stream.unconsumed_tail
