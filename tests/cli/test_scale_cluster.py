"""Shards on a cluster of two worker processes: equal to one process, whatever happens to them."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from snncc.diagnostics.core import SnnccError
from snncc.execute.counts import BATCH
from snncc.execute.dataset import Dataset
from snncc.execute.shards import plan
from snncc.execute.shards.kept import Kept
from snncc.execute.shards.run import run_shards

distributed = pytest.importorskip("distributed")

pytestmark = pytest.mark.filterwarnings("ignore")
"""What Dask warns of, about itself."""

Snncc = Callable[..., Any]


@pytest.fixture(scope="module")
def local() -> Iterator[Any]:
    """Two workers, each a process."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, memory_limit=None, dashboard_address=None,
        silence_logs=logging.CRITICAL,
    ) as cluster:  # fmt: skip
        yield cluster


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own; shards of one batch."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(plan, "SHARD_SECONDS", 0.0)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred labelled images."""
    path = tmp_path_factory.mktemp("data") / "many.npz"
    rng = np.random.default_rng(1)
    np.savez(path, x=rng.random((100, 1, 8, 8)).astype(np.float32), y=rng.integers(0, 3, 100))
    return path


def document(done: Any) -> Any:
    assert done.code == 0, done.err
    found = json.loads(done.out)
    found.pop("seconds", None)
    return found


