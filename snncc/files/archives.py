"""To what the members of a zip archive unpack, told before any of it is unpacked.

An archive says itself how large a member is, and no reader keeps more than that of it. So what it
says is held against the archive's own size. torch stores members as they are; others may pack them.
"""

from __future__ import annotations

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
        for each in members:
            _hold_member(archive, each, allowed, depth)


def _hold_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, allowed: int, depth: int
) -> None:
    name, size = member.filename[:80], member.file_size
    if member.filename.endswith(_TEXTS) and size > MOST_TEXT:
        message = f"has the member `{name}` of {size:,} bytes, wanted at most {MOST_TEXT:,}"
        raise BombError(message)
    if member.compress_type == zipfile.ZIP_STORED and size != member.compress_size:
        raise BombError(f"has the member `{name}`, which says two sizes")
    if depth < _DEEPEST and not member.is_dir():
        with archive.open(member) as inner:
            if inner.read(len(_ZIP)) == _ZIP:
                inner.seek(0)
                _hold(inner, allowed, depth + 1)
