"""Commands that answer a question: ``explain``, ``targets``, ``inspect``."""

from __future__ import annotations

from typing import Any

import click

from snncc.cli.call import model_of, target_of
from snncc.cli.options import MODEL_OPTIONS, all_of, form, meant
from snncc.cli.screen import result, result_json, working


@click.command()
@click.argument("code", required=False)
@form("text", "json")
def explain(code: str | None, form: str) -> None:
    """Print what a finding's CODE means, or list all codes."""
    from snncc.diagnostics.catalogue import all_rules

    rules = all_rules()
    if code is not None and code.upper() not in rules:
        raise click.BadParameter(f"no rule has the code {code!r}{meant(code.upper(), rules)}")
    chosen = list(rules.values()) if code is None else [rules[code.upper()]]
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
@click.argument("model", required=False)
@click.option("--list-archs", is_flag=True, help="Print the networks that arch:NAME knows.")
@click.option("--dump", is_flag=True, help="Print the step graph.")
@all_of(*MODEL_OPTIONS)
def inspect(model: str | None, list_archs: bool, dump: bool, **options: Any) -> None:
    """Print how MODEL was understood: its sizes, where each came from, its ops."""
    if list_archs:
        from snncc.models.zoo import ARCHITECTURES

        result("\n".join(ARCHITECTURES))
        return
    if model is None:
        raise click.UsageError("wanted MODEL or --list-archs")
    from snncc.backends.report.inspect import inspect_text
    from snncc.compiler import check_model
    from snncc.ir.text import dump as dumped

    loaded = model_of(model, **options)
    with working("tracing"):
        checked = check_model(loaded)
    result(dumped(checked.graph) if dump else inspect_text(checked))
