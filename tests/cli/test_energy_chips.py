"""`energy` under models of chips: events of an artefact, in every format."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snncc.backends.report.table import energy

Snncc = Callable[..., Any]


@pytest.mark.parametrize("prices", ["loihi1-davies2018", "loihi1-sanafe"])
def test_events_of_an_artefact(snncc: Snncc, artefact: Path, samples: Path, prices: str) -> None:
    common = ("energy", artefact, "--data", samples, "--energy-model", prices)
    document = json.loads(snncc(*common, "--format", "json").out)
    assert (document["energy_model"], document["precision"]) == (prices, "chip")
    events = document["events"]
    assert all(event["count"] > 0 for event in events.values())
    total = sum(event["energy_mj"] for event in events.values())
    assert document["totals"]["energy_mj"] == pytest.approx(total)
    rows = list(csv.DictReader(io.StringIO(snncc(*common, "--format", "csv").out)))
    assert "integer_neuron" in {row["op"] for row in rows}
    text = snncc(*common)
    assert text.code == 0
    assert f"{prices}, chip: {energy(document['totals']['energy_mj'], 6)} a sample" in text.out
    assert "  spike: " in text.out
    assert max(len(line) for line in text.out.splitlines()) <= 100
