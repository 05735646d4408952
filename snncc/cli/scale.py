"""Options that run a command over a data set on many workers; progress, and what an end leaves."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from snncc.cli.progress import Bar
from snncc.cli.screen import say
from snncc.diagnostics.core import SnnccError
from snncc.execute.rules_of_shards import NO_DASK, UNFIT_SCALE
from snncc.ir.graph import Source

if TYPE_CHECKING:
    from snncc.backends.report.energy import Subject
    from snncc.execute.dataset import Dataset
    from snncc.execute.shards.job import Job, Result, RunShards
    from snncc.execute.shards.kept import Kept
    from snncc.execute.shards.run import Runner

SCALE = (
    click.option(
        "--workers", type=click.IntRange(min=1), metavar="N",
        help="Run shards of the samples in N processes of this machine.",
    ),
    click.option(
        "--scheduler", metavar="ADDRESS",
        help="Run shards of the samples on the Dask cluster with this scheduler.",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """Where samples are run: in this process, where both are None."""

    workers: int | None = None
    scheduler: str | None = None

    @property
    def option(self) -> str | None:
        """The option that was given."""
        if self.workers is not None:
            return "--workers"
        return None if self.scheduler is None else "--scheduler"

    def check(self, unfit: str = "") -> None:
        """Raise ``SnnccError`` where it cannot be, or where ``unfit`` says why nothing is run."""
        if self.option is None:
            return
        if self.workers is not None and self.scheduler is not None:
            _unfit("--workers and --scheduler are given, wanted one of them")
        if unfit:
            _unfit(f"{self.option} is given, and {unfit}")
        if importlib.util.find_spec("distributed") is None:
            message = f"{self.option} needs Dask, which is not installed"
            hint = "pip install 'snncc[cluster]'"
            raise SnnccError(NO_DASK.at(Source(), message, hint=hint))


@contextlib.contextmanager
def sharded(scale: Scale, task: str) -> Iterator[RunShards]:
    """Give what runs jobs over data sets; where the body ends early, finished shards stay."""
    with contextlib.ExitStack() as resources:
        session = _Session(scale, resources, Bar(task))
        resources.callback(session.bar.stop)
        session.bar.start()
        try:
            yield session.run
        except BaseException:
            session.bar.stop()
            session.tell()
            raise
    session.clear()


@contextlib.contextmanager
def counting(scale: Scale, *subjects: Subject) -> Iterator[None]:
    """Let the operations of networks be counted in shards."""
    with sharded(scale, "counting") as run:
        for subject in subjects:
            subject.run = run
        yield


class _Session:
    """The shards of one command: where they run, and what is kept of them."""

    def __init__(self, scale: Scale, resources: contextlib.ExitStack, bar: Bar) -> None:
        self.scale = scale
        self.resources = resources
        self.bar = bar
        self.runner: Runner | None = None
        self.runs: list[Kept] = []
        self.done = 0

    def run(self, job: Job, data: Dataset) -> list[Result]:
        """Run a job over a data set, from where an earlier run was interrupted."""
        from snncc.execute.shards.kept import Kept
        from snncc.execute.shards.run import run_shards

        kept = Kept(job, data)
        self.runs.append(kept)
        self.done = -1

        def watch(done: int, total: int) -> None:
            if done and self.done < 0:
                self.bar.say(f"resumed: {done:,} of {total:,} samples were done, {kept.path}")
            self.done = done
            self.bar.show(done, total)

        if self.runner is None:
            self.runner = self._runner()
        return run_shards(job, data, self.runner, kept=kept, watch=watch)

    def _runner(self) -> Runner:
        if self.scale.option is None:
            from snncc.execute.shards.run import HERE

            return HERE
        from snncc.execute.shards.cluster import cluster_at, workers_here

        if self.scale.scheduler is not None:
            return self.resources.enter_context(cluster_at(self.scale.scheduler))
        return self.resources.enter_context(workers_here(self.scale.workers or 1))

    def tell(self) -> None:
        """Say where finished shards are, where there are any."""
        if self.runs and self.runs[-1].path.is_dir() and self.done > 0:
            kept = self.runs[-1]
            say(
                f"{self.done:,} of {kept.samples:,} samples are done and kept in {kept.path}\n"
                "the same command goes on from there"
            )

    def clear(self) -> None:
        """Remove what was kept: the command has its result."""
        for kept in self.runs:
            kept.remove()


def _unfit(message: str) -> None:
    raise SnnccError(UNFIT_SCALE.at(Source(), message))
