"""Energy models: what ships, what a user may write, and what is refused."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from snncc.energy.load import (
    CONSTANTS,
    EnergyModelError,
    available_energy_models,
    load_energy_model,
    precisions_of,
)
from snncc.targets.facts import EVIDENCE

SHIPPED = (resources.files("snncc.energy") / "models" / "paper-45nm.toml").read_text("utf-8")


def edited(folder: Path, old: str, new: str) -> Path:
    """A user's own model: a shipped one with one text replaced."""
    assert old in SHIPPED
    path = folder / "mine.toml"
    path.write_text(SHIPPED.replace(old, new, 1), encoding="utf-8")
    return path


def test_what_ships() -> None:
    assert {"paper-45nm", "counted-45nm"} <= set(available_energy_models())


@pytest.mark.parametrize("name", available_energy_models())
def test_every_shipped_constant_says_what_it_rests_on(name: str) -> None:
    model = load_energy_model(name)
    assert model.name == name
    assert model.leaves_out
    for constant in model.constants.values():
        assert constant.unit == "pJ"
        assert constant.source
        assert constant.evidence in EVIDENCE


def test_the_papers_model() -> None:
    model = load_energy_model("paper-45nm")
    assert {key: c.value for key, c in model.constants.items()} == {"mac_fp32": 4.6, "ac_fp32": 0.9}
    assert model.scope.operations.value == "estimated"


def test_the_counted_model() -> None:
    model = load_energy_model("counted-45nm")
    values = {key: c.value for key, c in model.constants.items()}
    assert values == {
        "mac_fp32": 4.6,
        "ac_fp32": 0.9,
        "mac_int8": 0.23,
        "ac_int8": 0.03,
        "mult_int8": 0.2,
    }
    assert values["mac_int8"] == pytest.approx(values["mult_int8"] + values["ac_int8"])
    assert model.scope.operations.value == "counted"


def test_a_users_own_file(tmp_path: Path) -> None:
    model = load_energy_model(edited(tmp_path, "value = 4.6", "value = 5"))
    assert model.constants["mac_fp32"].value == 5.0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mac_fp32", "mac_fp31", r"constants\.mac_fp31: unknown key, did you mean 'mac_fp32'"),
        ('unit = "pJ"', 'unit = "J"', r"constants\.mac_fp32\.unit: is 'J', wanted 'pJ'"),
        ('evidence = "analytic", ', "", r"constants\.mac_fp32\.evidence: is missing"),
        ("value = 4.6", "value = -4.6", "is -4.6, wanted a number from 0 up"),
        ('"estimated"', '"guessed"', "is 'guessed', wanted 'estimated' or 'counted' or 'dense' or"),
        ('"estimated"', '"events"', r"constants\.mac_fp32: does not go with a model of events"),
        ("mac_fp32", "spike", r"constants\.spike: does not go with a model of operations"),
        ("mac_fp32", "mac_int8", "constants: has no mac and ac of the same precision"),
        ("mac_fp32", "add_int32", r"constants\.add_int32: does not go with a model of operations"),
        (
            "[constants]",
            'queue_words = { value = 9, unit = "word", source = "x" }\n[constants]',
            r"scope\.queue_words: does not go with a model of operations",
        ),
        ("[scope]", "[scopes]", "scopes: unknown key, did you mean 'scope'"),
        ("leaves_out = [", "leaves_out = []\nx = [", "x: unknown key"),
    ],
)
def test_what_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(EnergyModelError, match=rf"mine\.toml:\d+: .*{message}"):
        load_energy_model(edited(tmp_path, old, new))


MEMORY = (resources.files("snncc.energy") / "models" / "lemaire2022.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "queue_words",
            "queue_word",
            r"queue_word: unknown key, did you mean 'queue_words'",
        ),
        (
            "value = 1000",
            "value = 0",
            r"queue_words\.value: is 0, wanted a number from 1 up",
        ),
        ('unit = "word"', 'unit = "byte"', r"scope\.queue_words\.unit: is 'byte', wanted 'word'"),
        ("add_int32", "spike", r"constants\.spike: does not go with a model of memory"),
        ("word_of_1_mib = {", "# {", r"constants\.word_of_1_mib: is missing"),
    ],
)
def test_what_is_refused_of_a_model_of_memory(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in MEMORY
    path = tmp_path / "mine.toml"
    path.write_text(MEMORY.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(EnergyModelError, match=rf"mine\.toml:\d+: .*{message}"):
        load_energy_model(path)


def test_a_twin_needs_no_additions_and_others_do(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SHIPPED.replace('"estimated"', '"dense"').replace("\nac_fp32", "\n#"), "utf-8")
    assert precisions_of(load_energy_model(path)) == ("fp32",)


def test_a_guess_says_so() -> None:
    (guess,) = load_energy_model("lemaire2022").assumptions
    assert guess.startswith("queue_words = 1000 word, assumed: ")
    assert load_energy_model("paper-45nm").assumptions == ()


def test_a_model_without_constants_or_confession(tmp_path: Path) -> None:
    head, constants = SHIPPED.split("[constants]")
    path = tmp_path / "mine.toml"
    path.write_text(head, encoding="utf-8")
    with pytest.raises(EnergyModelError, match="constants: holds no constant"):
        load_energy_model(path)
    scope = head[head.index("[scope]") :]
    path.write_text(f'name = "x"\ntitle = "x"\n{scope}[constants]{constants}', encoding="utf-8")
    with pytest.raises(EnergyModelError, match="leaves_out: is empty"):
        load_energy_model(path)


def test_an_unknown_name_gets_a_hint() -> None:
    with pytest.raises(EnergyModelError, match="did you mean 'paper-45nm'"):
        load_energy_model("paper-45")


def test_no_constant_is_declared_and_given_nowhere() -> None:
    given = {key for name in available_energy_models() for key in load_energy_model(name).constants}
    assert given == set(CONSTANTS)
