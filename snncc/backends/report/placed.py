"""Where a compiled network stands on its chips, how full they are, and how long a step takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from snncc.backends.report.machine import run_text
from snncc.backends.report.table import count_of, paragraph, percent, si, table
from snncc.diagnostics.core import Diagnostic, SnnccError
from snncc.ir.graph import Array, Graph, Source
from snncc.ir.sites import Sites, on_host
from snncc.ir.substeps import Thermometer
from snncc.machine.activity import activity_of, in_substeps, streamed
from snncc.machine.run import MachineReport, machine_document, run_machine
from snncc.mapping.check import CORE_LIMITS, require_placement
from snncc.mapping.marks import Usage
from snncc.mapping.place import place
from snncc.mapping.placement import Placement
from snncc.mapping.rules import UNMAPPED_OPERATION
from snncc.passes.balance_delays import on_cores
from snncc.targets.load import Target


@dataclass(frozen=True)
class Placed:
    """A placement that the checker passed, what it uses, and its run on one sample, if any."""

    target: Target
    placement: Placement
    usage: Usage
    run: MachineReport | None


def placed(
    graph: Graph, target: Target, sites: Sites, weight_bits: int, sample: Array | None
) -> Placed | Diagnostic:
    """Return the placed network, or a note that says why an operation keeps it from being placed.

    ``sample`` is one input as the executor takes it, without batch. Raises ``SnnccError`` with all
    that does not fit.
    """
    levels = _levels(graph, sites)
    graph = on_cores(graph, target, sites)
    try:
        net = Placement(target.name, (), sites=sites).net(graph)
    except ValueError as fault:
        return _unplaced(fault)
    sent = None if sample is None else in_substeps(net, activity_of(net, sample), levels)
    traffic = {} if sent is None else {
        name: (array != 0).mean(axis=0) for name, array in sent.sent.items()
    }  # fmt: skip
    try:
        found = place(graph, target, traffic, weight_bits=weight_bits, sites=sites)
    except SnnccError as refusal:
        if any(d.rule is not UNMAPPED_OPERATION for d in refusal.diagnostics):
            raise
        return _unplaced(refusal)
    usage = require_placement(graph, found, target, weight_bits)
    run = None
    if sent is not None and found.cores:
        run = run_machine(net, found, streamed(net, sent), target, weight_bits)
    return Placed(target, found, usage, run)


def _levels(graph: Graph, sites: Sites) -> int:
    """Return into how many sub-steps the spikes of a count fall."""
    host = on_host(graph, sites)
    unrolled = (op for op in graph.of_kind("thermometer") if op.name not in host)
    return max((cast(Thermometer, op).levels for op in unrolled), default=1)


def _unplaced(fault: Exception) -> Diagnostic:
    reason = fault.diagnostics[0].message if isinstance(fault, SnnccError) else str(fault)
    hint = "put a layer of neurons of its own there, or leave that end of the network to the host"
    allowed = "no placement is written"
    return UNMAPPED_OPERATION.at(Source(), reason, hint=hint, allowed_by=allowed)


def placed_document(found: Placed) -> dict[str, Any]:
    """Return the ``placement`` of a report; ``machine`` is null without data."""
    return {
        "cores": len(found.placement.cores),
        "chips": found.placement.chips,
        "uses": [
            {"limit": key, "most": most, "mean": mean, "fullest": top, "core": core}
            for key, most, mean, top, core in _uses(found)
        ],
        "machine": None if found.run is None else machine_document(found.run),
    }


def _uses(found: Placed) -> Iterator[tuple[str, int | None, float, int, int]]:
    """Yield (limit, its value, the mean of the cores, the fullest, which core that is)."""
    for key, (name, _) in CORE_LIMITS.items():
        if key == "thresholds_per_core" and found.target.features.per_neuron_threshold.value:
            continue
        fact, used = found.target.limits.get(key), found.usage.of_cores(name)
        if len(used):
            core = int(used.argmax())
            yield key, fact.value if fact else None, float(used.mean()), int(used[core]), core


def placed_text(found: Placed) -> str:
    """Return the placement for people, in at most 100 columns."""
    lines = [paragraph(placed_line(found), "  ")]
    lines += [_uses_table(found)] if found.placement.cores else []
    lines += [*_attention_text(found), *_waiting_text(found)]
    if found.run is not None:
        lines.append(run_text(found.run, found.placement))
    return "".join(lines)


def placed_line(found: Placed) -> str:
    """Return cores and chips in one sentence."""
    cores = len(found.placement.cores)
    if not cores:
        return f"placed: nothing runs on {found.target.name}, all of it on the host"
    seats = found.target.limits["cores"].value * found.placement.chips
    return (
        f"placed: {count_of(cores, 'core')} on {count_of(found.placement.chips, 'chip')} of "
        f"{found.target.name}, {percent(cores / seats)} of their cores"
    )


def _uses_table(found: Placed) -> str:
    columns = (("a core holds", False), ("mean", True), ("fullest", True), ("most", True),
               ("fullest, share", True), ("core", True))  # fmt: skip
    rows = [
        (
            CORE_LIMITS[key][1], f"{mean:,.0f}", f"{top:,}",
            "not published" if most is None else f"{most:,}",
            "" if most is None else percent(top / most), str(core),
        )
        for key, most, mean, top, core in _uses(found)
    ]  # fmt: skip
    return table(columns, rows)


def _attention_text(found: Placed) -> Iterator[str]:
    """Say where products of computed values are counted, if there are any."""
    bits = found.usage.counter_bits
    if not bits.any():
        return
    adds = "" if found.run is None else f", {si(int(found.run.loads.products.sum()))} additions"
    yield paragraph(
        f"attention: products of computed values are counted by programmable neurons, on the cores "
        f"that use them: {si(int(bits.sum()))}bit of counters on "
        f"{count_of(int((bits > 0).sum()), 'core')}{adds}",
        "  ",
    )


def _waiting_text(found: Placed) -> Iterator[str]:
    """Say where delays are held, if there are any."""
    bits = found.usage.delay_bits
    if bits.any():
        yield paragraph(
            f"delays: what is early waits behind synapses with a delay, on the cores that read it: "
            f"{si(int(bits.sum()))}bit on {count_of(int((bits > 0).sum()), 'core')}",
            "  ",
        )
