"""Renderers: exact text, exact JSON keys, and nothing that a terminal would obey."""

from __future__ import annotations

import io
import json
from fractions import Fraction

import pytest
from rich.console import Console

from snncc.diagnostics.core import RULES, Diagnostic, Rule, Severity, SnnccError
from snncc.diagnostics.formats import RENDERERS
from snncc.diagnostics.render import Findings, counted, print_to, text_of
from snncc.ir.domain import REAL, Grid
from snncc.ir.graph import Source

RULE = Rule("SNN299", "test-rule", Severity.ERROR, "Explained.")
WARNING = Rule("SNN298", "test-warning", Severity.WARNING, "Explained.")
PLACE = Source("block.0.mlp.fc1", "net.py", 7)


def finding(**more: object) -> Diagnostic:
    """One finding with everything in it, but for what `more` changes."""
    fields = {
        "because": ("`s` is add of spike and spike (block.0)",),
        "hint": "put a spiking neuron before it",
        "op": "conv",
        "domain": Grid(Fraction(1), 0, 2),
        **more,
    }
    return RULE.at(PLACE, "`y` reads int[0..2], not spikes", **fields)  # type: ignore[arg-type]


def test_text_is_headline_place_causes_help_and_where_to_read_on() -> None:
    assert text_of(finding()) == (
        "error[SNN299]: `y` reads int[0..2], not spikes\n"
        "  --> block.0.mlp.fc1 (net.py:7)\n"
        "  because: `s` is add of spike and spike (block.0)\n"
        "  help: put a spiking neuron before it\n"
        "  explain: snncc explain SNN299"
    )


def test_what_is_allowed_is_a_note_that_says_by_what() -> None:
    text = text_of(finding(allowed_by="policy: encoder", because=(), hint=""))
    assert text == (
        "note[SNN299]: `y` reads int[0..2], not spikes\n"
        "  --> block.0.mlp.fc1 (net.py:7)\n"
        "  allowed by: policy: encoder\n"
        "  explain: snncc explain SNN299"
    )


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (Source("a.b"), "  --> a.b"),
        (Source("", "x.pt"), "  --> x.pt"),
        (Source("", "x.py", 3), "  --> x.py:3"),
    ],
)
def test_a_place_says_what_is_known(source: Source, line: str) -> None:
    assert text_of(RULE.at(source, "m")).splitlines()[1] == line


def test_a_finding_without_a_place_has_no_arrow() -> None:
    assert text_of(RULE.at(Source(), "m")) == "error[SNN299]: m\n  explain: snncc explain SNN299"


def test_a_name_from_a_file_cannot_command_the_terminal() -> None:
    text = text_of(RULE.at(Source("a\x1b[2Jb"), "key `\x1b]0;x\x07` is\nno name"))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert text.splitlines()[0] == r"error[SNN299]: key `\x1b]0;x\x07` is\nno name"


def test_the_terminal_shows_the_plain_text_in_colour() -> None:
    plain, coloured = io.StringIO(), io.StringIO()
    print_to(Console(file=plain, force_terminal=False, width=40), finding(), finding())
    print_to(Console(file=coloured, force_terminal=True, color_system="standard"), finding())
    assert plain.getvalue() == f"{text_of(finding())}\n\n{text_of(finding())}\n"
    assert "\x1b[1;31merror[SNN299]\x1b[0m" in coloured.getvalue()


def test_counted_names_the_worst_first() -> None:
    found = (finding(), finding(allowed_by="x"), WARNING.at(PLACE, "w"), WARNING.at(PLACE, "w"))
    assert counted(found) == "1 error, 2 warnings, 1 note"
    assert counted(()) == "no findings"


def test_json_keeps_the_keys_of_the_schema() -> None:
    document = json.loads(RENDERERS["json"](Findings("m.pth", (finding(),), facts={"form": "x"})))
    assert document["schema"] == "snncc.check/1"
    assert document["clean"] is False
    assert document["form"] == "x"
    found = document["findings"][0]
    assert found["code"] == "SNN299"
    assert found["severity"] == "error"
    assert found["path"] == "block.0.mlp.fc1"
    assert found["op"] == "conv"
    assert found["domain"] == {"kind": "grid", "step": 1, "lo": 0, "hi": 2, "text": "int[0..2]"}
    assert found["because"] == ["`s` is add of spike and spike (block.0)"]
    assert found["source"] == {"file": "net.py", "line": 7, "node": ""}
    assert found["allowed_by"] is None
    assert found["follows"] is None


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        (REAL, ("real", None, None, None)),
        (Grid(Fraction(1, 4), -1, 3), ("grid", 0.25, -1, 3)),
        (None, None),
    ],
)
def test_domains_in_json(domain: object, expected: tuple[object, ...] | None) -> None:
    document = json.loads(RENDERERS["json"](Findings("m", (finding(domain=domain),))))
    found = document["findings"][0]["domain"]
    assert (found and tuple(found[k] for k in ("kind", "step", "lo", "hi"))) == expected


@pytest.mark.parametrize(
    ("diagnostics", "fail_on", "clean"),
    [
        ((), Severity.ERROR, True),
        ((WARNING.at(PLACE, "w"),), Severity.ERROR, True),
        ((WARNING.at(PLACE, "w"),), Severity.WARNING, False),
        ((finding(),), Severity.WARNING, False),
        ((finding(allowed_by="policy: encoder"),), Severity.WARNING, True),
    ],
)
def test_clean_is_decided_by_the_worst_that_is_not_allowed(
    diagnostics: tuple[Diagnostic, ...], fail_on: Severity, clean: bool
) -> None:
    findings = Findings("m", diagnostics, fail_on=fail_on)
    assert findings.clean is clean
    assert json.loads(RENDERERS["json"](findings))["clean"] is clean
    assert (
        RENDERERS["text"](findings)
        .splitlines()[-1]
        .startswith("m: clean, " if clean else "m: not clean, ")
    )


def test_errors_carry_their_findings_and_stand_in_the_message() -> None:
    assert str(SnnccError(finding())) == "[SNN299] `y` reads int[0..2], not spikes"
    assert "SNN299" not in RULES
