"""Targets: what a chip can hold, how it computes, and what is known of its speed and energy.

A target is a TOML file, shipped here or written by the user. A key that a file leaves out of
``limits``, ``speed`` or ``energy`` is a number that nobody has published: it does not bind, and
no figure is made of it. Every other key has to be there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from snncc.targets.facts import (
    Fact,
    FactError,
    FactFile,
    Rule,
    fact,
    names_in,
    open_facts,
    optional_fact,
    rules_of,
)

_PACKAGE = "snncc.targets"

LIMITS: Mapping[str, Rule] = MappingProxyType(
    {
        "cores": Rule(int, per="chip", at_least=1, required=True),
        "neurons_per_core": Rule(int, per="core", at_least=1, required=True),
        "neurons_per_chip": Rule(int, per="chip", at_least=1),
        "synapses_per_chip": Rule(int, per="chip", at_least=1),
        "memory_bytes_per_core": Rule(int, unit="byte", per="core", at_least=1),
        "synaptic_memory_bytes_per_core": Rule(int, unit="byte", per="core", at_least=1),
        "axons_in_per_core": Rule(int, per="core", at_least=1),
        "axons_out_per_core": Rule(int, per="core", at_least=1),
        "thresholds_per_core": Rule(int, per="core", at_least=1),
        "delay_steps": Rule(int, unit="step", per="synapse"),
    }
)

_EVENTS = (
    "synaptic_op",
    "neuron_update_active",
    "neuron_update_inactive",
    "spike_within_tile",
    "hop_east_west",
    "hop_north_south",
    "synaptic_op_conv",
    "synaptic_op_sparse",
    "synaptic_op_dense",
    "neuron_access",
    "neuron_update",
    "spike_out",
    "message_out",
    "message_in",
)
"""Events of the machine. ``neuron_access`` is paid for every neuron in every step and
``neuron_update`` beside it where there is something to do; the other two updates stand alone."""

SPEED: Mapping[str, Rule] = MappingProxyType(
    {
        key: Rule(float, unit="ns", evidence=True)
        for key in (
            *_EVENTS,
            "synaptic_memory_byte",
            "link_packet",
            "barrier_one_tile",
            "barrier_all_tiles",
        )
    }
)

ENERGY: Mapping[str, Rule] = MappingProxyType(
    {key: Rule(float, unit="pJ", evidence=True) for key in _EVENTS}
)


_FROM_TILES = re.compile(r"from_([1-9][0-9]*)_tiles")

TIMINGS = ("max_affine", "generation_or_processing")
"""How the time of a step follows from the events in it: see ``machine/times.py``."""


class TargetError(FactError):
    """A target that cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """The integers of a neuron core. Widths count the sign where there is one.

    A step computes, with ``rz`` the rounding shift by ``decay_bits``::

        u = rz(u * (2**decay_bits - du)) + (input << current_shift)
        v = rz(v * (2**decay_bits - dv)) + u + (bias_mantissa << bias_exponent)
        spike = v > (threshold << threshold_shift)
    """

    weight_bits: Fact[int] = fact("bit", at_least=1)
    """Of a weight beside weights of the other sign."""
    weight_bits_min: Fact[int] | None = optional_fact("bit", at_least=1)
    weight_bits_one_sign: Fact[int] | None = optional_fact("bit", at_least=1)
    """Of a weight in a matrix whose weights all have one sign."""
    input_bits: Fact[int] = fact("bit", at_least=1)
    """Of the summed weights that reach a neuron in a step."""
    current_bits: Fact[int] = fact("bit", at_least=1)
    current_shift: Fact[int] = fact("bit")
    current_overflow: Fact[str] = fact(choices=("wrap", "saturate"))
    potential_bits: Fact[int] = fact("bit", at_least=1)
    potential_overflow: Fact[str] = fact(choices=("wrap", "saturate"))
    threshold_bits: Fact[int] = fact("bit", at_least=1)
    """Of the threshold's mantissa, unsigned."""
    threshold_shift: Fact[int] = fact("bit")
    threshold_compare: Fact[str] = fact(choices=("greater", "greater_equal"))
    decay_bits: Fact[int] = fact("bit", at_least=1)
    bias_mantissa_bits: Fact[int] = fact("bit", at_least=1)
    bias_exponent_bits: Fact[int] = fact("bit")
    rounding: Fact[str] = fact(choices=("toward_zero", "floor"))


