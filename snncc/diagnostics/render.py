"""Findings as text and as one JSON document, and what every renderer says in the same words.

A renderer is a function from a ``Findings`` to a string; ``formats.RENDERERS`` is their table.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias

from snncc.diagnostics.core import Diagnostic, Severity
from snncc.ir.domain import Domain, Grid
from snncc.ir.graph import Source

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

SCHEMA = "snncc.check/1"

_STYLES: Mapping[Severity, str] = {
    Severity.ERROR: "bold red",
    Severity.WARNING: "bold yellow",
    Severity.NOTE: "bold cyan",
}


@dataclass(frozen=True)
class Layer:
    """One product that was judged: what it reads, and whether that is a spike.

    ``path`` is its module's, which may be empty; ``name`` never is.
    """

    name: str
    path: str
    op: str
    reads: str
    is_spike_driven: bool


@dataclass(frozen=True)
class Findings:
    """What was found in one model, and what a renderer may say beside it.

    ``facts`` go into the JSON document as they are; ``fail_on`` decides what is clean. ``file`` is
    the model as it was named, the place of findings that have none of their own; ``layers`` are all
    that was judged, found fault with or not.
    """

    model: str
    diagnostics: tuple[Diagnostic, ...] = ()
    notes: tuple[Diagnostic, ...] = ()
    fail_on: Severity = Severity.ERROR
    facts: Mapping[str, Any] = field(default_factory=dict)
    file: str = ""
    layers: tuple[Layer, ...] = ()

    @property
    def everything(self) -> tuple[Diagnostic, ...]:
        """The findings about the model's products, and the notes beside them."""
        return (*self.diagnostics, *self.notes)

    @property
    def clean(self) -> bool:
        """Whether nothing that is not allowed reaches ``fail_on``."""
        return not any(self.fails(d) for d in self.everything)

    def fails(self, diagnostic: Diagnostic) -> bool:
        """Whether this finding reaches ``fail_on``."""
        return diagnostic.severity >= self.fail_on


Renderer: TypeAlias = Callable[[Findings], str]


def folded(diagnostics: Iterable[Diagnostic]) -> list[tuple[Diagnostic, int]]:
    """Return the findings that follow from no other, each with how many follow from it.

    Those come first without which others would not be there.
    """
    every = tuple(diagnostics)
    following = Counter(d.follows for d in every if d.follows)
    leading = [d for d in every if d.follows is None]
    leading.sort(key=lambda d: d not in following)
    return [(d, following[d]) for d in leading]


def text_of(diagnostic: Diagnostic, following: int = 0) -> str:
    """Return a finding as plain text, a headline and its details, without a final newline.

    ``following`` findings are left out, since they follow from this one.
    """
    lines = [_headline(diagnostic)]
    if place := where(diagnostic.source):
        lines.append(f"  --> {place}")
    lines += [f"  because: {reason}" for reason in diagnostic.because]
    if diagnostic.allowed_by:
        lines.append(f"  allowed by: {diagnostic.allowed_by}")
    if diagnostic.hint:
        lines.append(f"  help: {diagnostic.hint}")
    if following:
        them = "finding follows" if following == 1 else "findings follow"
        lines.append(f"  and {following} {them} from it: snncc check --all")
    lines.append(f"  explain: snncc explain {diagnostic.rule.code}")
    return "\n".join(printable(line) for line in lines)


def styled(diagnostic: Diagnostic, following: int = 0) -> Text:
    """Return ``text_of`` for a terminal: severity and code coloured, details dimmed."""
    from rich.text import Text  # noqa: PLC0415 - only who prints in colour pays for it

    headline, *details = text_of(diagnostic, following).splitlines()
    label, _, message = headline.partition(": ")
    text = Text(label, style=_STYLES[diagnostic.severity])
    text.append(f": {message}", style="bold")
    for line in details:
        key, mark, rest = line.partition(": ")
        text.append(f"\n{key}{mark}", style="dim" if mark else "")
        text.append(rest, style="")
    return text


def print_to(console: Console, *diagnostics: Diagnostic, every: bool = False) -> None:
    """Print findings, one after the other with an empty line between, in their order.

    Causes stand first, and what follows from them is counted; with ``every`` it is printed, too.
    """
    shown = folded(diagnostics)
    if every:
        shown = [(d, 0) for d in (*(d for d, _ in shown), *(d for d in diagnostics if d.follows))]
    for number, (diagnostic, following) in enumerate(shown):
        if number:
            console.print()
        console.print(styled(diagnostic, following), soft_wrap=True, highlight=False)


def where(source: Source) -> str:
    """Return module path and line of code, as far as they are known; else the node of a file."""
    if source.module and source.place:
        return f"{source.module} ({source.place})"
    return source.module or source.place or source.node


def printable(text: str) -> str:
    """Return the text with control characters escaped: names come from files of strangers."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(diagnostics: tuple[Diagnostic, ...]) -> str:
    """Return how many findings there are of each severity: ``2 errors, 1 note``."""
    words = []
    for severity in sorted(Severity, reverse=True):
        count = sum(d.severity is severity for d in diagnostics)
        if count:
            words.append(f"{count} {severity}{'s' if count > 1 else ''}")
    return ", ".join(words) or "no findings"


def finding_document(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return a finding as JSON values, with the keys that ``snncc.check/1`` keeps."""
    source = diagnostic.source
    return {
        "code": diagnostic.rule.code,
        "name": diagnostic.rule.name,
        "severity": str(diagnostic.severity),
        "path": source.module,
        "merged": list(source.merged),
        "op": diagnostic.op,
        "domain": domain_document(diagnostic.domain),
        "message": diagnostic.message,
        "because": list(diagnostic.because),
        "hint": diagnostic.hint,
        "source": {"file": source.file, "line": source.line, "node": source.node},
        "allowed_by": diagnostic.allowed_by,
        "follows": diagnostic.follows.rule.code if diagnostic.follows else None,
    }


def domain_document(domain: Domain | None) -> dict[str, Any] | None:
    """Return a domain as JSON values; a grid's step is a number, exact in ``text``."""
    if domain is None:
        return None
    if not isinstance(domain, Grid):
        return {"kind": "real", "step": None, "lo": None, "hi": None, "text": str(domain)}
    step = _number(domain.step)
    return {"kind": "grid", "step": step, "lo": domain.lo, "hi": domain.hi, "text": str(domain)}


def _number(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(value)


def as_text(findings: Findings) -> str:
    """Return all findings and a last line that counts them."""
    blocks = [text_of(d) for d in findings.everything]
    verdict = "clean" if findings.clean else "not clean"
    last = f"{findings.model}: {verdict}, {counted(findings.everything)}"
    return "\n\n".join([*blocks, last]) + "\n"


def as_json(findings: Findings) -> str:
    """Return the ``snncc.check/1`` document."""
    document = {
        "schema": SCHEMA,
        "model": findings.model,
        "clean": findings.clean,
        **findings.facts,
        "findings": [finding_document(d) for d in findings.diagnostics],
        "notes": [finding_document(d) for d in findings.notes],
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _headline(diagnostic: Diagnostic) -> str:
    return f"{diagnostic.severity}[{diagnostic.rule.code}]: {diagnostic.message}"
