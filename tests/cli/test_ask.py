"""`explain`, `targets`, `inspect`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snncc.diagnostics.catalogue import all_rules
from snncc.ir.graph import IRError
from snncc.ir.text import parse
from snncc.models.zoo import ARCHITECTURES
from snncc.targets.load import available_targets, load_target

Snncc = Callable[..., Any]


@pytest.mark.parametrize("code", all_rules())
def test_every_code_is_explained(snncc: Snncc, code: str) -> None:
    done = snncc("explain", code)
    rule = all_rules()[code]
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{rule.severity}[{code}]: {rule.name}\n\n{rule.explanation}\n"


def test_codes_are_listed_and_may_be_written_small(snncc: Snncc) -> None:
    assert len(snncc("explain").out.splitlines()) == len(all_rules())
    assert snncc("explain", "snn001").out.startswith("error[SNN001]")
    document = json.loads(snncc("explain", "--format", "json").out)
    assert [rule["code"] for rule in document["rules"]] == list(all_rules())


def test_an_unknown_code_is_bad_usage(snncc: Snncc) -> None:
    done = snncc("explain", "SNN001x")
    assert (done.code, done.out) == (2, "")
    assert "did you mean 'SNN001'?" in done.err


def test_targets_are_listed_and_shown_with_every_source(snncc: Snncc) -> None:
    assert [line.split()[0] for line in snncc("targets").out.splitlines()] == list(
        available_targets()
    )
    for name in available_targets():
        target = load_target(name)
        text = snncc("targets", name).out
        document = json.loads(snncc("targets", name, "--format", "json").out)
        for key, fact in target.facts():
            assert f"{key} = {fact}\n" in text
            assert fact.source in text
            assert document["facts"][key]["value"] == fact.value
            assert document["facts"][key]["source"] == fact.source
    listed = json.loads(snncc("targets", "--format", "json").out)["targets"]
    assert [t["name"] for t in listed] == list(available_targets())


def test_an_unknown_target_is_one_diagnostic(snncc: Snncc) -> None:
    done = snncc("targets", "loihi3")
    assert (done.code, done.out) == (2, "")
    assert "error[SNN401]: loihi3: unknown name, did you mean 'loihi2'?" in done.err


def test_networks_are_listed(snncc: Snncc) -> None:
    assert snncc("inspect", "--list-archs").out.splitlines() == list(ARCHITECTURES)


def test_inspect_says_where_each_size_is_from(snncc: Snncc, compliant: Path) -> None:
    done = snncc("inspect", compliant)
    assert done.code == 0
    assert done.out.startswith("spikingformer-cifar-1-16: input 1x8x8, T=2\n")
    lines = [line.split() for line in done.out.splitlines()]
    assert ["dim", "16", "shapes"] in lines
    assert ["heads", "2", "args"] in lines
    assert ["tau", "2.0", "official", "default"] in lines
    given = snncc("inspect", compliant, "--set", "heads=4")
    assert ["heads", "4", "--set"] in [line.split() for line in given.out.splitlines()]


def test_the_dump_is_a_graph_in_its_text_form(snncc: Snncc, compliant: Path) -> None:
    done = snncc("inspect", compliant, "--dump")
    assert done.out.startswith("graph step T2 {\n")
    assert done.out.endswith("}\n")
    with pytest.raises(IRError, match="weight"):
        parse(done.out, {})


def test_nothing_to_inspect_is_bad_usage(snncc: Snncc) -> None:
    assert snncc("inspect").code == 2
    assert "wanted MODEL or --list-archs" in snncc("inspect").err
