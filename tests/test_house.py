"""What stands beside the code: the citation, the changes, the licence, the version."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

import snncc

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent

AUTHOR = {
    "type": "object",
    "anyOf": [{"required": ["name"]}, {"required": ["family-names"]}],
    "additionalProperties": {"type": "string"},
}
CITATION = {
    "type": "object",
    "required": ["cff-version", "message", "title", "authors"],
    "additionalProperties": False,
    "properties": {
        "cff-version": {"const": "1.2.0"},
        "message": {"type": "string", "minLength": 1},
        "type": {"enum": ["software", "dataset"]},
        "title": {"type": "string", "minLength": 1},
        "abstract": {"type": "string"},
        "authors": {"type": "array", "minItems": 1, "items": AUTHOR},
        "version": {"type": ["string", "number"]},
        "license": {"type": "string"},
        "keywords": {"type": "array", "minItems": 1, "items": {"type": "string"}},
        "date-released": {"type": "string"},
        "doi": {"type": "string"},
        "repository-code": {"type": "string"},
    },
}
"""The keys of the Citation File Format 1.2.0 that are used here, and what they may hold."""


def citation() -> Any:
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_the_citation_has_its_form() -> None:
    Draft202012Validator.check_schema(CITATION)
    Draft202012Validator(CITATION).validate(citation())


@pytest.mark.parametrize("key", ["cff-version", "message", "title", "authors"])
def test_a_citation_without_it_is_none(key: str) -> None:
    broken = {k: v for k, v in citation().items() if k != key}
    assert not Draft202012Validator(CITATION).is_valid(broken)


def test_the_citation_is_of_this_version_and_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = citation()
    assert str(found["version"]) == snncc.__version__
    assert found["license"] == project["license"]
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")[:300]


def test_the_changes_have_their_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text.startswith("# Changes\n")
    versions = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    for version in versions[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", version)
    kinds = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_every_command_is_in_the_changes() -> None:
    from snncc.cli.app import app

    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert [name for name in app.commands if f"snncc {name}" not in text] == []


def test_contributing_is_half_a_page() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 40