@dataclass(frozen=True, kw_only=True)
class Features:
    """What a core can do beyond the arithmetic."""

    programmable_neurons: Fact[bool] = fact()
    """Whether a neuron may compute what ``Arithmetic`` does not say."""
    graded_spike_bits: Fact[int] = fact("bit")
    """Of a spike's payload; 0 where a spike carries nothing."""
    per_neuron_threshold: Fact[bool] = fact()
    bias_in_state: Fact[bool] | None = optional_fact()
    """Whether a neuron may keep its bias in its own state, as wide as a potential; else the bias
    has the fields of ``Arithmetic``."""


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """The network on a chip: a grid of routers, some cores at each."""

    columns: Fact[int] = fact(at_least=1)
    rows: Fact[int] = fact(at_least=1)
    cores_per_tile: Fact[int] = fact(per="tile", at_least=1)
    routing: Fact[str] = fact(choices=("x_then_y", "y_then_x"))


@dataclass(frozen=True, kw_only=True)
class Machine:
    """How the machine model runs this chip."""

    timing: Fact[str] = fact(choices=TIMINGS)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A chip. ``limits``, ``speed`` and ``energy`` hold only what their sources give.

    ``barrier`` is the time that ends a step, by the number of tiles from which on it takes so long.
    ``energy_of`` names the target whose energies stand in for those that nobody has published.
    """

    name: str
    title: str
    notes: tuple[str, ...]
    limits: Mapping[str, Fact[int]]
    arithmetic: Arithmetic
    features: Features
    mesh: Mesh
    speed: Mapping[str, Fact[float]]
    energy: Mapping[str, Fact[float]]
    machine: Machine | None = None
    barrier: Mapping[int, Fact[float]] = field(default_factory=dict)
    energy_of: str = ""

    def facts(self) -> Iterator[tuple[str, Fact[Any]]]:
        """Yield every fact under its dotted key, in the order of the declarations."""
        for section in ("limits", "arithmetic", "features", "mesh", "speed", "energy"):
            held = getattr(self, section)
            items = held.items() if isinstance(held, Mapping) else _items(held)
            yield from ((f"{section}.{key}", one) for key, one in items if one is not None)
        if self.machine is not None:
            yield "machine.timing", self.machine.timing
        yield from ((f"barrier.from_{n}_tiles", one) for n, one in self.barrier.items())


def _items(section: Arithmetic | Features | Mesh) -> Iterator[tuple[str, Fact[Any] | None]]:
    return ((f.name, getattr(section, f.name)) for f in fields(section))


def available_targets() -> tuple[str, ...]:
    """Return the names of the targets that ship with snncc, sorted."""
    return names_in(_PACKAGE)


def load_target(name_or_path: str | Path) -> Target:
    """Return the target of that name, or the one that a user's own TOML file describes.

    Raises ``TargetError``, which names file, line and key.
    """
    file = open_facts(name_or_path, _PACKAGE, error=TargetError)
    file.allow(f.name for f in fields(Target))
    target = Target(
        name=file.text("name"),
        title=file.text("title"),
        notes=file.sentences("notes"),
        limits=file.facts("limits", LIMITS),
        arithmetic=Arithmetic(**file.facts("arithmetic", rules_of(Arithmetic))),
        features=Features(**file.facts("features", rules_of(Features))),
        mesh=Mesh(**file.facts("mesh", rules_of(Mesh))),
        speed=file.facts("speed", SPEED),
        energy=file.facts("energy", ENERGY),
        machine=_machine(file),
        barrier=_barrier(file),
        energy_of=_stand_in(file),
    )
    tiles = target.mesh.columns.value * target.mesh.rows.value
    cores, seats = target.limits["cores"].value, tiles * target.mesh.cores_per_tile.value
    if cores > seats:
        raise file.refusal("limits.cores", f"is {cores}, but the mesh has room for {seats}")
    return target


def _machine(file: FactFile) -> Machine | None:
    if "machine" not in file.document:
        return None
    return Machine(**file.facts("machine", rules_of(Machine)))


def _barrier(file: FactFile) -> Mapping[int, Fact[float]]:
    """Return the times of a step's end, which a file gives under ``from_<n>_tiles``."""
    given = file.document.get("barrier", {})
    keys = given if isinstance(given, dict) else {}
    tiles = {key: match for key in keys if (match := _FROM_TILES.fullmatch(key))}
    facts = file.facts("barrier", {key: Rule(float, unit="ns", evidence=True) for key in tiles})
    by_tiles = {int(tiles[key][1]): one for key, one in facts.items()}
    return MappingProxyType(dict(sorted(by_tiles.items())))


def _stand_in(file: FactFile) -> str:
    """Return the target whose energies stand in for this one's."""
    if "energy_of" not in file.document:
        return ""
    name = file.text("energy_of")
    if name not in available_targets():
        known = ", ".join(available_targets())
        raise file.refusal("energy_of", f"is {name!r}, wanted one of {known}")
    return name
