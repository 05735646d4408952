"""What cannot be written is one finding with its reason, known before anything is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snncc.backends.writers import check_writable, writer_of
from snncc.cli.guard import guarded
from snncc.diagnostics.core import SnnccError


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none/o.onnx", "there is no folder"),
        ("file/o.onnx", "it leads nowhere: Not a directory"),
        ("folder.onnx", "it is a folder, not a file"),
        ("pipe.onnx", "it is a named pipe, not a file"),
        ("x" * 300 + ".onnx", "it leads nowhere: File name too long"),
    ],
)
def test_each_has_its_reason(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.onnx").mkdir()
    os.mkfifo(tmp_path / "pipe.onnx")
    path = tmp_path / name
    with pytest.raises(SnnccError, match=f"cannot be written: {reason}") as refused:
        check_writable(path, writer_of(path), {})
    assert refused.value.diagnostics[0].rule.code == "SNN902"
    assert guarded(["convert", str(tmp_path / "no.nir"), str(path)]) == 2


def test_the_end_of_a_name_may_be_in_capitals(tmp_path: Path) -> None:
    assert writer_of(tmp_path / "A.NIR").name == "NIR"
    for odd in ("a.", "a.onnx.txt", ".onnx"):
        with pytest.raises(SnnccError, match="does not say which format"):
            writer_of(tmp_path / odd)
