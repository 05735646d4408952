"""Findings as workflow commands, which GitHub shows beside the lines of a change.

``::error file=F,line=N,title=T::message``. Names come from files of strangers and a line break
would end the command, so that everything is escaped twice: what is not printable, then what the
command's own syntax uses.
"""

from __future__ import annotations

from collections.abc import Mapping

from snncc.diagnostics.core import Diagnostic, Severity
from snncc.diagnostics.render import Findings, printable

_COMMANDS: Mapping[Severity, str] = {
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.NOTE: "notice",
}
_IN_TEXT = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_IN_PROPERTY = {**_IN_TEXT, ":": "%3A", ",": "%2C"}


def as_github(findings: Findings) -> str:
    """Return one command a line, for each finding in order; nothing where there is none."""
    return "".join(f"{_command(d, findings.file)}\n" for d in findings.everything)


def _command(diagnostic: Diagnostic, named: str) -> str:
    source = diagnostic.source
    rule = diagnostic.rule
    properties = {"file": source.file or named, "title": f"{rule.code} {rule.name}"}
    if source.file and source.line:
        properties = {"file": source.file, "line": str(source.line), "title": properties["title"]}
    given = ",".join(f"{key}={_escaped(value, _IN_PROPERTY)}" for key, value in properties.items())
    text = "%0A".join(_escaped(line, _IN_TEXT) for line in _lines(diagnostic))
    return f"::{_COMMANDS[diagnostic.severity]} {given}::{text}"


def _lines(diagnostic: Diagnostic) -> list[str]:
    lines = [diagnostic.message, *(f"because: {reason}" for reason in diagnostic.because)]
    if diagnostic.allowed_by:
        lines.append(f"allowed by: {diagnostic.allowed_by}")
    if diagnostic.hint:
        lines.append(f"help: {diagnostic.hint}")
    return lines


def _escaped(text: str, signs: Mapping[str, str]) -> str:
    return "".join(signs.get(sign, sign) for sign in printable(text))
