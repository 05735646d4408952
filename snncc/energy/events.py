"""Energy of what took place on a chip: each event that was counted, times what the chip pays.

A model prices the events that it has a constant for, and says what else it leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from snncc.energy.load import EnergyModel
from snncc.energy.price import MJ_PER_PJ, PRICED, Energy, LayerEnergy, Load, counted, document_of
from snncc.execute.counts import Counts, OpCount

PRECISION = "chip"
"""What stands for the precision in a document: the chip's own arithmetic."""


def _synaptic(op: OpCount) -> int:
    """Return spikes that met a synapse; what is no spike is one event whatever its value."""
    return int((op.synaptic_ops if op.spike_input or op.spike_right else op.event_ops).sum())


_Event: TypeAlias = Callable[[OpCount], int]
EVENTS: Mapping[str, _Event] = MappingProxyType(
    {
        "synaptic_op_conv": lambda op: _synaptic(op) if op.kind == "conv" else 0,
        "synaptic_op_dense": lambda op: _synaptic(op) if op.kind in PRICED[1:] else 0,
        "neuron_access": lambda op: int(op.updates.sum()),
        "neuron_update_active": lambda op: int(op.active.sum()),
        "neuron_update_inactive": lambda op: int((op.updates - op.active).sum()),
        "spike": lambda op: int(op.spikes_out.sum()),
    }
)
"""How often each event took place, over all samples, by the name of its constant."""


def event_energy(counts: Counts, model: EnergyModel) -> Energy:
    """Return the energy of one sample: products first to last, neuron layers where they stand."""
    products = {load.name: load for load in counted(counts)}
    layers = tuple(
        LayerEnergy(products.get(op.name) or _neurons(counts, op), _energy_mj(op, counts, model))
        for op in counts.ops.values()
        if op.name in products or op.updates.any()
    )
    return Energy(model, PRECISION, layers)


def event_document(
    network: str, counts: Counts, model: EnergyModel, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the ``snncc.energy/1`` document, with ``events`` of one sample by constant."""
    events = {key: {"count": n, "energy_mj": mj} for key, n, mj in _events(counts, model)}
    said = {**facts, "operations": "counted", "events": events}
    return document_of(network, [event_energy(counts, model)], said)


def _events(counts: Counts, model: EnergyModel) -> Iterator[tuple[str, float, float]]:
    for key, constant in model.constants.items():
        mean = sum(EVENTS[key](op) for op in counts.ops.values()) / counts.samples
        yield key, mean, mean * constant.value * MJ_PER_PJ


def _energy_mj(op: OpCount, counts: Counts, model: EnergyModel) -> float:
    picojoules = sum(EVENTS[key](op) * fact.value for key, fact in model.constants.items())
    return picojoules / counts.samples * MJ_PER_PJ


def _neurons(counts: Counts, op: OpCount) -> Load:
    return Load(op.name, op.path, op.kind, counts.rate_out(op.name), 0, mac=0.0, ac=0.0)
