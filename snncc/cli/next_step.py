"""The last line of a command: what people do next, to be copied."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from snncc.cli.screen import say

if TYPE_CHECKING:
    from snncc.diagnostics.render import Findings


def after_check(model: str, findings: Findings, *, compiled: bool) -> None:
    """Say how to go on: with the first finding that fails the check, else with a compile.

    What was ``compiled`` before is priced.
    """
    from snncc.diagnostics.render import folded

    failing = [d for d, _ in folded(findings.everything) if findings.fails(d)]
    if failing:
        _say(f"snncc explain {failing[0].rule.code}")
    elif model.startswith("arch:"):
        _say(f"snncc energy {model} --rates FILE")
    elif compiled:
        _say(f"snncc energy {shlex.quote(model)} --data SAMPLES")
    else:
        _say(f"snncc compile {shlex.quote(model)} --target TARGET --data SAMPLES")


def after_compile(artefact: Path, *, calibrated: bool) -> None:
    """Say how to look at an artefact; without data, how to get one that says what it costs."""
    if calibrated:
        _say(f"snncc report {shlex.quote(str(artefact))}")
    else:
        _say("compile again with --data SAMPLES: it calibrates, and says what a sample costs")


def after_energy(prices: str, compared: bool) -> None:
    """Say what else can be asked of energies."""
    if compared:
        _say("--details, without --compare, says how estimate and count of each layer differ")
    elif prices == "all":
        _say("--compare OTHER sets another network beside it")
    else:
        _say("--energy-model all for every price, --compare OTHER for another network beside it")


def _say(what: str) -> None:
    say(f"next: {what}")
