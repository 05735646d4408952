"""Targets: what ships, what a user may write, and what is refused in which words."""

from __future__ import annotations

import math
from importlib import resources
from pathlib import Path

import pytest

from snncc.targets.load import (
    ENERGY,
    LIMITS,
    SPEED,
    Arithmetic,
    TargetError,
    available_targets,
    load_target,
)

SHIPPED = (resources.files("snncc.targets") / "loihi1.toml").read_text(encoding="utf-8")


def edited(folder: Path, old: str, new: str) -> Path:
    """A user's own target: a shipped one with one text replaced."""
    assert SHIPPED.count(old) >= 1
    path = folder / "mine.toml"
    path.write_text(SHIPPED.replace(old, new, 1), encoding="utf-8")
    return path


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(SHIPPED.splitlines(), 1) if line.startswith(text))


def test_what_ships() -> None:
    assert available_targets() == ("loihi1", "loihi1-sanafe", "loihi2")


@pytest.mark.parametrize("name", available_targets())
def test_every_shipped_number_has_a_source(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    facts = dict(target.facts())
    assert len(facts) > 25
    assert all(fact.source for fact in facts.values())
    assert all(fact.evidence for key, fact in facts.items() if key.startswith(("energy", "speed")))


def test_loihi1_is_what_was_published() -> None:
    target = load_target("loihi1")
    assert {key: fact.value for key, fact in target.limits.items()} == {
        "cores": 128,
        "neurons_per_core": 1024,
        "neurons_per_chip": 131072,
        "memory_bytes_per_core": 2**18,
        "synaptic_memory_bytes_per_core": 2**17,
        "axons_in_per_core": 4096,
        "axons_out_per_core": 4096,
        "thresholds_per_core": 8,
        "delay_steps": 62,
    }
    assert not target.features.programmable_neurons.value
    assert not target.features.per_neuron_threshold.value
    assert target.features.graded_spike_bits.value == 0
    assert target.energy["synaptic_op"].value == pytest.approx(23.6)
    assert target.energy["synaptic_op"].evidence == "simulated"


def test_loihi2_has_no_invented_number() -> None:
    target = load_target("loihi2")
    assert not target.energy
    assert target.energy_of == "loihi1"
    assert {key for key, fact in target.speed.items() if fact.evidence == "vendor"} == {
        "barrier_all_tiles"
    }
    derived = {key: fact.source for key, fact in target.speed.items() if key != "barrier_all_tiles"}
    assert all("Davies" in source or "Hala Point" in source for source in derived.values())
    assert "axons_in_per_core" not in target.limits
    assert "axons_out_per_core" not in target.limits
    assert target.limits["neurons_per_core"].value == 8192
    assert target.features.graded_spike_bits.value == 32
    assert target.features.programmable_neurons.value
    assert any("energy" in note for note in target.notes)


@pytest.mark.parametrize("name", available_targets())
def test_the_arithmetic_is_the_bit_accurate_models(name: str) -> None:
    arithmetic = load_target(name).arithmetic
    assert arithmetic.weight_bits.value == 8
    assert arithmetic.potential_bits.value == 24
    assert arithmetic.current_bits.value == 24
    assert arithmetic.threshold_bits.value == 17
    assert arithmetic.threshold_shift.value == arithmetic.current_shift.value == 6
    assert arithmetic.threshold_compare.value == "greater"
    assert arithmetic.decay_bits.value == 12
    assert arithmetic.bias_mantissa_bits.value == 13
    assert arithmetic.bias_exponent_bits.value == 3
    assert arithmetic.rounding.value == "toward_zero"
    assert arithmetic.potential_overflow.value == "saturate"


@pytest.mark.parametrize("name", available_targets())
def test_the_mesh_seats_every_core(name: str) -> None:
    target = load_target(name)
    mesh = target.mesh
    seats = math.prod(f.value for f in (mesh.columns, mesh.rows, mesh.cores_per_tile))
    assert seats == target.limits["cores"].value == 128


def test_guesses_are_marked() -> None:
    guesses = [key for key, fact in load_target("loihi2").facts() if fact.assumed]
    assert "features.per_neuron_threshold" in guesses
    assert not [key for key, fact in load_target("loihi1").facts() if fact.assumed]


def test_the_simulators_constants() -> None:
    target = load_target("loihi1-sanafe")
    assert {n: fact.value for n, fact in target.barrier.items()} == {
        1: 600, 2: 1000, 4: 1400, 29: 1800,
    }  # fmt: skip
    assert target.machine is not None
    assert target.machine.timing.value == "generation_or_processing"
    assert target.energy["message_out"].value == pytest.approx(111)
    assert dict(target.facts())["barrier.from_29_tiles"].unit == "ns"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("[limits]", "[barrier]\nfrom_0_tiles = { value = 1 }\n[limits]", "barrier.from_0_tiles"),
        ("[limits]", "[barrier]\nfrom_2_tiles = { value = 1 }\n[limits]", "from_2_tiles.source"),
        ('"max_affine"', '"slow"', "machine.timing.value"),
        ("[limits]", 'energy_of = "nothing"\n[limits]', "energy_of: is 'nothing', wanted one of"),
    ],
)
def test_what_the_machine_needs_is_checked(tmp_path: Path, old: str, new: str, reason: str) -> None:
    with pytest.raises(TargetError, match=reason):
        load_target(edited(tmp_path, old, new))


