"""JUnit XML: a case for each layer, and names that stay text."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree as ET

from snncc.diagnostics.core import Severity
from snncc.diagnostics.formats import RENDERERS
from snncc.diagnostics.render import Findings


def parsed(findings: Findings) -> ET.Element:
    """The document, read by a parser."""
    return ET.fromstring(RENDERERS["junit"](findings))  # noqa: S314


def cases(root: ET.Element) -> dict[str, tuple[str, str]]:
    """Each case's name with its outcome and the message of that."""
    found = {}
    for case in root.iter("testcase"):
        outcome = next((e for e in case if e.tag in ("failure", "skipped")), None)
        text = "" if outcome is None else outcome.get("message", "")
        found[case.get("name", "")] = ("passed" if outcome is None else outcome.tag, text)
    return found


def test_one_case_for_each_layer_and_for_what_is_about_none(findings: Findings) -> None:
    root = parsed(findings)
    assert cases(root) == {
        "net.stem": ("skipped", "policy: encoder"),
        "net.fc": ("passed", ""),
        "net.fc (2)": ("failure", "`net.fc` reads int[0..2], not spikes"),
        "model": ("skipped", "warning: the allowance `X` matches no finding"),
    }
    (suite,) = root
    for element in (root, suite):
        counts = [element.get(key) for key in ("tests", "failures", "errors")]
        assert counts == ["4", "1", "0"]
    assert suite.get("skipped") == "2"
    properties = {p.get("name"): p.get("value") for p in root.iter("property")}
    assert properties == {"form": "as-written", "time_steps": "4", "reads": "int[0..2]"}


def test_a_failure_says_all_that_the_text_says(findings: Findings) -> None:
    (failure,) = parsed(findings).iter("failure")
    assert failure.get("type") == "SNN299 test-rule"
    assert failure.text == (
        "error[SNN299]: `net.fc` reads int[0..2], not spikes\n"
        "  --> net.fc (net dir/net.py:7)\n"
        "  because: `s` adds\n"
        "  help: put a neuron\n"
        "  explain: snncc explain SNN299"
    )


def test_a_warning_fails_where_warnings_do(findings: Findings) -> None:
    strict = dataclasses.replace(findings, fail_on=Severity.WARNING)
    assert cases(parsed(strict))["model"][0] == "failure"


def test_names_stay_text(evil: Findings) -> None:
    root = parsed(evil)
    tags = [element.tag for element in root.iter()]
    assert tags.count("testcase") == 2
    assert tags.count("failure") == 1
    case = next(root.iter("testcase"))
    assert "]]></failure>&\"'" in case.get("name", "")
    assert all((element.get("name") or "x").isprintable() for element in root.iter())
