"""What a page shows is what the artefact says; what cannot be read is refused."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from snncc.artefact import Artefact, read_artefact, write_artefact
from snncc.backends.report.page.gather import read_network
from snncc.backends.report.page.network import Network
from snncc.diagnostics.core import SnnccError
from snncc.execute.executor import Executor
from snncc.ir.graph import Array


def refusal(path: Path) -> SnnccError:
    with pytest.raises(SnnccError) as caught:
        read_network(path)
    (found,) = caught.value.diagnostics
    assert found.message
    return caught.value


def rewritten(path: Path, place: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Write the artefact with changed documents, its hashes in order."""
    artefact = read_artefact(path)
    documents = json.loads(json.dumps(dict(artefact.documents)))
    change(documents)
    kept = {k: v for k, v in artefact.manifest.items() if k in ("model", "target", "options")}
    texts = {n: d if isinstance(d, str) else json.dumps(d) for n, d in documents.items()}
    write_artefact(place, Artefact(artefact.integer, artefact.floating, texts, kept))
    return place


def test_rates_are_those_of_the_integers(plain: Path, network: Network, inputs: Array) -> None:
    graph = read_artefact(plain).integer
    names = [layer.name for layer in network.layers]
    run = Executor(graph).run(inputs, keep=names)
    for layer in network.layers:
        fired = run.values[layer.name] != 0
        assert list(layer.rates) == pytest.approx(fired.reshape(4, -1).mean(axis=1))
        shown = fired[:, :4].reshape(4, 4, -1)[:, :, list(layer.shown)]
        rasters = [[[c != "0" for c in row] for row in sample] for sample in layer.spikes]
        assert rasters == shown.swapaxes(0, 1).tolist()
        assert sum(layer.potentials) == 4 * 4 * layer.neurons


def test_blocks_hold_all_that_computes(twin: Network, sew: Path) -> None:
    written = read_artefact(sew).floating
    assert written is not None
    shown = {node.name for node in twin.nodes}
    assert {op.name for op in written.of_kind("conv", "linear", "neuron", "output")} <= shown
    assert all(name in shown for node in twin.nodes for name in node.inputs)
    assert {"block.0", "block.1"} <= {node.group for node in twin.nodes}


def test_a_click_shows_what_is_known(twin: Network) -> None:
    (node,) = (n for n in twin.nodes if n.name == "block.1.conv")
    facts = dict(node.facts)
    assert node.verdict == "counts"
    assert facts["shape"] == "6 x 6 x 6"
    assert facts["reads"] == "int[0..2]"
    assert facts["verdict"].startswith("not spike-driven, allowed by")
    assert facts["source line"].endswith(tuple("0123456789"))
    assert node.because
    layer = next(dict(n.facts) for n in twin.nodes if n.kind == "neuron")
    assert "%" in layer["firing rate"]
    assert layer["quantization error"].endswith("of spikes differ")


def test_energies_are_those_of_the_report(plain: Path, network: Network) -> None:
    report = read_artefact(plain).documents["report.json"]
    for document in report["energy"]:
        found = network.energy(document["energy_model"])
        assert found is not None
        assert found.total_mj == document["totals"]["energy_mj"]
    for energy in network.energies:
        assert sum(cost for _, _, cost in energy.layers) == pytest.approx(energy.total_mj)


def test_every_model_that_fits_is_there(network: Network) -> None:
    assert [e.model for e in network.energies] == [
        "ann-45nm", "counted-45nm", "lemaire2022", "loihi1-davies2018", "loihi1-sanafe",
        "paper-45nm",
    ]  # fmt: skip


def test_what_an_older_artefact_lacks_is_not_there(plain: Path, tmp_path: Path) -> None:
    older = rewritten(plain, tmp_path / "older", lambda documents: documents.pop("profile.json"))
    found = read_network(older)
    assert not found.profiled
    assert [e.model for e in found.energies] == ["counted-45nm", "paper-45nm"]
    assert found.chip is not None
    assert found.chip.machine is None


def test_without_data_nothing_is_made_up(bare: Path) -> None:
    found = read_network(bare)
    assert (found.samples, found.energies, found.accuracy) == (0, (), {})
    assert not found.profiled
    assert not found.calibrated


