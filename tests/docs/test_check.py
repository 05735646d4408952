"""What `docs/check.md` shows works: its policy, its commands, its hook, its table of formats."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from snncc.cli.app import app
from snncc.cli.policy import configured_policy
from snncc.diagnostics.formats import RENDERERS
from snncc.passes.spike_policy import Allowance, Policy

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "check.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return str(found)


def test_the_policy_is_one(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(block("toml"))
    known = Allowance("SNN201", "block.0.*", "the published baseline")
    assert configured_policy(tmp_path) == Policy("grid", "float", 4, (known,))


def test_the_usual_policy_is_told() -> None:
    assert f"counts of up to {Policy().multi_level} pass (`SNN209`)" in TEXT
    assert (Policy().encoder, Policy().head) == ("any", "float")


def test_the_hook_is_ours() -> None:
    (repo,) = yaml.safe_load(block("yaml"))["repos"]
    (ours,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert [hook["id"] for hook in repo["hooks"]] == [ours["id"]]


def test_every_format_is_told() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)) == set(RENDERERS)
    (option,) = (p for p in app.commands["check"].params if p.name == "form")
    assert set(getattr(option.type, "choices", ())) == set(RENDERERS)


def test_the_program_judges_a_network(capsys: pytest.CaptureFixture[str]) -> None:
    exec(block("python"), {})  # noqa: S102 - our own text
    clean, *findings = capsys.readouterr().out.splitlines()
    assert clean == "False"
    found = [line.split(" ")[:3] for line in findings if "SNN201" in line]
    assert ["error", "SNN201", "`block.1.attn.q_linear`"] in found
    assert {line[0] for line in found if line[2].startswith("`block.0.")} == {"note"}
