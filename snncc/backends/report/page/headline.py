"""What a reader has to know first: verdict, accuracy, size, speed, energy, and what is assumed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from snncc.backends.report.page.network import Constant, Machine, Network
from snncc.backends.report.page.words import duration, mj, percent_of
from snncc.backends.report.table import count_of
from snncc.energy.price import MJ_PER_PJ

COUNTED, PAPER = "counted-45nm", "paper-45nm"
"""Shown in the headline: both price what every network does."""


@dataclass(frozen=True)
class Fact:
    """One figure: its name, its value, what to know of it, and whether any of it is assumed.

    ``state`` is ``good``, ``bad`` or nothing.
    """

    name: str
    value: str
    notes: tuple[str, ...] = ()
    assumed: bool = False
    state: str = ""


def headline(network: Network) -> tuple[Fact, ...]:
    """Return the figures at the top of a page."""
    return (
        _verdict(network),
        _accuracy(network),
        _size(network),
        *_speed(network),
        *_energy(network),
    )


def warnings(network: Network) -> tuple[str, ...]:
    """Return what is assumed, and what is missing, each as a sentence."""
    return tuple(_warnings(network))


def _verdict(network: Network) -> Fact:
    judged = [p for p in network.products if not p.driven]
    ends = [p for p in judged if p.role]
    wrong = len(judged) - len(ends)
    driven = len(network.products) - len(judged)
    note = f"{driven} of {len(network.products)} products read spikes"
    rest = f"{count_of(len(ends), 'layer')} of encoder and head read numbers, as the policy allows"
    notes = (note, rest) if ends else (note,)
    if not wrong:
        return Fact("Verdict", "spike-driven", notes, state="good")
    allowed = (f"{count_of(wrong, 'product')} that are not were allowed on purpose",)
    return Fact("Verdict", "not spike-driven", (*notes, *allowed), state="bad")


def _accuracy(network: Network) -> Fact:
    known = network.accuracy
    many = count_of(network.samples, "sample")
    same = f"same answer as float on {percent_of(network.same_answer)} of {many}"
    if not known:
        notes = (same,) if network.samples else ("compiled without data",)
        return Fact("Accuracy", "not measured", notes)
    shown = " → ".join(
        f"{100 * known[k]:.2f}\N{NO-BREAK SPACE}%" for k in ("float", "integer") if k in known
    )
    return Fact("Accuracy, float → integer", shown, (same, "on the data it was compiled with"))


def _size(network: Network) -> Fact:
    chip = network.chip
    if chip is None:
        return Fact("Cores", "not placed", (f"no placement on {network.target} was written",))
    if not chip.cores:
        return Fact("Cores", "none", ("all of it runs on the host",))
    value = f"{count_of(len(chip.cores), 'core')} on {count_of(chip.chips, 'chip')}"
    neurons = sum(n for core in chip.cores for _, n in core.parts)
    return Fact("Size", value, (f"of {network.target}", f"{neurons:,} neurons on the chip"))


def _speed(network: Network) -> Iterator[Fact]:
    timing = network.timing
    steps = f"{timing.latency} clock steps, a new sample every {timing.interval}"
    machine = network.chip.machine if network.chip else None
    if machine is None or not machine.time_ns:
        yield Fact("Latency", f"{timing.latency} steps", (f"a new sample every {timing.interval}",))
        return
    guessed = _assumed(machine.speeds)
    rests = f"estimated; constants: {evidence_of(machine.speeds)}"
    latency = machine.time_ns * timing.latency / timing.interval
    yield Fact("Latency", duration(latency), (steps, rests), assumed=bool(guessed))
    rate = 1e9 / machine.time_ns
    shown = f"{rate:,.0f} samples/s" if rate >= 10 else f"{rate:.2g} samples/s"
    worst = max(machine.steps, key=lambda step: step.time_ns)
    where = f" of {worst.where}" if worst.where else ""
    bound = f"longest step {duration(worst.time_ns)}, bound by {worst.binding}{where}"
    yield Fact("Throughput", shown, (bound, "host not counted"), assumed=bool(guessed))


def _energy(network: Network) -> Iterator[Fact]:
    machine = network.chip.machine if network.chip else None
    if machine and machine.energy_of:
        other = machine.energy_of != network.target
        notes = [f"events x constants of {machine.energy_of}: {evidence_of(machine.prices)}"]
        notes += [f"no energy of {network.target} is published"] if other else []
        guessed = bool(_assumed(machine.prices))
        cost = mj(machine.total_pj * MJ_PER_PJ)
        yield Fact("Energy per inference, chip", cost, tuple(notes), assumed=guessed)
    for name in (COUNTED, PAPER):
        energy = network.energy(name)
        if energy is None:
            continue
        notes = [f"{name}, {energy.precision}, {energy.operations}: {', '.join(energy.evidence)}"]
        notes += [
            f"{mj(value)} in {key}" for key, value in energy.totals_mj.items()
            if key != energy.precision
        ]  # fmt: skip
        guessed = bool(energy.assumptions)
        yield Fact("Energy per inference", mj(energy.total_mj), tuple(notes), assumed=guessed)


def evidence_of(constants: Iterable[Constant]) -> str:
    """Return the classes of evidence of some constants: ``analytic, vendor, 1 assumed``."""
    known = list(constants)
    classes = dict.fromkeys(c.evidence for c in known if c.evidence and not c.assumed)
    guessed = sum(c.assumed for c in known)
    return ", ".join([*classes, *([f"{guessed} assumed"] if guessed else [])]) or "none given"


def _assumed(constants: Iterable[Constant]) -> list[Constant]:
    return [c for c in constants if c.assumed]


def _warnings(network: Network) -> Iterator[str]:
    if not network.calibrated:
        yield "The input is assumed: it was compiled without data, on noise between 0 and 1."
    if not network.samples:
        yield "No data, so nothing was counted: compile with --data for rates, energy and times."
    elif not network.profiled:
        yield "This artefact has no profile: compile it again to see rates, spikes and loads."
    machine = network.chip.machine if network.chip else None
    if machine:
        yield from _of_machine(network, machine)
    for what in network.assumed_features:
        yield f"Assumed of {network.target}: {what}."


def _of_machine(network: Network, machine: Machine) -> Iterator[str]:
    for about, constants in (
        ("The floor plan", _assumed(machine.mesh.values())),
        ("Limits", _assumed(machine.limits.values())),
        ("Times", _assumed(machine.speeds)),
        ("Energies", _assumed(machine.prices)),
    ):
        if constants:
            keys = ", ".join(
                f"{c.key.replace('_', ' ')} = {c.value}{f' {c.unit}' if c.unit else ''}"
                for c in constants
            )
            yield f"{about}: assumed {keys} (see the constants below)."
    if network.chip and network.chip.chips > 1:
        yield "How chips are wired is published for none: they are assumed to stand in a grid."
    if machine.omitted:
        yield f"No constant is published for {', '.join(machine.omitted)}: not in the times."
    if machine.energy_of and machine.energy_of != network.target:
        yield (
            f"No energy of {network.target} is published: energies on the chip are those of "
            f"{machine.energy_of}."
        )
