"""The executor against Lava: its stock processes, and our lanes.

    python benchmarks/lava_lanes.py

Method. The trained digits model (`examples/digits`), compiled for loihi2, on held-out images. Stock
processes are those of `snncc simulate --conformance`: `Conv`, `Dense` and `LIFReset` of lava-nc, a
layer at a time, one sample after the other; the lanes are those of `--backend lava`. Starting
processes takes seconds in Lava and says nothing of its speed, so each is run twice, with few and
with more samples, and the difference counts. Every run is held to the executor, spike for spike.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from timing import Row, machine, save

from snncc.artefact import Artefact, read_artefact
from snncc.backends.simulate import conform, simulate
from snncc.cli.guard import guarded
from snncc.execute.dataset import Dataset
from snncc.execute.executor import Executor

DIGITS = Path(__file__).parents[1] / "examples" / "digits"


def main() -> None:
    """Measure, print and save."""
    torch.set_num_threads(1)
    artefact = _digits()
    with np.load(DIGITS / "test.npz") as file:
        images = np.concatenate([file["x"]] * 8)
    ours = _executor(artefact, images)
    stage, operator = (partial(_lane, artefact, images, each) for each in ("stage", "operator"))
    runs: dict[str, tuple[Callable[[int], bool], int, int]] = {
        "stock processes": (partial(_stock, artefact, images), 1, 3),
        "lane, a process a stage": (stage, 64, 1088),
        "lane, a process an operator": (operator, 64, 1088),
    }
    rows: list[Row] = [_row("executor", ours, ours)]
    for name, (run, few, more) in runs.items():
        rows.append(_row(name, _slope(run, few, more), ours))
        print(rows[-1], flush=True)  # noqa: T201
    save("lava_lanes", rows, machine(1))


def _row(name: str, seconds: float, ours: float) -> Row:
    return {"run": name, "ms a sample": 1000 * seconds, "times the executor": seconds / ours}


def _digits() -> Artefact:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "digits"
        code = guarded(
            ["compile", str(DIGITS / "spikingformer.pth.tar"), "--target", "loihi2",
             "--data", str(DIGITS / "calibration.npz"), "-o", str(place)]
        )  # fmt: skip
        if code:
            raise SystemExit(code)
        return read_artefact(place)


def _executor(artefact: Artefact, images: np.ndarray) -> float:
    executor = Executor(artefact.integer)
    executor.run(images)
    started = time.perf_counter()
    executor.run(images)
    return (time.perf_counter() - started) / len(images)


def _slope(run: Callable[[int], bool], few: int, more: int) -> float:
    """Return the seconds that one more sample takes. Raises ``AssertionError`` for a wrong run."""
    seconds = []
    for samples in (few, more):
        started = time.perf_counter()
        if not run(samples):
            raise AssertionError(f"{samples} samples: not the executor's spikes")
        seconds.append(time.perf_counter() - started)
    return (seconds[1] - seconds[0]) / (more - few)


def _stock(artefact: Artefact, images: np.ndarray, samples: int) -> bool:
    cases = conform(artefact, Dataset(images[:samples], None), samples)
    return not any(case.mismatches for case in cases)


def _lane(artefact: Artefact, images: np.ndarray, granularity: str, samples: int) -> bool:
    data = Dataset(images[:samples], None)
    done = simulate(artefact, data, backend="lava", check=True, granularity=granularity)  # type: ignore[arg-type]
    return not done.mismatches


if __name__ == "__main__":
    main()
