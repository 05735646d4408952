"""HDF5 files that were made to do harm: one finding, exit code 2, no traceback, bounded memory."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from snncc.diagnostics.core import SnnccError
from snncc.frontends import hdf5, hdf5_child
from snncc.frontends.hdf5 import read_tree


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in this process: what is tested is what the reader refuses, not where it runs."""
    inside: Callable[[Path, str], None] = lambda p, f: hdf5_child.main(str(p), f)  # noqa: E731
    monkeypatch.setattr(hdf5, "_read_apart", inside)


def code_of(path: Path) -> tuple[str, str]:
    with pytest.raises(SnnccError) as refused:
        read_tree(path)
    (found,) = refused.value.diagnostics
    return found.rule.code, found.message


def huge(file: Any) -> None:
    file.create_dataset("w", (1 << 20, 1 << 20), "f4", chunks=(1, 1), compression="gzip")


def huge_plain(file: Any) -> None:
    file.create_dataset("w", (1 << 26,), "f4")


def many_of_them(file: Any) -> None:
    for index in range(5):
        data = np.zeros(1 << 26, np.float32)
        file.create_dataset(f"w{index}", data=data, chunks=(1 << 20,), compression="gzip")


def unpacks_to_more(file: Any, size: int = 1 << 20) -> None:
    made = file.create_dataset("w", (16,), "f4", chunks=(16,), compression="gzip")
    made.id.write_direct_chunk((0,), zlib.compress(bytes(size), 1))


def unpacks_to_more_unshuffled(file: Any) -> None:
    """The part says that it was not shuffled; it is packed all the same."""
    made = file.create_dataset("w", (16,), "f4", chunks=(16,), compression="gzip", shuffle=True)
    made.id.write_direct_chunk((0,), zlib.compress(bytes(1 << 20), 1), filter_mask=1)


def huge_chunk(file: Any) -> None:
    made = file.create_dataset("w", (1,), "f4", maxshape=(None,), chunks=(1 << 29,))
    del made


def external_link(file: Any) -> None:
    file["w"] = h5py.ExternalLink("/etc/hostname", "w")


def soft_link(file: Any) -> None:
    file["v"] = 1
    file["w"] = h5py.SoftLink("/v")


def external_storage(file: Any) -> None:
    file.create_dataset("w", (4,), "u1", external=[("/etc/hostname", 0, 4)])


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("/etc/hostname", "w", (4,))
    file.create_virtual_dataset("w", layout)


def other_filter(file: Any) -> None:
    file.create_dataset("w", data=np.zeros(64), compression="lzf")


def group_in_itself(file: Any) -> None:
    group = file.create_group("a")
    group["a"] = group


def deep(file: Any) -> None:
    file.create_group("/".join("abcd" * 20))


def texts(file: Any) -> None:
    kind = h5py.string_dtype()
    file.create_dataset("w", data=np.array(["x" * 100_000] * 400, dtype=object), dtype=kind)


def compound(file: Any) -> None:
    file.create_dataset("w", data=np.zeros(3, dtype=[("a", "f4"), ("b", "i4")]))


def references(file: Any) -> None:
    file.create_dataset("w", (1,), dtype=h5py.ref_dtype)


def empty(file: Any) -> None:
    file.create_dataset("w", data=h5py.Empty("f4"))


HOSTILE: dict[str, tuple[Callable[[Any], None], str]] = {
    "huge": (huge, "SNN172"),
    "huge, not stored": (huge_plain, "SNN172"),
    "many": (many_of_them, "SNN172"),
    "zip bomb": (unpacks_to_more, "SNN172"),
    "zip bomb, not shuffled": (unpacks_to_more_unshuffled, "SNN172"),
    "huge chunk": (huge_chunk, "SNN172"),
    "external link": (external_link, "SNN173"),
    "soft link": (soft_link, "SNN173"),
    "external storage": (external_storage, "SNN173"),
    "virtual": (virtual, "SNN173"),
    "filter": (other_filter, "SNN173"),
    "a group in itself": (group_in_itself, "SNN172"),
    "deep": (deep, "SNN172"),
    "texts": (texts, "SNN172"),
    "compound": (compound, "SNN171"),
    "references": (references, "SNN171"),
    "empty": (empty, "SNN171"),
}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("case", [name for name in HOSTILE if name != "many"])
def test_hostile_files_are_refused(case: str, tmp_path: Path) -> None:
    make, code = HOSTILE[case]
    with h5py.File(tmp_path / "a.nir", "w") as file:
        make(file)
    assert code_of(tmp_path / "a.nir")[0] == code


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_many_arrays_that_pack_well_are_too_many_together(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nir", "w") as file:
        many_of_them(file)
    assert code_of(tmp_path / "a.nir")[0] == "SNN172"


@pytest.mark.usefixtures("here")
def test_files_that_are_none(tmp_path: Path) -> None:
    assert code_of(tmp_path / "absent.nir")[0] == "SNN101"
    (tmp_path / "text.nir").write_text("hello")
    assert code_of(tmp_path / "text.nir")[0] == "SNN170"
    with h5py.File(tmp_path / "a.nir", "w") as file:
        file["node/weight"] = np.zeros(1000)
    (tmp_path / "cut.nir").write_bytes((tmp_path / "a.nir").read_bytes()[:1500])
    code, message = code_of(tmp_path / "cut.nir")
    assert code == "SNN171"
    assert "truncated" in message


@pytest.mark.usefixtures("here")
def test_what_is_plain_comes_through(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nir", "w") as file:
        file["text"] = "one"
        file["bytes"] = np.array([b"two"], dtype="S10")
        names = np.array([["a", "b"], ["c", "d"]], dtype=object)
        file.create_dataset("names", data=names, dtype=h5py.string_dtype())
        file.create_dataset("inner/packed", data=np.arange(1000), compression="gzip", shuffle=True)
        file["number"] = np.float32(0.5)
    tree: Any = read_tree(tmp_path / "a.nir")
    assert (tree["text"], tree["bytes"], float(tree["number"])) == ("one", "two", 0.5)
    assert tree["names"].tolist() == [["a", "b"], ["c", "d"]]
    np.testing.assert_array_equal(tree["inner"]["packed"], np.arange(1000))


@pytest.mark.skipif(importlib.util.find_spec("resource") is None, reason="no resource")
def test_memory_stays_bounded_and_the_exit_code_is_2(tmp_path: Path) -> None:
    """A file of 3 MB that would unpack to 600 MB in a part of 64 bytes, from the command line."""
    with h5py.File(tmp_path / "bomb.nir", "w") as file:
        unpacks_to_more(file, 600 << 20)
    code = (
        "import resource, sys; from snncc.cli import main\n"
        "try: main(['inspect', sys.argv[1]])\n"
        "except SystemExit as end: code = end.code\n"
        "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n"
        "print(code, peak)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "bomb.nir")], capture_output=True, text=True,
        check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    code_, peak = done.stdout.split()
    assert code_ == "2"
    assert int(peak) < 450_000, "kilobytes"
    assert "error[SNN172]: " in done.stderr
    assert "Traceback" not in done.stderr
