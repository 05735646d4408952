"""The table of mapped networks is what was measured, and keeps what is promised."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ROWS: dict[str, Any] = json.loads((ROOT / "benchmarks" / "mapping.json").read_text())


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mapping", ROOT / "benchmarks" / "mapping.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_made_of_what_was_measured(script: ModuleType) -> None:
    page = (ROOT / "docs" / "mapping-full-size.md").read_text()
    assert page == script.markdown(ROWS)
    assert set(script.NETWORKS) <= set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_mapped_in_two_minutes_and_run_in_one(name: str) -> None:
    seconds = ROWS[name]["seconds"]
    assert seconds["map"] < 120
    assert seconds["machine"] < 60
    assert ROWS[name]["peak_gb"] < 8
    assert all(fullest <= 1 for _, fullest in ROWS[name]["uses"].values())
