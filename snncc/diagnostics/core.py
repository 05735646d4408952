"""Diagnostics as data: rules with stable codes, and findings that point at the model.

A rule is declared once, beside the check that uses it, with the text that ``snncc explain`` prints.
Whoever finds a fault makes a ``Diagnostic``; only renderers turn it into text.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import IntEnum

from snncc.ir.domain import Domain
from snncc.ir.graph import Source


class Severity(IntEnum):
    """How bad a finding is; comparable."""

    NOTE = 0
    WARNING = 1
    ERROR = 2

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Rule:
    """A fault with a stable code; ``name`` states the fault, ``explanation`` is Markdown."""

    code: str
    name: str
    severity: Severity
    explanation: str

    def at(
        self,
        source: Source,
        message: str,
        *,
        because: Iterable[str] = (),
        hint: str = "",
        op: str = "",
        domain: Domain | None = None,
        allowed_by: str | None = None,
    ) -> Diagnostic:
        """Return a finding of this rule at a place in the model."""
        return Diagnostic(self, source, message, tuple(because), hint, op, domain, allowed_by)


@dataclass(frozen=True)
class Diagnostic:
    """One finding. ``message`` is a phrase that stands alone: what was found, what was wanted.

    ``because`` leads back to the cause, ``op`` is the kind of the op at fault, ``domain`` what it
    reads, and ``allowed_by`` says which policy or option lets it pass. ``follows`` is the
    finding without which it would not be there; ``values`` are those of the graph that it is about,
    by name.
    """

    rule: Rule
    source: Source
    message: str
    because: tuple[str, ...] = ()
    hint: str = ""
    op: str = ""
    domain: Domain | None = None
    allowed_by: str | None = None
    follows: Diagnostic | None = None
    values: frozenset[str] = field(default=frozenset(), compare=False, repr=False)

    def about(self, values: Iterable[str]) -> Diagnostic:
        """Return the finding as one about these values of the graph."""
        return replace(self, values=frozenset(values))

    @property
    def severity(self) -> Severity:
        """The rule's severity; a note where the finding is allowed."""
        return Severity.NOTE if self.allowed_by else self.rule.severity


class SnnccError(Exception):
    """What the user gave cannot be used. Carries diagnostics; the command line exits with 2."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        """Take one or more findings."""
        super().__init__("; ".join(f"[{d.rule.code}] {d.message}" for d in diagnostics))
        self.diagnostics = diagnostics


RULES: dict[str, Rule] = {}
"""Every rule that has been declared by an imported module, by code."""


def rule(code: str, name: str, severity: Severity, explanation: str) -> Rule:
    """Declare a rule. Raises ``ValueError`` where the code or the name is taken."""
    if code in RULES or any(r.name == name for r in RULES.values()):
        raise ValueError(f"rule {code} {name} is declared twice")
    RULES[code] = Rule(code, name, severity, inspect.cleandoc(explanation))
    return RULES[code]
