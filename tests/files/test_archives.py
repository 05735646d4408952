"""An archive that unpacks to far more than it is long is known before any of it is unpacked."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from snncc.files.archives import OF_NETWORKS, BombError, Bounds, hold_archive

FEW = Bounds(1 << 10, 2)


def archive(path: Path, members: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", how) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return path


def test_what_is_stored_as_it_is_passes(tmp_path: Path) -> None:
    members = {"data.pkl": bytes(100), "data/0": bytes(1 << 20)}
    hold_archive(archive(tmp_path / "a.zip", members, zipfile.ZIP_STORED), FEW)


def test_one_member_and_all_together(tmp_path: Path) -> None:
    for members in ({"a": bytes(1 << 20)}, {f"a{i}": bytes(1 << 10) for i in range(20)}):
        with pytest.raises(BombError, match=r"unpacks to [\d,]+ bytes, wanted at most"):
            hold_archive(archive(tmp_path / "a.zip", members), FEW)


def test_an_archive_in_an_archive(tmp_path: Path) -> None:
    inner = archive(tmp_path / "inner.zip", {"a": bytes(1 << 20)}).read_bytes()
    outer = archive(tmp_path / "outer.zip", {"constants/c.pt": inner}, zipfile.ZIP_STORED)
    with pytest.raises(BombError, match="unpacks to 1,048,576 bytes"):
        hold_archive(outer, FEW)


def test_texts_are_parsed_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snncc.files.archives.MOST_TEXT", 1 << 10)
    made = archive(tmp_path / "a.zip", {"model.json": bytes(1 << 11)}, zipfile.ZIP_STORED)
    with pytest.raises(BombError, match=r"the member `model.json` of 2,048 bytes"):
        hold_archive(made, OF_NETWORKS)


def test_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snncc.files.archives.MOST_MEMBERS", 3)
    with pytest.raises(BombError, match="has 4 members"):
        hold_archive(archive(tmp_path / "a.zip", dict.fromkeys("abcd", b"")), OF_NETWORKS)


def test_a_member_that_says_two_sizes(tmp_path: Path) -> None:
    made = archive(tmp_path / "a.zip", {"a": bytes(100)}, zipfile.ZIP_STORED)
    content = bytearray(made.read_bytes())
    at = content.rindex(b"PK\x01\x02") + 24
    content[at : at + 4] = (200).to_bytes(4, "little")
    made.write_bytes(content)
    with pytest.raises(BombError, match="says two sizes"):
        hold_archive(made, OF_NETWORKS)


def test_no_reader_unpacks_more_than_an_archive_says(tmp_path: Path) -> None:
    """So what it says is all that has to be held."""
    content = bytearray(archive(tmp_path / "a.zip", {"a": bytes(1 << 20)}).read_bytes())
    for mark, place in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = content.index(mark) + place
        content[at : at + 4] = (64).to_bytes(4, "little")
    with (
        zipfile.ZipFile(io.BytesIO(bytes(content))) as lying,
        lying.open("a") as member,
        pytest.raises(zipfile.BadZipFile),
    ):
        assert len(member.read()) <= 64
