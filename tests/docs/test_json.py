"""Every JSON document that a command writes fits its schema in `docs/schemas`."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from snncc.cli.guard import guarded

ROOT = Path(__file__).parents[2]
SCHEMAS = sorted((ROOT / "docs" / "schemas").glob("*.json"))
DIGITS = ROOT / "examples" / "digits"
COMPLIANT, OFFENDING = DIGITS / "spikingformer.pth.tar", DIGITS / "spikformer.pth.tar"
DATA = ("--limit", 4, "--format", "json")


def written(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """The document that a command writes."""
    capsys.readouterr()
    assert guarded([str(a) for a in arguments]) in (0, 1)
    return dict(json.loads(capsys.readouterr().out))


def fits(document: dict[str, Any]) -> None:
    """Hold a document to the schema that it names, and the schema to its required keys."""
    file = ROOT / "docs" / "schemas" / f"{document['schema'].replace('/', '-')}.json"
    schema = Draft202012Validator(json.loads(file.read_text()))
    schema.validate(document)
    for key in json.loads(file.read_text())["required"]:
        assert not schema.is_valid({k: v for k, v in document.items() if k != key}), key


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.name)
def test_schemas_are_schemas_and_are_documented(file: Path) -> None:
    schema = json.loads(file.read_text())
    Draft202012Validator.check_schema(schema)
    text = (ROOT / "docs" / "json.md").read_text()
    assert f"(schemas/{file.name})" in text
    assert f"## {schema['properties']['schema']['const']}" in text


def test_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    allow = ("--allow", "SNN204", "--allow", "SNN201:block.1.*")
    place = ("--witness", tmp_path / "w.npz")
    document = written(capsys, "check", OFFENDING, *allow, *place, "--format", "json")
    fits(document)
    assert {"findings", "notes", "witnesses", "settings"} <= {k for k, v in document.items() if v}
    for key in document["findings"][0]:
        wrong = copy.deepcopy(document)
        del wrong["findings"][0][key]
        with pytest.raises(AssertionError, match="is not valid"):
            assert_valid(wrong)


def assert_valid(document: dict[str, Any]) -> None:
    schema = json.loads((ROOT / "docs" / "schemas" / "snncc.check-1.json").read_text())
    assert Draft202012Validator(schema).is_valid(document), "is not valid"


def test_every_key_of_a_check_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    document = written(capsys, "check", COMPLIANT, "--format", "json")
    fits(document)
    text = (ROOT / "docs" / "json.md").read_text()
    keys = {*document, *document["findings"][0]} - {"schema"}
    assert {key for key in keys if f"`{key}`" not in text and f"`{key}[]`" not in text} == set()


def test_explain(capsys: pytest.CaptureFixture[str]) -> None:
    fits(written(capsys, "explain", "--format", "json"))


def test_energy_and_simulate(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    given = ("--target", "loihi2", "--data", DIGITS / "calibration.npz", "--limit", 4)
    assert guarded([str(a) for a in ("compile", COMPLIANT, *given, "-o", tmp_path / "a")]) == 0
    data = DIGITS / "test.npz"
    for model in ("paper-45nm", "counted-45nm"):
        fits(
            written(
                capsys, "energy", tmp_path / "a", "--data", data, "--energy-model", model, *DATA
            )
        )
    fits(written(capsys, "simulate", tmp_path / "a", "--input", data, *DATA))
    fits(written(capsys, "simulate", tmp_path / "a", "--input", data, "--verify", *DATA))
    fits(written(capsys, "simulate", tmp_path / "a", "--input", data, "--pipelined", *DATA))