def test_a_fact_reads_as_a_person_would_write_it() -> None:
    target = load_target("loihi1")
    assert str(target.limits["synaptic_memory_bytes_per_core"]) == "131072 byte per core"
    assert str(target.limits["cores"]) == "128 per chip"
    assert str(target.features.programmable_neurons) == "false"
    assert str(target.energy["hop_east_west"]) == "3.0 pJ"


def test_nothing_can_be_changed_after_loading() -> None:
    target = load_target("loihi2")
    with pytest.raises(TypeError):
        target.limits["cores"] = target.limits["cores"]  # type: ignore[index]
    with pytest.raises(AttributeError):
        target.name = "other"  # type: ignore[misc]


def test_a_users_own_file(tmp_path: Path) -> None:
    path = edited(tmp_path, "value = 1024", "value = 4096")
    assert load_target(path).limits["neurons_per_core"].value == 4096
    assert load_target(str(path)) == load_target(path)


def test_a_limit_left_out_does_not_bind(tmp_path: Path) -> None:
    line = SHIPPED.splitlines()[line_of("axons_in_per_core") - 1]
    assert "axons_in_per_core" not in load_target(edited(tmp_path, line, "")).limits


@pytest.mark.parametrize(
    ("old", "new", "key", "reason"),
    [
        (
            "axons_in_per_core",
            "axons_in_per_cor",
            "limits.axons_in_per_cor",
            "unknown key, did you mean 'axons_in_per_core'?",
        ),
        ("[speed]", "[sped]", "sped", "unknown key, did you mean 'speed'?"),
        (
            '1024, per = "core", source =',
            '1024, per = "core", sauce =',
            "limits.neurons_per_core.sauce",
            "unknown key, did you mean 'source'?",
        ),
        (
            ', source = "Davies et al., IEEE Micro 38(1), 2018: compartments"',
            "",
            "limits.neurons_per_core.source",
            "is missing",
        ),
        (
            '"Davies et al., IEEE Micro 38(1), 2018: compartments"',
            '" "',
            "limits.neurons_per_core.source",
            "wanted a string that says where the value is from",
        ),
        (
            'per = "core"',
            'per = "chip"',
            "limits.neurons_per_core.per",
            "is 'chip', wanted 'core'",
        ),
        (
            'unit = "byte"',
            'unit = "KB"',
            "limits.memory_bytes_per_core.unit",
            "is 'KB', wanted 'byte'",
        ),
        (
            "value = 1024",
            "value = 0",
            "limits.neurons_per_core.value",
            "is 0, wanted a number from 1 up",
        ),
        (
            "value = 1024",
            "value = 1024.0",
            "limits.neurons_per_core.value",
            "is 1024.0, wanted a whole number",
        ),
        (
            "value = 1024",
            "value = true",
            "limits.neurons_per_core.value",
            "is True, wanted a whole number",
        ),
        (
            "value = 23.6",
            "value = nan",
            "energy.synaptic_op.value",
            "is nan, wanted a number from 0 up",
        ),
        (
            "value = 23.6",
            "value = inf",
            "energy.synaptic_op.value",
            "is inf, wanted a number from 0 up",
        ),
        (
            "value = 23.6",
            "value = -1",
            "energy.synaptic_op.value",
            "is -1.0, wanted a number from 0 up",
        ),
        ("value = 23.6", 'value = "a"', "energy.synaptic_op.value", "is 'a', wanted a number"),
        (
            'value = "toward_zero"',
            'value = "nearest"',
            "arithmetic.rounding.value",
            "is 'nearest', wanted 'toward_zero' or 'floor'",
        ),
        (
            "programmable_neurons = { value = false",
            "programmable_neurons = { value = 0",
            "features.programmable_neurons.value",
            "is 0, wanted true or false",
        ),
        (
            'value = 23.6, unit = "pJ", evidence = "simulated"',
            'value = 23.6, unit = "pJ"',
            "energy.synaptic_op.evidence",
            "is missing",
        ),
        (
            'value = 23.6, unit = "pJ", evidence = "simulated"',
            'value = 23.6, unit = "pJ", evidence = "rumour"',
            "energy.synaptic_op.evidence",
            "is 'rumour', wanted 'measured' or 'simulated' or 'vendor' or 'analytic' or 'assumed'",
        ),
        ("value = 128,", "value = 129,", "limits.cores", "is 129, but the mesh has room for 128"),
        ('title = "Intel Loihi (14 nm, 2018)"', "title = 3", "title", "wanted a string, found 3"),
        ("notes = [", "notes = [3, ", "notes", "wanted a list of sentences"),
    ],
)
def test_what_is_refused(tmp_path: Path, old: str, new: str, key: str, reason: str) -> None:
    path = edited(tmp_path, old, new)
    with pytest.raises(TargetError) as caught:
        load_target(path)
    error = caught.value
    assert (error.file, error.key, error.reason) == (str(path), key, reason)
    assert error.line is not None
    assert str(error) == f"{path}:{error.line}: {key}: {reason}"


