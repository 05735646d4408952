"""How long a step takes: which term binds, and which core or link it is of.

Two rules, chosen by the target. ``max_affine`` (Timcheck, Pierro and Shrestha, arXiv 2601.10035):
the slowest of dendrites, synapses, synaptic memory, busiest link and barrier, each proportional to
the load of the busiest core or link. ``generation_or_processing`` (SANA-FE's simple model): the
slower of the core that sends longest and the core that receives longest, and then the barrier.
A term whose constant nobody has published is left out, and ``omitted`` says so; so it does of each
part of the work of a core.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from snncc.ir.graph import Array
from snncc.machine.loads import Loads
from snncc.machine.routes import Routes
from snncc.mapping.deliveries import FORMATS
from snncc.mapping.placement import Placement
from snncc.targets.load import Target


@dataclass(frozen=True)
class Times:
    """The time of each step, ``[steps]`` in ns, with the term that binds and where it does.

    ``terms`` are all terms, ``[steps]`` each; ``where`` names a core by its number (``core 3``) or
    a link (``east of tile 2,0``), and is empty for the barrier. ``busy`` is the share of a step
    that the cores are at work in the mean.
    """

    step_ns: Array
    binding: tuple[str, ...]
    where: tuple[str, ...]
    terms: Mapping[str, Array]
    omitted: tuple[str, ...]
    busy: Array


Place: TypeAlias = tuple[Array, tuple[str, ...]]
"""A term of each step, and where it is reached."""


def step_times(
    placement: Placement, loads: Loads, ways: Routes, target: Target, weight_bits: int = 8
) -> Times:
    """Return the times of the steps by the target's rule; every operation reads one weight."""
    rule = target.machine.timing.value if target.machine else "max_affine"
    return _RULES[rule](placement, loads, ways, target, weight_bits)


def _max_affine(
    placement: Placement, loads: Loads, ways: Routes, target: Target, weight_bits: int
) -> Times:
    speed = {key: fact.value for key, fact in target.speed.items()}
    work = {"dendrites": _update_ns(loads, speed), "synapses": _synapse_ns(loads, speed)}
    operations = sum(loads.operations.values()) + loads.products
    if "synaptic_memory_byte" in speed:
        read = operations * (weight_bits / 8)
        work["synaptic memory"] = read * speed["synaptic_memory_byte"]
    terms: dict[str, Place] = {name: _busiest(per_core) for name, per_core in work.items()}
    if "link_packet" in speed:
        packets, links = ways.busiest()
        names = tuple(f"{d} of tile {x},{y}" for d, x, y in links)
        terms["link"] = (packets * speed["link_packet"], names)
    barrier = _barrier_ns(placement, target)
    terms["barrier"] = (np.full(loads.steps, barrier), ("",) * loads.steps)
    known = {
        "dendrites": _has(speed, "neuron_update_active", "neuron_update", "neuron_access"),
        "synapses": _prices_synapses(loads, speed),
        "synaptic memory": "synaptic_memory_byte" in speed,
        "link": "link_packet" in speed,
        "barrier": bool(_barriers(target)),
    }
    return _binding(terms, np.zeros(loads.steps), _unknown(known), work)


def _has(speed: Mapping[str, float], *keys: str) -> bool:
    return any(key in speed for key in keys)


def _unknown(known: Mapping[str, bool]) -> tuple[str, ...]:
    return tuple(name for name, is_known in known.items() if not is_known)


def _prices_synapses(loads: Loads, speed: Mapping[str, float]) -> bool:
    """Whether every operation that took place has a time, in whatever format its weights lie."""
    done = {name: bool(np.any(ops)) for name, ops in loads.operations.items()}
    done["dense"] = done.get("dense", False) or bool(np.any(loads.products))
    some = any(done.values())
    formats = [name for name, took_place in done.items() if took_place] if some else ["dense"]
    return all(_has(speed, f"synaptic_op_{name}", "synaptic_op") for name in formats)


