"""Findings as SARIF 2.1.0, which code scanning services read.

Every result has a place in a file, without which GitHub refuses a whole upload: the model's line,
else the file named on the command line. Its fingerprint is code and module path, so that a line
that moves stays one alert.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from snncc import __version__
from snncc.diagnostics.core import Diagnostic, Rule
from snncc.diagnostics.render import Findings, printable

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_ROOT = "%SRCROOT%"
_LONGEST_DESCRIPTION = 1000
"""GitHub cuts a rule's full description at 1024 characters; the help text has all of it."""


def as_sarif(findings: Findings) -> str:
    """Return a log with one run: the rules that were broken, and a result for each finding."""
    rules = list(dict.fromkeys(d.rule for d in findings.everything))
    seen: Counter[str] = Counter()
    run = {
        "tool": {
            "driver": {
                "name": "snncc",
                "version": __version__,
                "semanticVersion": __version__,
                "rules": [_rule(rule) for rule in rules],
            }
        },
        "automationDetails": {"id": f"snncc/{printable(findings.model)}/"},
        "invocations": [{"executionSuccessful": True}],
        "columnKind": "unicodeCodePoints",
        "results": [_result(d, rules, findings, seen) for d in findings.everything],
        "properties": {"clean": findings.clean, **findings.facts},
    }
    document = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _rule(rule: Rule) -> dict[str, Any]:
    first = " ".join(rule.explanation.partition("\n\n")[0].split())
    return {
        "id": rule.code,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.name.replace("-", " ")},
        "fullDescription": {"text": first[:_LONGEST_DESCRIPTION]},
        "help": {"text": rule.explanation, "markdown": rule.explanation},
        "defaultConfiguration": {"level": str(rule.severity)},
        "properties": {"tags": ["spiking neural networks"], "precision": "very-high"},
    }


def _result(
    diagnostic: Diagnostic, rules: list[Rule], findings: Findings, seen: Counter[str]
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": diagnostic.rule.code,
        "ruleIndex": rules.index(diagnostic.rule),
        "level": str(diagnostic.severity),
        "message": {"text": _message(diagnostic)},
        "locations": [_location(diagnostic, findings.file or findings.model)],
        "partialFingerprints": _fingerprints(diagnostic, seen),
    }
    if diagnostic.allowed_by:
        # Accepted is what no `status` means; the schema and its errata call that key differently.
        why = printable(diagnostic.allowed_by)
        result["suppressions"] = [{"kind": "external", "justification": why}]
    return result


def _message(diagnostic: Diagnostic) -> str:
    lines = [diagnostic.message, *(f"because: {reason}" for reason in diagnostic.because)]
    if diagnostic.hint:
        lines.append(f"help: {diagnostic.hint}")
    # `[text](target)` would be a link: names of strangers make none.
    return "\n".join(printable(line).replace("](", "]\\(") for line in lines)


def _location(diagnostic: Diagnostic, named: str) -> dict[str, Any]:
    source = diagnostic.source
    physical: dict[str, Any] = {"artifactLocation": _artifact(source.file or named)}
    if source.file and source.line:
        physical["region"] = {"startLine": source.line}
    location: dict[str, Any] = {"physicalLocation": physical}
    if source.module:
        path = printable(source.module)
        logical = {"name": path.rpartition(".")[2], "fullyQualifiedName": path, "kind": "module"}
        location["logicalLocations"] = [logical]
    return location


def _artifact(file: str) -> dict[str, str]:
    path = PurePath(printable(file))
    if path.is_absolute():
        return {"uri": path.as_uri()}
    return {"uri": quote(path.as_posix()), "uriBaseId": _ROOT}


def _fingerprints(diagnostic: Diagnostic, seen: Counter[str]) -> dict[str, str]:
    """Return code and module path as a hash; GitHub wants one key, and a number for twins."""
    what = f"{diagnostic.rule.code}\0{diagnostic.source.module or diagnostic.message}"
    digest = hashlib.sha256(what.encode(errors="backslashreplace")).hexdigest()
    seen[digest] += 1
    return {
        "snnccModulePath/v1": digest,
        "primaryLocationLineHash": f"{digest[:16]}:{seen[digest]}",
    }
