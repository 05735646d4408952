"""Every command and code block of the documentation and the README runs, and prints what it shows.

A page is run from top to bottom, in a folder that holds the examples. Blocks of Python share one
namespace; one with a title is written to the file of that name. In a block `console`, what follows
`$ command` is what it prints; a line `...` stands for any number of lines. A comment before a block
says what is special about it:

    <!-- test: exit 1 -->            the last command of the block ends with this code
    <!-- test: needs norse -->       the page ends here where the package is not installed
    <!-- test: slow -->              it runs with `-m slow` alone
    <!-- test: parse REASON -->      its commands are commands with such options, but do not run
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from snncc.cli.app import app
from snncc.cli.guard import guarded
from snncc.frontends.adapters import ADAPTERS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(EXAMPLES.rglob("*.md")),
    *sorted(DOCS.rglob("*.md")),
]
BY_HAND = {
    "performance.md": "benchmarks, which take hours and a quiet machine",
    "full-size.md": "networks of full size, which take minutes each",
    "mapping-full-size.md": "networks of full size, which take minutes each",
}
"""Pages of measurements: their commands are only parsed."""

SHOWN = ("text", "")
"""Languages of blocks that are read by people alone."""

_MARK = re.compile(r"<!-- test: (.*?) -->")
_FENCE = re.compile(r"```(?:(\w*)(?: title=\"([^\"]+)\")?)?")
_SHELL = re.compile(r"[|><;&`]|\$\(|--workers|--backend lava|\\$")
"""What a shell has to run: everything else runs in this process, which has imported torch."""


@dataclass(frozen=True)
class Block:
    """A fenced block: what it is, where it stands, and what was said of it."""

    language: str
    text: str
    line: int
    title: str = ""
    marks: tuple[str, ...] = ()

    def mark(self, name: str) -> str | None:
        """What stands behind a mark; None where it is not set."""
        found = [m.partition(" ")[2] for m in self.marks if m.split(" ")[0] == name]
        return found[0] if found else None


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    marks: tuple[str, ...] = ()
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), 1))
    for number, line in lines:
        if found := _MARK.fullmatch(line):
            marks = tuple(mark.strip() for mark in found[1].split(";"))
        elif line.startswith("```"):
            fence = _FENCE.fullmatch(line)
            assert fence, f"{page.name}:{number}: {line}"
            inside = []
            for _, inner in lines:
                if inner.startswith("```"):
                    break
                inside.append(f"{inner}\n")
            yield Block(fence[1] or "", "".join(inside), number, fence[2] or "", marks)
            marks = ()
        else:
            assert not (marks and line.strip()), f"{page.name}:{number}: a mark before no block"


@dataclass
class Reader:
    """Someone who follows a page: where they are, and what their Python knows."""

    page: str
    folder: Path
    space: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})

    def follow(self, block: Block) -> None:
        """Do what a block says, and hold it to what it shows."""
        where = f"{self.page}:{block.line}"
        if (package := block.mark("needs")) and importlib.util.find_spec(package) is None:
            pytest.skip(f"{where} needs {package}")
        if block.title:
            place = self.folder / block.title
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(block.text, encoding="utf-8")
        getattr(self, f"_{block.language or 'text'}")(block, where)

    def _text(self, block: Block, where: str) -> None:
        pass

    def _python(self, block: Block, where: str) -> None:
        place = self.folder / (block.title or f"block_{block.line}.py")
        place.write_text(block.text, encoding="utf-8")
        code = compile(block.text, str(place), "exec")
        if not block.title:
            os.chdir(self.folder)
            sys.path.insert(0, str(self.folder))
            exec(code, self.space)  # noqa: S102 - our own text

    def _toml(self, block: Block, where: str) -> None:
        assert tomllib.loads(block.text), where

    def _yaml(self, block: Block, where: str) -> None:
        assert yaml.safe_load(block.text), where

    def _json(self, block: Block, where: str) -> None:
        assert json.loads(block.text), where

    def _sh(self, block: Block, where: str) -> None:
        lines = block.text.replace("\\\n", " ").splitlines()
        commands = [line for line in lines if line.strip() and not line.startswith("#")]
        for line in commands:
            if block.mark("parse") is not None or self.page in BY_HAND:
                parsed(line, where)
                continue
            code, said = self.run(line)
            wanted = int(block.mark("exit") or 0) if line == commands[-1] else 0
            assert code == wanted, f"{where}: {line}\n{said}"

    def _console(self, block: Block, where: str) -> None:
        parts = re.split(r"^(?:\w+ )?\$ (.*(?:(?<=\\)\n.*)*)\n", block.text, flags=re.MULTILINE)
        assert len(parts) > 1, f"{where}: no command"
        assert not parts[0], f"{where}: text before the first command"
        commands = [line.replace("\\\n", " ") for line in parts[1::2]]
        for line, shown in zip(commands, parts[2::2], strict=True):
            if block.mark("parse") is not None:
                parsed(line, where)
                continue
            code, said = self.run(line)
            wanted = int(block.mark("exit") or 0) if line == commands[-1] else 0
            assert code == wanted, f"{where}: {line}\n{said}"
            assert is_shown(shown, said), f"{where}: {line}\n{said}"

    def run(self, line: str) -> tuple[int, str]:
        """Exit code and output of a command."""
        words = shlex.split(line, comments=True)
        if words[0] == "cd":
            self.folder = self.folder / words[1]
            return 0, ""
        if words[0] == "snncc" and not _SHELL.search(line.partition(" #")[0]):
            said = io.StringIO()
            os.chdir(self.folder)
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                code = guarded(words[1:])
            return code, said.getvalue()
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", line], cwd=self.folder, check=False, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "PATH": path},
        )  # fmt: skip
        return done.returncode, done.stdout


def is_shown(shown: str, said: str) -> bool:
    """Whether output is what a page shows; dots stand for anything, blank lines for nothing."""
    lines = [line.rstrip() for line in shown.splitlines() if line.strip()]
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n"
        for line in lines
    )
    plain = "".join(f"{line.rstrip()}\n" for line in said.splitlines() if line.strip())
    return re.fullmatch(pattern, plain) is not None


def parsed(line: str, where: str) -> None:
    """Hold a command that is not run to the options that it has."""
    words = shlex.split(line, comments=True)
    if words[0] == "snncc":
        command = app.commands[words[1]]
        command.make_context(words[1], [w for w in words[2:] if w not in ("|", ">")])
    elif words[0] == "make":
        assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text(encoding="utf-8"), where
    else:
        scripts = [word for word in words if word.endswith(".py")]
        assert all((ROOT / script).is_file() for script in scripts), where


def pages(*, slow: bool) -> list[Path]:
    return [
        page for page in PAGES
        if any(block.mark("slow") is not None for block in blocks(page)) or not slow
    ]  # fmt: skip


def name_of(page: Path) -> str:
    return str(page.relative_to(DOCS if page.is_relative_to(DOCS) else ROOT))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the examples in it, which nobody remembers afterwards."""
    shutil.copytree(EXAMPLES, tmp_path / "examples", copy_function=os.symlink)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("snncc.frontends.adapters.ADAPTERS", {**ADAPTERS})
    known, here = set(sys.modules), Path.cwd()
    yield tmp_path
    os.chdir(here)
    for name in set(sys.modules) - known:
        if (getattr(sys.modules[name], "__file__", "") or "").startswith(str(tmp_path)):
            del sys.modules[name]


