"""How the program ends: exit codes, streams, and no traceback whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import snncc as package
from snncc.cli import app as table
from snncc.cli import guard
from snncc.diagnostics.core import Severity, rule
from snncc.ir.graph import Source
from snncc.passes.base import BROKEN_PROMISE, PassError

Snncc = Callable[..., Any]


def python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `python -m snncc` as a process of its own."""
    command = [sys.executable, "-m", "snncc", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Makes `snncc explain` end with an exception."""

    def fail_with(fault: BaseException) -> None:
        def body(**_: object) -> None:
            raise fault

        monkeypatch.setattr(table.app.commands["explain"], "callback", body)

    return fail_with


def test_version_and_help(snncc: Snncc) -> None:
    assert snncc("--version").out == f"snncc {package.__version__}\n"
    for arguments in (("--help",), ("-h",), *((name, "--help") for name in table.app.commands)):
        done = snncc(*arguments)
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith("Usage: snncc")
        assert max(len(line) for line in done.out.splitlines()) <= 100


def test_a_bug_is_101_with_what_a_report_needs(
    snncc: Snncc, failing: Callable[[BaseException], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SNNCC_DEBUG", raising=False)
    failing(ZeroDivisionError("division by zero"))
    done = snncc("explain", "SNN001")
    assert (done.code, done.out) == (101, "")
    lines = done.err.splitlines()
    assert lines[0] == "this is a bug in snncc: ZeroDivisionError: division by zero"
    assert lines[1].startswith(f"  version: snncc {package.__version__}, Python 3.")
    assert lines[2] == "  command: snncc explain SNN001"
    assert "Traceback" not in done.err


def test_the_traceback_is_there_for_who_asks(
    snncc: Snncc, failing: Callable[[BaseException], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNNCC_DEBUG", "1")
    failing(ZeroDivisionError("division by zero"))
    done = snncc("explain")
    assert done.code == 101
    assert "Traceback (most recent call last)" in done.err


def test_a_broken_promise_of_a_pass_is_our_bug(
    snncc: Snncc, failing: Callable[[BaseException], None]
) -> None:
    failing(PassError((BROKEN_PROMISE.at(Source("fc"), "after `fold`: two ops are called `x`"),)))
    done = snncc("explain")
    assert done.code == 101
    assert "error[SNN001]: after `fold`: two ops are called `x`" in done.err
    assert "this is a bug in snncc" in done.err


def test_an_interrupt_is_130(snncc: Snncc, failing: Callable[[BaseException], None]) -> None:
    failing(KeyboardInterrupt())
    done = snncc("explain")
    assert (done.code, done.out, done.err) == (130, "", "interrupted\n")


def test_an_interrupt_before_the_first_line_is_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(guard, "guarded", interrupted)
    with pytest.raises(SystemExit) as left:
        package.cli.main([])
    assert (left.value.code, capsys.readouterr().err) == (130, "interrupted\n")


def test_main_leaves_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "guarded", len)
    with pytest.raises(SystemExit) as left:
        package.cli.main(["a", "b"])
    assert left.value.code == 2


def test_as_a_program_streams_and_codes() -> None:
    done = python("explain", "SNN001")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("error[SNN001]")
    done = python("check", "nowhere.pth")
    assert (done.returncode, done.stdout) == (2, "")
    assert "error[SNN101]" in done.stderr
    assert "\x1b" not in done.stderr


def test_a_reader_that_leaves_is_no_fault() -> None:
    command = f"{sys.executable} -m snncc explain SNN201; echo code $? >&2"
    script = f"({command}) | true"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert done.stderr.strip() in ("code 141", "code 0")


@pytest.mark.parametrize("no_color", [True, False])
def test_colour_is_for_terminals_that_want_it(no_color: bool) -> None:
    pty = pytest.importorskip("pty")
    reader, writer = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm"}
    environment |= {"NO_COLOR": "1"} if no_color else {}
    done = subprocess.run(
        [sys.executable, "-m", "snncc", "targets", "loihi3"],
        stderr=writer, stdout=subprocess.PIPE, env=environment, check=False,
    )  # fmt: skip
    os.close(writer)
    shown = os.read(reader, 10_000).decode()
    os.close(reader)
    assert done.returncode == 2
    assert "SNN401" in shown
    assert ("\x1b[1;31m" in shown) is not no_color


def test_the_codes_of_findings_are_taken() -> None:
    with pytest.raises(ValueError, match="declared twice"):
        rule("SNN001", "again", Severity.ERROR, "x")


CONFIGURATION = """
[tool.snncc]
target = "loihi9"
format = "json"
allow = ["SNN201:block.0.attn.*"]
set = { heads = 4 }
"""


def test_configuration_gives_defaults(
    snncc: Snncc, compliant: Path, offending: Path, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text(CONFIGURATION)
    assert "error[SNN401]: loihi9" in snncc("compile", compliant).err
    assert snncc("targets").out.startswith("{")
    assert snncc("targets", "--format", "text").out.startswith("loihi1")
    assert snncc("check", offending).out.count('"option: SNN201:block.0.attn.*"') == 3
    lines = snncc("inspect", compliant).out.splitlines()
    assert ["heads", "4", "--set"] in [line.split() for line in lines]


def test_configuration_is_found_upwards(
    snncc: Snncc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.snncc]\nformat = "json"\n')
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    assert snncc("targets").out.startswith("{")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.snncc]\ntarge = 'x'", "has the unknown key `targe`, did you mean 'target'?"),
        ("[tool.snncc]\nmodel = 'x'", "has the unknown key `model`"),
        ("[tool.snncc]\ntarget = ['x', 'y']", "gives `target` several values, wanted one"),
        ("[tool]\nsnncc = 3", "`tool.snncc` is no table"),
        ("[tool.snncc", "cannot be read"),
        ("tool = 3", "cannot be read"),
    ],
)
def test_configuration_that_cannot_be_used(
    snncc: Snncc, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    done = snncc("targets")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("error[SNN920]") == 1
    assert message in done.err


def test_a_value_that_an_option_refuses_is_bad_usage(snncc: Snncc, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.snncc]\nformat = 'xml'\n")
    done = snncc("targets")
    assert done.code == 2
    assert "'xml' is not one of" in done.err
