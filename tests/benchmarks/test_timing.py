"""Contenders take turns, and what was measured becomes a table."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def timing(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("snncc_benchmark_timing", FOLDER / "timing.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_contenders_run_once_unmeasured_and_then_in_turns(timing: ModuleType) -> None:
    ran: list[str] = []
    contenders = {"a": lambda: ran.append("a"), "b": lambda: ran.append("b")}
    seconds = timing.in_turns(contenders, 3)
    assert ran == ["a", "b"] * 4
    assert seconds.keys() == {"a", "b"}
    assert all(each >= 0 for each in seconds.values())


def test_rows_become_a_table(timing: ModuleType) -> None:
    rows = [{"name": "x", "count": 1234567, "seconds": 0.12345}]
    assert timing.table(rows).splitlines() == [
        "| name | count | seconds |", "| --- | --- | --- |", "| x | 1,234,567 | 0.123 |",
    ]  # fmt: skip


def test_results_name_the_machine(
    timing: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "FOLDER", tmp_path)
    facts = timing.machine(2)
    assert {"processor", "threads", "snncc", "torch", "numba"} <= facts.keys()
    timing.save("one", [{"a": 1}], facts)
    assert '"processor"' in (tmp_path / "one.json").read_text()
