"""Each rule's explanation shows a model that has the fault and one that has not: both are run."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
import torch

from snncc.diagnostics.core import Rule, Severity, SnnccError
from snncc.frontends.torch_export import trace
from snncc.passes import FRONT, rules, rules_of_counts, rules_of_raising, spike_rules
from snncc.passes.base import run_passes
from snncc.passes.check_spikes import CheckSpikes
from snncc.passes.fold_batch_norm import FoldBatchNorm
from snncc.passes.fold_scales import FoldScales

RULES = [
    each
    for module in (rules, rules_of_counts, rules_of_raising, spike_rules)
    for _, each in inspect.getmembers(module)
    if isinstance(each, Rule) and each.severity is Severity.ERROR
]


def blocks(rule: Rule) -> list[str]:
    """The programs in an explanation."""
    return re.findall(r"```python\n(.*?)```", rule.explanation, re.DOTALL)


def codes(program: str) -> set[str]:
    """The codes of all errors that a model's program gives."""
    space: dict[str, Any] = {"__name__": "example"}
    exec(compile(program, "example.py", "exec"), space)  # noqa: S102
    try:
        tensor = trace(space["Model"]().eval(), torch.zeros(space["example_input"]))
        middle = (CheckSpikes(), FoldScales(), FoldBatchNorm())
        found = run_passes(tensor, [*FRONT, *middle]).diagnostics
    except SnnccError as error:
        found = error.diagnostics
    return {d.rule.code for d in found if d.severity is Severity.ERROR}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_the_first_example_fails_and_the_second_is_mended(rule: Rule) -> None:
    fails, mended = blocks(rule)
    assert rule.code in codes(fails)
    assert codes(mended) == set()


def test_rules_are_shown() -> None:
    assert len(RULES) == 16
