"""Shards on the workers of Dask: sent by value, run again where they fail or are lost.

The job goes to every worker once, also to those that join later; samples go with their shard. What
a worker finished is fetched at once, so that losing the worker loses at most the shard it runs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from importlib import metadata
from multiprocessing import resource_tracker
from typing import Any

import dask
import distributed
from distributed import Client, Future, LocalCluster, WorkerPlugin, get_worker
from distributed.comm import connect
from distributed.utils import LoopRunner

from snncc.diagnostics.core import SnnccError
from snncc.execute.dataset import Dataset
from snncc.execute.rules_of_shards import (
    FAILING_SHARD,
    LOST_CLUSTER,
    NO_SCHEDULER,
    UNFIT_WORKER,
)
from snncc.execute.shards.job import Job, Result
from snncc.execute.shards.plan import Plan, Span
from snncc.execute.shards.run import part_of
from snncc.ir.graph import Source

CONNECT_SECONDS = 10
"""How long a scheduler may take to answer, and a worker to be there."""

LOST_SECONDS = 60
"""How long a run waits without a single worker."""

RETRIES = 3
"""How often a shard that failed is run again; as often as Dask does where a worker died."""

_SETTINGS = {
    "distributed.admin.large-graph-warning-threshold": "1GB",
    "distributed.comm.timeouts.connect": f"{CONNECT_SECONDS}s",
    "distributed.scheduler.allowed-failures": RETRIES,
}
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
_ONE_AT_A_TIME = threading.Lock()
"""Shards of one process follow each other: their kernels use all of its processors."""


class SentJob(WorkerPlugin):  # type: ignore[misc]
    """A job on a worker, prepared when its first shard is run."""

    def __init__(self, name: str, job: Job) -> None:
        """Take the job; its name is that of the plugin."""
        self.name = name
        self.job = job

    def __getstate__(self) -> dict[str, Any]:
        """Return what is sent."""
        return {"name": self.name, "job": self.job}

    def run(self, data: Dataset) -> Result:
        """Run a shard."""
        with _ONE_AT_A_TIME:
            if not hasattr(self, "work"):
                self.work = self.job.start()
            return self.work(data)


def run_on_worker(name: str, data: Dataset) -> tuple[float, Result]:
    """Run a shard on the worker that this is called on; return also its seconds.

    Raises ``RuntimeError`` with the words of whatever was raised: not every error can be sent.
    """
    started = time.monotonic()
    try:
        result = get_worker().plugins[name].run(data)
    except Exception as fault:  # noqa: BLE001 - it is told, whatever it is
        raise RuntimeError(f"{type(fault).__name__}: {fault}") from None
    return time.monotonic() - started, result


class Cluster:
    """Runs shards on the workers of a scheduler."""

    def __init__(self, client: Client, name: str) -> None:
        """Take a connection to a scheduler, and what a message calls it."""
        self.client = client
        self.name = name

    @property
    def runners(self) -> int:
        """How many worker processes there are."""
        return max(1, len(self.client.nthreads()))

    def run(self, job: Job, data: Dataset, plan: Plan) -> Iterator[tuple[Span, Result]]:
        """Run every shard that the plan hands out. Raises ``SnnccError``."""
        sent = SentJob(f"snncc-{uuid.uuid4().hex}", job)
        pending: dict[Future, Span] = {}
        try:
            self.client.register_plugin(sent, name=sent.name)
            while self._fill(sent.name, data, plan, pending):
                for future in self._finished(pending):
                    span = pending.pop(future)
                    seconds, result = self._result(future, span)
                    plan.took(span, seconds)
                    yield span, result
        except CancelledError as fault:
            raise self._lost("it went away") from fault
        except OSError as fault:
            raise self._lost(f"it went away: {_words(fault)}") from fault
        finally:
            with contextlib.suppress(Exception):
                self.client.cancel(list(pending), force=True)
                self.client.unregister_worker_plugin(sent.name)

    def _fill(self, name: str, data: Dataset, plan: Plan, pending: dict[Future, Span]) -> int:
        """Send shards until each worker has one that runs and one that waits; count them."""
        wanted = 2 * self.runners
        while len(pending) < wanted and (span := plan.take()):
            future = self.client.submit(
                run_on_worker, name, part_of(data, span), pure=False, retries=RETRIES
            )
            pending[future] = span
        return len(pending)

    def _finished(self, pending: Mapping[Future, Span]) -> list[Future]:
        """Return futures that are done, when there are any. Raises ``SnnccError``."""
        seen = time.monotonic()
        while True:
            with contextlib.suppress(distributed.TimeoutError), self.client.as_current():
                distributed.wait(list(pending), timeout=1, return_when="FIRST_COMPLETED")
            if done := [future for future in pending if future.done()]:
                return done
            if self.client.nthreads():
                seen = time.monotonic()
            elif time.monotonic() - seen > LOST_SECONDS:
                raise self._lost(f"it has had no worker for {LOST_SECONDS} seconds")

    def _result(self, future: Future, span: Span) -> tuple[float, Result]:
        if future.status in ("cancelled", "lost"):
            raise self._lost("it forgot the shards that were sent")
        try:
            found: tuple[float, Result] = future.result()
        except distributed.KilledWorker as fault:
            times = f"its worker died {RETRIES + 1} times, as one without memory does"
            raise _failing(span, times) from fault
        except (OSError, CancelledError):
            raise
        except Exception as fault:
            raise _failing(span, f"{RETRIES + 1} times, the last by {_words(fault)}") from fault
        return found

    def _lost(self, reason: str) -> SnnccError:
        message = f"the run on {self.name} cannot go on: {reason}"
        return SnnccError(LOST_CLUSTER.at(Source(), message))


@contextlib.contextmanager
def cluster_at(address: str) -> Iterator[Cluster]:
    """Connect to a scheduler and check its workers. Raises ``SnnccError``."""
    with _quiet(), _loop() as loop:
        _require_answer(address, loop)
        with Client(
            address, timeout=CONNECT_SECONDS, loop=loop.loop, set_as_default=False
        ) as client:
            try:
                client.wait_for_workers(1, timeout=CONNECT_SECONDS)
            except distributed.TimeoutError as fault:
                reason = f"has had no worker for {CONNECT_SECONDS} seconds"
                raise _unreachable(address, reason, f"start some: dask worker {address}") from fault
            _check_versions(client)
            yield Cluster(client, f"`{address}`")


@contextlib.contextmanager
def workers_here(count: int) -> Iterator[Cluster]:
    """Start workers on this machine, which share its processors."""
    threads = max(1, (os.cpu_count() or 1) // count)
    settings = {f"distributed.nanny.pre-spawn-environ.{name}": threads for name in _THREADS}
    with (
        _quiet(),
        _loop() as loop,
        dask.config.set(settings),
        LocalCluster(
            loop=loop.loop,
            n_workers=count,
            threads_per_worker=1,
            memory_limit=None,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as local,
        Client(local, loop=loop.loop, set_as_default=False) as client,
    ):
        yield Cluster(client, f"{count} workers of this machine")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Set what Dask does, and keep its log and warnings off the screen: a fault is a diagnostic."""
    known = [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    levels = {name: logging.getLogger(name).level for name in known}
    for name in known:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        with dask.config.set(_SETTINGS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextlib.contextmanager
def _loop() -> Iterator[LoopRunner]:
    """Start a thread for connections, which Ctrl-C does not reach, nor the workers it starts.

    Threads and processes inherit which signals they block; here the main thread hears all of them.
    Python's resource tracker unblocks them in the thread that starts it, so it is started before.
    """
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        loop = LoopRunner()
        loop.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield loop
    finally:
        loop.stop()


def _require_answer(address: str, loop: LoopRunner) -> None:
    """Raise ``SnnccError`` where nobody answers: a client that fails to start would linger."""

    async def answer() -> None:
        comm = await connect(address, timeout=CONNECT_SECONDS)
        comm.abort()

    try:
        loop.run_sync(answer)
    except Exception as fault:
        hint = "`dask scheduler` prints its address when it starts"
        raise _unreachable(address, f"does not answer: {_words(fault)}", hint) from fault


def _check_versions(client: Client) -> None:
    """Raise ``SnnccError`` where scheduler or workers have no snncc, or another version."""
    here = _version_here()
    found = dict(client.run(metadata.version, "snncc", on_error="return"))
    try:
        found["the scheduler"] = client.run_on_scheduler(metadata.version, "snncc")
    except metadata.PackageNotFoundError as fault:
        found["the scheduler"] = fault
    for place, version in found.items():
        if version != here:
            what = "no snncc" if isinstance(version, Exception) else f"snncc {version}"
            hint = f"install snncc {here} there, and start it again"
            message = f"{place} has {what}, wanted {here} as here"
            raise SnnccError(UNFIT_WORKER.at(Source(), message, hint=hint))


def _version_here() -> str:
    return metadata.version("snncc")


def _unreachable(address: str, reason: str, hint: str) -> SnnccError:
    return SnnccError(NO_SCHEDULER.at(Source(), f"the scheduler `{address}` {reason}", hint=hint))


def _failing(span: Span, reason: str) -> SnnccError:
    message = f"samples {span.start}..{span.stop - 1} failed: {reason}"
    return SnnccError(FAILING_SHARD.at(Source(), message))


def _words(fault: BaseException) -> str:
    """Return the first line of an error, or its name."""
    return next(iter(str(fault).splitlines()), "") or type(fault).__name__
