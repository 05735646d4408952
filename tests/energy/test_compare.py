"""Comparisons: kinds of layers, ratios, the cause, and what is no spike-driven product."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from snncc.backends.report.compare import COLUMNS, compare_csv, compare_text, sentence
from snncc.energy.compare import KINDS, compare_document, kind_of
from snncc.energy.load import load_energy_model
from snncc.energy.price import Load, document

PAPER = load_energy_model("paper-45nm")


def layer(name: str, op: str, ops: int, rate: float | None) -> Load:
    mac, ac = (float(ops), 0.0) if rate is None else (0.0, ops * rate)
    return Load(name, name, op, 1.0 if rate is None else rate, ops, mac, ac)


READS = {"first": ("encoder", "real"), "last": ("head", "real"), "wide": ("", "int[0..2]")}


def priced(name: str, *layers: Load, samples: int = 3) -> dict[str, Any]:
    facts = {"samples": samples, "time_steps": 4, "operations": "counted"}
    found = document(name, layers, PAPER, facts)
    for each in found["layers"]:
        role, reads = READS.get(each["name"], ("", "spike"))
        each.update({"role": role, "reads": reads})
    return found


FRAME = (layer("first", "conv", 1000, None), layer("last", "linear", 100, None))
A = priced("lean", *FRAME, layer("thin", "conv", 8000, 0.1), layer("m", "matmul", 900, 0.1))
B = priced("sum", *FRAME, layer("wide", "conv", 8000, None), layer("thin", "conv", 500, 0.2))


def test_kinds_add_up_to_the_totals() -> None:
    found = compare_document(A, B)
    for side in "ab":
        for key in ("mac", "ac", "energy_mj"):
            total = sum(row[side][key] for row in found["kinds"])
            assert total == pytest.approx(found["totals"][side][key])
    kinds = [row["kind"] for row in found["kinds"]]
    assert kinds == ["encoder", "weights on spikes", "weights on counts", "attention", "head"]
    assert kinds == [kind for kind in KINDS if kind in kinds]
    assert found["totals"]["ratio"] == pytest.approx(
        B["totals"]["energy_mj"] / A["totals"]["energy_mj"]
    )


def test_what_is_not_spike_driven_is_the_cause() -> None:
    found = compare_document(A, B)
    assert found["not_spike_driven"] == {
        "a": [],
        "b": [{"path": "wide", "reads": "int[0..2]", "mac": 8000.0}],
    }
    assert found["cause"]["kind"] == "weights on counts"
    assert found["cause"]["share"] > 1
    said = sentence(found)
    assert said.startswith("A (lean) costs less: ")
    assert "B pays 36.80 nJ more for weights on counts, " in said
    assert said.endswith(
        "1 layer of B reads no spikes but int[0..2], so that each of their operations multiplies."
    )


def test_events_of_a_chip_cost_the_same_whatever_their_value() -> None:
    """A model of events has no price of a MAC: the reason is how many events there are."""
    words = compare_document(*({**each, "events": {"addresses": {}}} for each in (A, B)))
    assert sentence(words).endswith("so that each of their operations multiplies.")
    found = compare_document(*({**each, "events": {"synaptic_op_conv": {}}} for each in (A, B)))
    assert sentence(found).endswith(
        "1 layer of B reads no spikes but int[0..2]: 8.000 k events, priced alike whatever their "
        "value."
    )
    told = " ".join(compare_text(found).split())
    assert "their 8.000 k events are priced alike whatever their value." in told
    assert "papers' convention" not in told


def test_the_sentence_is_the_same_from_either_side() -> None:
    there, back = (sentence(compare_document(*pair)) for pair in ((A, B), (B, A)))
    swapped = back.translate(str.maketrans("AB", "BA"))
    assert there == swapped


def test_a_network_costs_what_it_costs() -> None:
    found = compare_document(A, A)
    assert found["cause"] is None
    assert found["totals"]["ratio"] == 1
    assert sentence(found) == "Both cost 5.861 nJ a sample under paper-45nm."


@pytest.mark.parametrize(
    ("a", "b", "why"),
    [
        (layer("thin", "conv", 8000, 0.1), layer("thin", "conv", 8000, 0.3), "reach weights at 10"),
        (layer("m", "matmul", 800, 0.1), layer("m", "matmul", 9000, 0.3), "80 AC in A, 2.700 k in"),
        (layer("first", "conv", 10, None), layer("first", "conv", 9000, None), "10 MAC in A"),
        (
            layer("thin", "conv", 10, 0.5),
            layer("norm", "batch_norm", 9000, None),
            "more for batch_norm",
        ),
    ],
)
def test_every_cause_is_told_in_its_own_figures(a: Load, b: Load, why: str) -> None:
    found = compare_document(priced("a", a), priced("b", b))
    assert why in sentence(found)


def test_nothing_against_something_has_no_ratio() -> None:
    found = compare_document(priced("a", layer("thin", "conv", 10, 0.0)), B)
    assert found["totals"]["ratio"] is None
    assert "  -\n" in compare_text(found)
    assert list(csv.DictReader(io.StringIO(compare_csv(found))))[-1]["ratio"] == ""


def test_kinds_under_the_twin_are_weights_and_attention() -> None:
    names = [kind_of({**each, "role": ""}, "dense") for each in A["layers"]]
    assert names == ["weights", "weights", "weights", "attention"]


def test_text_says_what_is_priced_as_a_mac_and_fits() -> None:
    text = compare_text(compare_document(A, {**B, "samples": 9, "operations": "estimated"}))
    assert "B is not spike-driven: 1 layer reads what is no spike; their 8.000 k operations" in text
    assert "Operations of A are counted, those of B estimated" in text
    assert "not priced on the same samples" in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_csv_has_the_kinds_and_the_whole() -> None:
    rows = list(csv.DictReader(io.StringIO(compare_csv(compare_document(A, B)))))
    assert tuple(rows[0]) == COLUMNS
    assert rows[-1]["kind"] == "all"
    assert float(rows[-1]["b_energy_mj"]) == B["totals"]["energy_mj"]


@pytest.mark.parametrize(("size", "less"), [("8-512", 0.6036), ("8-768", 0.5734)])
def test_published_reductions_stand_beside(size: str, less: float) -> None:
    found = compare_document(
        {**A, "model": f"spikformer-{size}"}, {**B, "model": f"spikingformer-{size}"}
    )
    assert round(found["published"]["less"], 4) == less
    assert f"{100 * less:.2f} % less" in compare_text(found)
