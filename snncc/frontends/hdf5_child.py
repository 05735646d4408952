"""Reads one HDF5 file in a process of its own: ``hdf5`` starts it, and ends it where it hangs.

Nothing is allocated that the file does not hold: what a data set claims is compared with what is
stored, and compressed parts are unpacked piece by piece first to learn their size. No file but the
one named is opened: external links, external storage, virtual data sets and filters other than
zlib's are refused. HDF5 itself holds no code. This module imports no more of snncc than itself.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

BYTES_ANYWAY, BYTES_OF_STORED, MOST_BYTES = 128 << 20, 16, 1 << 30
"""What all numbers of a file may take in memory: so much, and so much for each byte of the file."""
MOST_TEXT = 16 << 20
MOST_OBJECTS, MOST_TEXTS = 20_000, 50_000
"""Groups and data sets, and texts of one data set: edges of a graph, say."""
DEEPEST = 32

_PIECE = 1 << 16
_DEFLATE, _SHUFFLE = 1, 2
_CONTIGUOUS, _VIRTUAL = 1, 3


class RefusedError(Exception):
    """Why a file is not read: a word for the rule, ``damaged``, ``oversized`` or ``unsafe``."""

    def __init__(self, rule: str, message: str) -> None:
        """Take the word and what was found."""
        super().__init__(message)
        self.rule = rule


def read_inside(path: Path) -> dict[str, Any]:
    """Return everything in an HDF5 file. Raises ``RefusedError``."""
    try:
        with h5py.File(path, "r") as file:
            return _Reader(path).group(file, "", 0)
    except RefusedError:
        raise
    # What HDF5's own library says of a damaged file comes as one of nearly all kinds of error.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RefusedError("damaged", f"it is damaged: {reason[:200]}") from error


def main(path: str, folder: str) -> None:
    """Read a file; leave what it holds in a folder, arrays beside the names, or the refusal."""
    arrays: list[Any] = []
    try:
        said = {"tree": _plain(read_inside(Path(path)), arrays)}
    except RefusedError as error:
        said = {"rule": error.rule, "message": str(error)}
    np.savez(Path(folder) / "arrays.npz", *arrays)
    (Path(folder) / "tree.json").write_text(json.dumps(said), encoding="utf-8")


def _plain(leaf: Any, arrays: list[Any]) -> Any:
    """Return a tree as JSON can hold it: arrays of numbers by their place among ``arrays``."""
    if isinstance(leaf, dict):
        return {"group": {name: _plain(inner, arrays) for name, inner in leaf.items()}}
    if isinstance(leaf, str):
        return {"text": leaf}
    if leaf.dtype.kind == "O":
        return {"texts": leaf.reshape(-1).tolist(), "shape": list(leaf.shape)}
    arrays.append(leaf)
    return {"array": len(arrays) - 1}


class _Reader:
    """Reads one file, and counts what it has read."""

    def __init__(self, path: Path) -> None:
        self._size = path.stat().st_size
        self._allowed = min(MOST_BYTES, BYTES_ANYWAY + BYTES_OF_STORED * self._size)
        self._bytes, self._text, self._objects = 0, 0, 0

    def group(self, group: Any, place: str, depth: int) -> dict[str, Any]:
        """Return what a group holds."""
        if depth > DEEPEST:
            raise self._refused("oversized", f"`{place}` lies {depth} groups deep")
        found: dict[str, Any] = {}
        for name in group:
            self._objects += 1
            if self._objects > MOST_OBJECTS:
                raise self._refused("oversized", f"it holds more than {MOST_OBJECTS} objects")
            inner = f"{place}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise self._refused("unsafe", f"`{inner}` is a link to another place")
            found[name] = self._member(group[name], inner, depth)
        return found

    def _member(self, item: Any, place: str, depth: int) -> Any:
        if isinstance(item, h5py.Group):
            return self.group(item, place, depth + 1)
        if isinstance(item, h5py.Dataset):
            return self._dataset(item, place)
        raise self._refused("damaged", f"`{place}` is neither a group nor a data set")

    def _dataset(self, data: Any, place: str) -> Any:
        layout = data.id.get_create_plist().get_layout()
        if layout == _VIRTUAL or data.external:
            raise self._refused("unsafe", f"`{place}` is stored in another file")
        if data.shape is None:
            raise self._refused("damaged", f"`{place}` is empty")
        self._claim(data, place)
        self._stored(data, place, layout)
        if h5py.check_string_dtype(data.dtype) is not None:
            return self._texts(data)
        if data.dtype.kind not in "iufb" or data.dtype.itemsize > 8:
            raise self._refused("damaged", f"`{place}` holds {data.dtype}, wanted numbers")
        return np.asarray(data[()])

    def _claim(self, data: Any, place: str) -> None:
        """Count the bytes that a data set takes in memory. Raises ``RefusedError``."""
        self._bytes += math.prod(data.shape) * data.dtype.itemsize
        chunk = math.prod(data.chunks or ()) * data.dtype.itemsize
        if max(self._bytes, chunk) > self._allowed:
            shape = "x".join(map(str, data.shape))
            message = f"`{place}` claims {shape} values: all may take {self._allowed >> 20} MiB"
            raise self._refused("oversized", message)

    def _stored(self, data: Any, place: str, layout: int) -> None:
        """Hold what a data set claims against what is stored of it."""
        wanted = math.prod(data.shape) * data.dtype.itemsize
        if layout == _CONTIGUOUS and data.id.get_storage_size() < wanted:
            raise self._refused("damaged", f"`{place}` claims values that are not stored")
        if data.chunks is None:
            return
        filters = data.id.get_create_plist()
        used = [filters.get_filter(i)[0] for i in range(filters.get_nfilters())]
        if used not in ([], [_DEFLATE], [_SHUFFLE], [_SHUFFLE, _DEFLATE]):
            message = f"`{place}` is packed by filters {used}, wanted gzip or none"
            raise self._refused("unsafe", message)
        grid = (-(-n // c) for n, c in zip(data.shape, data.chunks, strict=True))
        if data.id.get_num_chunks() != math.prod(grid):
            raise self._refused("damaged", f"`{place}` claims values that are not stored")
        if _DEFLATE in used:
            self._unpacked(data, place, 1 << used.index(_DEFLATE))

    def _unpacked(self, data: Any, place: str, skipped: int) -> None:
        """Unpack every part of a data set in pieces, and see that none is larger than it says.

        ``skipped`` is the bit of a part's mask that says that it is not packed.
        """
        part = math.prod(data.chunks) * data.dtype.itemsize
        for index in range(data.id.get_num_chunks()):
            stored = data.id.get_chunk_info(index)
            if stored.size > self._size:
                raise self._refused("damaged", f"`{place}` claims more than the file holds")
            mask, packed = data.id.read_direct_chunk(stored.chunk_offset)
            if not mask & skipped and sum(_sizes(packed)) > part:
                raise self._refused("oversized", f"`{place}` unpacks to more than it claims")

    def _texts(self, data: Any) -> Any:
        flat = [self._text_of(value) for value in self._values(data)]
        if data.size == 1:
            return flat[0]
        return np.array(flat, dtype=object).reshape(data.shape)

    def _values(self, data: Any) -> Iterator[Any]:
        """Return the texts of a data set, so many at a time as the file can hold at their worst."""
        if data.ndim == 0:
            yield data[()]
            return
        if math.prod(data.shape) > MOST_TEXTS:
            raise self._refused("oversized", f"`{data.name}` holds {data.shape} texts")
        rows = max(1, MOST_TEXT // max(1, self._size * math.prod(data.shape[1:])))
        for start in range(0, data.shape[0], rows):
            yield from np.asarray(data[start : start + rows]).reshape(-1)

    def _text_of(self, value: Any) -> str:
        text = value.decode("utf-8") if isinstance(value, bytes) else str(value)
        self._text += len(text)
        if self._text > MOST_TEXT:
            raise self._refused("oversized", f"its texts take more than {MOST_TEXT >> 20} MiB")
        return text

    def _refused(self, rule: str, message: str) -> RefusedError:
        return RefusedError(rule, message)


def _sizes(packed: bytes) -> Iterator[int]:
    """Return the sizes of the pieces to which a zlib stream unpacks."""
    stream = zlib.decompressobj()
    while packed and not stream.eof:
        yield len(stream.decompress(packed, _PIECE))
        packed = stream.unconsumed_tail
