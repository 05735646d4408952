"""Every rule shows what has the fault and what has not.

Programs that leave a ``result`` are run; those that give a ``Model`` or a ``network`` are run by
the tests of passes and frontends. Of the commands the words are read, but nothing is run.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import torch

from snncc.cli.app import app
from snncc.diagnostics.catalogue import all_rules
from snncc.diagnostics.core import Diagnostic, Severity, SnnccError

OUR_BUGS = ("SNN001", "SNN002")
"""Nobody can write a model for them."""

SHOWN = {
    code: re.findall(r"```(\w+)\n(.*?)```", rule.explanation, re.DOTALL)
    for code, rule in all_rules().items()
}
RUN = [code for code, found in SHOWN.items() if any("\nresult = " in text for _, text in found)]


@pytest.mark.parametrize("code", [code for code in SHOWN if code not in OUR_BUGS])
def test_what_fails_and_what_does_not(code: str) -> None:
    failing, mended = SHOWN[code]
    assert failing != mended
    for language, text in (failing, mended):
        assert language in ("python", "sh", "toml")
        if language == "python":
            compile(text, "example.py", "exec")


def found(program: str) -> tuple[Diagnostic, ...]:
    """What a program that compiles or checks a network finds."""
    torch.manual_seed(0)
    space: dict[str, Any] = {"__name__": "example"}
    try:
        exec(compile(program, "example.py", "exec"), space)  # noqa: S102 - our own text
    except SnnccError as error:
        return error.diagnostics
    diagnostics: tuple[Diagnostic, ...] = space["result"].diagnostics
    return diagnostics


@pytest.mark.parametrize("code", RUN)
def test_programs_do_what_is_said(code: str) -> None:
    failing, mended = (found(text) for _, text in SHOWN[code])
    assert code in {d.rule.code for d in failing}
    assert code not in {d.rule.code for d in mended if not d.allowed_by}
    assert not [d for d in mended if d.severity is Severity.ERROR]


def test_programs_are_run() -> None:
    assert len(RUN) >= 8


COMMANDS = [
    (code, line)
    for code, found in SHOWN.items()
    for language, text in found
    if language == "sh"
    for line in text.splitlines()
    if line.startswith("snncc ")
]


@pytest.mark.parametrize(("code", "line"), COMMANDS)
def test_commands_are_commands(code: str, line: str) -> None:
    """The options exist and take what they are given."""
    _, name, *arguments = shlex.split(line)
    app.commands[name].make_context(name, arguments)
