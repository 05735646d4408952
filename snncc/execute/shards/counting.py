"""Counting the operations of a data set in shards."""

from __future__ import annotations

import dataclasses
import functools
import json
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snncc.execute.counts import BATCH, Counts, OpCount, batches, count_batch
from snncc.execute.dataset import Dataset
from snncc.execute.executor import Executor
from snncc.execute.shards.job import Job, Result, RunShards, Work, digest_of
from snncc.ir.graph import Array, Graph

_SUMMED = (
    "events_in", "events_right", "event_ops", "synaptic_ops", "fan_out_ops", "bias_ops",
    "spikes_out", "updates", "active",
)  # fmt: skip
"""Integers for each time step: sums of shards are exact in any order."""

_ARRAYS = (*_SUMMED, "value_in", "head_ops", "of_samples")


@dataclass(frozen=True)
class CountJob(Job):
    """Counts the operations of a step graph."""

    graph: Graph

    @property
    def identity(self) -> str:
        """A digest of the graph and its weights."""
        return digest_of("count", self.graph)

    def start(self) -> Work:
        """Prepare an executor, and return what counts a shard with it."""
        executor = Executor(self.graph)

        def work(data: Dataset) -> Result:
            parts = batches(self.graph, data.inputs, BATCH)
            return packed([count_batch(executor, part) for part in parts])

        return work


def count_sharded(graph: Graph, x: Array, run: RunShards) -> Counts:
    """Return the counts of a graph over samples ``x``, as ``count`` does, run in shards."""
    if len(x) == 0:
        raise ValueError("no samples to count")
    return merged(run(CountJob(graph), Dataset(x)))


def packed(parts: Sequence[Counts]) -> Result:
    """Return the counts of the batches of a shard as a few arrays.

    Sums of a float input depend on their order: they are kept for each batch, ``[batches, ...]``.
    """
    total = functools.reduce(operator.add, parts)
    ops = list(total.ops.values())
    facts = {"samples": total.samples, "steps": total.steps, "ops": [_facts(op) for op in ops]}
    whole = [op for op in ops if not _is_real(op)]
    real = [[part.ops[op.name] for op in ops if _is_real(op)] for part in parts]
    return {
        "facts": np.array(json.dumps(facts)),
        **{name: _joined(getattr(op, name) for op in ops) for name in _SUMMED},
        "head_ops": _joined(op.head_ops.reshape(-1) for op in ops),
        "of_samples": np.stack([op.of_samples for op in ops]),
        "value_in": _joined(op.value_in for op in whole),
        "real_in": np.stack([_joined((o.value_in for o in row), np.float64) for row in real]),
    }


def merged(results: Sequence[Result]) -> Counts:
    """Return the counts of all shards, in the order of their samples."""
    total = functools.reduce(operator.add, map(_unpacked, results))
    rows = [row for result in results for row in result["real_in"]]
    real = _Pieces(functools.reduce(operator.add, rows))
    facts = json.loads(str(results[0]["facts"]))["ops"]
    value_in = {each["name"]: real.take(each["runs"]) for each in facts if each["real"]}
    ops = {
        name: dataclasses.replace(op, value_in=value_in.get(name, op.value_in))
        for name, op in total.ops.items()
    }
    return Counts(total.samples, total.steps, ops)


def _unpacked(result: Result) -> Counts:
    """Return the counts of a shard, without the sums of float inputs."""
    facts = json.loads(str(result["facts"]))
    pieces = {name: _Pieces(result[name]) for name in (*_SUMMED, "value_in", "head_ops")}
    ops = dict(_ops(facts["ops"], pieces, result["of_samples"]))
    return Counts(facts["samples"], facts["steps"], ops)


def _ops(
    facts: Sequence[dict[str, Any]], pieces: dict[str, _Pieces], of_samples: Array
) -> Iterator[tuple[str, OpCount]]:
    for fact, each in zip(facts, of_samples, strict=True):
        said = dict(fact)
        runs, heads, real = (said.pop(key) for key in ("runs", "heads", "real"))
        arrays: dict[str, Any] = {name: pieces[name].take(runs) for name in _SUMMED}
        arrays["value_in"] = np.zeros(runs) if real else pieces["value_in"].take(runs)
        arrays["head_ops"] = pieces["head_ops"].take(heads[0] * heads[1]).reshape(heads)
        yield said["name"], OpCount(**said, **arrays, of_samples=each)


class _Pieces:
    """An array that is taken apart from its beginning."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.taken = 0

    def take(self, size: int) -> Array:
        self.taken += size
        return self.array[self.taken - size : self.taken]


def _facts(op: OpCount) -> dict[str, Any]:
    """Return what is said of an op beside its arrays, and how long these are."""
    names = (f.name for f in dataclasses.fields(op) if f.name not in _ARRAYS)
    said = {name: getattr(op, name) for name in names}
    return {**said, "runs": op.runs, "heads": list(op.head_ops.shape), "real": _is_real(op)}


def _is_real(op: OpCount) -> bool:
    return op.value_in.dtype.kind == "f"


def _joined(arrays: Iterable[Array], kind: type = np.int64) -> Array:
    """Return arrays end to end; none of them is an empty one."""
    return np.concatenate([np.zeros(0, kind), *arrays])
