"""Run a placed network: events, traffic, time and energy of every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from snncc.machine.activity import Activity
from snncc.machine.loads import Loads, count_loads
from snncc.machine.routes import Routes, routes
from snncc.machine.times import Times, step_times
from snncc.mapping.placement import Placement
from snncc.mapping.populations import Net
from snncc.targets.load import Target, load_target

_Event: TypeAlias = Callable[[Loads, Routes], int]


def _operations(name: str) -> _Event:
    def count(loads: Loads, ways: Routes) -> int:
        products = int(loads.products.sum()) if name == "dense" else 0
        return int(loads.operations[name].sum()) + products

    return count


EVENTS: Mapping[str, _Event] = {
    "synaptic_op": lambda a, _: (
        sum(int(n.sum()) for n in a.operations.values()) + int(a.products.sum())
    ),
    "synaptic_op_conv": _operations("conv"),
    "synaptic_op_sparse": _operations("sparse"),
    "synaptic_op_dense": _operations("dense"),
    "neuron_access": lambda a, _: int(a.neurons.sum()) * a.steps,
    "neuron_update": lambda a, _: int(a.updated.sum()),
    "neuron_update_active": lambda a, _: int(a.updated.sum()),
    "neuron_update_inactive": lambda a, _: int(a.neurons.sum()) * a.steps - int(a.updated.sum()),
    "spike_out": lambda a, _: int(a.fired.sum()),
    "spike_within_tile": lambda a, _: int(a.messages_out.sum()),
    "message_out": lambda a, _: int(a.messages_out.sum()),
    "message_in": lambda a, _: int(a.messages_in.sum()),
    "hop_east_west": lambda _, b: int(b.hops_east_west.sum()),
    "hop_north_south": lambda _, b: int(b.hops_north_south.sum()),
}
"""How often each event took place, by the name of its constant in a target."""


@dataclass(frozen=True)
class MachineReport:
    """What a placed network did. ``energy_pj`` is by event, of the target ``energy_of``.

    ``events`` are the counts behind each energy. No energy is given where no constants are.
    """

    target: str
    loads: Loads
    ways: Routes
    times: Times
    events: Mapping[str, int]
    energy_pj: Mapping[str, float]
    energy_of: str

    @property
    def operations(self) -> int:
        """Spikes that met a synapse, and pairs of spikes that met in a product."""
        return EVENTS["synaptic_op"](self.loads, self.ways)

    @property
    def packets(self) -> int:
        """Messages between cores, those to the sender's own core with them."""
        return int(self.loads.messages_out.sum())

    @property
    def hops(self) -> int:
        """Links that the messages passed, together."""
        return int(self.ways.hops_east_west.sum() + self.ways.hops_north_south.sum())

    @property
    def total_pj(self) -> float:
        """The energy of all events."""
        return sum(self.energy_pj.values())


def run_machine(
    net: Net, placement: Placement, activity: Activity, target: Target, weight_bits: int = 8
) -> MachineReport:
    """Return what the placed network does under an activity, step by step.

    ``activity`` is by steps of the chip: see ``machine/activity.py``.
    """
    loads = count_loads(net, placement, activity)
    ways = routes(placement, target.mesh, loads.senders, loads.receivers, loads.sent)
    times = step_times(placement, loads, ways, target, weight_bits)
    priced = target if target.energy or not target.energy_of else load_target(target.energy_of)
    events = {key: EVENTS[key](loads, ways) for key in priced.energy}
    energy = {key: n * priced.energy[key].value for key, n in events.items()}
    return MachineReport(
        target.name, loads, ways, times, events, energy, priced.name if priced.energy else ""
    )


def critical_steps(report: MachineReport) -> Iterator[tuple[int, float, str, str]]:
    """Yield (step, its time in ns, the term that binds, the core or link that it is of)."""
    times = report.times
    steps = zip(times.step_ns, times.binding, times.where, strict=True)
    for step, (ns, term, where) in enumerate(steps):
        yield step, float(ns), term, where


def machine_document(report: MachineReport) -> dict[str, Any]:
    """Return the ``snncc.machine/1`` document."""
    busiest = report.loads.neurons.argmax() if report.loads.neurons.size else 0
    return {
        "schema": "snncc.machine/1",
        "target": report.target,
        "steps": [
            {
                "step": s,
                "time_ns": ns,
                "binding": term,
                "where": where,
                "terms": {name: float(each[s]) for name, each in report.times.terms.items()},
                "busy": float(report.times.busy[s]),
            }
            for s, ns, term, where in critical_steps(report)
        ],
        "time_ns": float(report.times.step_ns.sum()),
        "omitted_terms": list(report.times.omitted),
        "operations": report.operations,
        "packets": report.packets,
        "packets_from_host": int(report.loads.from_host.sum()),
        "hops": report.hops,
        "chip_crossings": int(report.ways.crossings.sum()),
        "links": [
            {"leaves": [x, y], "to": way, "packets": int(each.sum()), "most": int(each.max())}
            for (way, x, y), each in report.ways.by_link()
        ],
        "busiest_link_packets": int(np.max(report.ways.busiest()[0], initial=0)),
        "fullest_core": int(busiest),
        "energy_of": report.energy_of,
        "events": dict(report.events),
        "energy_pj": {**report.energy_pj, "total": report.total_pj},
    }
