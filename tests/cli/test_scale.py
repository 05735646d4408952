"""`--workers`, `--scheduler`, progress and resuming: what needs no cluster."""

from __future__ import annotations

import importlib.util
import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc.execute.shards import plan
from snncc.execute.shards.run import Here
from snncc.ir.interpret import interpret

Snncc = Callable[..., Any]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "snncc" / "runs"


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seventy labelled images: four batches and a part of one."""
    path = tmp_path_factory.mktemp("data") / "many.npz"
    rng = np.random.default_rng(1)
    np.savez(path, x=rng.random((70, 1, 8, 8)).astype(np.float32), y=rng.integers(0, 3, 70))
    return path


@pytest.fixture
def batchwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of one batch, whatever time they take."""
    monkeypatch.setattr(plan, "SHARD_SECONDS", 0.0)


def stopping(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Interrupt every run here after some shards."""
    run = Here.run

    def stopped(self: Here, *arguments: Any) -> Iterator[Any]:
        for number, found in enumerate(run(self, *arguments)):
            if number == after:
                raise KeyboardInterrupt
            yield found

    monkeypatch.setattr(Here, "run", stopped)


@pytest.mark.parametrize(
    "command",
    [("energy", "--energy-model", "counted-45nm", "--data"), ("simulate", "--verify", "--input")],
)
@pytest.mark.usefixtures("batchwise")
def test_an_interrupt_is_resumed(
    snncc: Snncc, artefact: Path, many: Path, cache: Path,
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...],
) -> None:  # fmt: skip
    name, *options = command
    call = (name, artefact, *options, many, "--format", "json")
    whole = snncc(*call)
    assert whole.code == 0
    assert "resumed" not in whole.err
    assert not cache.exists() or list(cache.iterdir()) == []
    with monkeypatch.context() as patch:
        stopping(patch, after=3)
        done = snncc(*call)
    assert (done.code, done.out) == (130, "")
    (place,) = cache.iterdir()
    assert f"48 of 70 samples are done and kept in {place}" in done.err
    assert "the same command goes on from there" in done.err
    other = snncc(*call, "--limit", 64)
    assert "resumed" not in other.err
    with monkeypatch.context() as patch:
        stopping(patch, after=2)
        again = snncc(*call)
    assert f"resumed: 48 of 70 samples were done, {place}" in again.err
    assert without_seconds(again.out) == without_seconds(whole.out)
    assert list(cache.iterdir()) == []


def without_seconds(text: str) -> Any:
    document = json.loads(text)
    document.pop("seconds", None)
    return document


@pytest.mark.usefixtures("batchwise")
def test_a_second_interrupt_keeps_both_parts(
    snncc: Snncc, artefact: Path, many: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        with monkeypatch.context() as patch:
            stopping(patch, after=2)
            done = snncc("simulate", artefact, "--input", many)
    assert "resumed: 32 of 70" in done.err
    assert "64 of 70 samples are done" in done.err
    (place,) = cache.iterdir()
    assert sorted(file.name for file in place.iterdir()) == [
        "0-16.npz", "16-32.npz", "32-48.npz", "48-64.npz",
    ]  # fmt: skip


def test_an_interrupt_before_anything_is_done_says_no_more(
    snncc: Snncc, artefact: Path, many: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping(monkeypatch, after=0)
    done = snncc("energy", artefact, "--data", many)
    assert (done.code, done.err) == (130, "interrupted\n")
    assert not cache.exists()


@pytest.mark.usefixtures("batchwise")
def test_a_mismatch_is_the_first_of_all_shards(
    snncc: Snncc, artefact: Path, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first in the order of the network, wherever the shards are cut."""
    from snncc.backends import simulate as lane

    seen = iter(range(100))

    def wrong(graph: Any, x: Any) -> Any:
        values = interpret(graph, x)
        layers = [op.name for op in graph.of_kind("integer_neuron")]
        batch = next(seen)
        if batch in (1, 2):
            values[layers[3 - batch]] = values[layers[3 - batch]].copy()
            values[layers[3 - batch]][1, batch].flat[0] ^= 1
        return values

    monkeypatch.setattr(lane, "interpret", wrong)
    done = snncc("simulate", artefact, "--input", many, "--verify", "--format", "json")
    document = json.loads(done.out)
    assert done.code == 1
    assert document["mismatches"] == 2
    assert document["first_mismatch"]["sample"] == 34


REFUSED = [
    (("simulate", "--workers", 2, "--scheduler", "tcp://a:1", "--input"), "SNN931", "one of them"),
    (("simulate", "--workers", 2, "--backend", "lava", "--input"), "SNN931", "Lava takes"),
    (("simulate", "--scheduler", "a", "--pipelined", "--input"), "SNN931", "back to back"),
    (("energy", "--workers", 2, "--energy-model", "ann-45nm"), "SNN931", "no --data"),
    (("simulate", "--workers", 0, "--input"), "--workers", "0 is not in the range x>=1"),
    (("energy", "--workers", "x", "--data"), "--workers", "not a valid integer range"),
]


@pytest.mark.parametrize(("command", "code", "words"), REFUSED)
def test_what_is_refused(
    snncc: Snncc, artefact: Path, samples: Path, command: tuple[Any, ...], code: str, words: str
) -> None:
    name, *options = command
    data = [samples] if str(options[-1]) in ("--input", "--data") else []
    done = snncc(name, artefact, *options, *data)
    assert (done.code, done.out) == (2, "")
    assert code in done.err
    assert words in done.err


def test_without_dask_the_cure_is_told(
    snncc: Snncc, artefact: Path, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    done = snncc("simulate", artefact, "--input", samples, "--workers", 2)
    assert done.code == 2
    assert "error[SNN930]" in done.err
    assert "pip install 'snncc[cluster]'" in done.err


@pytest.mark.slow
def test_one_process_needs_no_dask(artefact: Path, samples: Path) -> None:
    code = (
        "import sys; from snncc.cli.guard import guarded\n"
        f"assert guarded(['simulate', {str(artefact)!r}, '--input', {str(samples)!r}]) == 0\n"
        "assert not {'dask', 'distributed'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.usefixtures("batchwise")
def test_a_terminal_shows_how_far_it_is(
    snncc: Snncc, artefact: Path, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snncc.cli import progress

    ours, theirs = pty.openpty()
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    shown: list[bytes] = []

    def read() -> None:
        while data := os.read(ours, 1 << 16):
            shown.append(data)
            if b"END" in data:
                return

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        work(monkeypatch)
        done = snncc("simulate", artefact, "--input", many, "--format", "json")
        terminal.write("END")
        terminal.flush()
        reader.join()
    os.close(ours)
    screen = b"".join(shown)
    assert done.code == 0
    assert re.search(rb"\d+/70.* samples", screen)
    assert b"left" in screen


def work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each shard take long enough for the bar to be drawn."""
    import time

    run = Here.run

    def slow(self: Here, *arguments: Any) -> Iterator[Any]:
        for found in run(self, *arguments):
            yield found
            time.sleep(0.15)

    monkeypatch.setattr(Here, "run", slow)


def test_a_pipe_gets_no_bar(snncc: Snncc, artefact: Path, many: Path) -> None:
    done = snncc("energy", artefact, "--data", many)
    assert len(done.err.splitlines()) == 1  # what to do next
