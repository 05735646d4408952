"""`simulate --pipelined`: as a chip runs it, held to the reference."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snncc.artefact import Artefact, read_artefact
from snncc.backends.simulate import sites_of
from snncc.execute.pipelined import Clockwork
from snncc.ir.graph import Graph
from snncc.ir.sites import Sites
from snncc.passes.balance_delays import pipelined

Snncc = Callable[..., Any]


def test_a_pipelined_run_is_held_to_the_executor(
    snncc: Snncc, artefact: Path, samples: Path
) -> None:
    common = ("simulate", artefact, "--input", samples, "--verify")
    document = json.loads(snncc(*common, "--pipelined", "--format", "json").out)
    plain = json.loads(snncc(*common, "--format", "json").out)
    expected = pipelined(read_artefact(artefact).integer)
    assert document["verified"] is True
    assert document["spikes_compared"] == plain["spikes_compared"] > 0
    assert document["predictions"] == plain["predictions"]
    assert plain["pipelined"] is None
    assert document["pipelined"] == {
        "clock_steps": 6 * 2 + max(late or 0 for late in expected.latency_of.values()),
        "depth": expected.depth,
        "latency": expected.depth + 2,
        "interval": 2,
    }


def test_it_says_how_long_an_answer_takes(snncc: Snncc, artefact: Path, samples: Path) -> None:
    done = snncc("simulate", artefact, "--input", samples, "--pipelined")
    depth = pipelined(read_artefact(artefact).integer).depth
    assert done.code == 0
    line = next(line for line in done.out.splitlines() if line.startswith("pipelined"))
    assert line == (
        f"pipelined: {depth + 12} clock steps, a sample every 2, "
        f"its answer {depth + 2} steps after its first frame"
    )


def test_a_spike_that_differs_is_an_exit_code(
    snncc: Snncc, artefact: Path, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Clockwork._fire

    def never(self: Clockwork, *given: Any) -> Any:
        spikes, after = right(self, *given)
        return 0 * spikes, after

    monkeypatch.setattr(Clockwork, "_fire", never)
    done = snncc("simulate", artefact, "--input", samples, "--pipelined", "--verify")
    assert done.code == 1
    assert "NOT EQUAL" in done.out


def test_ends_run_where_the_artefact_was_compiled_to() -> None:
    empty = Graph(())
    assert sites_of(Artefact(empty)) == Sites()
    there = Artefact(empty, manifest={"options": {"encoder": "host", "head": "chip"}})
    assert sites_of(there) == Sites("host", "chip")
