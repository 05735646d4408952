"""The table of passes, held against the folder; importing it stays light."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Callable

import snncc.passes
from snncc.ir.graph import Graph
from snncc.passes import PASSES
from snncc.passes.base import Pass, run_passes
from snncc.passes.canonicalise import Canonicalise
from snncc.passes.check_spikes import CheckSpikes
from snncc.passes.fold_batch_norm import FoldBatchNorm
from snncc.passes.fold_scales import FoldScales
from snncc.passes.to_steps import ToSteps


def test_the_table_is_complete() -> None:
    found: dict[str, type[Pass]] = {}
    for module in pkgutil.iter_modules(snncc.passes.__path__, "snncc.passes."):
        made = inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        found |= {c.name: c for _, c in made if issubclass(c, Pass) and c is not Pass}
    assert found == dict(PASSES)


def test_names_follow_their_files() -> None:
    for name, each in PASSES.items():
        stem = each.__module__.rpartition(".")[2]
        assert stem.replace("_", "-") == name
        assert each.__name__.lower() == stem.replace("_", "")


def test_the_table_imports_no_torch() -> None:
    code = "import sys, snncc.passes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_passes_leave_what_they_were_given(random_network: Callable[[int], Graph]) -> None:
    before = random_network(7)
    text = repr(before.ops)
    steps = run_passes(before, [Canonicalise(), ToSteps()]).graph
    middle = repr(steps.ops)
    run_passes(steps, [CheckSpikes(), FoldScales(), FoldBatchNorm()])
    assert repr(before.ops) == text
    assert repr(steps.ops) == middle
