"""To what the members of a zip archive unpack, told before any of it is unpacked.

An archive says itself how large a member is, and no reader keeps more than that of it. So what it
says is held against the archive's own size. torch stores members as they are; others may pack them.
torch reads archives by another library than ours, so both have to find the same table of contents.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True)
class Bounds:
    """Bytes to which an archive may unpack: so many, and so many for each byte of it."""

    anyway: int
    of_stored: int

    def allowed(self, stored: int) -> int:
        """Return how many bytes may come of so many."""
        return self.anyway + self.of_stored * stored


OF_NETWORKS = Bounds(32 << 20, 8)
OF_DATA = Bounds(512 << 20, 100)
"""Events are nearly all zeros, which pack well."""
MOST_TEXT = 256 << 20
"""Bytes of a member that is parsed as a whole, which takes many times as much."""
MOST_MEMBERS = 50_000
_DEEPEST = 2
"""Archives in archives: older exported programs keep their weights so."""
_TEXTS = (".json", ".pkl", ".py", ".txt")
_ZIP = b"PK\x03\x04"
_END = struct.Struct("<4s8xII2x")
_LONG_END = struct.Struct("<4s36xQQ4s4xQ4x")
"""The same of an archive with 64 bits, and where that begins."""
_EXTRA = struct.Struct("<HH")
UNREADABLE = (
    zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError, NotImplementedError,
    RuntimeError,
)  # fmt: skip
"""What the standard library says of a damaged archive."""


class BombError(Exception):
    """Why an archive is not opened: a phrase that follows its name."""


def hold_archive(path: Path, bounds: Bounds) -> None:
    """Raise ``BombError`` for an archive that unpacks to more than it may.

    Raises one of ``UNREADABLE`` for a damaged one.
    """
    with path.open("rb") as file:
        _hold(file, bounds.allowed(path.stat().st_size), 0)


def _hold(file: IO[bytes], allowed: int, depth: int) -> None:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > MOST_MEMBERS:
            raise BombError(f"has {len(members):,} members, wanted at most {MOST_MEMBERS:,}")
        claimed = sum(each.file_size for each in members)
        if claimed > allowed:
            message = f"unpacks to {claimed:,} bytes, wanted at most {allowed:,} for its size"
            raise BombError(message)
        _hold_end(file)
        # In the order of their places: an archive in another one is then read once, front to back.
        for each in sorted(members, key=lambda each: each.header_offset):
            _hold_member(archive, each, allowed, depth)


def _hold_end(file: IO[bytes]) -> None:
    """Raise ``BombError`` where two readers may find two tables of contents.

    Ours looks for it in front of the end of the archive, torch's where the end says that it is.
    """
    at = file.seek(-_END.size, os.SEEK_END)
    mark, size, offset = _END.unpack(file.read(_END.size))
    long = at - _LONG_END.size
    if long >= 0:
        file.seek(long)
        first, long_size, long_offset, second, said = _LONG_END.unpack(file.read(_LONG_END.size))
        if second == b"PK\x06\x07":
            at = long if (first, said) == (b"PK\x06\x06", long) else -1
            size, offset = long_size, long_offset
    if mark != b"PK\x05\x06" or offset + size != at:
        raise BombError("has more than one place for its table of contents")


def _hold_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, allowed: int, depth: int
) -> None:
    name, size = member.filename[:80], member.file_size
    if member.filename.endswith(_TEXTS) and size > MOST_TEXT:
        message = f"has the member `{name}` of {size:,} bytes, wanted at most {MOST_TEXT:,}"
        raise BombError(message)
    stored = member.compress_type == zipfile.ZIP_STORED
    if (stored and size != member.compress_size) or _long_sizes(member.extra) > 1:
        raise BombError(f"has the member `{name}`, which says two sizes")
    if depth < _DEEPEST and not member.is_dir():
        with archive.open(member) as inner:
            if inner.read(len(_ZIP)) == _ZIP:
                if not stored:
                    raise BombError(f"has the packed member `{name}`, itself an archive")
                inner.seek(0)
                _hold(inner, allowed, depth + 1)


def _long_sizes(extra: bytes) -> int:
    """Return how often a member says its sizes in 64 bits; not all readers take the same of two."""
    count = 0
    while len(extra) >= _EXTRA.size:
        kind, length = _EXTRA.unpack_from(extra)
        count += kind == 1
        extra = extra[_EXTRA.size + length :]
    return count
