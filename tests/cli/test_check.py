"""`check` in every format: one document on stdout, nothing on stderr, the code of the verdict."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch

from snncc.execute import witness
from snncc.models.zoo import FORMS

Snncc = Callable[..., Any]

TRAINED = Path(__file__).parents[2] / "examples" / "digits" / "spikformer.pth.tar"
"""A network whose neurons fire, with sums of spikes before eight of its layers."""


def names(form: str, text: str) -> set[str]:
    """The module paths of what fails, as each format tells them."""
    if form == "sarif":
        results = json.loads(text)["runs"][0]["results"]
        failing = [r for r in results if r["level"] == "error"]
        return {r["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] for r in failing}
    if form == "junit":
        cases = ET.fromstring(text).iter("testcase")  # noqa: S314
        return {str(c.get("name")) for c in cases if c.find("failure") is not None}
    errors = re.compile(r"::error file=[^,]+\.py,line=\d+,title=SNN201 [^:]+::`(.+?)`")
    return {found[1] for line in text.splitlines() if (found := errors.match(line))}


@pytest.mark.parametrize("form", ["sarif", "junit", "github"])
def test_machine_formats(snncc: Snncc, compliant: Path, offending: Path, form: str) -> None:
    done = snncc("check", offending, "--format", form)
    assert (done.code, done.err) == (1, "")
    assert names(form, done.out) == {
        "block.0.attn.q_linear",
        "block.0.attn.k_linear",
        "block.0.attn.v_linear",
        "block.0.mlp.fc1_linear",
    }
    clean = snncc("check", compliant, "--format", form)
    assert (clean.code, clean.err) == (0, "")
    assert names(form, clean.out) == set()


def test_what_the_weights_do_not_tell_is_told_with_where_it_is_from(
    snncc: Snncc, compliant: Path
) -> None:
    done = snncc("check", compliant, "--set", "tau=1.5")
    told = done.err[done.err.index("what the weights do not tell") :].splitlines()[
        :-1
    ]  # what to do next
    assert told[0] == "what the weights do not tell; `--set NAME=VALUE` gives another value"
    text = " ".join(line.strip() for line in told[1:])
    assert "heads = 2" in text
    assert "args" in text
    assert "tau = 1.5: --set" in text
    assert "attn_v_threshold = 0.5: official default" in text
    assert "dim = " not in text
    assert all(len(line) <= 100 for line in told)


def test_a_choice_between_equal_weights_is_told_with_the_other(
    snncc: Snncc, tmp_path: Path
) -> None:
    sizes = {"depth": 1, "dim": 16, "heads": 2, "classes": 5, "T": 2}
    network = FORMS["spikingformer"].build(**sizes, img_size=16)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "c.pth.tar")
    given = ("check", tmp_path / "c.pth.tar", "--input-shape", "3,16,16")
    assert "--set variant=imagenet-cml" in snncc(*given).err
    assert "variant = imagenet-cml: --set" in snncc(*given, "--set", "variant=cml").err


def test_a_network_without_weights_has_nothing_to_tell(snncc: Snncc) -> None:
    small = ("--set", "dim=16", "--set", "heads=2", "--set", "depth=1")
    assert "what the weights" not in snncc("check", "arch:spikingformer-cifar-2-384", *small).err


def test_junit_has_a_case_for_each_layer(snncc: Snncc, offending: Path) -> None:
    table = snncc("check", offending).out.splitlines()[2:]
    layers = [line.split()[0] for line in table[: table.index("")]]
    document = snncc("check", offending, "--format", "junit").out
    cases = [str(c.get("name")) for c in ET.fromstring(document).iter("testcase")]  # noqa: S314
    assert [re.sub(r" \(\d\)$", "", name) for name in cases] == layers


def test_what_has_no_line_is_at_the_file_that_was_named(
    snncc: Snncc, compliant: Path, tmp_path: Path
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "best.pth.tar").write_bytes(compliant.read_bytes())
    done = snncc("check", tmp_path / "runs/best.pth.tar", "--allow", "SNN205", "--format", "github")
    assert done.out.splitlines()[-1] == (
        "::warning file=runs/best.pth.tar,title=SNN208 allowance-not-used::"
        "the allowance `SNN205` matches no finding"
    )


def test_witnesses_are_written_and_told(snncc: Snncc, tmp_path: Path) -> None:
    allow = ("--allow", "SNN201:block.*.mlp.*", "--allow", "SNN201:block.1.*")
    done = snncc("check", TRAINED, *allow, "--witness", "w.npz", "--format", "json")
    document = json.loads(done.out)
    assert (done.code, done.err) == (1, "")
    paths = [f"block.0.attn.{name}_linear" for name in "qkv"]
    assert [(w["code"], w["path"], w["value"], w["file"]) for w in document["witnesses"]] == [
        ("SNN201", path, 2.0, "w.npz") for path in paths
    ]
    because = {f["path"]: f["because"][-1] for f in document["findings"]}
    step = document["witnesses"][1]["step"]
    assert because[paths[1]] == f"under input 1 of `w.npz` it receives 2 at time step {step}"
    with np.load(tmp_path / "w.npz") as kept:
        assert kept["x"].shape == (3, 1, 16, 16)
        assert kept["paths"].tolist() == paths


def test_witnesses_in_a_directory_and_in_text(snncc: Snncc) -> None:
    done = snncc("check", TRAINED, "--witness", "w")
    told = [line for line in done.err.splitlines() if line.startswith("witness: ")]
    assert told[0] == (
        "witness: `block.0.attn.q_linear` receives 2, see w/000-block.0.attn.q_linear.npz"
    )
    assert len(told) == 8
    assert all(Path(line.rpartition(" ")[2]).is_file() for line in told)


def test_a_search_without_result_says_so(
    snncc: Snncc, offending: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one neuron of that network fires in its last layers."""
    monkeypatch.setattr(witness, "_OPS", 1)
    done = snncc("check", offending, "--witness", "w.npz")
    assert done.code == 1
    assert done.err.count("no witness found for `block.0.") == 4
    assert not (tmp_path / "w.npz").exists()


def test_a_clean_model_has_no_witnesses(snncc: Snncc, compliant: Path, tmp_path: Path) -> None:
    done = snncc("check", compliant, "--witness", "w.npz", "--format", "json")
    assert done.code == 0
    assert json.loads(done.out)["witnesses"] == []
    assert not (tmp_path / "w.npz").exists()


def test_a_search_that_has_nothing_to_search_says_so(snncc: Snncc, compliant: Path) -> None:
    done = snncc("check", compliant, "--witness", "w.npz")
    assert "no witness to search for: no layer with weights has a finding" in done.err
    assert "witness" not in snncc("check", compliant).err


def test_witnesses_need_weights_and_a_place(snncc: Snncc, tmp_path: Path) -> None:
    done = snncc("check", "arch:spikformer-cifar-4-384", "--witness", "w.npz")
    assert (done.code, done.out) == (2, "")
    assert "error[SNN137]" in done.err
    (tmp_path / "file").write_text("mine")
    done = snncc("check", TRAINED, "--witness", "file/w.npz")
    assert (done.code, done.out) == (2, "")
    assert "error[SNN902]" in done.err


@pytest.mark.parametrize("command", ["check", "inspect"])
def test_an_artefact_is_no_model_and_is_told_as_one(
    snncc: Snncc, artefact: Path, command: str
) -> None:
    done = snncc(command, artefact)
    assert (done.code, done.out) == (2, "")
    assert f"error[SNN101]: `{artefact}` is an artefact, wanted a model" in done.err
    assert "help: `snncc convert`" in done.err
