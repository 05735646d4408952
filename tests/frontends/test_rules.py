"""Every rule is declared without torch, and its two examples do what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

from snncc.diagnostics.core import Rule, SnnccError
from snncc.frontends import rules, rules_of_files, rules_of_tracing
from snncc.frontends.torch_export import import_module

OURS = {getattr(rules, name).code: getattr(rules, name) for name in rules.__all__}
TRACED = [code for code in OURS if code >= "SNN120" and code != "SNN124"]


def examples(code: str) -> list[str]:
    """The code blocks of a rule's explanation."""
    return re.findall(r"```python\n(.*?)```", OURS[code].explanation, re.DOTALL)


def findings(example: str) -> list[str]:
    """The codes that tracing the network of an example finds."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, "example.py", "exec"), names)  # noqa: S102 - our own text
    try:
        found = import_module(names["network"], names["example"]).diagnostics
    except SnnccError as error:
        found = error.diagnostics
    return [d.rule.code for d in found]


def test_declaring_the_rules_does_not_import_torch() -> None:
    program = "import sys, snncc.frontends.rules; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_all_rules_are_exported() -> None:
    declared = (*vars(rules_of_files).values(), *vars(rules_of_tracing).values())
    assert {each.code for each in declared if isinstance(each, Rule)} == OURS.keys()


@pytest.mark.parametrize("code", OURS)
def test_a_rule_has_one_example_that_fails_and_one_that_is_mended(code: str) -> None:
    failing, mended = examples(code)
    assert failing != mended
    for example in (failing, mended):
        compile(example, "example.py", "exec")


@pytest.mark.parametrize("code", TRACED)
def test_examples_of_networks_do_what_is_said(code: str) -> None:
    failing, mended = examples(code)
    assert findings(failing) == [code]
    assert findings(mended) == []