@pytest.mark.parametrize(
    "command",
    [
        ("energy", "--energy-model", "counted-45nm", "--data"),
        pytest.param(("energy", "--energy-model", "all", "--data"), marks=pytest.mark.slow),
        pytest.param(("simulate", "--verify", "--input"), marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_cluster_gives_what_one_process_gives(
    snncc: Snncc, artefact: Path, many: Path, local: Any, command: tuple[str, ...]
) -> None:
    call = (command[0], artefact, *command[1:], many, "--format", "json")
    cluster = ("--scheduler", local.scheduler_address)
    assert document(snncc(*call, *cluster)) == document(snncc(*call))


def job(body: Callable[[Dataset], Any], name: str = "job") -> Any:
    """A job that workers get by value: they cannot import a test."""

    class Job:
        identity = name

        def start(self) -> Any:
            return body

    return Job()


def numbers(count: int) -> Dataset:
    return Dataset(np.random.default_rng(0).random((count, 3)))


@pytest.mark.usefixtures("here")
def test_a_lost_worker_loses_nothing(local: Any, tmp_path: Path) -> None:
    from snncc.execute.shards.cluster import cluster_at

    def work(data: Dataset) -> Any:
        import time

        time.sleep(0.1)
        return {"sum": data.inputs.sum(axis=1), "pid": np.array([os.getpid()])}

    data = numbers(20 * BATCH)
    killed: list[int] = []

    def watch(done: int, _: int) -> None:
        if done >= 5 * BATCH and not killed:
            (pid, *_) = cluster.client.run(os.getpid).values()
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    with cluster_at(local.scheduler_address) as cluster:
        kept = Kept(job(work), data, tmp_path)
        results = run_shards(job(work), data, cluster, kept=kept, watch=watch)
        assert cluster.client.run_on_scheduler(plugins_left) == 0
    assert killed
    assert len(results) == 20
    assert (np.concatenate([r["sum"] for r in results]) == data.inputs.sum(axis=1)).all()
    assert any(int(r["pid"][0]) not in killed for r in results)


def plugins_left(dask_scheduler: Any) -> int:
    return sum(name.startswith("snncc-") for name in dask_scheduler.worker_plugins)


@pytest.mark.usefixtures("here")
def test_a_shard_that_fails_is_run_again(local: Any, tmp_path: Path) -> None:
    from snncc.execute.shards.cluster import cluster_at

    def work(data: Dataset) -> Any:
        marks = tmp_path / f"{data.inputs[0, 0]}"
        marks.mkdir(exist_ok=True)
        tries = len(list(marks.iterdir()))
        (marks / str(tries)).touch()
        if tries < 2:
            raise OSError("the disk is away")
        return {"sum": data.inputs.sum(axis=1)}

    data = numbers(2 * BATCH)
    with cluster_at(local.scheduler_address) as cluster:
        results = run_shards(job(work), data, cluster)
    assert (np.concatenate([r["sum"] for r in results]) == data.inputs.sum(axis=1)).all()


@pytest.mark.usefixtures("here")
def test_a_shard_that_fails_again_and_again_ends_the_run(local: Any, tmp_path: Path) -> None:
    from snncc.execute.shards.cluster import cluster_at

    def work(data: Dataset) -> Any:
        if data.inputs[0, 0] == bad:
            raise MemoryError("4 GiB\nand more")
        return {"sum": data.inputs.sum(axis=1)}

    data = numbers(6 * BATCH)
    bad = data.inputs[4 * BATCH, 0]
    kept = Kept(job(work), data, tmp_path)
    with cluster_at(local.scheduler_address) as cluster, pytest.raises(SnnccError) as refused:
        run_shards(job(work), data, cluster, kept=kept)
    (found,) = refused.value.diagnostics
    assert found.rule.code == "SNN934"
    assert found.message == "samples 64..79 failed: 4 times, the last by MemoryError: 4 GiB"
    assert kept.load()


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_a_worker_that_dies_again_and_again_ends_the_run(local: Any) -> None:
    from snncc.execute.shards.cluster import cluster_at

    def work(data: Dataset) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    with cluster_at(local.scheduler_address) as cluster, pytest.raises(SnnccError) as refused:
        run_shards(job(work), numbers(BATCH), cluster)
    (found,) = refused.value.diagnostics
    assert found.rule.code == "SNN934"
    assert "its worker died 4 times" in found.message


@pytest.mark.usefixtures("here")
def test_workers_of_another_version_are_refused(
    snncc: Snncc, artefact: Path, samples: Path, local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snncc.execute.shards import cluster

    monkeypatch.setattr(cluster, "_version_here", lambda: "9.9")
    address = local.scheduler_address
    done = snncc("simulate", artefact, "--input", samples, "--scheduler", address)
    assert done.code == 2
    assert done.err.count("error[SNN933]") == 1
    assert "wanted 9.9 as here" in done.err


def test_a_worker_without_snncc_is_refused() -> None:
    from snncc.execute.shards import cluster

    absent = PackageNotFoundError("snncc")

    class Without:
        workers: ClassVar = {"tcp://node7:40001": absent}

        def run(self, *_: Any, **__: Any) -> Any:
            return self.workers

        def run_on_scheduler(self, *_: Any) -> Any:
            raise absent

    with pytest.raises(SnnccError, match="tcp://node7:40001 has no snncc, wanted"):
        cluster._check_versions(Without())
    Without.workers = {}
    with pytest.raises(SnnccError, match="the scheduler has no snncc, wanted"):
        cluster._check_versions(Without())


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("tcp://127.0.0.1:9", "does not answer: Timed out"),
        ("nowhere", "does not answer: missing port"),
        ("http://127.0.0.1:8787/status", "does not answer: unknown address scheme"),
        ("", "does not answer"),
    ],
)
def test_an_address_without_a_scheduler(
    snncc: Snncc, artefact: Path, samples: Path,
    monkeypatch: pytest.MonkeyPatch, address: str, words: str,
) -> None:  # fmt: skip
    from snncc.execute.shards import cluster

    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    done = snncc("energy", artefact, "--data", samples, "--scheduler", address)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("error[") == 1
    assert words in done.err
    assert "Traceback" not in done.err


def test_a_scheduler_without_workers(
    snncc: Snncc, artefact: Path, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snncc.execute.shards import cluster

    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with distributed.LocalCluster(n_workers=0, dashboard_address=None) as empty:
        address = empty.scheduler_address
        done = snncc("energy", artefact, "--data", samples, "--scheduler", address)
    assert done.code == 2
    assert "has had no worker for 1 seconds" in done.err
    assert f"dask worker {address}" in done.err


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_a_cluster_that_goes_away_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from snncc.execute.shards import cluster

    monkeypatch.setattr(cluster, "LOST_SECONDS", 1)
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)

    def work(data: Dataset) -> Any:
        import time

        time.sleep(0.1)
        return {"sum": data.inputs.sum(axis=1)}

    data = numbers(50 * BATCH)
    kept = Kept(job(work), data, tmp_path)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
    ) as doomed:

        def watch(done: int, _: int) -> None:
            if done == 3 * BATCH:
                doomed.scale(0)

        with (
            cluster.cluster_at(doomed.scheduler_address) as found,
            pytest.raises(SnnccError) as refused,
        ):
            run_shards(job(work), data, found, kept=kept, watch=watch)
    (diagnostic,) = refused.value.diagnostics
    assert diagnostic.rule.code == "SNN935"
    assert len(kept.load()) >= 3


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_workers_of_this_machine(snncc: Snncc, artefact: Path, many: Path) -> None:
    command = ("energy", artefact, "--data", many, "--format", "json")
    assert document(snncc(*command, "--workers", 2)) == document(snncc(*command))


@pytest.mark.slow
def test_ctrl_c_ends_workers_quietly_and_keeps_what_is_done(
    snncc: Snncc, artefact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal goes to the whole group of processes, as from a terminal."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = tmp_path / "cache" / "snncc" / "runs"
    np.save(tmp_path / "x.npy", np.random.default_rng(1).random((20_000, 1, 8, 8), np.float32))
    call = ["energy", str(artefact), "--data", str(tmp_path / "x.npy"), "--format", "json"]
    with subprocess.Popen(
        [sys.executable, "-m", "snncc", *call, "--workers", "2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as running:  # fmt: skip
        deadline = time.monotonic() + 100
        while not list(place.glob("*/*.npz")) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, "")
    assert "samples are done and kept in" in err
    assert "Traceback" not in err
    assert len(err.splitlines()) == 3
    again = snncc(*call)
    assert "resumed: " in again.err
    assert document(again) == document(snncc(*call))
    assert list(place.iterdir()) == []
