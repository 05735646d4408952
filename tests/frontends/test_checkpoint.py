"""Reading files: what is found in good ones, what is said of bad ones, and that no code runs."""

from __future__ import annotations

import argparse
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from snncc.diagnostics.core import SnnccError
from snncc.frontends.checkpoint import read_checkpoint

WEIGHTS = {"head.weight": torch.ones(2, 3), "head.bias": torch.zeros(2)}


class Payload:
    """Unpickling it creates a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


def refusal(path: Path, **options: bool) -> tuple[str, str]:
    """The code and the message of the one finding about a file."""
    with pytest.raises(SnnccError) as caught:
        read_checkpoint(path, **options)
    (finding,) = caught.value.diagnostics
    assert "\n" not in finding.message
    assert finding.source.file == path.as_posix()
    return finding.rule.code, finding.message


@pytest.mark.parametrize("container", ["state_dict", "model", "state_dict_ema", None])
@pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod."])
def test_weights_are_found(tmp_path: Path, container: str | None, prefix: str) -> None:
    weights = {prefix + name: value for name, value in WEIGHTS.items()}
    stored = {container: weights, "epoch": 3, "metric": 97.5} if container else weights
    torch.save(stored, tmp_path / "c.pth.tar")
    found = read_checkpoint(tmp_path / "c.pth.tar")
    assert list(found.tensors) == list(WEIGHTS)
    assert found.container == (container or "")


def test_arguments_are_read_from_a_namespace(tmp_path: Path) -> None:
    args = argparse.Namespace(num_heads=8, time_step=4)
    torch.save({"state_dict": WEIGHTS, "args": args}, tmp_path / "c.pth")
    assert read_checkpoint(tmp_path / "c.pth").args == {"num_heads": 8, "time_step": 4}
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


def test_the_format_of_old_torch_versions(tmp_path: Path) -> None:
    torch.save({"model": WEIGHTS}, tmp_path / "c.pth", _use_new_zipfile_serialization=False)
    assert read_checkpoint(tmp_path / "c.pth").container == "model"


def test_safetensors(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "c.safetensors")
    assert torch.equal(read_checkpoint(tmp_path / "c.safetensors").tensors["head.weight"],
                       WEIGHTS["head.weight"])  # fmt: skip


def test_nothing_there(tmp_path: Path) -> None:
    code, message = refusal(tmp_path / "no.pth")
    assert (code, message) == ("SNN101", f"`{tmp_path / 'no.pth'}` does not exist")


def test_a_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path)[0] == "SNN101"


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "c.pth").touch()
    code, message = refusal(tmp_path / "c.pth")
    assert (code, message) == ("SNN103", f"`{tmp_path / 'c.pth'}` is empty")


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.95])
def test_a_truncated_file(tmp_path: Path, kept: float, new_format: bool) -> None:
    path = tmp_path / "c.pth"
    weights = {f"layer.{i}.weight": torch.rand(40, 40) for i in range(20)}
    torch.save(weights, path, _use_new_zipfile_serialization=new_format)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    assert refusal(path)[0] == "SNN103"


def test_a_damaged_archive(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    torch.save({"w": torch.rand(100, 100)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:400] + bytes(4000) + whole[4400:])
    assert refusal(path)[0] in ("SNN102", "SNN103")


def test_an_archive_of_several_parts(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    torch.save(WEIGHTS, path)
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\x05\x06")
    data[end - 20 : end] = b"PK\x06\x07" + (1).to_bytes(4, "little") + bytes(8) + b"\x09\0\0\0"
    path.write_bytes(data)
    assert refusal(path)[0] == "SNN103"


def test_a_truncated_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_file(WEIGHTS, path)
    path.write_bytes(path.read_bytes()[:-8])
    assert refusal(path)[0] == "SNN103"
    path.write_bytes(b"{}")
    assert refusal(path)[0] in ("SNN102", "SNN103")
    path.write_bytes(struct.pack("<Q", 4) + b"nope")
    assert refusal(path)[0] == "SNN102"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"epochs: 300\ndepths: 8\n", "text"),
        ("lr: 5e-4 # \N{GREEK SMALL LETTER TAU}\n".encode() * 60, "text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "a PNG image"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "a JPEG image"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, no weights"),
        (bytes(range(128, 256)) * 4, "nothing that `torch.save` writes"),
    ],
)
def test_another_kind_of_file(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "c.pth"
    path.write_bytes(content)
    assert refusal(path) == ("SNN102", f"`{path}` is no checkpoint but {what}")


def test_archives_that_are_no_checkpoints(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros(3))
    assert "another kind of archive" in refusal(tmp_path / "x.npz")[1]
    with zipfile.ZipFile(tmp_path / "bare.pt", "w") as archive:
        archive.writestr("bare/data.pkl", b"")
    assert "another kind of archive" in refusal(tmp_path / "bare.pt")[1]
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("script/data.pkl", b"")
        archive.writestr("script/constants.pkl", b"")
    assert "TorchScript" in refusal(tmp_path / "script.pt")[1]


@pytest.mark.parametrize("stored", [0.97, [1, 2], "weights", WEIGHTS["head.weight"]])
def test_an_object_that_is_no_dictionary(tmp_path: Path, stored: object) -> None:
    torch.save(stored, tmp_path / "c.pth")
    assert refusal(tmp_path / "c.pth")[0] == "SNN102"


@pytest.mark.parametrize("stored", [{}, {"epoch": 3}, {"state_dict": {}}, {"model": {"a": 1}}])
def test_no_tensors(tmp_path: Path, stored: object) -> None:
    torch.save(stored, tmp_path / "c.pth")
    assert refusal(tmp_path / "c.pth")[0] == "SNN105"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite(tmp_path: Path, value: float) -> None:
    bad = {f"bad.{i}": torch.tensor([0.0, value]) for i in range(6)}
    torch.save({**bad, **WEIGHTS, "n": torch.tensor(3)}, tmp_path / "c.pth")
    code, message = refusal(tmp_path / "c.pth")
    assert code == "SNN106"
    assert message == (
        "6 of 9 tensors are not finite: `bad.0`, `bad.1`, `bad.2`, `bad.3` and 2 more"
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("how", ["zip", "old format", "2", "4", "5", "beside weights"])
def test_code_in_a_file_is_named_and_never_run(tmp_path: Path, how: str) -> None:
    path, target = tmp_path / "c.pth", tmp_path / "was_run"
    payload = Payload(target)
    if how.isdecimal():
        path.write_bytes(pickle.dumps({"state_dict": payload}, protocol=int(how)))
    else:
        stored = {"state_dict": dict(WEIGHTS), "x": payload} if how == "beside weights" else payload
        torch.save(stored, path, _use_new_zipfile_serialization=how != "old format")
    code, message = refusal(path)
    assert code == "SNN104"
    assert f"`{os.system.__module__}.system`" in message
    assert not target.exists()


@pytest.mark.filterwarnings("error")
def test_a_pickle_without_code_is_no_code(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    path.write_bytes(pickle.dumps({"epoch": 3}, protocol=4))
    assert refusal(path)[0] == "SNN102"


def test_a_whole_module_needs_trust(tmp_path: Path) -> None:
    torch.save(nn.Linear(3, 2), tmp_path / "c.pth")
    code, message = refusal(tmp_path / "c.pth")
    assert (code, "torch.nn.modules.linear.Linear" in message) == ("SNN104", True)
    found = read_checkpoint(tmp_path / "c.pth", trust_pickle=True)
    assert isinstance(found.module, nn.Linear)


def test_trust_does_not_turn_faults_into_tracebacks(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    path.write_bytes(pickle.dumps(Payload(tmp_path / "was_run"), protocol=2)[:-20])
    assert refusal(path, trust_pickle=True)[0] in ("SNN102", "SNN103")
    assert not (tmp_path / "was_run").exists()


def test_an_archive_that_unpacks_without_end(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "a.pth")
    with (
        zipfile.ZipFile(tmp_path / "a.pth") as sound,
        zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in sound.namelist():
            more = bytes(64 << 20) if name.endswith("/data/0") else b""
            bomb.writestr(name, sound.read(name) + more)
    code, message = refusal(tmp_path / "b.pth")
    assert code == "SNN162"
    assert "unpacks to 67," in message


@pytest.mark.parametrize("trust", [False, True])
def test_one_number_that_is_shown_without_end(trust: bool, tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1).expand(1 << 40)}, tmp_path / "a.pth")
    code, message = refusal(tmp_path / "a.pth", trust_pickle=trust)
    assert code == "SNN162"
    assert "holds tensors of 4,398,046,511,104 bytes" in message


def test_tensors_that_are_not_dense(tmp_path: Path) -> None:
    for odd in (torch.eye(3).to_sparse(), torch.empty(3, device="meta")):
        torch.save({"w": odd}, tmp_path / "a.pth")
        code, message = refusal(tmp_path / "a.pth", trust_pickle=True)
        assert (code, "sparse or have no values: `w`" in message) == ("SNN102", True)
