"""The catalogue knows every rule, and knowing costs neither torch nor Lava."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import snncc
from snncc.diagnostics.catalogue import RULE_MODULES, all_rules

ROOT = Path(snncc.__file__).parent


def declares_rules(path: Path) -> bool:
    """Whether a module calls `rule("SNNxxx", ...)`."""
    calls = (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call))
    return any(
        isinstance(call.func, ast.Name)
        and call.func.id == "rule"
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and str(call.args[0].value).startswith("SNN")
        for call in calls
    )


def test_every_module_that_declares_a_rule_is_in_the_table_and_sorted() -> None:
    found = [
        ".".join(("snncc", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for path in ROOT.rglob("*.py")
        if declares_rules(path)
    ]
    assert list(RULE_MODULES) == sorted(found)


def test_rules_come_in_order_with_codes_names_and_explanations() -> None:
    rules = all_rules()
    assert list(rules) == sorted(rules)
    for code, rule in rules.items():
        assert re.fullmatch(r"SNN[0-59]\d\d", code), code
        assert rule.code == code
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", rule.name), rule.name
        assert len(rule.explanation) > 60, f"{code} explains nothing"


def test_the_catalogue_imports_neither_torch_nor_lava() -> None:
    code = (
        "import sys; from snncc.diagnostics.catalogue import all_rules; all_rules();"
        "print([m for m in ('torch', 'lava', 'onnx', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
