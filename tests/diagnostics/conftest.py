"""Findings of every sort, with names that try to break out of each format."""

from __future__ import annotations

from fractions import Fraction

import pytest

from snncc.diagnostics.core import Rule, Severity
from snncc.diagnostics.render import Findings, Layer
from snncc.ir.domain import REAL, Grid
from snncc.ir.graph import Source

RULE = Rule("SNN299", "test-rule", Severity.ERROR, "What it\nmeans.\n\nAnd *more*.")
WARNING = Rule("SNN298", "test-warning", Severity.WARNING, "Explained.")
EVIL = "a\n::error::b]]></failure>&\"'\x00\x1b[2J\ud800,%0A[x](http://evil)"


@pytest.fixture
def findings() -> Findings:
    """An error, one that is allowed, a warning without a place; a third layer is clean."""
    counts = Grid(Fraction(1), 0, 2)
    error = RULE.at(
        Source("net.fc", "net dir/net.py", 7), "`net.fc` reads int[0..2], not spikes",
        because=("`s` adds",), hint="put a neuron", op="linear", domain=counts,
    )  # fmt: skip
    allowed = RULE.at(
        Source("net.stem", "net.py", 3), "`net.stem` reads real",
        op="conv", domain=REAL, allowed_by="policy: encoder",
    )  # fmt: skip
    warning = WARNING.at(Source(), "the allowance `X` matches no finding")
    layers = (
        Layer("net.stem", "net.stem", "conv", "real", is_spike_driven=False),
        Layer("net.fc", "net.fc", "linear", "spike", is_spike_driven=True),
        Layer("net.fc", "net.fc", "linear", "int[0..2]", is_spike_driven=False),
    )
    facts = {"form": "as-written", "time_steps": 4}
    diagnostics = (allowed, error)
    return Findings("net", diagnostics, (warning,), facts=facts, file="m.pth", layers=layers)


@pytest.fixture
def evil() -> Findings:
    """One finding whose every text comes from an attacker."""
    error = RULE.at(
        Source(EVIL, EVIL, 7), EVIL, because=(EVIL,), hint=EVIL, op="linear", domain=REAL
    )
    allowed = RULE.at(Source(EVIL), EVIL, op="conv", allowed_by=EVIL)
    layer = Layer(EVIL, EVIL, "linear", EVIL, is_spike_driven=False)
    return Findings(EVIL, (error, allowed), facts={"form": EVIL}, file=EVIL, layers=(layer,))
