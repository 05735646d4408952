"""The command that judges: ``check``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snncc.cli import EXIT_CLEAN, EXIT_FINDINGS
from snncc.cli.call import model_of, named
from snncc.cli.next_step import after_check
from snncc.cli.options import ALLOW, MODEL, MODEL_OPTIONS, Place, all_of, form
from snncc.cli.policy import configured_policy
from snncc.cli.progress import working
from snncc.cli.screen import result, say, show

if TYPE_CHECKING:
    from snncc.compiler import Checked
    from snncc.diagnostics.render import Findings


@click.command()
@all_of(MODEL, *MODEL_OPTIONS, ALLOW)
@click.option(
    "--deployed", is_flag=True,
    help="Judge what is left when linear layers in a row are merged, not what is written.",
)  # fmt: skip
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning"]),
    default="error",
    show_default=True,
    help="What makes the exit code 1.",
)
@click.option(
    "--witness", type=Place(), metavar="FILE|DIR",
    help="Search for inputs under which a layer receives no spike; keep them here, as .npz.",
)  # fmt: skip
@click.option(
    "--all", "every", is_flag=True,
    help="Print the findings that follow from another, too, not their number alone.",
)  # fmt: skip
@form("text", "json", "sarif", "junit", "github")
def check(
    model: str,
    allow: tuple[str, ...],
    deployed: bool,
    fail_on: str,
    witness: Path | None,
    every: bool,
    form: str,
    **options: Any,
) -> int:
    """Prove whether every product of MODEL is driven by spikes.

    Exit code 1 where one is not and is not allowed. The encoder and the head are shown and let
    pass, as far as `[tool.snncc.check]` in pyproject.toml says.
    """
    policy = configured_policy()
    loaded = model_of(model, **options)
    with working("checking"):
        from snncc.backends.report.verdicts import findings_of
        from snncc.compiler import check_model
        from snncc.diagnostics.core import Severity
        from snncc.diagnostics.formats import RENDERERS

        checked = check_model(loaded, allow=allow, policy=policy, deployed=deployed)
    searched: list[dict[str, Any]] | None = None
    if witness is not None:
        with working("searching for witnesses"):
            from snncc.backends.report.witnesses import witnessed

            checked, searched = witnessed(checked, witness)
    findings = findings_of(checked, Severity[fail_on.upper()], named(model))
    if searched is not None:
        findings = dataclasses.replace(findings, facts={**findings.facts, "witnesses": searched})
    if form == "text":
        _tell(checked, findings, searched, every=every)
        after_check(model, findings, compiled=checked.model.in_integers)
    else:
        result(RENDERERS[form](findings))
    return EXIT_CLEAN if findings.clean else EXIT_FINDINGS


def _tell(
    checked: Checked, findings: Findings, searched: list[dict[str, Any]] | None, *, every: bool
) -> None:
    """Print for people: findings, witnesses, what the weights do not tell, and the table.

    ``searched`` is what became of each search for a witness, None where none was asked for.
    """
    from snncc.backends.report.inspect import assumptions_text
    from snncc.backends.report.verdicts import verdict_text, witness_text

    show(*findings.everything, every=every)
    for each in searched or ():
        say(witness_text(each))
    if searched is not None and not searched:
        say("no witness to search for: no layer with weights has a finding that is not allowed")
    say(assumptions_text(checked.model))
    result(verdict_text(checked, findings))
