"""Shards: every sample once, merged to the bit, kept, and taken up where a run was interrupted."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from snncc.execute.counts import BATCH, Counts, count
from snncc.execute.dataset import Dataset
from snncc.execute.shards import kept as keeping
from snncc.execute.shards import plan as planning
from snncc.execute.shards.counting import CountJob, count_sharded, merged
from snncc.execute.shards.job import Result, Work, digest_of, run_whole
from snncc.execute.shards.kept import Kept
from snncc.execute.shards.plan import Plan, Span
from snncc.execute.shards.run import HERE, run_shards
from snncc.ir.graph import Graph
from snncc.ir.io import sample_shape
from snncc.passes.base import run_passes
from snncc.passes.canonicalise import Canonicalise
from snncc.passes.to_steps import ToSteps

Networks = Callable[[int], Graph]


@dataclasses.dataclass
class Sum:
    """A job that adds up each sample, and counts how many samples it was shown."""

    name: str = "sum"
    fails_at: int | None = None
    seen: int = 0

    @property
    def identity(self) -> str:
        return digest_of(self.name)

    def start(self) -> Work:
        def work(data: Dataset) -> Result:
            if self.fails_at is not None and self.seen >= self.fails_at:
                raise KeyboardInterrupt
            self.seen += len(data)
            return {"sum": data.inputs.sum(axis=1)}

        return work


def numbers(count: int) -> Dataset:
    return Dataset(np.random.default_rng(0).random((count, 3)))


def summed(results: list[Result]) -> Any:
    return np.concatenate([result["sum"] for result in results])


def same(one: Counts, other: Counts) -> None:
    """Equal to the bit, in every field and type."""
    assert (one.samples, one.steps, list(one.ops)) == (other.samples, other.steps, list(other.ops))
    for name, op in one.ops.items():
        for field in dataclasses.fields(op):
            mine, theirs = getattr(op, field.name), getattr(other.ops[name], field.name)
            if isinstance(mine, np.ndarray):
                assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape), (name, field.name)
                assert mine.tobytes() == theirs.tobytes(), (name, field.name)
            else:
                assert mine == theirs, (name, field.name)


@pytest.mark.parametrize("seed", range(40))
def test_a_plan_hands_out_every_sample_once_in_whole_batches(seed: int) -> None:
    dice = Random(seed)  # noqa: S311
    samples = dice.randrange(1, 700)
    edges = sorted({BATCH * dice.randrange(0, 45) for _ in range(4)})
    ends = [min(stop, samples) for stop in edges]
    done = [Span(a, b) for a, b in zip(ends[::2], ends[1::2], strict=False) if a < b]
    plan = Plan(samples, done, sample_bytes=dice.choice((1, 10**6)), runners=dice.choice((1, 5)))
    taken = list(done)
    while span := plan.take():
        assert span.start % BATCH == 0
        taken.append(span)
        if dice.random() < 0.5:
            plan.took(span, dice.choice((0.0, 0.01, 1.0, 100.0)))
    covered = [i for start, stop in sorted(taken) for i in range(start, stop)]
    assert covered == list(range(samples))


def test_shards_take_as_long_as_they_should() -> None:
    plan = Plan(10_000)
    first = plan.take()
    assert first == (0, BATCH)
    plan.took(first, 0.5)
    assert plan.take() == (BATCH, BATCH + BATCH * int(planning.SHARD_SECONDS / 0.5))
    plan.took(first, 100.0)
    following = plan.take()
    assert following is not None
    assert following.stop - following.start == BATCH


def test_shards_that_are_sent_stay_small_and_are_shared() -> None:
    heavy = Plan(10_000, sample_bytes=planning.SHARD_BYTES // 64)
    fair = Plan(10_000, runners=4)
    for plan in (heavy, fair):
        plan.took(Span(0, BATCH), 0.0)
    assert heavy.take() == (0, 64)
    share = fair.take()
    assert share is not None
    assert share.stop <= 10_000 / 8 + BATCH


@pytest.mark.parametrize("seed", range(6))
def test_counts_of_shards_are_those_of_one_run(random_network: Networks, seed: int) -> None:
    steps = run_passes(random_network(seed), [Canonicalise(), ToSteps(), Canonicalise()]).graph
    x = np.random.default_rng(seed).random((5 * BATCH + 3, *sample_shape(steps)))
    expected = count(steps, x)
    assert any(op.value_in.dtype.kind == "f" for op in expected.ops.values())
    job, data = pickle.loads(pickle.dumps(CountJob(steps))), Dataset(x)  # noqa: S301
    plan, results = Plan(len(x)), []
    for span, result in HERE.run(job, data, plan):
        plan.seconds_a_batch = planning.SHARD_SECONDS / 2
        results.append((span, result))
    assert [span.start for span, _ in results] == [0, 16, 48, 80]
    same(merged([result for _, result in results]), expected)
    same(count_sharded(steps, x, run_whole), expected)
    with pytest.raises(ValueError, match="no samples"):
        count_sharded(steps, x[:0], run_whole)


def test_an_interrupted_run_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = numbers(1000)
    monkeypatch.setattr(planning, "SHARD_BYTES", 4 * BATCH * data.inputs[0].nbytes)
    told: list[int] = []
    broken = Sum(fails_at=500)
    with pytest.raises(KeyboardInterrupt):
        run_shards(broken, data, kept=Kept(broken, data, tmp_path))
    again = Sum()
    kept = Kept(again, data, tmp_path)
    results = run_shards(again, data, kept=kept, watch=lambda done, _: told.append(done))
    assert broken.seen == 16 + 8 * 64
    assert again.seen == 1000 - broken.seen
    assert (told[0], told[-1]) == (broken.seen, 1000)
    assert (summed(results) == data.inputs.sum(axis=1)).all()
    whole = Sum()
    assert len(run_shards(whole, data, kept=Kept(whole, data, tmp_path))) == len(results)
    assert whole.seen == 0
    kept.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_is_never_taken_for_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = numbers(64)
    labelled = Dataset(data.inputs, np.zeros(64, np.int64))
    other = Dataset(data.inputs.astype(np.float32))
    names = {Kept(*each, tmp_path).path for each in ((Sum(), data), (Sum("b"), data))}
    names |= {Kept(Sum(), each, tmp_path).path for each in (labelled, other, numbers(65))}
    monkeypatch.setattr(keeping, "__version__", "0.0.0")
    assert len(names | {Kept(Sum(), data, tmp_path).path}) == 6


def test_files_that_are_not_ours_are_ignored(tmp_path: Path) -> None:
    data = numbers(100)
    kept = Kept(Sum(), data, tmp_path)
    assert kept.load() == {}
    for span in (Span(0, 16), Span(16, 48), Span(32, 64), Span(64, 80), Span(80, 96)):
        kept.keep(span, {"sum": data.inputs[span.start : span.stop].sum(axis=1)})
    cut = kept.path / "64-80.npz"
    cut.write_bytes(cut.read_bytes()[:-60])
    np.savez(kept.path / "80-96.npz", sum=np.zeros(16))
    for name in ("1-16.npz", "96-200.npz", "96-96.npz", "notes.txt", "x.part"):
        (kept.path / name).write_bytes(b"")
    assert list(kept.load()) == [(0, 16), (16, 48)]
    job = Sum()
    assert (summed(run_shards(job, data, kept=kept)) == data.inputs.sum(axis=1)).all()
    assert job.seen == 100 - 48


def test_a_disk_that_takes_nothing_stops_no_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    data = numbers(100)
    kept = Kept(Sum(), data, tmp_path / "file")
    assert (summed(run_shards(Sum(), data, kept=kept)) == data.inputs.sum(axis=1)).all()


def test_one_shard_leaves_no_trace(tmp_path: Path) -> None:
    data = numbers(16)
    run_shards(Sum(), data, kept=Kept(Sum(), data, tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert keeping.runs_directory() == tmp_path / "snncc" / "runs"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert keeping.runs_directory() == Path.home() / ".cache" / "snncc" / "runs"


def test_a_digest_is_of_every_bit() -> None:
    graphs = [Graph((), {"w": np.zeros(4, kind)}, "step") for kind in (np.int8, np.float32)]
    graphs += [Graph((), {"w": np.ones(4, np.int8)}, "step"), Graph((), {}, "step", 2)]
    arrays = [np.zeros(4), np.zeros((2, 2)), np.zeros(4, np.float32), np.array([0.0, 0, 0, -0.0])]
    values = [(), (None,), ("a", "b"), ("ab",), (1,), ("1",), (1, 1)]
    found = [digest_of(each) for each in (*graphs, *arrays)] + [digest_of(*each) for each in values]
    assert len(set(found)) == len(found)
    assert digest_of(np.zeros((4, 4))[:, ::2]) == digest_of(np.zeros((4, 2)))
