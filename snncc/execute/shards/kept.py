"""Finished shards in a directory, so that a run that was interrupted goes on where it was.

The directory is named by a digest of the job and of the samples, so that shards of another network,
other data or another version are never taken. A file that is cut short or not ours is ignored.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from snncc import __version__
from snncc.execute.counts import BATCH
from snncc.execute.dataset import Dataset
from snncc.execute.shards.job import Job, Result, digest_of
from snncc.execute.shards.plan import Span

SCHEMA = "snncc.shard/1"
_NAME = re.compile(r"(\d+)-(\d+)\.npz")


def runs_directory() -> Path:
    """Return where runs are kept: ``snncc/runs`` in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "snncc" / "runs"


class Kept:
    """The finished shards of one job over one data set."""

    def __init__(self, job: Job, data: Dataset, place: Path | None = None) -> None:
        """Name the directory in ``place``; it is made when the first shard is kept."""
        labels = None if data.labels is None else digest_of(data.labels)
        self.key = digest_of(SCHEMA, __version__, job.identity, data.inputs, labels)
        self.samples = len(data)
        self.path = (place or runs_directory()) / self.key[:32]

    def load(self) -> dict[Span, Result]:
        """Return what was kept; of shards that overlap, the first."""
        found: dict[Span, Result] = {}
        at = 0
        for span, file in sorted(self._files()):
            result = self._read(file)
            if span.start >= at and result is not None:
                found[span] = result
                at = span.stop
        return found

    def keep(self, span: Span, result: Result) -> None:
        """Write a shard, whole or not at all. Raises ``OSError``."""
        self.path.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.path, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                arrays: dict[str, Any] = {"key": np.array(self.key), **result}
                np.savez(file, **arrays)
            Path(name).replace(self.path / f"{span.start}-{span.stop}.npz")
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def remove(self) -> None:
        """Remove what was kept, and the directory."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _files(self) -> list[tuple[Span, Path]]:
        """Return the files whose name is that of a shard of this run."""
        found = []
        with contextlib.suppress(OSError):
            for file in self.path.iterdir():
                if name := _NAME.fullmatch(file.name):
                    span = Span(int(name[1]), int(name[2]))
                    if span.start % BATCH == 0 and span.start < span.stop <= self.samples:
                        found.append((span, file))
        return found

    def _read(self, file: Path) -> Result | None:
        """Return a shard; None where the file is not what was written."""
        try:
            with file.open("rb") as opened, np.load(opened, allow_pickle=False) as content:
                arrays = {name: content[name] for name in content.files}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return arrays if str(arrays.pop("key", "")) == self.key else None
