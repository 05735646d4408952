"""A user's own model: the one in the documentation loads, and every kind is documented."""

from __future__ import annotations

import re
from pathlib import Path

from snncc.energy.detail import WORK
from snncc.energy.load import CONSTANTS, Scope, available_energy_models, load_energy_model
from snncc.targets.facts import rules_of

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "energy.md").read_text("utf-8")


def test_the_documented_model_loads(tmp_path: Path) -> None:
    block = re.search(r"```toml title=\"mine.toml\"\n(.*?)```", TEXT, re.DOTALL)
    assert block is not None
    path = tmp_path / "mine.toml"
    path.write_text(block[1], encoding="utf-8")
    model = load_energy_model(path)
    assert (model.name, model.scope.operations.value) == ("mine", "counted")
    assert model.constants["ac_int8"].value == 0.05


def test_every_model_constant_and_kind_is_documented() -> None:
    kinds = rules_of(Scope)["operations"].choices
    for name in (*available_energy_models(), *CONSTANTS, *kinds, *rules_of(Scope)):
        assert f"`{name}`" in TEXT, name


def test_every_part_of_the_work_is_documented() -> None:
    text = (ROOT / "docs" / "json.md").read_text("utf-8")
    assert [key for key in WORK if f"`{key}`" not in text] == []
