"""Energy models: what an operation costs, where that number is from, and what it leaves out.

A model is a TOML file, shipped here or written by the user. Which constants it gives is up to it:
no figure is made of one that is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType

from snncc.targets.facts import Fact, FactError, Rule, fact, names_in, open_facts, rules_of

_PACKAGE, _FOLDER = "snncc.energy", "models"

CONSTANTS: Mapping[str, Rule] = MappingProxyType(
    {
        key: Rule(float, unit="pJ", evidence=True)
        for key in (
            "mac_fp32",
            "ac_fp32",
            "mac_int8",
            "ac_int8",
            "mult_int8",
            "synaptic_op_conv",
            "synaptic_op_dense",
            "neuron_access",
            "neuron_update_active",
            "neuron_update_inactive",
            "spike",
        )
    }
)
"""Energy of one operation: ``ac`` is an addition, ``mac`` a multiplication and an addition.

The others are events on a chip. ``neuron_access`` is paid by each neuron at each step,
``neuron_update_active`` by those with a current, ``neuron_update_inactive`` by those without.
"""

PAIRS = ("fp32", "int8")
"""The precisions of which a model of operations may give a ``mac`` and an ``ac``."""

ARITHMETIC = ("mac_fp32", "ac_fp32", "mac_int8", "ac_int8", "mult_int8")
"""The constants of models that price operations; the others are of models that price events."""


class EnergyModelError(FactError):
    """An energy model that cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Which operations a model multiplies its constants with."""

    operations: Fact[str] = fact(choices=("estimated", "counted", "events"))
    """``estimated``: dense operations times firing rate. ``counted``: what took place.

    ``events``: what took place on a chip, updates of neurons and spikes among it.
    """


@dataclass(frozen=True, kw_only=True)
class EnergyModel:
    """Constants by operation, in the order of ``CONSTANTS``, and how they are to be used."""

    name: str
    title: str
    scope: Scope
    constants: Mapping[str, Fact[float]]
    leaves_out: tuple[str, ...]


def available_energy_models() -> tuple[str, ...]:
    """Return the names of the energy models that ship with snncc, sorted."""
    return names_in(_PACKAGE, _FOLDER)


def load_energy_model(name_or_path: str | Path) -> EnergyModel:
    """Return the model of that name, or the one that a user's own TOML file describes.

    Raises ``EnergyModelError``, which names file, line and key.
    """
    file = open_facts(name_or_path, _PACKAGE, _FOLDER, error=EnergyModelError)
    file.allow(f.name for f in fields(EnergyModel))
    model = EnergyModel(
        name=file.text("name"),
        title=file.text("title"),
        scope=Scope(**file.facts("scope", rules_of(Scope))),
        constants=file.facts("constants", CONSTANTS),
        leaves_out=file.sentences("leaves_out"),
    )
    if not model.constants:
        raise file.refusal("constants", "holds no constant")
    of_events = model.scope.operations.value == "events"
    for key in model.constants:
        if of_events is (key in ARITHMETIC):
            kind = "events" if of_events else "operations"
            raise file.refusal(f"constants.{key}", f"does not go with a model of {kind}")
    if not of_events and not any({f"mac_{p}", f"ac_{p}"} <= model.constants.keys() for p in PAIRS):
        raise file.refusal("constants", "has no mac and ac of the same precision")
    if not model.leaves_out:
        raise file.refusal("leaves_out", "is empty: no model covers everything")
    return model
