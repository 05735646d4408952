"""Archives that unpack to more than they say, or than a network takes, where they are trusted."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snncc.frontends.prepare import prepared
from snncc.models.neuron import LIF

Snncc = Callable[..., Any]

UNREAD = (".format_version", ".storage_alignment", "archive_version", "byteorder")
"""Members that torch reads the first bytes of, or none."""


class Net(nn.Module):
    """One layer of neurons, three steps of one image."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1, self.head = nn.Linear(4, 5), LIF(), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.lif1(self.fc1(x).expand(3, -1, -1))).mean(0)
        return y


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, net = tmp_path_factory.mktemp("program") / "net.pt2", Net()
    with prepared(net):
        torch.export.save(torch.export.export(net, (torch.zeros(2, 4),), strict=False), path)
    return path


def packed(whole: Path, made: Path, large: str, size: int, said: int) -> Path:
    """Write an archive again, a member of it ``size`` zeros, said to be ``said`` bytes."""
    written = io.BytesIO()
    with zipfile.ZipFile(whole) as before, zipfile.ZipFile(written, "w", 8) as after:
        for name in before.namelist():
            after.writestr(name, bytes(size) if name == large else before.read(name))
    content, old = written.getvalue(), size.to_bytes(4, "little")
    assert content.count(old) >= 2, "in front of the member and in the table"
    made.write_bytes(content.replace(old, said.to_bytes(4, "little")))
    return made


def judged(snncc: Snncc, made: Path) -> str:
    """Return the one error of a file that is refused, nothing for one that is not."""
    done = snncc("check", made, "--trust-pickle")
    errors = [line for line in done.err.splitlines() if line.startswith("error[")]
    assert "Traceback" not in done.err
    assert len(errors) == (done.code == 2)
    return "".join(errors)


@pytest.mark.parametrize("form", ["net.pt2", "net.pth.tar"])
def test_a_bomb_is_refused(
    form: str, snncc: Snncc, program: Path, compliant: Path, tmp_path: Path
) -> None:
    whole, size = program if form == "net.pt2" else compliant, 48 << 20
    with zipfile.ZipFile(whole) as archive:
        member = max(archive.infolist(), key=lambda each: each.file_size).filename
    made = packed(whole, tmp_path / form, member, size, size)
    assert f"error[SNN162]: `{made}` unpacks to" in judged(snncc, made)


@pytest.mark.parametrize("said", [16, 1000])
@pytest.mark.parametrize("form", ["net.pt2", "net.pth.tar"])
def test_every_member_may_be_larger_than_it_says(
    form: str, said: int, snncc: Snncc, program: Path, compliant: Path, tmp_path: Path
) -> None:
    """torch's reader keeps to the size that a member says of itself, or refuses the member."""
    whole = program if form == "net.pt2" else compliant
    with zipfile.ZipFile(whole) as archive:
        members = archive.namelist()[:12]
    for member in members:
        made = packed(whole, tmp_path / form, member, 1 << 20, said)
        assert judged(snncc, made) or member.endswith(UNREAD), member
