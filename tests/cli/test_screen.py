"""Text on a terminal is as wide as the terminal, elsewhere 100 columns."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

from snncc.cli.screen import columns


@pytest.mark.parametrize(("terminal", "wanted"), [(60, 60), (20, 40), (220, 100)])
def test_a_terminal_decides(terminal: int, wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    size = os.terminal_size((terminal, 24))
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: size)
    assert columns() == wanted


def test_a_pipe_has_a_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert columns() == 100
