"""Gather the calls of a layer of neurons, one a time step, into one neuron op over time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from snncc.diagnostics.core import Diagnostic, SnnccError
from snncc.ir.edit import in_order
from snncc.ir.graph import Graph, Op
from snncc.ir.neuron_call import POTENTIAL
from snncc.ir.ops import Concat, Neuron, Reshape, Slice
from snncc.passes.base import BROKEN_PROMISE, Invariant, Pass, Result, well_formed
from snncc.passes.rules_of_calls import CALLS_NOT_IN_STEP, POTENTIAL_READ


def no_calls(graph: Graph) -> Iterator[Diagnostic]:
    """Every layer of neurons is one op."""
    for op in graph.of_kind("neuron_call"):
        yield BROKEN_PROMISE.at(op.source, f"`{op.name}` is one time step of a neuron")


@dataclass(frozen=True)
class GatherCalls(Pass):
    """Turn calls that go on from each other into one ``Neuron``, its currents stacked along time.

    Each call becomes the place of its step in the neuron's spikes. Raises ``SnnccError`` where a
    potential is read, or where the calls are not those of a feed-forward layer.
    """

    name: ClassVar[str] = "gather-calls"
    requires: ClassVar[tuple[Invariant, ...]] = (well_formed,)
    ensures: ClassVar[tuple[Invariant, ...]] = (well_formed, no_calls)

    def run(self, graph: Graph) -> Result:
        """Return the graph with one op a layer."""
        if not graph.of_kind("neuron_call"):
            return Result(graph)
        _refuse([*_potentials_read(graph), *_branches(graph)])
        gathering = _Gathering(graph)
        for chain in _chains(graph):
            gathering.gather(chain)
        _refuse(list(_loops(gathering.ops)))
        return Result(graph.replace(in_order(gathering.ops)))


def _refuse(faults: list[Diagnostic]) -> None:
    if faults:
        raise SnnccError(*faults)


def _called(op: Op) -> str:
    return f"`{op.source.module or op.name}`"


def _potentials_read(graph: Graph) -> Iterator[Diagnostic]:
    told: set[str] = set()
    for op in graph.of_kind("foreign"):
        if getattr(op, "target", "") == POTENTIAL and op.source.module not in told:
            told.add(op.source.module)
            hint = "let the answer be made of spikes"
            text = f"the potential of {_called(op)} is read"
            yield POTENTIAL_READ.at(op.source, text, hint=hint, op="neuron")


def _branches(graph: Graph) -> Iterator[Diagnostic]:
    after: dict[str, Op] = {}
    for op in graph.of_kind("neuron_call"):
        for before in op.inputs[1:]:
            if before in after:
                text = f"{_called(op)} goes on twice from the state of one time step"
                yield CALLS_NOT_IN_STEP.at(op.source, text, op="neuron")
            after[before] = op


def _chains(graph: Graph) -> list[list[Op]]:
    """Return the calls of each layer in the order of time."""
    chains: list[list[Op]] = []
    chain_of: dict[str, list[Op]] = {}
    for op in graph.of_kind("neuron_call"):
        chain = chain_of[op.inputs[1]] if len(op.inputs) > 1 else []
        if not chain:
            chains.append(chain)
        chain.append(op)
        chain_of[op.name] = chain
    return chains


class _Gathering:
    """The graph under way: ``ops`` by name, in no order."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.ops: dict[str, Op] = dict(graph.by_name)

    def gather(self, chain: list[Op]) -> None:
        """Replace the calls of a layer."""
        first = chain[0]
        shape = self.graph.type_of(first.inputs[0]).shape
        steps = [
            self._add(Reshape, f"{call.name}.current", call.inputs[0], like=call, shape=(1, *shape))
            for call in chain
        ]
        current = self._add(Concat, f"{first.name}.currents", *steps, like=first, axis=0)
        layer = self._add(Neuron, first.source.module, current, like=first, **first.attributes())
        for t, call in enumerate(chain):
            place = {"axis": 0, "start": t, "stop": t + 1}
            cut = self._add(Slice, f"{call.name}.step", layer, like=call, **place)
            self.ops[call.name] = Reshape(
                name=call.name, inputs=(cut,), source=call.source, shape=shape
            )

    def _add(self, kind: type[Op], wanted: str, *inputs: str, like: Op, **fields: object) -> str:
        name, count = wanted or "neuron", 1
        while name in self.ops:
            count += 1
            name = f"{wanted}.{count}"
        self.ops[name] = kind(name=name, inputs=inputs, source=like.source, **fields)
        return name


def _loops(ops: Mapping[str, Op]) -> Iterator[Diagnostic]:
    """Yield a finding for each neuron whose current is made of its own spikes."""
    for op in ops.values():
        if op.kind == "neuron" and _reads_itself(ops, op.name):
            text = f"the current of {_called(op)} is made of spikes of an earlier time step"
            yield CALLS_NOT_IN_STEP.at(op.source, text, op="neuron")


def _reads_itself(ops: Mapping[str, Op], name: str) -> bool:
    seen: set[str] = set()
    waiting = list(ops[name].inputs)
    while waiting:
        each = waiting.pop()
        if each == name:
            return True
        if each not in seen:
            seen.add(each)
            waiting += ops[each].inputs
    return False
