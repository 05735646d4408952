"""`energy` beside other models and other networks, in every format, and refused."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

Snncc = Callable[..., Any]
SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
KEYS = ("mac", "ac", "energy_mj")


def fits(document: dict[str, Any]) -> None:
    """Hold a document, and the energy documents in it, to their schemas."""
    file = SCHEMAS / f"{document['schema'].replace('/', '-')}.json"
    Draft202012Validator(json.loads(file.read_text())).validate(document)
    for inner in (*document.get("energies", ()), document.get("a"), document.get("b")):
        if inner:
            fits(inner)


def of(done: Any) -> dict[str, Any]:
    assert done.code == 0, done.err
    document: dict[str, Any] = json.loads(done.out)
    fits(document)
    return document


def narrow(text: str) -> str:
    assert max(len(line) for line in text.splitlines()) <= 100
    return text


def test_every_model_side_by_side(snncc: Snncc, artefact: Path, samples: Path) -> None:
    common = ("energy", artefact, "--data", samples, "--energy-model", "all")
    document = of(snncc(*common, "--format", "json"))
    found = {each["energy_model"]: each for each in document["energies"]}
    assert set(found) == {
        "ann-45nm", "counted-45nm", "lemaire2022", "loihi1-davies2018", "loihi1-sanafe",
        "paper-45nm",
    }  # fmt: skip
    alone = of(snncc(*common[:-1], "lemaire2022", "--format", "json"))
    assert alone == found["lemaire2022"]
    rows = list(csv.DictReader(io.StringIO(snncc(*common, "--format", "csv").out)))
    assert [row["energy_model"] for row in rows].count("counted-45nm") == 2
    text = narrow(snncc(*common).out)
    assert "its ANN twin" in text
    assert text.count("leaves out: ") == len(found)
    assert text.count("2409.08290v4") == 1
    assert "assumes: queue_words = 1000 word, assumed: " in text


def test_the_work_of_a_network_is_the_sum_of_its_layers(
    snncc: Snncc, artefact: Path, samples: Path
) -> None:
    common = ("energy", artefact, "--data", samples, "--energy-model")
    document = of(snncc(*common, "loihi1-sanafe", "--format", "json"))
    work, layers = document["work"], document["layers"]
    for key in ("bias_adds", "neuron_updates", "spikes", "weight_words", "potential_words"):
        assert work[key] == pytest.approx(sum(each["counts"].get(key, 0) for each in layers)), key
    assert work["residual_adds"] == sum(o["ops"] for o in document["others"] if o["op"] == "add")
    assert work["residual_adds"] > 0
    assert work["pool_ops"] > 0
    assert document["events"]["spike"]["count"] == work["spikes"]
    assert document["events"]["neuron_access"]["count"] == work["neuron_updates"]


def test_details_show_estimates_beside_counts(snncc: Snncc, artefact: Path, samples: Path) -> None:
    common = ("energy", artefact, "--data", samples, "--energy-model", "counted-45nm")
    short, long = snncc(*common).out, narrow(snncc(*common, "--details").out)
    assert "estimated = counted + bias + padding + placement" not in short
    assert "estimated = counted + bias + padding + placement" in long
    assert "AND-accumulate" in long
    for layer in of(snncc(*common, "--format", "json"))["layers"]:
        counts = layer["counts"]
        rest = counts["estimated_ops"] - counts["counted_ops"]
        assert sum(counts["difference"].values()) == pytest.approx(rest, abs=1e-6)
        assert counts["counted_ops"] == pytest.approx(layer["mac"] + layer["ac"])
    rows = list(csv.DictReader(io.StringIO(snncc(*common, "--format", "csv").out)))
    for row in rows:
        parts = (float(row[key] or 0) for key in ("bias", "padding", "placement", "partner"))
        rest = float(row["estimated_ops"]) - float(row["counted_ops"])
        assert sum(parts) == pytest.approx(rest, abs=1e-6)
    assert "ac_int8 = 0.03 pJ, analytic: Horowitz, ISSCC 2014" in long


def test_a_network_that_is_not_spike_driven_costs_more(
    snncc: Snncc, artefact: Path, offending: Path, samples: Path
) -> None:
    common = ("energy", artefact, "--compare", offending, "--data", samples)
    document = of(snncc(*common, "--format", "json"))
    assert of(snncc("energy", artefact, "--data", samples, "--format", "json")) == document["a"]
    for side in "ab":
        for key in KEYS:
            total = sum(row[side][key] for row in document["kinds"])
            assert total == pytest.approx(document[side]["totals"][key])
    assert document["not_spike_driven"]["a"] == []
    paths = {layer["path"] for layer in document["not_spike_driven"]["b"]}
    assert paths == {f"block.0.{n}_linear" for n in ("attn.q", "attn.k", "attn.v", "mlp.fc1")}


@pytest.mark.parametrize("form", ["text", "csv"])
def test_a_comparison_for_people_and_for_tables(
    snncc: Snncc, artefact: Path, samples: Path, form: str
) -> None:
    common = ("energy", artefact, "--compare", artefact, "--data", samples)
    done = snncc(*common, "--energy-model", "lemaire2022", "--format", form)
    assert done.code == 0
    if form == "text":
        assert "as an ANN" in narrow(done.out)
        assert "Both cost " in done.out
        assert done.out.count("leaves out: ") == 1
    else:
        rows = list(csv.DictReader(io.StringIO(done.out)))
        assert rows[-1]["kind"] == "all"
        assert {row["ratio"] for row in rows} == {"1.0"}


TINY = "arch:sdt-cifar-2-256"


def test_a_twin_needs_neither_data_nor_weights(snncc: Snncc) -> None:
    document = of(snncc("energy", TINY, "--energy-model", "ann-45nm", "--format", "json"))
    assert (document["operations"], document["samples"]) == ("dense", 0)
    assert document["totals"]["ac"] == 0
    precisions = document["totals_by_precision"]
    assert precisions["fp32"]["energy_mj"] == pytest.approx(20 * precisions["int8"]["energy_mj"])


OWN = """\
name = "mine"
title = "Our chip"
leaves_out = ["Memory."]
[scope]
operations = { value = "counted", source = "spikes that meet a synapse" }

