"""`energy` and `simulate`: on models and artefacts, in every format, and refused."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc.artefact import Artefact, read_artefact, write_artefact
from snncc.backends import simulate as lane
from snncc.backends.report.table import energy
from snncc.ir.graph import Graph
from snncc.ir.interpret import interpret

Snncc = Callable[..., Any]


@pytest.mark.parametrize("prices", ["paper-45nm", "counted-45nm"])
def test_energy_of_an_artefact(snncc: Snncc, artefact: Path, samples: Path, prices: str) -> None:
    common = ("energy", artefact, "--data", samples, "--energy-model", prices)
    document = json.loads(snncc(*common, "--format", "json").out)
    assert document["schema"] == "snncc.energy/1"
    assert document["model"] == "spikingformer-cifar-1-16"
    assert document["energy_model"] == prices
    assert (document["samples"], document["time_steps"]) == (6, 2)
    for key in ("mac", "ac", "energy_mj"):
        assert document["totals"][key] == pytest.approx(sum(x[key] for x in document["layers"]))
    rows = list(csv.DictReader(io.StringIO(snncc(*common, "--format", "csv").out)))
    assert [row["path"] for row in rows] == [x["path"] for x in document["layers"]]
    assert [float(row["ac"]) for row in rows] == [x["ac"] for x in document["layers"]]
    text = snncc(*common)
    assert text.code == 0
    assert f"{energy(document['totals']['energy_mj'], 6)} a sample" in text.out
    assert "leaves out" in text.out
    assert max(len(line) for line in text.out.splitlines()) <= 100


def test_the_estimate_is_of_the_network_as_written(
    snncc: Snncc, artefact: Path, compliant: Path, samples: Path
) -> None:
    common = ("--data", samples, "--format", "json")
    of_model = json.loads(snncc("energy", compliant, *common).out)
    assert of_model == json.loads(snncc("energy", artefact, *common).out)
    first = of_model["layers"][0]
    assert first["dense_ops"] == first["mac"] == 2 * 2 * 64 * 9
    assert first["rate"] == 1


def test_an_energy_model_of_the_users_own(snncc: Snncc, artefact: Path, samples: Path) -> None:
    Path("mine.toml").write_text(
        'name = "mine"\ntitle = "Mine"\nleaves_out = ["All else."]\n'
        '[scope]\noperations = { value = "counted", source = "s" }\n[constants]\n'
        'mac_int8 = { value = 2, unit = "pJ", evidence = "assumed", source = "s" }\n'
        'ac_int8 = { value = 1, unit = "pJ", evidence = "assumed", source = "s" }\n'
    )
    arguments = ("--data", samples, "--energy-model", "mine.toml", "--format", "json")
    document = json.loads(snncc("energy", artefact, *arguments).out)
    totals = document["totals"]
    assert document["precision"] == "int8"
    assert totals["energy_mj"] == pytest.approx((2 * totals["mac"] + totals["ac"]) * 1e-9)


def test_a_limit_takes_the_first_samples(snncc: Snncc, artefact: Path, samples: Path) -> None:
    common = ("--limit", 2, "--format", "json")
    assert json.loads(snncc("energy", artefact, "--data", samples, *common).out)["samples"] == 2
    assert json.loads(snncc("simulate", artefact, "--input", samples, *common).out)["samples"] == 2


def test_the_executor_is_verified_against_the_interpreter(
    snncc: Snncc, artefact: Path, samples: Path
) -> None:
    done = snncc("simulate", artefact, "--input", samples, "--verify", "--format", "json")
    document = json.loads(done.out)
    assert done.code == 0
    assert document["schema"] == "snncc.simulate/1"
    assert document["backend"] == "executor"
    assert document["verified"] is True
    assert document["mismatches"] == 0
    graph = read_artefact(artefact).integer
    neurons = sum(
        int(np.prod(graph.type_of(op.name).shape)) for op in graph.of_kind("integer_neuron")
    )
    assert document["spikes_compared"] == 6 * 2 * neurons
    assert document["accuracy"].keys() == {"float", "integer", "backend"}
    assert document["accuracy"]["integer"] == document["accuracy"]["backend"]
    assert len(document["predictions"]) == 6


def test_text_says_it_in_lines(snncc: Snncc, artefact: Path, samples: Path) -> None:
    done = snncc("simulate", artefact, "--input", samples, "--verify")
    assert done.out.splitlines()[0] == (
        "spikingformer-cifar-1-16 for loihi2: 6 samples, T=2, in executor"
    )
    assert done.out.splitlines()[1].startswith("verified: equal, ")
    assert done.out.splitlines()[2].startswith("accuracy: float ")


def test_what_was_not_asked_is_null(snncc: Snncc, artefact: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 1, 8, 8)))
    document = json.loads(snncc("simulate", artefact, "--input", "x.npy", "--format", "json").out)
    assert document["verified"] is None
    assert document["spikes_compared"] == document["mismatches"] == 0
    assert document["accuracy"] == {"float": None, "integer": None, "backend": None}


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_differing_spike_is_exit_code_1(
    snncc: Snncc, artefact: Path, samples: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    def wrong(graph: Graph, x: Any) -> dict[str, Any]:
        values = interpret(graph, x)
        name = graph.of_kind("integer_neuron")[1].name
        values[name] = values[name].copy()
        values[name][1, 2].flat[3] ^= 1
        return values

    monkeypatch.setattr(lane, "interpret", wrong)
    done = snncc("simulate", artefact, "--input", samples, "--verify", "--format", form)
    assert done.code == 1
    if form == "text":
        assert "verified: NOT EQUAL" in done.out
        assert "time step 1, sample 2" in done.out
    else:
        document = json.loads(done.out)
        assert (document["verified"], document["mismatches"]) == (False, 1)
        assert document["first_mismatch"]["t"] == 1


def test_an_artefact_without_its_float_network(
    snncc: Snncc, artefact: Path, samples: Path, tmp_path: Path
) -> None:
    whole = read_artefact(artefact)
    write_artefact(tmp_path / "a", Artefact(whole.integer, manifest={"model": "m"}))
    document = json.loads(snncc("simulate", "a", "--input", samples, "--format", "json").out)
    assert document["accuracy"]["float"] is None
    assert document["accuracy"]["integer"] is not None
    assert snncc("energy", "a", "--data", samples).code == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("simulate", "nowhere", "--input", "x.npz"), "SNN140"),
        (("simulate", ".", "--input", "x.npz"), "SNN140"),
        (("simulate", "damaged", "--input", "x.npz"), "SNN141"),
        (("simulate", "ARTEFACT", "--input", "x.npz"), "SNN130"),
        (("simulate", "ARTEFACT", "--input", "wrong.npy"), "SNN131"),
        (("energy", "ARTEFACT"), "SNN502"),
        (("energy", "ARTEFACT", "--data", "nan.npy"), "SNN132"),
        (("energy", "ARTEFACT", "--data", "empty.npy"), "SNN133"),
        (("energy", "ARTEFACT", "--data", "x.npz", "--energy-model", "free"), "SNN501"),
        (("energy", ".", "--data", "x.npz"), "SNN140"),
        (("energy", "nowhere.pth", "--data", "x.npz"), "SNN101"),
        (("energy", "arch:spikingformer-cifar-4-256", "--data", "x.npz"), "SNN137"),
    ],
)
def test_every_bad_input_is_one_diagnostic(
    snncc: Snncc, artefact: Path, arguments: tuple[str, ...], code: str
) -> None:
    x = np.zeros((2, 1, 8, 8))
    np.save("wrong.npy", x[:, 0])
    np.save("nan.npy", x + np.nan)
    np.save("empty.npy", x[:0])
    damaged = Path("damaged")
    damaged.mkdir()
    for file in artefact.iterdir():
        (damaged / file.name).write_bytes(file.read_bytes()[:-1])
    (damaged / "manifest.json").write_bytes((artefact / "manifest.json").read_bytes())
    done = snncc(*(artefact if a == "ARTEFACT" else a for a in arguments))
    assert (done.code, done.out) == (2, "")
    assert done.err.count("error[") == 1
    assert f"error[{code}]" in done.err


@pytest.mark.slow
def test_lava_equals_the_executor(snncc: Snncc, artefact: Path, samples: Path) -> None:
    pytest.importorskip("lava")
    for granularity in ("stage", "operator"):
        arguments = (
            "--backend",
            "lava",
            "--verify",
            "--granularity",
            granularity,
            "--format",
            "json",
        )
        done = snncc("simulate", artefact, "--input", samples, *arguments)
        document = json.loads(done.out)
        assert done.code == 0
        assert document["backend"] == "lava"
        assert document["verified"] is True
        assert document["mismatches"] == 0
        assert document["spikes_compared"] > 0


@pytest.mark.slow
def test_stock_processes_equal_our_integers(snncc: Snncc, artefact: Path, samples: Path) -> None:
    pytest.importorskip("lava")
    done = snncc("simulate", artefact, "--input", samples, "--conformance", "--format", "json")
    cases = json.loads(done.out)["conformance"]
    assert done.code == (1 if any(case["mismatches"] for case in cases) else 0)
    assert sum(case["spikes_compared"] for case in cases) > 0
    assert all(case["mismatches"] == 0 for case in cases if not case["limits"])
    assert sum(not case["limits"] for case in cases) > len(cases) // 2
