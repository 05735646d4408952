"""Every code block of the README runs, and what it shows is what comes out."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def snncc(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = line.split("#", maxsplit=1)[0].split()
    command = [sys.executable, "-m", "snncc", *words[1:]]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_python_block_runs() -> None:
    (code,) = blocks("python")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("graph step T4 {")


def test_the_commands_run_in_the_order_shown(tmp_path: Path) -> None:
    pytest.importorskip("lava", reason="simulate runs in Lava")
    shutil.copytree(ROOT / "examples" / "digits", tmp_path / "digits")
    (block,) = [b for b in blocks("sh") if "snncc check" in b]
    commands = [line for line in block.splitlines() if line.startswith("snncc ")]
    assert len(commands) == 7
    for line in commands:
        done = snncc(line, tmp_path / "digits")
        assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_the_capture_is_what_the_check_prints() -> None:
    (capture,) = blocks("console")
    shown = capture.split("$ snncc simulate")[0].splitlines()
    done = snncc(shown[0].removeprefix("$ "), ROOT)
    printed = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 1
    assert [line for line in shown[1:] if line not in ("...", "")] == [
        line for line in shown[1:] if line in printed and line
    ]
