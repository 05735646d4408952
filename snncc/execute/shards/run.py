"""Running a job over a data set, shard by shard: here, or wherever a runner runs them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias

from snncc.execute.dataset import Dataset
from snncc.execute.shards.job import Job, Result
from snncc.execute.shards.kept import Kept
from snncc.execute.shards.plan import Plan, Span

Watch: TypeAlias = Callable[[int, int], None]
"""Told how many samples are done, of how many: at the start and after each shard."""


class Runner(Protocol):
    """Runs the shards of a plan and yields each with its result, in any order."""

    @property
    def runners(self) -> int:
        """How many shards run at once."""

    def run(self, job: Job, data: Dataset, plan: Plan) -> Iterator[tuple[Span, Result]]:
        """Run every shard that the plan hands out, and tell it how long each took."""


class Here:
    """Runs shards one after the other in this process."""

    runners = 1

    def run(self, job: Job, data: Dataset, plan: Plan) -> Iterator[tuple[Span, Result]]:
        """Run every shard that the plan hands out."""
        work = job.start()
        while span := plan.take():
            started = time.monotonic()
            result = work(part_of(data, span))
            plan.took(span, time.monotonic() - started)
            yield span, result


HERE = Here()


def run_shards(
    job: Job,
    data: Dataset,
    runner: Runner = HERE,
    *,
    kept: Kept | None = None,
    watch: Watch = lambda done, total: None,
) -> list[Result]:
    """Run a job over a data set, and return the results in the order of the samples.

    What ``kept`` has is not run again, and each finished shard is kept there; a disk that takes
    nothing is no reason to stop.
    """
    found = kept.load() if kept else {}
    size = data.inputs.nbytes // max(1, len(data))
    plan = Plan(len(data), found, sample_bytes=size, runners=runner.runners)
    done = sum(stop - start for start, stop in found)
    watch(done, len(data))
    if done < len(data):
        for span, result in runner.run(job, data, plan):
            found[span] = result
            done += span.stop - span.start
            if kept and span != (0, len(data)):
                with contextlib.suppress(OSError):
                    kept.keep(span, result)
            watch(done, len(data))
    return [found[span] for span in sorted(found)]


def part_of(data: Dataset, span: Span) -> Dataset:
    """Return the samples of a shard, with their labels."""
    labels = None if data.labels is None else data.labels[span.start : span.stop]
    return Dataset(data.inputs[span.start : span.stop], labels)
