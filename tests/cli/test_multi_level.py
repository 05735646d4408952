"""`compile --multi-level`: a model that is not spike-driven, as graded spikes and in sub-steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc.artefact import read_artefact
from snncc.execute.executor import Executor

Snncc = Callable[..., Any]


DIGITS = Path(__file__).parents[2] / "examples" / "digits"


@pytest.fixture
def both(snncc: Snncc) -> dict[str, Path]:
    for form in ("graded", "substeps"):
        done = snncc(
            "compile", DIGITS / "spikformer.pth.tar", "--target", "loihi2", "--allow", "SNN201",
            "--data", DIGITS / "calibration.npz", "--limit", 2, "--multi-level", form, "-o", form,
        )  # fmt: skip
        assert done.code == 0, done.err
    return {form: Path(form).resolve() for form in ("graded", "substeps")}


def test_both_forms_answer_with_the_same_integers(both: dict[str, Path]) -> None:
    x = np.load(DIGITS / "test.npz")["x"][:4]
    graphs = {form: read_artefact(path).integer for form, path in both.items()}
    assert not graphs["graded"].of_kind("thermometer")
    assert graphs["substeps"].of_kind("thermometer")
    graded, substeps = (Executor(graph).run(x).output for graph in graphs.values())
    assert np.array_equal(graded, substeps)


def test_sub_steps_are_additions_and_graded_spikes_are_products(both: dict[str, Path]) -> None:
    totals = {}
    for form, path in both.items():
        document = json.loads((path / "report.json").read_text())
        (counted,) = [e for e in document["energy"] if e["energy_model"] == "counted-45nm"]
        totals[form] = counted["totals"]
    assert totals["substeps"]["mac"] < totals["graded"]["mac"]
    assert totals["substeps"]["energy_mj"] < totals["graded"]["energy_mj"]


def test_without_the_allowance_nothing_is_written(snncc: Snncc, offending: Path) -> None:
    done = snncc("compile", offending, "--target", "loihi2", "-o", "out")
    assert done.code == 1
    assert not Path("out").exists()
