"""Put neurons back that were written out: leak, add, compare and reset, unrolled over time.

The comparisons of a graph are followed from each potential to the next (``recurrence``), what leads
from one to the next is held against the equation of a neuron (``neuron_equation``), and both sides
are run on exact numbers (``neuron_proof``). What is nearly a neuron stays as it is, and is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from snncc.diagnostics.core import Diagnostic
from snncc.ir.domain import Grid
from snncc.ir.edit import in_order
from snncc.ir.graph import Graph, Op, Weight, without_dead
from snncc.ir.ops import Foreign
from snncc.passes.answers import Answer, Firing
from snncc.passes.base import Invariant, Pass, Result, no_comparisons, well_formed
from snncc.passes.equation import Equation
from snncc.passes.first_step import neuron_of
from snncc.passes.near_miss import NearMissError
from snncc.passes.near_misses import Missed, told, unfired
from snncc.passes.near_patterns import Patterns
from snncc.passes.neuron_equation import single_step
from snncc.passes.neuron_proof import prove
from snncc.passes.neuron_writer import NeuronWriter, write_comparison_of_two, write_count
from snncc.passes.recurrence import FIRES, Chain, chains, linked
from snncc.passes.shared_beginnings import begun_apart


@dataclass(frozen=True)
class RaiseNeurons(Pass):
    """Turn each proved recurrence of comparisons over time into one neuron op.

    Its currents are concatenated along a new first axis, time. A comparison that belongs to no
    neuron becomes foreign, with an error that says what is in the way.
    """

    name: ClassVar[str] = "raise-neurons"
    requires: ClassVar[tuple[Invariant, ...]] = (well_formed,)
    ensures: ClassVar[tuple[Invariant, ...]] = (well_formed, no_comparisons)

    def run(self, graph: Graph) -> Result:
        """Return the graph with neurons, and what nearly was one."""
        found: list[Diagnostic] = []
        before: Patterns | None = None
        while graph.of_kind(*FIRES):
            raising = _Raising(graph)
            patterns = Patterns(raising.graph, raising.arithmetic)
            before = before or patterns
            missed = list(raising.run())
            if not raising.raised and not raising.settle():
                found = told(patterns, missed, before)
                raising.give_up()
            ops, weights = in_order(raising.ops), {**raising.graph.weights, **raising.weights}
            graph = without_dead(raising.graph.replace(ops, weights))
        return Result(graph, (*found, *unfired(graph, found)))


class _Raising:
    """The graph under way: ``ops`` by name, in no order; ``raised`` counts the new neurons.

    A comparison of a spike may be the first step of a neuron that reads it. It is looked at again
    once the spike is known to be one.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph, self.arithmetic = begun_apart(graph)
        self.ops: dict[str, Op] = dict(self.graph.by_name)
        self.weights: dict[str, Weight] = {}
        self.raised = 0

    def run(self) -> Iterator[Missed]:
        """Raise every chain that is a neuron; yield the others with what keeps them from it."""
        found = chains(self.arithmetic)
        timeless = self._is_timeless(found)
        for chain in found:
            try:
                self._raise(chain, timeless=timeless)
            except NearMissError as miss:
                yield Missed(chain, miss)
            else:
                self.raised += 1

    def settle(self) -> bool:
        """Turn what compares one of two numbers into that spike or its inverse, if any does."""
        settled = False
        for op in self.graph.of_kind("compare"):
            domain = self.graph.type_of(op.inputs[0]).domain
            if isinstance(domain, Grid) and domain.hi - domain.lo == 1:
                write_comparison_of_two(self.ops, self.weights, op, domain)
                settled = True
        return settled

    def give_up(self) -> None:
        """Make what is left foreign; nothing else is known of it."""
        for op in self.graph.of_kind(*FIRES):
            type_ = self.graph.type_of(op.name)
            self.ops[op.name] = Foreign(
                name=op.name, inputs=op.inputs, source=op.source, target=op.kind,
                shape=type_.shape,
            )  # fmt: skip

    def _is_timeless(self, found: list[Chain]) -> bool:
        """Whether the network has one time step: no line of it compares twice."""
        neurons = self.graph.of_kind("neuron")
        timed = any(self.graph.type_of(op.name).shape[0] > 1 for op in neurons)
        places = list(self.arithmetic.places.values())
        single = all(len(chain.firings) == 1 for chain in found)
        return single and not timed and len(set(places)) == len(places)

    def _raise(self, chain: Chain, *, timeless: bool) -> None:
        if len(chain.firings) == 1 and self._counts(chain.firings[0]):
            self._raise_counts(chain)
            return
        if len(chain.firings) == 1:
            if not timeless:
                raise NearMissError("", chain.firings[0].potential)
            neuron = single_step(chain)
        else:
            neuron = neuron_of(self.arithmetic, chain)
            prove(self.arithmetic, chain, neuron)
        self._hold_settled(chain)
        answers = self._answers(chain)
        self._hold_shapes(chain, answers)
        self._hold_apart(neuron, answers)
        self._hold_private(chain)
        NeuronWriter(self.graph, self.ops, self.weights, chain, neuron).write(answers)

    def _counts(self, firing: Firing) -> list[Op]:
        """Return the ops that count spikes of a potential, none where it is compared alone."""
        first_hand = self.arithmetic.comparisons.keys() - self.arithmetic.second_hand
        names = (n for n in self.arithmetic.made_of_spike[firing] if n in first_hand)
        ops = [self.graph[name] for name in names]
        return ops if any(op.kind == "count" for op in ops) else []

    def _raise_counts(self, chain: Chain) -> None:
        """Write counts of a potential that nothing goes on from: neurons without memory."""
        (firing,) = chain.firings
        if firing in linked(self.arithmetic):
            message = "its potential goes on from, or into, another in a way that no neuron's does"
            raise NearMissError(message, firing.potential)
        self._hold_settled(chain)
        for op in self._counts(firing):
            write_count(self.ops, op)

    def _answers(self, chain: Chain) -> dict[str, Answer]:
        """Return the comparisons of a chain's potentials, and what else is its spike."""
        arithmetic = self.arithmetic
        found = {name: arithmetic.answers[name] for name in self._spikes(chain)}
        return {
            name: answer
            for name, answer in found.items()
            if name not in arithmetic.second_hand
            and (name in arithmetic.comparisons or answer.is_spike)
        }

    def _spikes(self, chain: Chain) -> list[str]:
        """Return all that is made of one spike of a chain alone."""
        return [name for f in chain.firings for name in self.arithmetic.made_of_spike[f]]

    def _hold_settled(self, chain: Chain) -> None:
        """Hold that no potential is made of another layer's spikes that are compared again."""
        answers, second_hand = self.arithmetic.answers, self.arithmetic.second_hand
        for firing in chain.firings:
            for name in self.arithmetic.made_of(firing.potential):
                if name in second_hand and answers[name].firing not in chain.firings:
                    message = f"its potential is made of `{name}`, which compares spikes"
                    raise NearMissError(message, firing.potential)

    def _hold_shapes(self, chain: Chain, answers: Iterable[str]) -> None:
        shape = self.graph.type_of(chain.firings[0].potential).shape
        for name in (*(f.potential for f in chain.firings), *answers):
            if (other := self.graph.type_of(name).shape) != shape:
                raise NearMissError(f"potentials have shapes {shape} and {other}", name)

    def _hold_apart(self, neuron: Equation, answers: Iterable[str]) -> None:
        """Hold that all currents are known before the first spike is."""
        steps = [[name for name, _ in currents] for currents in neuron.currents]
        every = [name for names in steps for name in names]
        if _read_by(self.ops, every, ()).isdisjoint(answers):
            return
        for step, names in enumerate(steps):
            if not _read_by(self.ops, names, ()).isdisjoint(answers):
                message = f"the current of step {step} is made of the layer's own spikes"
                raise NearMissError(message, names[0])

    def _hold_private(self, chain: Chain) -> None:
        """Hold that potentials are read by the next step alone."""
        ends = [op.name for op in self.ops.values() if op.kind == "output"]
        read = _read_by(self.ops, ends, self._spikes(chain))
        for step, firing in reversed(list(enumerate(chain.firings[1:], start=1))):
            if firing.potential in read:
                message = f"the potential of step {step} is read by more than the next step"
                raise NearMissError(message, firing.potential)


def _read_by(ops: dict[str, Op], names: Iterable[str], without: Iterable[str]) -> set[str]:
    """Return all values that some values are made of, not looking behind those in ``without``."""
    seen: set[str] = set()
    closed = set(without)
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += () if name in closed else ops[name].inputs
    return seen
