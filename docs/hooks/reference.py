"""The pages that are made of the code: rules, targets, energy models, networks, Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import snncc
from snncc.diagnostics.catalogue import all_rules
from snncc.diagnostics.core import Rule
from snncc.energy.load import EnergyModel, available_energy_models, load_energy_model
from snncc.models.zoo import ARCHITECTURES
from snncc.targets.facts import Fact
from snncc.targets.load import Target, available_targets, load_target

_PUBLIC: Mapping[str, tuple[str, str]] = snncc._LAZY  # noqa: SLF001 - the list of the interface

CENTURIES = {
    0: "Bugs in snncc",
    1: "Reading a model",
    2: "Spikes",
    3: "Quantizing",
    4: "Targets and mapping",
    5: "Energy",
    6: "Files for other programs",
    9: "The machine that snncc runs on",
}
"""What the first digit of a code says."""

RESULTS = (
    "snncc.compiler.Checked",
    "snncc.compiler.Compiled",
    "snncc.diagnostics.core.Diagnostic",
    "snncc.diagnostics.core.Severity",
    "snncc.diagnostics.core.SnnccError",
    "snncc.targets.load.TargetError",
)
"""What the public functions return and raise."""


def rules() -> str:
    """Return the page of all rules: a table, then what `snncc explain` says of each."""
    head = """# Rules

Every finding has a code that never changes. `snncc explain CODE` prints the text below, without a
network and without a browser.
"""
    groups: dict[int, list[Rule]] = {}
    for rule in all_rules().values():
        groups.setdefault(int(rule.code[3]), []).append(rule)
    parts = [head]
    for digit, found in sorted(groups.items()):
        parts.append(f"## {digit}xx: {CENTURIES[digit]}\n")
        parts.append(table(("code", "severity", "name"), map(_row_of_rule, found)))
        parts.extend(_rule(rule) for rule in found)
    return "\n".join(parts)


def _row_of_rule(rule: Rule) -> tuple[str, ...]:
    return f"[{rule.code}](#{rule.code.lower()})", str(rule.severity), rule.name


def _rule(rule: Rule) -> str:
    title = f"### {rule.code}: {rule.name} {{ #{rule.code.lower()} }}"
    return f"{title}\n\n*{str(rule.severity).capitalize()}.*\n\n{rule.explanation}\n"


def targets() -> str:
    """Return the page of the targets: every number with its source."""
    head = """# Targets

A chip is a TOML file in `snncc/targets`. Each number stands beside its source; what nobody has
published is left out, and no figure is made of it. `snncc targets NAME` prints the same.
A target of your own: [A target](../extend/target.md).
"""
    return "\n".join([head, *(_target(load_target(name)) for name in available_targets())])


def _target(target: Target) -> str:
    notes = "".join(f"- {escaped(note)}\n" for note in target.notes)
    facts = table(("key", "value", "evidence", "source"), _rows(target.facts()))
    return f"## {target.name}: {escaped(target.title)} {{ #{target.name} }}\n\n{notes}\n{facts}"


def energy_models() -> str:
    """Return the page of the energy models: constants with sources, and what each leaves out."""
    head = """# Energy models

An energy model is a TOML file in `snncc/energy/models`. What the figures mean:
[Energy](../energy.md). A model of your own: [An energy model](../extend/energy-model.md).
"""
    found = (load_energy_model(name) for name in available_energy_models())
    return "\n".join([head, *(_energy_model(model) for model in found)])


def _energy_model(model: EnergyModel) -> str:
    facts = {"operations": model.scope.operations, **model.constants}
    if model.scope.queue_words is not None:
        facts["queue_words"] = model.scope.queue_words
    shown = table(("key", "value", "evidence", "source"), _rows(facts.items()))
    left = "".join(f"- {escaped(each)}\n" for each in model.leaves_out)
    title = f"## {model.name}: {escaped(model.title)} {{ #{model.name} }}"
    return f"{title}\n\n{shown}\nIt leaves out:\n\n{left}"


def networks() -> str:
    """Return the page of the published networks, by family."""
    head = """# Networks

`arch:NAME` is a published network without weights: it can be checked, counted and sized. A
checkpoint of one of these families is recognised from its parameters. `snncc inspect --list-archs`
prints the same names, `snncc inspect arch:NAME` the sizes of one.
"""
    families: dict[str, list[str]] = {}
    for name, architecture in ARCHITECTURES.items():
        families.setdefault(architecture.family, []).append(f"`arch:{name}`")
    rows = ((family, ", ".join(names)) for family, names in families.items())
    return f"{head}\n{table(('family', 'networks'), rows)}"


def python() -> str:
    """Return the page of the Python interface, which mkdocstrings fills from docstrings."""
    head = """# Python

What `import snncc` gives. Torch is imported when one of them is first used, and not before.
"""
    own = "\n".join(_directive(f"{m}.{a}", f"snncc.{n}") for n, (m, a) in _PUBLIC.items())
    results = "\n".join(_directive(path, path) for path in RESULTS)
    return f"{head}\n{own}\n## What they return and raise\n\n{results}"


def renamed(html: str) -> str:
    """Return the page with the names of ``snncc``, not those of the functions behind them."""
    for name, (_, attribute) in _PUBLIC.items():
        html = re.sub(rf"(?<![\w.#]){attribute}(?=</span>)", f"snncc.{name}", html)
    return html


def _directive(path: str, title: str) -> str:
    return f'::: {path}\n    options:\n      heading: "{title}"\n      toc_label: "{title}"\n'


PAGES: Mapping[str, Callable[[], str]] = {
    "reference/rules.md": rules,
    "reference/targets.md": targets,
    "reference/energy-models.md": energy_models,
    "reference/networks.md": networks,
    "reference/python.md": python,
}
"""The pages of the reference that no file holds."""


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    names = tuple(head)
    lines = [names, ("---",) * len(names), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def escaped(text: str) -> str:
    """Return text of a data file as Markdown that shows it as it is."""
    for letter in "\\|*_<>[]`":
        text = text.replace(letter, f"\\{letter}")
    return text


def _rows(facts: Iterable[tuple[str, Fact[object] | None]]) -> Iterable[tuple[str, ...]]:
    for key, fact in facts:
        if fact is not None:
            evidence = fact.evidence or ("assumed" if fact.assumed else "")
            yield f"`{key}`", escaped(str(fact)), evidence, escaped(fact.source)
