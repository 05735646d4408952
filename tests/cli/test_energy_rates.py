"""`energy --rates`: the published logs, in every format, and refused."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Snncc = Callable[..., Any]
GOLDEN = Path(__file__).parent.parent / "golden"
SMALL = "arch:spikingformer-8-512"
LOG = GOLDEN / "spikingformer-8-512.json"
RATES = ("energy", SMALL, "--rates", LOG)


def test_the_log_of_8_512(snncc: Snncc) -> None:
    document = json.loads(snncc(*RATES, "--format", "json").out)
    assert document["totals"]["energy_mj"] == pytest.approx(7.463502601886196, rel=1e-12)
    assert document["operations"] == "estimated"
    assert document["convention"] == "spikingformer"
    assert document["published"]["energy_mj"] == 7.463
    assert (document["samples"], document["time_steps"]) == (0, 4)


def test_what_is_written_can_be_read_again(snncc: Snncc) -> None:
    once = snncc(*RATES, "--format", "csv").out
    rows = list(csv.DictReader(io.StringIO(once)))
    assert len(rows) == 54 + 16
    Path("again.csv").write_text(once)
    assert snncc("energy", SMALL, "--rates", "again.csv", "--format", "csv").out == once


def test_the_published_figure_of_8_768_stands_beside(snncc: Snncc) -> None:
    network = ("energy", "arch:spikingformer-8-768", "--rates", GOLDEN / "spikingformer-8-768.json")
    done = snncc(*network, "--counter-heads", 12)
    assert done.code == 0
    assert "13.6589 mJ a sample" in done.out
    assert "published: 13.678 mJ" in done.out
    assert "convention: spikingformer, 12 heads" in done.out
    assert max(len(line) for line in done.out.splitlines()) <= 100


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((*RATES[:3], "wrong.csv"), "SNN503"),
        ((*RATES[:3], "nowhere.csv"), "SNN503"),
        ((*RATES, "--convention", "sdt", "--counter-heads", 12), "SNN504"),
        ((*RATES, "--data", "x.npz"), "SNN504"),
        ((*RATES, "--energy-model", "loihi1-sanafe"), "SNN504"),
        (
            ("energy", SMALL, "--data", "x", "--energy-model", "counted-45nm", "--convention",
             "sdt"),
            "SNN504",
        ),
    ],
)  # fmt: skip
def test_every_bad_input_is_one_diagnostic(
    snncc: Snncc, arguments: tuple[object, ...], code: str
) -> None:
    Path("wrong.csv").write_text("path,rate\nhead,nan\n")
    done = snncc(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("error[") == 1
    assert f"error[{code}]" in done.err