def _generation_or_processing(
    placement: Placement, loads: Loads, ways: Routes, target: Target, weight_bits: int
) -> Times:
    speed = {key: fact.value for key, fact in target.speed.items()}
    sending = _update_ns(loads, speed) + loads.messages_out * speed.get("message_out", 0.0)
    receiving = loads.messages_in * speed.get("message_in", 0.0) + _synapse_ns(loads, speed)
    work = {"generation": sending, "processing": receiving}
    terms = {name: _busiest(per_core) for name, per_core in work.items()}
    known = {
        "neuron updates": _has(speed, "neuron_update_active", "neuron_update", "neuron_access"),
        "spikes": "spike_out" in speed,
        "messages sent": "message_out" in speed,
        "messages received": "message_in" in speed,
        "synapses": _prices_synapses(loads, speed),
        "barrier": bool(_barriers(target)),
    }
    added = np.full(loads.steps, _barrier_ns(placement, target))
    return _binding(terms, added, _unknown(known), work)


def _binding(
    terms: Mapping[str, Place], added: Array, omitted: tuple[str, ...], work: Mapping[str, Array]
) -> Times:
    names = list(terms)
    stacked = np.stack([terms[name][0] for name in names]).astype(np.float64)
    best = stacked.argmax(axis=0)
    binding = tuple(names[int(b)] for b in best)
    where = tuple(terms[name][1][step] for step, name in enumerate(binding))
    values = dict(zip(names, stacked, strict=True))
    step_ns = stacked.max(axis=0) + added
    slowest = np.max(np.stack(list(work.values())), axis=0)
    busy = slowest.mean(axis=1) / np.maximum(step_ns, np.finfo(float).tiny)
    return Times(step_ns, binding, where, values, omitted, busy)


def _busiest(per_core: Array) -> Place:
    """Return the largest of the cores at each step ``[steps, cores]``, and which core it is."""
    best = per_core.argmax(axis=1)
    return per_core[np.arange(len(per_core)), best], tuple(f"core {b}" for b in best)


def _update_ns(loads: Loads, speed: Mapping[str, float]) -> Array:
    """Return the time that each core spends on its neurons and on making spikes."""
    active, idle = loads.updated, loads.neurons - loads.updated
    return np.asarray(
        loads.neurons * speed.get("neuron_access", 0.0)
        + active * (speed.get("neuron_update", 0.0) + speed.get("neuron_update_active", 0.0))
        + idle * speed.get("neuron_update_inactive", 0.0)
        + loads.fired * speed.get("spike_out", 0.0)
    )


def _synapse_ns(loads: Loads, speed: Mapping[str, float]) -> Array:
    """Return the time that each core spends on spikes that met a synapse, or each other."""
    each = {
        name: speed.get(f"synaptic_op_{name}", speed.get("synaptic_op", 0.0)) for name in FORMATS
    }
    total = sum(ops * each[name] for name, ops in loads.operations.items())
    return np.asarray(total + loads.products * each["dense"])


def _barrier_ns(placement: Placement, target: Target) -> float:
    """Return the time that ends a step, by the number of tiles in use."""
    seats = {(c.seat.chip, c.seat.x, c.seat.y) for c in placement.cores if c.parts}
    table = _barriers(target)
    known = [time for n, time in table.items() if n <= max(len(seats), min(table, default=1))]
    return known[-1] if known else 0.0


def _barriers(target: Target) -> dict[int, float]:
    """Return the time of the barrier by the number of tiles from which on it takes it."""
    return {n: fact.value for n, fact in target.barrier.items()} or _ends(target)


def _ends(target: Target) -> dict[int, float]:
    """Return the barrier of one tile and, for any more, that of all tiles of the chip."""
    speed = target.speed
    one = speed.get("barrier_one_tile", speed.get("barrier_all_tiles"))
    every = speed.get("barrier_all_tiles", one)
    return {1: one.value, 2: every.value} if one and every else {}


_RULES: Mapping[str, Callable[[Placement, Loads, Routes, Target, int], Times]] = {
    "max_affine": _max_affine,
    "generation_or_processing": _generation_or_processing,
}
