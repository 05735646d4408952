"""The benchmark of full sizes measures a network, and its table says what was not run."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "full_size.py"


def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def row(**fields: Any) -> dict[str, Any]:
    stages = {"trace": {"seconds": 3.25, "peak_gb": 0.5}, "quantize": {"seconds": 1, "peak_gb": 2}}
    return {"input": [3, 32, 32], "parameters": 1234, "neurons": 99, "stages": stages, **fields}


def test_the_table_has_a_line_a_network_and_names_the_others() -> None:
    networks = {
        "spikingformer-8-512": row(),
        "spikeformer-7-3x2x4": {"failed": "refused: [SNN123] a | b"},
    }
    page = script()["markdown"]({"networks": networks, "machine": {"memory": "24 GB"}})
    lines = page.splitlines()
    cells = "3x32x32 | 1,234 | 99 | 3.2 / 0.5 | - | - | - | - | 1.0 / 2.0 | 2.0 |"
    assert f"| spikingformer-8-512 | {cells}" in lines
    assert any("refused: [SNN123] a / b" in each for each in lines)
    assert "- memory: 24 GB" in lines
    assert "`sew-resnet18-add`" in lines[-1]
    assert "`spikingformer-8-512`" not in lines[-1]
    assert len({each.count("|") for each in lines if each.startswith("| ")}) == 1


def test_the_committed_table_holds_the_committed_numbers() -> None:
    document = json.loads(SCRIPT.with_name("full-size.json").read_text())
    page = (SCRIPT.parents[1] / "docs" / "full-size.md").read_text()
    lines = [each for each in script()["markdown"](document).splitlines() if each[:2] == "| "]
    assert [each for each in page.splitlines() if each[:2] == "| "] == lines


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["random", "meta"])
def test_a_network_is_measured(weights: str) -> None:
    command = [sys.executable, str(SCRIPT), "--one", "spikingformer-cifar-4-256"]
    done = subprocess.run(
        [*command, "--weights", weights], capture_output=True, text=True, check=True
    )
    measured = json.loads(done.stdout)
    assert ("quantize" in measured["stages"]) == (weights == "random")
    assert measured["not_spike_driven"] == 0
    peaks = [stage["peak_gb"] for stage in measured["stages"].values()]
    assert peaks == sorted(peaks)
    assert 0 < peaks[-1] < 24
