"""Workflow commands: exact text, and names that cannot start a command of their own."""

from __future__ import annotations

import re

from snncc.diagnostics.formats import RENDERERS
from snncc.diagnostics.render import Findings

COMMAND = re.compile(r"::(error|warning|notice) ([a-z]+=[^:,]*(?:,[a-z]+=[^:,]*)*)::([^\r\n]*)")


def test_one_command_a_finding(findings: Findings) -> None:
    assert RENDERERS["github"](findings).splitlines() == [
        (
            "::notice file=net.py,line=3,title=SNN299 test-rule::"
            "`net.stem` reads real%0Aallowed by: policy: encoder"
        ),
        (
            "::error file=net dir/net.py,line=7,title=SNN299 test-rule::"
            "`net.fc` reads int[0..2], not spikes%0Abecause: `s` adds%0Ahelp: put a neuron"
        ),
        "::warning file=m.pth,title=SNN298 test-warning::the allowance `X` matches no finding",
    ]


def test_names_neither_end_nor_start_a_command(evil: Findings) -> None:
    lines = RENDERERS["github"](evil).split("\n")
    assert lines.pop() == ""
    assert len(lines) == 2
    for line in lines:
        matched = COMMAND.fullmatch(line)
        assert matched
        assert line.isprintable()
        assert "%250A" in matched[2]


def test_nothing_for_no_findings() -> None:
    assert RENDERERS["github"](Findings("net")) == ""
