"""The checker: every limit of the target, derived again from the placement and the graph alone.

It shares with the mapper what a population is, and nothing of how one is cut, priced or seated.
Which places a core reads is found by marking them one by one, not by the mapper's closed forms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from snncc.diagnostics.core import Diagnostic, SnnccError
from snncc.ir.graph import Array, Graph, IRError, Source
from snncc.mapping.marks import Usage, usage_of
from snncc.mapping.placement import Core, Part, Placement
from snncc.mapping.populations import Net, UnmappedError
from snncc.mapping.rules import BAD_PLACEMENT, UNMAPPED_OPERATION
from snncc.mapping.schedule import arrivals
from snncc.targets.load import Target

CORE_LIMITS = {
    "neurons_per_core": ("neurons", "neurons"),
    "synaptic_memory_bytes_per_core": ("synapse_bytes", "bytes of stored weights"),
    "memory_bytes_per_core": ("memory_bytes", "bytes of all that is kept"),
    "axons_in_per_core": ("axons_in", "input axons"),
    "axons_out_per_core": ("axons_out", "output axons"),
    "thresholds_per_core": ("thresholds", "different thresholds"),
}
"""For each limit of a core, what uses it up, and its name in a sentence."""

CHIP_LIMITS = {
    "neurons_per_chip": ("neurons", "neurons"),
    "synapses_per_chip": ("synapses", "stored synapses"),
}


@dataclass(frozen=True)
class Checked:
    """What the checker found; ``usage`` is None where the placement is not one of the network."""

    usage: Usage | None
    diagnostics: tuple[Diagnostic, ...]


def check_placement(
    graph: Graph, placement: Placement, target: Target, weight_bits: int = 8
) -> Checked:
    """Return every fault of a placement, and how much of each limit each core uses."""
    try:
        net = placement.net(graph)
    except UnmappedError as fault:
        diagnostic = UNMAPPED_OPERATION.at(fault.op.source, str(fault), op=fault.op.kind)
        return Checked(None, (diagnostic,))
    faults = [*_seats(placement, target), *_cover(net, placement), *_clock(net, target)]
    if faults:
        return Checked(None, tuple(faults))
    usage = usage_of(net, placement, weight_bits)
    return Checked(usage, (*_cores(placement, usage, target), *_chips(placement, usage, target)))


def require_placement(
    graph: Graph, placement: Placement, target: Target, weight_bits: int = 8
) -> Usage:
    """Return how much each core uses. Raises ``SnnccError`` with every fault of the placement."""
    checked = check_placement(graph, placement, target, weight_bits)
    if checked.usage is None or checked.diagnostics:
        raise SnnccError(*checked.diagnostics)
    return checked.usage


def _seats(placement: Placement, target: Target) -> Iterator[Diagnostic]:
    if placement.target != target.name:
        yield _fault(f"the placement is for {placement.target!r}, the target is {target.name!r}")
    mesh = target.mesh
    size = (mesh.columns.value, mesh.rows.value, mesh.cores_per_tile.value)
    taken: dict[object, int] = {}
    on_chip: dict[int, int] = {}
    for number, core in enumerate(placement.cores):
        seat = core.seat
        at = (seat.x, seat.y, seat.slot)
        if any(n >= most for n, most in zip(at, size, strict=True)):
            yield _fault(f"core {number} sits at {at}, the mesh of a chip has {size} seats")
        if seat in taken:
            yield _fault(f"cores {taken[seat]} and {number} sit on the same seat {at}")
        taken[seat] = number
        on_chip[seat.chip] = on_chip.get(seat.chip, 0) + 1
    most = target.limits["cores"].value
    for chip, count in sorted(on_chip.items()):
        if count > most:
            yield _fault(f"chip {chip} holds {count} cores, {target.name} has {most}")


def _cover(net: Net, placement: Placement) -> Iterator[Diagnostic]:
    """Find places on no core or on several, and parts of what is not there."""
    held = {p.name: np.zeros(p.shape, np.int64) for p in net.populations}
    wrong = [
        (number, part)
        for number, core in enumerate(placement.cores)
        for part in core.parts
        if not _is_inside(part, held.get(part.population))
    ]
    for number, part in wrong:
        yield _fault(f"core {number} holds {part.box} of `{part.population}`, which is not there")
    if wrong:
        return
    for core in placement.cores:
        for part in core.parts:
            held[part.population][part.index] += 1
    for name, count in held.items():
        for what, places in (("no core", count == 0), ("several cores", count > 1)):
            if places.any():
                where = tuple(int(n) for n in np.argwhere(places)[0])
                yield _fault(
                    f"{int(places.sum())} places of `{name}` are on {what}, the first is {where}"
                )


def _clock(net: Net, target: Target) -> Iterator[Diagnostic]:
    """Hold the ways of messages to the clock: each takes a step, and what is early waits."""
    most = target.limits.get("delay_steps")
    try:
        ways = list(arrivals(net))
    except IRError as fault:
        yield _fault(f"the graph has no delays, or not all of them: {fault}")
        return
    for way in ways:
        name, reads = way.population.name, way.value
        if way.before < 0:
            yield _fault(f"`{name}` takes `{reads}` {-way.before} steps before it can arrive")
        if most is not None and way.before + way.behind > most.value:
            yield _fault(
                f"`{reads}` waits {way.before + way.behind} steps for `{name}`, wanted at most "
                f"{most.value}, or a relay between"
            )


def _is_inside(part: Part, held: Array | None) -> bool:
    if held is None or len(part.box) != held.ndim:
        return False
    return all(0 <= a < b <= n for (a, b), n in zip(part.box, held.shape, strict=True))


def _cores(placement: Placement, usage: Usage, target: Target) -> Iterator[Diagnostic]:
    for key, (name, words) in CORE_LIMITS.items():
        if key not in target.limits:
            continue
        most, found = target.limits[key].value, usage.of_cores(name)
        over = np.flatnonzero(found > most)
        if len(over):
            worst = int(over[found[over].argmax()])
            yield _fault(
                f"{len(over)} cores break {key}: core {worst} needs {int(found[worst]):,} {words}, "
                f"a core has {most:,}",
                because=_held(placement.cores[worst]),
            )


def _chips(placement: Placement, usage: Usage, target: Target) -> Iterator[Diagnostic]:
    chips = np.array([core.seat.chip for core in placement.cores], np.int64)
    for key, (name, words) in CHIP_LIMITS.items():
        if key not in target.limits or not len(chips):
            continue
        most, found = target.limits[key].value, np.bincount(chips, usage.of_cores(name))
        for chip in np.flatnonzero(found > most):
            yield _fault(f"chip {chip} holds {int(found[chip]):,} {words}, wanted at most {most:,}")


def _held(core: Core) -> tuple[str, ...]:
    return tuple(f"it holds {part.neurons:,} places of `{part.population}`" for part in core.parts)


def _fault(message: str, because: tuple[str, ...] = ()) -> Diagnostic:
    return BAD_PLACEMENT.at(
        Source(), message, because=because, hint="compile the model again, for this target"
    )
