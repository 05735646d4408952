"""`check` in every format: one document on stdout, nothing on stderr, the code of the verdict."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

Snncc = Callable[..., Any]


def names(form: str, text: str) -> set[str]:
    """The module paths of what fails, as each format tells them."""
    if form == "sarif":
        results = json.loads(text)["runs"][0]["results"]
        failing = [r for r in results if r["level"] == "error"]
        return {r["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] for r in failing}
    if form == "junit":
        cases = ET.fromstring(text).iter("testcase")  # noqa: S314
        return {str(c.get("name")) for c in cases if c.find("failure") is not None}
    errors = re.compile(r"::error file=[^,]+\.py,line=\d+,title=SNN201 [^:]+::`(.+?)`")
    return {found[1] for line in text.splitlines() if (found := errors.match(line))}


@pytest.mark.parametrize("form", ["sarif", "junit", "github"])
def test_machine_formats(snncc: Snncc, compliant: Path, offending: Path, form: str) -> None:
    done = snncc("check", offending, "--format", form)
    assert (done.code, done.err) == (1, "")
    assert names(form, done.out) == {
        "block.0.attn.q_linear",
        "block.0.attn.k_linear",
        "block.0.attn.v_linear",
        "block.0.mlp.fc1_linear",
    }
    clean = snncc("check", compliant, "--format", form)
    assert (clean.code, clean.err) == (0, "")
    assert names(form, clean.out) == set()


def test_junit_has_a_case_for_each_layer(snncc: Snncc, offending: Path) -> None:
    table = snncc("check", offending).out.splitlines()[2:]
    layers = [line.split()[0] for line in table[: table.index("")]]
    document = snncc("check", offending, "--format", "junit").out
    cases = [str(c.get("name")) for c in ET.fromstring(document).iter("testcase")]  # noqa: S314
    assert [re.sub(r" \(\d\)$", "", name) for name in cases] == layers


def test_what_has_no_line_is_at_the_file_that_was_named(
    snncc: Snncc, compliant: Path, tmp_path: Path
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "best.pth.tar").write_bytes(compliant.read_bytes())
    done = snncc("check", tmp_path / "runs/best.pth.tar", "--allow", "SNN205", "--format", "github")
    assert done.out.splitlines()[-1] == (
        "::warning file=runs/best.pth.tar,title=SNN208 allowance-not-used::"
        "the allowance `SNN205` matches no finding"
    )
