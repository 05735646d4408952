"""Targets for people and for programs: every number with its unit and source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from snncc.targets.load import Target


def target_list(targets: Sequence[Target]) -> str:
    """Return one line a target."""
    width = max((len(target.name) for target in targets), default=0)
    return "".join(f"{target.name:<{width}}  {target.title}\n" for target in targets)


def target_text(target: Target) -> str:
    """Return every fact of a target with its source, and its notes."""
    lines = [f"{target.name}: {target.title}", ""]
    for key, fact in target.facts():
        lines += [f"{key} = {fact}", f"    {_origin(fact.evidence, fact.source)}"]
    lines += [""] if target.notes else []
    return "\n".join([*lines, *target.notes]) + "\n"


def target_document(target: Target) -> dict[str, Any]:
    """Return the ``snncc.target/1`` document."""
    return {
        "schema": "snncc.target/1",
        "name": target.name,
        "title": target.title,
        "notes": list(target.notes),
        "facts": {
            key: {
                "value": fact.value,
                "unit": fact.unit,
                "per": fact.per,
                "evidence": fact.evidence,
                "source": fact.source,
            }
            for key, fact in target.facts()
        },
    }


def _origin(evidence: str, source: str) -> str:
    return f"{evidence}: {source}" if evidence else source
