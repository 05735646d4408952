"""What is no file is named, and never opened: a named pipe would be waited for without end."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from snncc.artefact import read_artefact
from snncc.cli.guard import guarded
from snncc.files.kinds import kind_of


def test_files_and_links_to_them(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    assert kind_of(tmp_path / "file") == kind_of(tmp_path / "link") == ""


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "socket"))
        assert kind_of(tmp_path / "socket") == "is a socket, not a file"
    assert kind_of(tmp_path / "pipe") == "is a named pipe, not a file"
    assert kind_of(tmp_path / "dangling") == "is a link to nothing"
    assert kind_of(tmp_path / "circle").startswith("leads nowhere: ")
    assert kind_of(tmp_path) == "is a folder, not a file"
    assert kind_of(tmp_path / "none") == "does not exist"
    assert kind_of(tmp_path / "nul\0") == "leads nowhere: embedded null byte"
    assert kind_of(Path(os.devnull)) == "is a device, not a file"


@pytest.mark.parametrize("end", ["onnx", "nir", "net", "pt2", "pth", "safetensors"])
def test_a_pipe_as_a_model(end: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / f"a.{end}")
    assert guarded(["check", str(tmp_path / f"a.{end}")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error[SNN101]: ")
    assert "is a named pipe, not a file" in " ".join(said.split())
    assert ":1" not in said, "what is no text has no lines"


def test_a_pipe_as_a_target_and_as_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("t.toml", "d.npz"):
        os.mkfifo(tmp_path / name)
    assert guarded(["targets", str(tmp_path / "t.toml")]) == 2
    assert "is a named pipe" in " ".join(capsys.readouterr().err.split())


def test_a_pipe_in_an_artefact(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "manifest.json")
    with pytest.raises(Exception, match=r"has no manifest\.json"):
        read_artefact(tmp_path)
