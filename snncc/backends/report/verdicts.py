"""The spike-driven verdict on a model, as findings and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from snncc.backends.report.table import table
from snncc.compiler import Checked, Form
from snncc.diagnostics.core import Diagnostic, Severity
from snncc.diagnostics.render import Findings, Layer, counted, printable
from snncc.passes.check_spikes import Verdict
from snncc.passes.merge_linear_chains import Merged
from snncc.passes.spike_causes import shown

_FORMS: Mapping[Form, str] = {"as-written": "as written", "deployed": "as deployed"}


def findings_of(checked: Checked, fail_on: Severity = Severity.ERROR, file: str = "") -> Findings:
    """Return what was found; what is not about a product or an op comes as a note beside it.

    ``file`` is the model as it was named on the command line.
    """
    about_ops = tuple(d for d in checked.diagnostics if _is_finding(d.rule.code, d.rule.severity))
    notes = tuple(d for d in checked.diagnostics if not _is_finding(d.rule.code, d.rule.severity))
    facts = {
        "form": checked.form,
        "findings_by_form": _by_form(checked, about_ops),
        "linear_chains": chains_summary(checked),
        "time_steps": checked.graph.steps,
        "products": len(checked.verdicts),
        "verdicts": dict(Counter(v.verdict for v in checked.verdicts)),
        "settings": [
            {"name": s.name, "value": _plain(s.value), "origin": s.origin}
            for s in checked.model.provenance
        ],
    }
    layers = tuple(
        Layer(v.path or v.name, v.path, v.kind, _reads(v), v.is_spike_driven)
        for v in checked.verdicts
    )
    return Findings(checked.name, about_ops, notes, fail_on, facts, file, layers)


def _by_form(checked: Checked, found: tuple[Diagnostic, ...]) -> dict[str, int]:
    """Return how many findings the network has as written and as deployed."""
    other = sum(_is_finding(d.rule.code, d.rule.severity) for d in checked.other_form)
    counts = (len(found), other) if checked.form == "as-written" else (other, len(found))
    return {"as-written": counts[0], "deployed": counts[1]}


def chains_summary(checked: Checked) -> dict[str, int]:
    """Return how many linear chains merge, and the parameters before and after."""
    merged = checked.merged or Merged(checked.graph)
    left = sum(bool(each.reason) for each in merged.chains)
    return {
        "merged": len(merged.chains) - left,
        "left": left,
        "parameters": merged.parameters,
        "merged_parameters": merged.merged_parameters,
    }


def chains_document(checked: Checked) -> dict[str, Any]:
    """Return the same with every chain: its modules, its parameters, and why it was left."""
    merged = checked.merged or Merged(checked.graph)
    chains = [
        {
            "paths": list(each.paths),
            "kernel": list(each.kernel),
            "parameters": each.parameters,
            "merged_parameters": each.merged_parameters,
            "left_because": each.reason or None,
        }
        for each in merged.chains
    ]
    return {**chains_summary(checked), "chains": chains}


def verdict_text(checked: Checked, findings: Findings) -> str:
    """Return a table of every product with its verdict, and a last line that says it all."""
    allowed = {d.source.module: d.allowed_by for d in findings.diagnostics}
    columns = (("product", False), ("op", False), ("reads", False), ("verdict", False))
    rows = [_row(verdict, allowed.get(verdict.path)) for verdict in checked.verdicts]
    return f"{table(columns, rows)}\n{verdict_line(checked, findings)}\n"


def verdict_line(checked: Checked, findings: Findings) -> str:
    """Return one line: ``net: not clean, 69 findings as written (69 errors), 1 as deployed``.

    The other form is named where the network has linear chains; else both are one.
    """
    verdict = "clean" if findings.clean else "not clean"
    number = len(findings.diagnostics)
    found = f"{number or 'no'} finding{'' if number == 1 else 's'}"
    severities = f" ({counted(findings.diagnostics)})" if number else ""
    beside = f", beside {counted(findings.notes)}" if findings.notes else ""
    found = f"{found} {_FORMS[checked.form]}{severities}{_in_other_form(checked, findings)}"
    return f"{printable(checked.name)}: {verdict}, {found}{beside}"


def _in_other_form(checked: Checked, findings: Findings) -> str:
    if not (checked.merged and checked.merged.chains):
        return ""
    other: Form = "deployed" if checked.form == "as-written" else "as-written"
    count = findings.facts["findings_by_form"][other]
    return f", {count or 'none'} {_FORMS[other]}"


def witness_text(document: Mapping[str, Any]) -> str:
    """Return what the search for a witness of one finding came to, as one line."""
    path = printable(f"`{document['path']}`")
    if document["file"] is None:
        return f"no witness found for {path}: the proof stands without one"
    return f"witness: {path} receives {document['value']:.6g}, see {document['file']}"


def _row(verdict: Verdict, allowed_by: str | None) -> tuple[str, ...]:
    judged: str = verdict.verdict
    if not verdict.is_spike_driven:
        told = allowed_by or "not spike-driven"
        judged = told if judged in told else f"{judged}: {told}"
    return printable(verdict.path or verdict.name), verdict.kind, _reads(verdict), judged


def _reads(verdict: Verdict) -> str:
    return ", ".join(shown(domain) for domain in verdict.domains)


def _is_finding(code: str, severity: Severity) -> bool:
    return code.startswith("SNN2") and severity is Severity.ERROR


def _plain(value: object) -> object:
    """Return a setting's value as JSON can hold it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else str(value)