@pytest.mark.parametrize(
    ("document", "value", "told"),
    [
        ("report.json", {"schema": "snncc.report/2"}, "snncc.report/2"),
        ("profile.json", {"schema": "snncc.profile/9"}, "snncc.profile/9"),
        ("report.json", {"schema": "snncc.report/1"}, "is missing"),
        ("report.json", [], ""),
        ("diagnostics.json", [{}], "the key 'code' is missing"),
        ("placement.json", {}, ""),
    ],
)
def test_documents_of_another_form_are_refused(
    plain: Path, tmp_path: Path, document: str, value: Any, told: str
) -> None:
    place = rewritten(plain, tmp_path / "bad", lambda d: d.update({document: value}))
    assert told in str(refusal(place))


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        ("report.json/time_steps", math.inf, "out of range"),
        ("report.json/same_answer", math.nan, "out of range"),
        ("report.json/samples", 10**400, "out of range"),
        ("report.json/timing/interval", 0, "interval"),
        ("profile.json/labels", [-math.inf], "out of range"),
        ("profile.json/bins/per_threshold", 0, "bins"),
        ("profile.json/energies/0/precision", "fp7", "no total in fp7"),
        ("profile.json/layers/0/shown", [], "not of its neurons"),
        ("profile.json/layers/0/spikes", "x", "not of its neurons"),
        ("profile.json/layers/0", {"name": "nobody"}, "not of its neurons"),
        ("profile.json/layers/1/float_spikes", [["1"]], "not of its neurons"),
        ("profile.json/machine/cores/operations", [[1]], "not of the cores"),
        ("profile.json/machine/cores/neurons_per_core", {}, "not of the cores"),
        ("profile.json/machine/links", [["up", 0, 0, [1]]], "leads up"),
        ("profile.json/machine/mesh/rows/value", 0, "0 rows"),
        ("profile.json/machine/mesh/rows/value", 10**9, "a page draws 131072 tiles"),
        ("profile.json/machine/mesh/columns/value", 10**6, "the mesh has 1000000 x"),
        ("profile.json/machine/mesh/cores_per_tile/value", 10**12, "of 1024 cores at most"),
    ],
)
def test_documents_that_do_not_fit_together_are_refused(
    plain: Path, tmp_path: Path, place: str, value: Any, told: str
) -> None:
    *way, last = (int(key) if key.isdecimal() else key for key in place.split("/"))

    def change(documents: dict[str, Any]) -> None:
        at: Any = documents
        for key in way:
            at = at[key]
        at[last] = value

    assert told in str(refusal(rewritten(plain, tmp_path / "bad", change)))


def test_loads_of_other_cores_are_refused(plain: Path, tmp_path: Path) -> None:
    def change(documents: dict[str, Any]) -> None:
        documents["profile.json"]["machine"]["cores"]["neurons_per_core"].append(1)

    assert "not of the cores" in str(refusal(rewritten(plain, tmp_path / "bad", change)))


def test_what_is_no_artefact_is_refused(plain: Path, tmp_path: Path) -> None:
    assert "SNN140" in str(refusal(tmp_path))
    assert "SNN140" in str(refusal(tmp_path / "absent"))
    broken = tmp_path / "broken"
    shutil.copytree(plain, broken)
    (broken / "profile.json").unlink()
    assert "SNN141" in str(refusal(broken))
    (broken / "manifest.json").write_text('{"schema": "snncc.artefact/9", "files": {}}')
    assert "SNN142" in str(refusal(broken))


def test_a_network_is_plain_data(network: Network) -> None:
    assert dataclasses.replace(network) == network


def test_the_profile_fits_its_schema(plain: Path) -> None:
    schemas = Path(__file__).parents[4] / "docs" / "schemas"
    document = read_artefact(plain).documents["profile.json"]
    schema = json.loads((schemas / "snncc.profile-1.json").read_text())
    Draft202012Validator(schema).validate(document)
    for key in schema["required"]:
        fewer = {k: v for k, v in document.items() if k != key}
        assert not Draft202012Validator(schema).is_valid(fewer), key
