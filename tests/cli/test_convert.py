"""``snncc convert``: the end of OUT picks the format, and nothing is left half written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snncc.backends import writers
from snncc.backends.writers import Network, Writer, write_exchanged
from snncc.cli.guard import guarded
from snncc.diagnostics.core import SnnccError

NET = "tests.cli.test_convert:network"


def network() -> Any:
    import torch
    from torch import nn

    from snncc.models.neuron import LIF

    torch.manual_seed(0)
    layers = [nn.Linear(8, 6), nn.Unflatten(0, (1, -1)), LIF(), nn.Flatten(0, 1), nn.Linear(6, 3)]
    return nn.Sequential(*layers), torch.zeros(1, 8)


def write_text(found: Network, path: Path, **options: Any) -> None:
    graph = found.integer or found.floating
    assert graph is not None
    path.write_text(f"{found.name} for {found.target}: {len(graph.ops)} ops, {options}")


def write_half(found: Network, path: Path, **options: Any) -> None:
    path.write_text("half")
    raise SnnccError


@pytest.fixture(autouse=True)
def formats(monkeypatch: pytest.MonkeyPatch) -> None:
    here = "tests.cli.test_convert"
    made = {
        ".flt": Writer("floats", f"{here}:write_text", integers=False),
        ".int": Writer("integers", f"{here}:write_text", integers=True, options=("unroll",)),
        ".bad": Writer("halves", f"{here}:write_half", integers=False),
        ".gone": Writer("gone", f"{here}:write_text", integers=False, package="not_installed"),
    }
    monkeypatch.setattr(writers, "WRITERS", made)
    module = __import__("sys").modules[__name__]
    monkeypatch.setitem(__import__("sys").modules, here, module)


def run(*arguments: str) -> int:
    return guarded(["convert", *arguments])


def test_floats_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "net.flt"
    assert run(NET, str(out)) == 0
    assert out.read_text().startswith("network for : ")
    assert f"wrote {out} (floats, " in capsys.readouterr().err


def test_a_file_is_not_written_over_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = tmp_path / "net.flt"
    here.write_text("mine")
    assert run(str(here), str(here)) == 2
    assert "OUT is IN" in capsys.readouterr().err
    assert here.read_text() == "mine"


def test_integers_are_compiled_first(tmp_path: Path) -> None:
    out = tmp_path / "net.int"
    assert run(NET, str(out), "--target", "loihi2", "--unroll", "--allow", "SNN201") == 0
    assert out.read_text().startswith("network for loihi2: ")
    assert out.read_text().endswith("{'unroll': True}")


def test_an_artefact_has_both(tmp_path: Path) -> None:
    assert guarded(["compile", NET, "--target", "loihi2", "-o", str(tmp_path / "a")]) == 0
    for end in ("int", "flt"):
        assert run(str(tmp_path / "a"), str(tmp_path / f"net.{end}")) == 0
        assert (tmp_path / f"net.{end}").read_text().startswith("network for loihi2: ")


@pytest.mark.parametrize(
    ("out", "options", "code", "said"),
    [
        ("net", [], "SNN164", "does not say which format to write, wanted one of .bad (halves)"),
        ("net.xyz", [], "SNN164", "does not say which format to write"),
        ("net.int", [], "SNN164", "takes the integers of a network, and there are none"),
        ("net.flt", ["--unroll"], "SNN164", "--unroll is given, and the format floats takes none"),
        ("no/net.flt", [], "SNN902", "cannot be written"),
        (".", [], "SNN164", "does not say which format to write"),
        ("net.gone", [], "SNN161", "needs the package `not_installed`"),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is_done(
    out: str, options: list[str], code: str, said: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert run(NET, str(tmp_path / out), *options) == 2
    shown = " ".join(capsys.readouterr().err.split())
    assert f"error[{code}]" in shown
    assert said in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("artefact", "end", "options", "said"),
    [
        (True, "int", ["--target", "loihi1"], "--target has no meaning for an artefact"),
        (True, "flt", ["--set", "T=2"], "--set has no meaning for an artefact"),
        (
            False,
            "flt",
            ["--weight-bits", "4"],
            "--weight-bits has no meaning for the format floats",
        ),
    ],
)
def test_options_that_would_change_nothing_are_refused(
    artefact: bool, end: str, options: list[str], said: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "a").mkdir()
    model = str(tmp_path / "a") if artefact else NET
    assert run(model, str(tmp_path / f"net.{end}"), *options) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / f"net.{end}").exists()


def test_half_a_file_is_not_left(tmp_path: Path) -> None:
    with pytest.raises(SnnccError):
        write_exchanged(Network("net", floating=object()), tmp_path / "net.bad")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_settings_of_another_format_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.onnx").write_bytes(b"no matter")
    assert guarded(["check", str(tmp_path / "net.onnx"), "--set", "heads=8"]) == 2
    assert "the format ONNX has no setting `heads`" in capsys.readouterr().err
