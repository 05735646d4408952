"""What the report page shows of a run beside the report: written into the artefact, aggregated.

All of it is at hand when a network has been compiled; nothing is run again for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from snncc.backends.report.energy import Subject, all_models, energy_document
from snncc.backends.report.placed import Placed
from snncc.compiler import Compiled
from snncc.execute.dataset import Dataset
from snncc.execute.excerpts import HIGHEST, LOWEST, PER_THRESHOLD, SAMPLES, Excerpt
from snncc.ir.graph import Array
from snncc.ir.ops import IntegerNeuron
from snncc.machine.routes import DIRECTIONS
from snncc.machine.run import MachineReport
from snncc.mapping.check import CORE_LIMITS
from snncc.targets.facts import Fact
from snncc.targets.load import Target, load_target

PROFILE = "profile.json"
SCHEMA = "snncc.profile/1"


def profile_text(compiled: Compiled, dataset: Dataset, where: Placed | None) -> str:
    """Return the ``snncc.profile/1`` document as JSON on one line: it is long and for programs."""
    document = profile_document(compiled, dataset, where)
    return json.dumps(document, separators=(",", ":"), allow_nan=False) + "\n"


def profile_document(compiled: Compiled, dataset: Dataset, where: Placed | None) -> dict[str, Any]:
    """Return rates by step, excerpts of spikes and potentials, energies, and the machine's loads.

    ``where`` is None where the network stands on no chip.
    """
    return {
        "schema": SCHEMA,
        "samples": compiled.whole.counts.samples,
        "time_steps": compiled.integer.steps,
        "labels": _labels(dataset),
        "answers": [int(row.argmax()) for row in _few(compiled.whole.outputs)],
        "bins": {"per_threshold": PER_THRESHOLD, "lowest": LOWEST, "highest": HIGHEST},
        "layers": list(_layers(compiled)),
        "energies": _energies(compiled, dataset),
        "machine": None if where is None or where.run is None else _machine(where, where.run),
    }


def _few(rows: Array) -> Array:
    return rows[:SAMPLES].reshape(len(rows[:SAMPLES]), -1)


def _labels(dataset: Dataset) -> list[int] | None:
    """Return the classes of the first samples; None where they have none, or are no classes."""
    if dataset.labels is None:
        return None
    first = np.asarray(dataset.labels)[:SAMPLES]
    return [int(label) for label in first] if first.ndim == 1 else None


def _layers(compiled: Compiled) -> Iterator[dict[str, Any]]:
    real, whole = compiled.real, compiled.whole
    for op in compiled.integer.of_kind("integer_neuron"):
        counted = whole.counts.ops[op.name]
        neurons = counted.elements_out * whole.counts.samples
        twin = real.counts.ops.get(op.name)
        mine, theirs = whole.excerpts.get(op.name), real.excerpts.get(op.name)
        yield {
            "name": op.name,
            "path": op.source.module,
            "neurons": counted.elements_out,
            "levels": op.levels if isinstance(op, IntegerNeuron) else 1,
            "rates": [int(n) / neurons for n in counted.spikes_out],
            "float_rates": None if twin is None else [int(n) / neurons for n in twin.spikes_out],
            "shown": [] if mine is None else mine.shown.tolist(),
            "spikes": _rasters(mine),
            "float_spikes": _rasters(theirs),
            "potentials": None if mine is None else mine.potentials.tolist(),
            "float_potentials": None if theirs is None else theirs.potentials.tolist(),
        }


def _rasters(excerpt: Excerpt | None) -> list[list[str]]:
    """Return for each sample and step the counts of the neurons shown, a hexadecimal digit each."""
    if excerpt is None:
        return []
    digits = np.array(list("0123456789abcdef"))[np.clip(excerpt.spikes, 0, 15)]
    return [["".join(step) for step in digits[:, s]] for s in range(digits.shape[1])]


def _energies(compiled: Compiled, dataset: Dataset) -> list[dict[str, Any]]:
    """Return the energy under each model that the counts at hand can be priced by.

    Estimates of the float network are in the report already, and need counts of their own.
    """
    subject = Subject(
        compiled.name, compiled.checked.graph, compiled.integer, dataset.inputs
    ).counted_as(compiled.whole.counts)
    return [
        energy_document(subject, model, details=False)
        for model in all_models(subject)
        if model.scope.operations.value != "estimated"
    ]


def _machine(found: Placed, run: MachineReport) -> dict[str, Any]:
    loads = run.loads
    operations = sum(loads.operations.values()) + loads.products
    return {
        "mesh": {
            key: _fact_document(getattr(found.target.mesh, key))
            for key in ("columns", "rows", "cores_per_tile", "routing")
        },
        "limits": {
            key: _fact_document(found.target.limits[key])
            for key in ("cores", *CORE_LIMITS)
            if key in found.target.limits
        },
        "speed": {key: _fact_document(fact) for key, fact in _speeds(found.target)},
        "energy": {key: _fact_document(fact) for key, fact in _prices(found.target).items()},
        "terms": {name: _rounded(values) for name, values in run.times.terms.items()},
        "cores": {
            **{key: found.usage.of_cores(name).tolist() for key, (name, _) in CORE_LIMITS.items()},
            "operations": np.asarray(operations).tolist(),
            "messages_out": loads.messages_out.tolist(),
            "messages_in": loads.messages_in.tolist(),
        },
        "links": list(_links(run)),
    }


def _speeds(target: Target) -> Iterator[tuple[str, Fact[float]]]:
    yield from target.speed.items()
    for tiles, fact in target.barrier.items():
        yield f"barrier of {tiles} tiles", fact


def _prices(target: Target) -> Mapping[str, Fact[float]]:
    """Return the energies of the target, or of the one that stands in where it has none."""
    if target.energy or not target.energy_of:
        return target.energy
    return load_target(target.energy_of).energy


def _rounded(values: Array) -> list[float]:
    return [round(float(value), 3) for value in values]


def _links(run: MachineReport) -> Iterator[list[Any]]:
    """Yield ``[direction, x, y, packets of each step]`` of each link that was ever used."""
    for direction in DIRECTIONS:
        packets = run.ways.packets[direction]
        for x, y in np.argwhere(packets.any(axis=0)):
            yield [direction, int(x), int(y), packets[:, x, y].tolist()]


def _fact_document(fact: Fact[Any]) -> Mapping[str, Any]:
    return {
        "value": fact.value,
        "unit": fact.unit,
        "evidence": fact.evidence,
        "source": fact.source,
        "assumed": fact.assumed,
    }
