"""Energy models: what an operation costs, where that number is from, and what it leaves out.

A model is a TOML file, shipped here or written by the user. Which constants it gives is up to it:
no figure is made of one that is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType

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
            "add_int32",
            "mult_int32",
            "word_of_8_kib",
            "word_of_32_kib",
            "word_of_1_mib",
        )
    }
)
"""Energy of one operation: ``ac`` is an addition, ``mac`` a multiplication and an addition.

Then events on a chip: ``neuron_access`` is paid by each neuron at each step,
``neuron_update_active`` by those with a current, ``neuron_update_inactive`` by those without. Then
what a model of memory pays: operations, and one word read or written in a memory of that size.
"""

PAIRS = ("fp32", "int8")
"""The precisions of which a model of operations may give a ``mac`` and an ``ac``."""

ARITHMETIC = ("mac_fp32", "ac_fp32", "mac_int8", "ac_int8", "mult_int8")
"""The constants of models that price operations."""

MEMORY = ("add_int32", "mult_int32", "word_of_8_kib", "word_of_32_kib", "word_of_1_mib")
"""The constants of models that price memory: all are needed. What is left are events."""


class EnergyModelError(FactError):
    """An energy model that cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Which operations a model multiplies its constants with."""

    operations: Fact[str] = fact(choices=("estimated", "counted", "dense", "events", "memory"))
    """``estimated``: dense operations times firing rate. ``counted``: what took place.

    ``dense``: one pass of the same network without spikes. ``events``: what took place on a chip,
    updates of neurons and spikes among it. ``memory``: operations, addresses and words moved.
    """
    queue_words: Fact[int] | None = optional_fact(unit="word", at_least=1)
    """Of a model of memory: how many spikes the queue between two layers holds."""


@dataclass(frozen=True, kw_only=True)
class EnergyModel:
    """Constants by operation, in the order of ``CONSTANTS``, and how they are to be used."""

    name: str
    title: str
    scope: Scope
    constants: Mapping[str, Fact[float]]
    leaves_out: tuple[str, ...]

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What of it is a guess, each as ``key = value unit, assumed: why``."""
        scope = {f.name: getattr(self.scope, f.name) for f in fields(Scope)}
        known = {**scope, **self.constants}
        return tuple(
            f"{key} = {fact}, {fact.source}" for key, fact in known.items() if fact and fact.assumed
        )


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
    _check_constants(model, file)
    if not model.leaves_out:
        raise file.refusal("leaves_out", "is empty: no model covers everything")
    return model


def precisions_of(model: EnergyModel) -> tuple[str, ...]:
    """Return the precisions for which a model has what it multiplies with."""
    letters = ("mac",) if model.scope.operations.value == "dense" else ("mac", "ac")
    return tuple(p for p in PAIRS if {f"{a}_{p}" for a in letters} <= model.constants.keys())


def _check_constants(model: EnergyModel, file: FactFile) -> None:
    """Raise ``EnergyModelError`` where constants are missing or go with another kind of model."""
    if not model.constants:
        raise file.refusal("constants", "holds no constant")
    kind = model.scope.operations.value
    kind = kind if kind in ("events", "memory") else "operations"
    for key in model.constants:
        if _kind_of(key) != kind:
            raise file.refusal(f"constants.{key}", f"does not go with a model of {kind}")
    if kind == "operations" and not precisions_of(model):
        dense = model.scope.operations.value == "dense"
        wanted = "mac" if dense else "mac and ac of the same precision"
        raise file.refusal("constants", f"has no {wanted}")
    if (kind == "memory") != (model.scope.queue_words is not None):
        wanted = "is missing" if kind == "memory" else f"does not go with a model of {kind}"
        raise file.refusal("scope.queue_words", wanted)
    for key in MEMORY if kind == "memory" else ():
        if key not in model.constants:
            raise file.refusal(f"constants.{key}", "is missing")


def _kind_of(constant: str) -> str:
    if constant in ARITHMETIC:
        return "operations"
    return "memory" if constant in MEMORY else "events"
