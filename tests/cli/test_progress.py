"""What a terminal shows while a command works, and what nobody sees in a pipe."""

from __future__ import annotations

import os
import pty
import threading
from collections.abc import Callable

import pytest
from rich.console import Console

from snncc.cli import progress


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """A terminal as stderr; call it to read what was written there."""
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    shown: list[bytes] = []

    def read() -> None:
        while b"END" not in b"".join(shown[-2:]):
            shown.append(os.read(ours, 1 << 16))

    reader = threading.Thread(target=read)
    reader.start()
    file = os.fdopen(theirs, "w")
    monkeypatch.setattr(progress, "stderr", lambda: Console(file=file))

    def screen() -> str:
        file.write("END")
        file.flush()
        reader.join()
        file.close()
        os.close(ours)
        return b"".join(shown).decode()

    return screen


SHARES = {"quantizing": 0.25, "placing": 0.75}


def test_stages_are_named_and_say_what_is_left(
    terminal: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 0)
    with progress.stages(SHARES) as watch:
        watch("quantizing")
        watch("placing")
    screen = terminal()
    assert "placing" in screen
    assert "left" in screen


def test_short_work_says_nothing_of_what_is_left(terminal: Callable[[], str]) -> None:
    with progress.stages(SHARES) as watch:
        watch("placing")
    assert "left" not in terminal()


def test_nothing_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.stages(SHARES) as watch, progress.working("reading"):
        watch("placing")
    assert capsys.readouterr().err == ""
