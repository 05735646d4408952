"""`snncc compile` of published networks at 224x224, start to artefact, with 16 calibration images.

    python benchmarks/compile.py

Method. Checkpoints with random weights whose layers fire (`networks.py`) and 16 images of noise are
written to a temporary folder; then the command itself runs, as a user runs it, in a process of its
own with two threads: load, trace, fold, check, compare with the module's own code, calibrate,
quantize, map, run the integers on all images, report, write. Seconds are wall time; peak memory is
that of the process.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from networks import lively
from timing import Row, machine, save

NETWORKS = ("spikingformer-8-512", "spikingformer-8-768")
IMAGES, THREADS = 16, 2


def main() -> None:
    """Measure, print and save."""
    names = sys.argv[1:] or NETWORKS
    rows = []
    for name in names:
        rows.append(measured(name))
        print(rows[-1], flush=True)  # noqa: T201
    save("compile", rows, machine(THREADS))


def measured(name: str) -> Row:
    """Return seconds and peak memory of one command."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        model = lively(name)
        torch.save(model.module.state_dict(), place / f"{name}.pth")
        shape = model.example_inputs[0].shape[1:]
        images = np.random.default_rng(1).random((IMAGES, *shape)).astype(np.float32)
        np.savez(place / "images.npz", x=images)
        command = [
            sys.executable, "-m", "snncc", "compile", str(place / f"{name}.pth"),
            "--target", "loihi2", "--data", str(place / "images.npz"), "-o", str(place / "out"),
        ]  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
        subprocess.run(command, check=True, capture_output=True, env=environment)
        seconds = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        size = sum(each.stat().st_size for each in (place / "out").iterdir())
    return {
        "network": name, "images": IMAGES, "seconds": seconds,
        "processor seconds": after.ru_utime - before.ru_utime,
        "peak GB": after.ru_maxrss / 2**20, "artefact MB": size / 1e6,
    }  # fmt: skip


if __name__ == "__main__":
    main()
