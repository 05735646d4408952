"""Findings with the inputs that show them at work."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from snncc.artefact import UNWRITABLE_OUTPUT
from snncc.compiler import Checked
from snncc.diagnostics.core import Diagnostic, SnnccError
from snncc.execute.weights import require_weights
from snncc.execute.witness import Witness, find_witnesses, save_witnesses
from snncc.ir.graph import Source
from snncc.ir.ops import WEIGHTED


def witnessed(checked: Checked, place: Path) -> tuple[Checked, list[dict[str, Any]]]:
    """Search for witnesses of the findings that stand, write them, and say so in the findings.

    Return the check with its findings, and a document for each layer that was searched, in which
    ``value`` and ``file`` are null where nothing was found. Raises ``SnnccError``.
    """
    require_weights(checked.graph, checked.name)
    standing = {(d.source, d.op): d for d in checked.diagnostics if not d.allowed_by}
    layers = {
        v.name: standing[v.source, v.kind]
        for v in checked.verdicts
        if v.kind in WEIGHTED and not v.is_spike_driven and (v.source, v.kind) in standing
        if v.role != "encoder"
    }
    found = find_witnesses(checked.graph, layers)
    files = _saved(place, list(found.values())) if found else []
    named = dict(zip(found, files, strict=True))
    documents = [_document(d, found.get(name), named.get(name)) for name, d in layers.items()]
    told = {
        id(layers[name]): _told(witness, number, named[name], one=place.suffix == ".npz")
        for number, (name, witness) in enumerate(found.items())
    }
    diagnostics = tuple(
        dataclasses.replace(d, because=(*d.because, told[id(d)])) if id(d) in told else d
        for d in checked.diagnostics
    )
    return dataclasses.replace(checked, diagnostics=diagnostics), documents


def _saved(place: Path, witnesses: list[Witness]) -> list[Path]:
    try:
        return save_witnesses(place, witnesses)
    except OSError as fault:
        message = f"`{place}` cannot be written: {fault.strerror or fault}"
        raise SnnccError(UNWRITABLE_OUTPUT.at(Source(file=str(place)), message)) from fault


def _told(witness: Witness, number: int, file: Path, *, one: bool) -> str:
    which = f"input {number} of `{file}`" if one else f"`{file}`"
    when = "" if witness.step is None else f" at time step {witness.step}"
    return f"under {which} it receives {witness.value:.6g}{when}"


def _document(finding: Diagnostic, witness: Witness | None, file: Path | None) -> dict[str, Any]:
    return {
        "code": finding.rule.code,
        "path": finding.source.module,
        "value": None if witness is None else witness.value,
        "step": None if witness is None else witness.step,
        "file": None if file is None else file.as_posix(),
    }
