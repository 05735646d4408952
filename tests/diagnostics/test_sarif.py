"""SARIF: the official schema, a place for every result, stable fingerprints.

``golden/sarif-2.1.0.schema.json`` is the schema that OASIS publishes with the standard, unchanged,
as the package @datadog/datadog-ci 2.48.0 ships it.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from jsonschema.validators import validator_for  # type: ignore[import-untyped]

from snncc.diagnostics.core import Diagnostic
from snncc.diagnostics.formats import RENDERERS
from snncc.diagnostics.render import Findings
from snncc.ir.graph import Source

SCHEMA = json.loads((Path(__file__).parents[1] / "golden/sarif-2.1.0.schema.json").read_text())


def log(findings: Findings) -> dict[str, Any]:
    """The document, which fits the schema, and whose every result has a place."""
    document = json.loads(RENDERERS["sarif"](findings))
    validator_for(SCHEMA)(SCHEMA).validate(document)
    for result in document["runs"][0]["results"]:
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    return dict(document)


def results(findings: Findings) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = log(findings)["runs"][0]["results"]
    return found


def test_the_schema_is_not_content_with_anything() -> None:
    wrong = {"version": "2.1.0", "runs": [{"results": []}]}
    assert not validator_for(SCHEMA)(SCHEMA).is_valid(wrong)


def test_a_result_has_place_module_and_message(findings: Findings) -> None:
    result = results(findings)[1]
    assert result["ruleId"] == "SNN299"
    assert result["level"] == "error"
    assert result["message"]["text"] == (
        "`net.fc` reads int[0..2], not spikes\nbecause: `s` adds\nhelp: put a neuron"
    )
    (location,) = result["locations"]
    assert location == {
        "physicalLocation": {
            "artifactLocation": {"uri": "net%20dir/net.py", "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": 7},
        },
        "logicalLocations": [{"name": "fc", "fullyQualifiedName": "net.fc", "kind": "module"}],
    }
    assert "suppressions" not in result


def test_what_is_allowed_is_suppressed_with_the_reason(findings: Findings) -> None:
    result = results(findings)[0]
    assert result["level"] == "note"
    assert result["suppressions"] == [{"kind": "external", "justification": "policy: encoder"}]


def test_what_has_no_place_of_its_own_is_at_the_file_that_was_named(findings: Findings) -> None:
    def place(named: str) -> object:
        each = results(dataclasses.replace(findings, file=named))[2]
        return each["locations"][0]["physicalLocation"]

    assert place("m.pth") == {"artifactLocation": {"uri": "m.pth", "uriBaseId": "%SRCROOT%"}}
    assert place("/a b/m.pth") == {"artifactLocation": {"uri": "file:///a%20b/m.pth"}}
    assert place("arch:x")["artifactLocation"]["uri"] == "arch%3Ax"  # type: ignore[index]
    assert place("")["artifactLocation"]["uri"] == "net"  # type: ignore[index]


def test_rules_explain_themselves(findings: Findings) -> None:
    driver = log(findings)["runs"][0]["tool"]["driver"]
    assert [rule["id"] for rule in driver["rules"]] == ["SNN299", "SNN298"]
    rule = driver["rules"][0]
    assert rule["fullDescription"]["text"] == "What it means."
    assert rule["help"]["markdown"] == "What it\nmeans.\n\nAnd *more*."
    assert rule["defaultConfiguration"]["level"] == "error"
    assert [r["ruleIndex"] for r in results(findings)] == [0, 0, 1]


def fingerprints(*diagnostics: Diagnostic) -> list[tuple[str, ...]]:
    found = results(Findings("net", diagnostics))
    return [tuple(r["partialFingerprints"].values()) for r in found]


def test_a_moved_line_keeps_its_fingerprint(findings: Findings) -> None:
    error = findings.diagnostics[1]
    moved = dataclasses.replace(error, source=Source("net.fc", "other.py", 99), message="else")
    elsewhere = dataclasses.replace(error, source=Source("net.fc2", "net.py", 7))
    assert fingerprints(error) == fingerprints(moved) != fingerprints(elsewhere)
    (one, first), (two, second) = fingerprints(error, moved)
    assert one == two
    assert (first[-2:], second[-2:]) == (":1", ":2")
    assert first[:-2] == second[:-2] == one[:16]


def test_the_run_says_what_was_judged(findings: Findings) -> None:
    run = log(findings)["runs"][0]
    assert run["properties"] == {"clean": False, "form": "as-written", "time_steps": 4}
    assert run["automationDetails"]["id"] == "snncc/net/"
    assert log(Findings("net"))["runs"][0]["results"] == []


def test_names_make_no_links_and_no_control_characters(evil: Findings) -> None:
    for result in results(evil):
        assert "](" not in result["message"]["text"]
        assert all(line.isprintable() for line in result["message"]["text"].split("\n"))
        assert ":" not in result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
