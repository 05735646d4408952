"""An archive that unpacks to far more than it is long is known before any of it is unpacked."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
import torch

from snncc.files.archives import OF_NETWORKS, UNREADABLE, BombError, Bounds, hold_archive

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


def test_a_packed_archive_in_an_archive(tmp_path: Path) -> None:
    """Each member of it would be looked for from its first byte on: hours, for a small file."""
    inner = archive(tmp_path / "inner.zip", {"a": bytes(10)}).read_bytes()
    outer = archive(tmp_path / "outer.zip", {"constants/c.pt": inner})
    with pytest.raises(BombError, match=r"packed member `constants/c\.pt`, itself"):
        hold_archive(outer, OF_NETWORKS)


def test_members_are_met_in_the_order_of_their_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an archive in another says last would else be read from its first byte on, too."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        for name in "abc":
            made.writestr(name, b"")
        made.filelist.reverse()
    met: list[str] = []
    monkeypatch.setattr(
        "snncc.files.archives._hold_member", lambda _, member, *rest: met.append(member.filename)
    )
    hold_archive(tmp_path / "a.zip", OF_NETWORKS)
    assert met == ["a", "b", "c"]


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


def with_two_tables(small: int) -> bytes:
    """Return an archive in which a second table, of the same length, says that a member is small.

    Our reader moves all offsets by as much as the end is farther away than it says, so the members
    stand behind as many bytes as a table has.
    """
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a/version", b"3")
        made.writestr("a/b", bytes(1 << 20))
    content = written.getvalue()
    first, last = (find(b"PK\x01\x02") for find in (content.index, content.rindex))
    table, end = content[first:-22], bytearray(content[-22:])
    told, other = bytearray(table), bytearray(table)
    for entry in (0, last - first):
        place = slice(entry + 42, entry + 46)
        told[place] = (int.from_bytes(told[place], "little") + len(table)).to_bytes(4, "little")
    other[last - first + 24 : last - first + 28] = small.to_bytes(4, "little")
    end[16:20] = (len(table) + first).to_bytes(4, "little")
    return bytes(len(table)) + content[:first] + bytes(told + other + end)


def test_a_second_table_of_contents(tmp_path: Path) -> None:
    """torch reads the first one, in which the member is large."""
    made = tmp_path / "a.pt"
    made.write_bytes(with_two_tables(16))
    with zipfile.ZipFile(made) as ours:
        assert [each.file_size for each in ours.infolist()] == [1, 16]
    theirs = torch._C.PyTorchFileReader(str(made))
    assert len(theirs.get_record("b")) == 1 << 20
    with pytest.raises(BombError, match="more than one place for its table of contents"):
        hold_archive(made, FEW)


@pytest.mark.parametrize("behind", [b"\0", b"PK\x05\x06" + bytes(18)])
def test_nothing_stands_behind_the_end(tmp_path: Path, behind: bytes) -> None:
    made = archive(tmp_path / "a.zip", {"a": bytes(100)})
    made.write_bytes(made.read_bytes() + behind)
    with pytest.raises((BombError, *UNREADABLE)):
        hold_archive(made, FEW)


@pytest.mark.parametrize("at", [8, 12, 40, 48])
def test_an_end_of_64_bits_that_means_another_place(tmp_path: Path, at: int) -> None:
    """torch writes such ends always; what they say is held to where they stand."""
    made = tmp_path / "a.pt"
    torch.save({"w": torch.zeros(4)}, made)
    hold_archive(made, FEW)
    content = bytearray(made.read_bytes())
    long = content.rindex(b"PK\x06\x06")
    place = long + at if at >= 40 else long + 56 + at
    content[place] ^= 1
    made.write_bytes(content)
    with pytest.raises((BombError, *UNREADABLE)):
        hold_archive(made, FEW)


def test_sizes_in_64_bits_are_said_once(tmp_path: Path) -> None:
    member = zipfile.ZipInfo("a")
    member.extra = 2 * (b"\x01\0\x08\0" + (100).to_bytes(8, "little"))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr(member, bytes(100))
    with pytest.raises(BombError, match="says two sizes"):
        hold_archive(tmp_path / "a.zip", FEW)
