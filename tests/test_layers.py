"""The floors of the house hold, and what holds them really fails on a violation."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent

LONGEST_FUNCTION = 40
LONGEST_FILE = 400
LONGEST_TABLE = {"snncc/ir/ops.py": 500}
"""A list of small classes, one an op, that nobody reads from top to bottom."""
SOURCES = sorted((ROOT / "snncc").rglob("*.py"))


def run(tool: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / tool), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the package and its contracts, to break."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "snncc", tmp_path / "snncc", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def plant(house: Path, room: str, line: str) -> None:
    path = house / "snncc" / room
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'"""Planted."""\n\n{line}\n', encoding="utf-8")


def test_the_contracts_hold() -> None:
    result = run("lint-imports", "--no-cache", folder=ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("room", "line", "broken"),
    [
        ("ir/planted.py", "import snncc.passes", "snncc.ir is not allowed to import snncc.passes"),
        (
            "passes/planted.py",
            "import snncc.backends.lava",
            "snncc.passes is not allowed to import snncc.backends",
        ),
        (
            "passes/planted.py",
            "def late() -> None:\n    import snncc.frontends",
            "snncc.passes is not allowed to import snncc.frontends",
        ),
        (
            "targets/planted.py",
            "import snncc.models",
            "snncc.targets is not allowed to import snncc.models",
        ),
        ("passes/planted.py", "import torch.nn", "snncc.passes.planted -> torch"),
        ("planted.py", "import torch", "snncc.planted -> torch"),
        ("frontends/planted.py", "import lava.proc", "snncc.frontends.planted -> lava"),
        ("backends/planted.py", "import lava", "snncc.backends.planted -> lava"),
        ("attic.py", "", "not listed as layers"),
    ],
)
def test_a_planted_violation_is_found(house: Path, room: str, line: str, broken: str) -> None:
    plant(house, room, line)
    result = run("lint-imports", "--no-cache", folder=house)
    assert result.returncode == 1
    assert broken in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("frontends/planted.py", "import torch"),
        ("models/planted.py", "import torch"),
        ("execute/planted.py", "import torch"),
        ("backends/lava/planted.py", "import lava"),
        ("backends/planted.py", "import snncc.passes"),
    ],
)
def test_what_is_allowed_is_not_refused(house: Path, room: str, line: str) -> None:
    plant(house, room, line)
    result = run("lint-imports", "--no-cache", folder=house)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("link", ["backends", "frontends", "passes"])
def test_nobody_imports_through_a_link(house: Path, link: str) -> None:
    plant(house, "ir/planted.py", f"import {link}")
    result = run("ruff", "check", "--no-cache", "snncc/ir/planted.py", folder=house)
    assert result.returncode == 1
    assert "TID251" in result.stdout


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    longest = LONGEST_TABLE.get(path.relative_to(ROOT).as_posix(), LONGEST_FILE)
    assert text.count("\n") <= longest
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)]
    lengths = {f.name: (f.end_lineno or f.lineno) - f.lineno + 1 for f in functions}
    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_chip_is_named_in_code(path: Path) -> None:
    """A chip is a data file; prose may name one."""
    names = {file.stem for file in (ROOT / "snncc" / "targets").glob("*.toml")}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    words = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
    assert not words & names
