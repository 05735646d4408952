"""Ten thousand mutated NIR and netx files: each is read or refused, none crashes."""

from __future__ import annotations

import collections
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from snncc.diagnostics.core import SnnccError
from snncc.frontends import hdf5
from snncc.frontends.hdf5 import read_tree
from snncc.frontends.load import load_model

HERE = Path(__file__).parent
COUNT = int(os.environ.get("SNNCC_MUTATIONS", "10000"))


def nir_file(path: Path) -> None:
    random = np.random.default_rng(0)
    shape = (2, 4, 4)
    nodes: dict[str, Any] = {
        "input": nir.Input(np.array([1, 4, 4])),
        "conv": nir.Conv2d((4, 4), random.normal(size=(2, 1, 3, 3)), 1, 1, 1, 1, np.ones(2)),
        "lif": nir.LIF(*(np.full(shape, v) for v in (2e-4, 1.0, 0.0, 1.0)), np.zeros(shape)),
        "pool": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flatten": nir.Flatten(np.array([2, 2, 2]), 0, -1),
        "fc": nir.Affine(random.normal(size=(5, 8)), np.ones(5)),
        "cuba": nir.CubaLIF(
            *(np.full(5, v) for v in (5e-4, 2e-4, 2.0, 0.0, 1.0)), np.zeros(5), np.full(5, 5.0)
        ),
        "fc2": nir.Linear(random.normal(size=(5, 5))),
        "if": nir.IF(np.full(5, 1e4), np.ones(5), np.zeros(5)),
        "output": nir.Output(np.array([5])),
    }
    names = list(nodes)
    nir.write(path, nir.NIRGraph(nodes, list(itertools.pairwise(names))))


def netx_file(path: Path) -> None:
    """Write a small file as snncc does, its head beside it."""
    from snncc.backends.netx.write import write_netx
    from snncc.ir import domain as dom
    from snncc.ir import ops
    from snncc.ir.graph import Graph

    random = np.random.default_rng(0)
    weights: dict[str, Any] = {
        "c.w": random.integers(-9, 9, (2, 1, 3, 3)).astype(np.int8), "c.b": np.ones(2, np.int16),
        "n.t": np.array(9_000), "f.w": random.integers(-9, 9, (5, 8)).astype(np.int8),
        "m.t": np.arange(5) * 512 + 513, "h.w": np.ones((3, 5), np.int8), "y.s": np.ones(3),
    }  # fmt: skip
    made = (
        ops.Input(name="x", shape=(1, 4, 4), domain=dom.integers(0, 16), scale=1 / 16),
        ops.Repeat(name="r", inputs=("x",)),
        ops.Conv(name="c", inputs=("r",), weight="c.w", bias="c.b", stride=(2, 2), padding=(1, 1),
                 dilation=(1, 1)),
        ops.IntegerNeuron(name="n", inputs=("c",), threshold="n.t", decay=2048, shift=9),
        ops.Reshape(name="s", inputs=("n",), shape=(8,)),
        ops.Linear(name="f", inputs=("s",), weight="f.w"),
        ops.IntegerNeuron(name="m", inputs=("f",), threshold="m.t", decay=2048, shift=9),
        ops.Linear(name="h", inputs=("m",), weight="h.w"),
        ops.Readout(name="ro", inputs=("h",), steps=4),
        ops.Output(name="y", inputs=("ro",), scale="y.s"),
    )  # fmt: skip
    write_netx(Graph(made, weights, "step", 4), path)


FILES = {".nir": nir_file, ".net": netx_file}


def tried(file: Path, count: int) -> dict[int, str]:
    """What became of each mutated copy; `fault` where HDF5's library took the process with it."""
    found: dict[int, str] = {}
    while len(found) < count:
        command = [sys.executable, str(HERE / "mutate_hdf5.py"), str(file), "1"]
        done = subprocess.run(
            [*command, str(len(found)), str(count)], check=False, capture_output=True, text=True
        )
        for line in done.stdout.splitlines():
            number, _, what = line.partition(" ")
            if number:
                found[int(number)] = what or "fault"
        last = done.stderr.strip().splitlines()[-1:] or [""]
        # A fault of the library has no traceback of Python's, or hangs in h5py.
        assert not done.returncode or "h5py" in done.stderr, last
    return found


def check(suffix: str, count: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Try copies; those on which the library fails are refused when read the usual way."""
    import importlib.util

    file = folder / f"whole{suffix}"
    FILES[suffix](file)
    load_model(str(file)).origin.graph()
    found = tried(file, count)
    assert set(found) == set(range(count))
    counts = collections.Counter(found.values())
    assert counts["read"] > count / 20
    assert counts["long"] == 0
    spec = importlib.util.spec_from_file_location("mutate_hdf5", HERE / "mutate_hdf5.py")
    assert spec is not None
    assert spec.loader is not None
    mutate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mutate)
    monkeypatch.setattr(hdf5, "LEAST_SECONDS", 2)
    for number in [n for n, what in found.items() if what == "fault"]:
        copy = folder / f"copy{suffix}"
        mutate.make(copy, file.read_bytes(), np.random.default_rng([1, number]))
        with pytest.raises(SnnccError) as refused:
            load_model(str(copy))
        assert [d.rule.code for d in refused.value.diagnostics] == ["SNN171"]


@pytest.mark.parametrize("suffix", FILES)
def test_some_mutated_files(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(suffix, 30, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", FILES)
def test_ten_thousand_mutated_files(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(suffix, COUNT, tmp_path, monkeypatch)


def test_a_reader_that_crashes_or_hangs_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nir_file(tmp_path / "whole.nir")
    crash = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr(hdf5, "_CHILD", crash)
    with pytest.raises(SnnccError, match=r"HDF5's library fails on it \(signal 11\)"):
        read_tree(tmp_path / "whole.nir")
    monkeypatch.setattr(hdf5, "_CHILD", "import time; time.sleep(60)")
    monkeypatch.setattr(hdf5, "LEAST_SECONDS", 0.1)
    with pytest.raises(SnnccError, match="does not end"):
        read_tree(tmp_path / "whole.nir")