def test_the_line_is_the_line_of_the_fact(tmp_path: Path) -> None:
    with pytest.raises(TargetError) as caught:
        load_target(edited(tmp_path, "value = 23.6", "value = -1"))
    in_energy = [
        n for n, line in enumerate(SHIPPED.splitlines(), 1) if line.startswith("synaptic_op")
    ]
    assert caught.value.line == in_energy[-1]


@pytest.mark.parametrize("key", ["neurons_per_core", "cores"])
def test_a_required_limit_is_missed(tmp_path: Path, key: str) -> None:
    line = SHIPPED.splitlines()[line_of(f"{key} =") - 1]
    with pytest.raises(TargetError, match=rf"limits\.{key}: is missing"):
        load_target(edited(tmp_path, line, ""))


def test_a_bare_number_is_refused(tmp_path: Path) -> None:
    line = SHIPPED.splitlines()[line_of("neurons_per_core") - 1]
    with pytest.raises(TargetError, match=r"wanted \{ value = \.\.\., source = \.\.\. \}"):
        load_target(edited(tmp_path, line, "neurons_per_core = 1024"))


def test_a_section_has_to_be_a_section(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "x"\ntitle = "x"\nlimits = 3\n', encoding="utf-8")
    with pytest.raises(TargetError, match=r"mine\.toml:3: limits: wanted a section of facts"):
        load_target(path)


def test_an_unknown_name_gets_a_hint() -> None:
    with pytest.raises(TargetError, match=r"^loihi3: unknown name, did you mean 'loihi2'\?"):
        load_target("loihi3")
    with pytest.raises(
        TargetError,
        match=r"^spinnaker: unknown name; known: loihi1, loihi1-sanafe, loihi2; or give",
    ):
        load_target("spinnaker")
    with pytest.raises(TargetError, match="unknown name"):
        load_target("")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"none\.toml: does not exist"):
        load_target(tmp_path / "none.toml")
    with pytest.raises(TargetError, match="is a folder, not a file"):
        load_target(tmp_path)
    broken = tmp_path / "broken.toml"
    broken.write_bytes(b"[limits\n")
    with pytest.raises(TargetError, match=r"broken\.toml: is not TOML: .*line 1"):
        load_target(broken)
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(TargetError, match="is not TOML"):
        load_target(broken)


def test_no_number_is_declared_and_given_nowhere() -> None:
    given = {key for name in available_targets() for key, _ in load_target(name).facts()}
    declared = {f"limits.{key}" for key in LIMITS} | {f"speed.{key}" for key in SPEED}
    declared |= {f"energy.{key}" for key in ENERGY}
    declared |= {f"arithmetic.{key}" for key in Arithmetic.__dataclass_fields__}
    assert declared <= given