[constants]
mac_int8 = { value = 0.31, unit = "pJ", evidence = "simulated", source = "our lab" }
ac_int8 = { value = 0.05, unit = "pJ", evidence = "simulated", source = "our lab" }
"""


def test_a_model_of_the_users_own_prices_and_compares(
    snncc: Snncc, artefact: Path, samples: Path
) -> None:
    Path("mine.toml").write_text(OWN)
    common = ("energy", artefact, "--data", samples, "--energy-model", "mine.toml")
    totals = of(snncc(*common, "--format", "json"))["totals"]
    wanted = (0.31 * totals["mac"] + 0.05 * totals["ac"]) * 1e-9
    assert totals["energy_mj"] == pytest.approx(wanted)
    document = of(snncc(*common, "--compare", artefact, "--format", "json"))
    assert document["energy_model"] == "mine"
    assert document["precision"] == "int8"


DIGITS = Path(__file__).parents[2] / "examples" / "digits"


@pytest.mark.slow
@pytest.mark.parametrize("prices", ["paper-45nm", "counted-45nm", "lemaire2022"])
def test_the_digits_pair_on_real_images(snncc: Snncc, prices: str) -> None:
    pair = (DIGITS / "spikingformer.pth.tar", "--compare", DIGITS / "spikformer.pth.tar")
    common = ("energy", *pair, "--data", DIGITS / "test.npz", "--energy-model", prices)
    document = of(snncc(*common, "--format", "json"))
    assert document["a"]["samples"] == 450
    layers = document["not_spike_driven"]["b"]
    assert {layer["reads"] for layer in layers} == {f"int[0..{n}]" for n in (2, 3, 4, 5)}
    assert len(layers) == 8
    assert document["cause"]["kind"] == "weights on counts"
    assert document["totals"]["ratio"] > 1
    text = narrow(snncc(*common).out)
    assert "A (spikingformer-cifar-2-64) costs less: " in text
    assert "B is not spike-driven: 8 layers read what is no spike" in text
    assert "as an ANN" in text
    if prices == "counted-45nm":
        documented = (SCHEMAS.parent / "energy.md").read_text("utf-8")
        assert text[: text.index("\nA: counted-45nm, fp32")] in documented


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--compare-rates", "r.csv"), "SNN504", "no --compare that it is of"),
        (("--compare", "X", "--energy-model", "all"), "SNN504", "under one energy model"),
        (("--compare", "nowhere.pth"), "SNN101", "nowhere.pth"),
        (("--compare", "."), "SNN140", "is no artefact"),
        (("--compare", "ARTEFACT", "--compare-rates", "r.csv"), "SNN504", "is an artefact"),
        (("--rates", "r.csv"), "SNN504", "wanted one of them"),
        (
            ("--compare", "COMPLIANT", "--compare-rates", "r.csv", "--energy-model", "lemaire2022"),
            "SNN504",
            "lemaire2022 prices events that took place",
        ),
        (("--counter-heads", 2), "SNN504", "is of Q (K^T V), and `block.0.attn` of"),
        (("--limit", 0), "", "0 is not in the range x>=1"),
        (("--energy-model", "lemaire2022", "--convention", "sdt"), "SNN504", "counts operations"),
        (("--energy-model", "mine.toml"), "SNN501", "mine.toml:2: title: wanted a string"),
        (("--energy-model", "key.toml"), "SNN501", "key.toml:9: constants.ac_int9: unknown key"),
        (
            ("--energy-model", "unit.toml"),
            "SNN501",
            "unit.toml:8: constants.mac_int8.unit: is 'nJ', wanted 'pJ'",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(
    snncc: Snncc, compliant: Path, artefact: Path, samples: Path, options: tuple[Any, ...],
    code: str, message: str,
) -> None:  # fmt: skip
    """Of an artefact and, where that is named, the model beside it."""
    Path("mine.toml").write_text('name = "mine"\ntitle = 3\n')
    Path("key.toml").write_text(OWN.replace("\nac_int8", "\nac_int9"))
    Path("unit.toml").write_text(OWN.replace("pJ", "nJ", 1))
    named = {"ARTEFACT": artefact, "COMPLIANT": compliant}
    given = [named.get(option, option) for option in options]
    done = snncc("energy", artefact, "--data", samples, *given)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("error[") == (1 if code else 0)
    assert f"error[{code}" in done.err or not code
    assert message in " ".join(done.err.split())


@pytest.mark.parametrize(
    ("array", "code"),
    [
        (np.zeros((2, 3, 8, 8)), "SNN131"),
        (np.zeros((2, 1, 9, 8)), "SNN131"),
        (np.full((2, 1, 8, 8), np.nan), "SNN132"),
        (np.zeros((0, 1, 8, 8)), "SNN133"),
    ],
)
def test_bad_data(snncc: Snncc, artefact: Path, array: np.ndarray, code: str) -> None:
    np.save("bad.npy", array)
    done = snncc("energy", artefact, "--compare", artefact, "--data", "bad.npy")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("error[") == 1
    assert f"error[{code}]" in done.err
