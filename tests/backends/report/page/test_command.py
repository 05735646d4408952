"""``snncc report``: a file whole or not at all, one diagnostic for what cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snncc.backends.report.page import write
from snncc.backends.report.page.network import Network
from snncc.backends.report.page.write import usual_name, write_file
from snncc.cli.guard import guarded
from snncc.diagnostics.core import SnnccError


def run(*words: object) -> int:
    return guarded(["report", *(str(word) for word in words)])


def test_a_page_is_written_where_it_was_asked_for(
    plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(plain, "-o", tmp_path / "page.html") == 0
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert [f.name for f in tmp_path.iterdir()] == ["page.html"]
    told = capsys.readouterr()
    assert told.out == ""
    assert "wrote" in told.err


def test_a_name_is_made_where_none_was_given(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(plain, "--format", "svg", "--figure", "rates") == 0
    (written,) = tmp_path.iterdir()
    assert written.name == "Residual-rates.svg"


def test_a_summary_goes_to_stdout(
    plain: Path, sew: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(plain, "--compare", sew, "--format", "md") == 0
    assert capsys.readouterr().out.startswith("## A: ")


def test_a_png_is_one(plain: Path, tmp_path: Path) -> None:
    assert run(plain, "--format", "png", "--figure", "floor", "-o", tmp_path / "f.png") == 0
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["absent"], "SNN140"),
        (["{plain}", "--compare", "absent"], "SNN140"),
        (["{plain}", "--format", "png", "--figure", "nothing"], "SNN940"),
        (["{plain}", "--format", "svg"], "SNN940"),
        (["{plain}", "-o", "no/such/folder.html"], "SNN902"),
        (["{plain}", "-o", "."], "SNN902"),
    ],
)
def test_what_cannot_be_used_is_one_diagnostic(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], words: list[str], code: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(*(word.format(plain=plain) for word in words)) == 2
    told = capsys.readouterr()
    assert told.err.count("error[") == 1
    assert f"error[{code}]" in told.err
    assert "Traceback" not in told.err
    assert list(tmp_path.iterdir()) == []


def test_a_figure_is_of_no_page(plain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(plain, "--figure", "rates") == 2
    assert "--format png or svg" in capsys.readouterr().err


def test_an_older_file_stays_where_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "page.html"
    place.write_bytes(b"old")

    def fail(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(SnnccError, match="No space left"):
        write_file(place, b"new")
    assert place.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["page.html"]  # noqa: PTH208


def test_a_link_still_leads_to_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    link, behind = tmp_path / "page.html", tmp_path / "pages" / "today.html"
    link.symlink_to(behind)
    write_file(link, b"new")
    assert link.is_symlink()
    assert behind.read_bytes() == b"new"


@pytest.mark.parametrize(
    ("name", "wanted"), [("../x", "x-report.html"), ("a b/<c>", "a-b--c--report.html")]
)
def test_a_name_of_a_model_is_no_path(network: Network, name: str, wanted: str) -> None:
    import dataclasses

    hostile = dataclasses.replace(network, name=name)
    assert usual_name([hostile], "html", None) == wanted


def test_the_content_of_each_format(network: Network) -> None:
    assert write.content_of([network], "md").startswith(b"## ")
