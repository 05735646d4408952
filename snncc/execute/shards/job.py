"""What is done with each shard, and what a shard gives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np

from snncc.execute.dataset import Dataset
from snncc.ir.graph import Absent, Array, Graph
from snncc.ir.text import dump

Result: TypeAlias = Mapping[str, Array]
"""What a shard gives: arrays of numbers or text, by name."""

Work: TypeAlias = Callable[[Dataset], Result]
"""Runs one shard."""

RunShards: TypeAlias = Callable[["Job", Dataset], list[Result]]
"""Runs a job over all of a data set, however; the results come in the order of the samples."""


class Job(Protocol):
    """What is done with each shard: sent to a worker once, by value."""

    @property
    def identity(self) -> str:
        """A digest of all that decides the results, but for the samples."""

    def start(self) -> Work:
        """Prepare to run shards: weights packed, kernels chosen."""


def run_whole(job: Job, data: Dataset) -> list[Result]:
    """Run a job over all samples at once, as one shard."""
    return [job.start()(data)]


def digest_of(*parts: Any) -> str:
    """Return the SHA-256 of graphs, arrays and plain values, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Graph):
            digest.update(_graph_digest(part))
        elif isinstance(part, np.ndarray):
            digest.update(_array_digest(part))
        else:
            digest.update(hashlib.sha256(repr(part).encode()).digest())
    return digest.hexdigest()


def _graph_digest(graph: Graph) -> bytes:
    digest = hashlib.sha256(dump(graph).encode())
    for name, weight in sorted(graph.weights.items()):
        digest.update(hashlib.sha256(name.encode()).digest())
        if isinstance(weight, Absent):
            digest.update(hashlib.sha256(repr(weight).encode()).digest())
        else:
            digest.update(_array_digest(weight))
    return digest.digest()


def _array_digest(array: Array) -> bytes:
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
