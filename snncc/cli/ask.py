"""Commands that answer a question: ``explain``, ``targets``, ``inspect``."""

from __future__ import annotations

from typing import Any

import click

from snncc.cli.call import model_of, target_of
from snncc.cli.options import MODEL_OPTIONS, all_of, form, meant, some_model, unknown_code
from snncc.cli.progress import working
from snncc.cli.screen import result, result_json, show


@click.command()
@click.argument("code", required=False)
@form("text", "json")
def explain(code: str | None, form: str) -> None:
    """Print what a finding's CODE, or its name, means; or list all codes."""
    from snncc.diagnostics.catalogue import all_rules

    rules = all_rules()
    asked = (code or "").upper()
    chosen = [r for r in rules.values() if code is None or asked in (r.code, r.name.upper())]
    if not chosen:
        raise click.BadParameter(unknown_code(str(code)))
    if form == "json":
        fields = ("code", "name", "severity", "explanation")
        documents = [{f: str(getattr(rule, f)) for f in fields} for rule in chosen]
        result_json({"schema": "snncc.explain/1", "rules": documents})
    elif code is None:
        result("\n".join(f"{rule.code}  {rule.severity!s:<8} {rule.name}" for rule in chosen))
    else:
        (rule,) = chosen
        result(f"{rule.severity}[{rule.code}]: {rule.name}\n\n{rule.explanation}")


@click.command()
@click.argument("name", required=False)
@form("text", "json")
def targets(name: str | None, form: str) -> None:
    """List the targets, or print every number of one, with its source."""
    from snncc.backends.report.targets import target_document, target_list, target_text
    from snncc.targets.load import available_targets, load_target

    if name is not None:
        target = target_of(name)
        if form == "json":
            result_json(target_document(target))
        else:
            result(target_text(target))
        return
    known = [load_target(each) for each in available_targets()]
    if form == "json":
        result_json({"schema": "snncc.targets/1", "targets": [target_document(t) for t in known]})
    else:
        result(target_list(known))


@click.command()
@click.argument("model", required=False, callback=some_model)
@click.option(
    "--list-archs", is_flag=True,
    help="Print the published networks; with MODEL, those with that in their name.",
)  # fmt: skip
@click.option("--dump", is_flag=True, help="Print the step graph.")
@all_of(*MODEL_OPTIONS)
def inspect(model: str | None, list_archs: bool, dump: bool, **options: Any) -> None:
    """Print how MODEL was understood: its sizes, where each came from, its ops."""
    if list_archs:
        result("\n".join(_architectures(model)))
        return
    if model is None:
        raise click.UsageError("wanted MODEL or --list-archs")
    from snncc.backends.report.inspect import inspect_text
    from snncc.compiler import check_model
    from snncc.ir.text import dump as dumped

    loaded = model_of(model, **options)
    with working("tracing"):
        checked = check_model(loaded)
    show(*loaded.notes)
    result(dumped(checked.graph) if dump else inspect_text(checked))


def _architectures(part: str | None) -> list[str]:
    """Return the names as they are given for MODEL, those with ``part`` in them."""
    from snncc.models.zoo import ARCHITECTURES

    wanted = (part or "").removeprefix("arch:").lower()
    found = [f"arch:{name}" for name in ARCHITECTURES if wanted in name]
    if not found:
        raise click.BadParameter(
            f"no network has {part!r} in its name{meant(wanted, ARCHITECTURES)}"
        )
    return found
