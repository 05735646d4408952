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


def test_networks_are_listed_as_they_are_given(snncc: Snncc) -> None:
    wanted = [f"arch:{name}" for name in ARCHITECTURES]
    assert snncc("inspect", "--list-archs").out.splitlines() == wanted
    assert snncc("inspect", "--list-archs", "").code == 2


@pytest.mark.parametrize("part", ["spikeyolo", "arch:spikeyolo", "SpikeYOLO"])
def test_networks_are_listed_by_a_part_of_their_name(snncc: Snncc, part: str) -> None:
    found = snncc("inspect", "--list-archs", part).out.splitlines()
    assert found == [f"arch:spikeyolo-{size}" for size in "nsml"]


def test_no_network_of_that_name(snncc: Snncc) -> None:
    done = snncc("inspect", "--list-archs", "spikingformer-8-515")
    assert (done.code, done.out) == (2, "")
    assert "no network has 'spikingformer-8-515' in its name, did you mean" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("check", ""), "the name is empty, wanted a checkpoint, package.module:factory or arch"),
        (("check", "  "), "the name is empty"),
        (("inspect", ""), "the name is empty"),
        (("compile", "arch:sdt-8-512", "--target", "loihi2", "-o", ""), "the name is empty"),
        (("check", "arch:sdt-8-512", "--witness", ""), "the name is empty"),
        (("check", "arch:sdt"), "did you mean sdt-8-384"),
    ],
)
def test_empty_names_and_parts_of_names(
    snncc: Snncc, arguments: tuple[str, ...], said: str
) -> None:
    done = snncc(*arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


@pytest.mark.parametrize("code", ["SNN999", "SNN20", "foo"])
@pytest.mark.parametrize("command", [("explain",), ("check", "arch:sdt-8-512", "--allow")])
def test_a_code_that_there_is_not(snncc: Snncc, command: tuple[str, ...], code: str) -> None:
    done = snncc(*command, code)
    assert (done.code, done.out) == (2, "")
    assert f"no rule has the code '{code}': `snncc explain` lists all codes" in done.err


def test_a_rule_is_explained_by_its_name_too(snncc: Snncc) -> None:
    assert snncc("explain", "real-weight-input").out == snncc("explain", "snn202").out


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
