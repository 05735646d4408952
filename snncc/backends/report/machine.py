"""What one sample makes a placed network do, for people: steps, links, events and their energy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from snncc.backends.report.table import count_of, energy, paragraph, percent, si, table
from snncc.diagnostics.render import printable
from snncc.energy.price import MJ_PER_PJ
from snncc.machine.run import MachineReport, critical_steps
from snncc.mapping.placement import Placement

_STEPS = 16
"""The most steps that are shown one by one: the longest."""

_LINKS = 5


def run_text(run: MachineReport, placement: Placement) -> str:
    """Return time, traffic and energy of a sample, in at most 100 columns."""
    lines = [_summary(run), _steps_table(run, placement)]
    lines += [_links_table(run)] if run.hops else []
    return "".join([*lines, *_energy(run)])


def _summary(run: MachineReport) -> str:
    times = run.times
    left = f"; not counted, since no constant is published: {', '.join(times.omitted)}"
    text = (
        f"one sample, in a stream of samples: {count_of(len(times.step_ns), 'step')} take "
        f"{_time(float(times.step_ns.sum()))} (estimated), cores at work for "
        f"{percent(float(np.average(times.busy, weights=times.step_ns)))} of it in the mean; "
        f"{si(run.operations)} operations, {si(run.packets)} messages between cores over "
        f"{si(run.hops)} hops, {si(int(run.ways.crossings.sum()))} of the messages to another chip"
    )
    return paragraph(text + (left if times.omitted else ""), "  ")


def _steps_table(run: MachineReport, placement: Placement) -> str:
    """Return a row for each step: how long, bound by what and where, and all terms."""
    terms = list(run.times.terms)
    columns = [("step", True), ("time", True), ("bound by", False), ("where", False)]
    columns += [(name, True) for name in terms]
    longest = sorted(critical_steps(run), key=lambda step: -step[1])[:_STEPS]
    rows = [
        (
            str(step), _time(ns), term, where,
            *(_time(float(run.times.terms[name][step])) for name in terms),
        )
        for step, ns, term, where in sorted(longest)
    ]  # fmt: skip
    more = len(run.times.step_ns) - len(rows)
    shorter = f"and {count_of(more, 'shorter step')}\n" if more else ""
    critical = dict.fromkeys(where for *_, where in longest if where.startswith("core "))
    held = (paragraph(printable(_held(where, placement)), "  ") for where in critical)
    return table(columns, rows) + shorter + "".join(held)


def _held(where: str, placement: Placement) -> str:
    """Return what a core holds, in one sentence."""
    core = placement.cores[int(where.removeprefix("core "))]
    every = list(dict.fromkeys(part.population for part in core.parts))
    more = f" and {len(every) - 4} more" if len(every) > 4 else ""
    return f"{where} holds {', '.join(every[:4])}{more}"


def _links_table(run: MachineReport) -> str:
    columns = (("busiest links", False), ("packets in its busiest step", True),
               ("packets of a sample", True))  # fmt: skip
    links = list(run.ways.by_link())
    rows = [
        (f"{way} of tile {x},{y}", f"{int(each.max()):,}", f"{int(each.sum()):,}")
        for (way, x, y), each in links[:_LINKS]
    ]
    every = f"all {len(links):,} in use"
    rows.append((every, f"{int(run.ways.busiest()[0].max()):,}", f"{run.hops:,}"))
    return table(columns, rows)


def _energy(run: MachineReport) -> Iterator[str]:
    if not run.energy_of:
        return
    other = run.energy_of != run.target
    label = f"no energy of {run.target} is published; by that of {run.energy_of}" if other else (
        f"by the constants of {run.energy_of}"
    )  # fmt: skip
    yield paragraph(f"{energy(run.total_pj * MJ_PER_PJ)} a sample, {label}", "  ")
    columns = (("event", False), ("times", True), ("energy", True), ("share", True))
    whole = run.total_pj or 1.0
    yield table(
        columns,
        [
            (name, f"{run.events[name]:,}", energy(pj * MJ_PER_PJ), percent(pj / whole))
            for name, pj in run.energy_pj.items()
        ],
    )


def _time(ns: float) -> str:
    for unit, size in (("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.4g} {unit}"
    return f"{ns:.4g} ns"