def follow(page: Path, folder: Path, *, slow: bool) -> None:
    reader = Reader(name_of(page), folder)
    for block in blocks(page):
        if slow or block.mark("slow") is None:
            reader.follow(block)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("page", pages(slow=False), ids=name_of)
def test_page(page: Path, folder: Path) -> None:
    follow(page, folder, slow=False)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("page", pages(slow=True), ids=name_of)
def test_page_with_what_takes_long(page: Path, folder: Path) -> None:
    follow(page, folder, slow=True)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_command_is_hidden_from_these_tests(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"^(?:    |\t)\$? ?(?:snncc|python|pip) .*", text, re.MULTILINE)
    for block in blocks(page):
        assert hasattr(Reader, f"_{block.language or 'text'}"), f"{page.name}:{block.line}"
        unknown = {m.split(" ")[0] for m in block.marks} - {"exit", "needs", "slow", "parse"}
        assert not unknown, f"{page.name}:{block.line}"
        if (reason := block.mark("parse")) is not None:
            assert reason, f"{page.name}:{block.line}: why is this not run?"


@pytest.mark.parametrize(
    ("shown", "said", "equal"),
    [
        ("a\n...\nb\n", "a\nb\n", True),
        ("a\n...\nb\n", "a\n1\n\n2\nb\n", True),
        ("a\nb\n", "a\n\nb\n", True),
        ("a\nb\n", "a\n1\nb\n", False),
        ("took ... s\n", "took 0.5 s\n", True),
        ("0.5\n", "0x5\n", False),
        ("a\n", "a\nb\n", False),
        ("...\n", "", True),
    ],
)
def test_dots_stand_for_anything(shown: str, said: str, equal: bool) -> None:
    assert is_shown(shown, said) is equal
