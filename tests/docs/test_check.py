"""What `docs/check.md` shows works: its policy, its commands, its hook, its table of formats."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]
from torch import nn

from snncc.cli.app import app
from snncc.cli.policy import configured_policy
from snncc.diagnostics.formats import RENDERERS
from snncc.models.neuron import LIF
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


def test_the_commands_are_commands() -> None:
    for line in block("sh").splitlines():
        _, name, *arguments = shlex.split(line)
        app.commands[name].make_context(name, arguments)


def test_the_hook_is_ours() -> None:
    (repo,) = yaml.safe_load(block("yaml"))["repos"]
    (ours,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert [hook["id"] for hook in repo["hooks"]] == [ours["id"]]


def test_every_format_is_told() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)) == set(RENDERERS)
    (option,) = (p for p in app.commands["check"].params if p.name == "form")
    assert set(getattr(option.type, "choices", ())) == set(RENDERERS)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target


def test_the_program_judges_a_network(capsys: pytest.CaptureFixture[str]) -> None:
    image = nn.Sequential(nn.Flatten(), nn.Linear(3072, 2), nn.Unflatten(0, (1, -1)))
    space = {"network": nn.Sequential(image, LIF(), nn.Linear(2, 2))}
    exec(block("python"), space)  # noqa: S102 - our own text
    said = capsys.readouterr().out
    assert "reads real, not spikes" in said
    assert "the allowance `SNN201:block.0.*` matches no finding" in said
