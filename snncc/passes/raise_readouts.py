"""Put potentials back that never fire and are summed over time: what an answer is often read from.

``v = 0.9 * v + x; total = total + v``, unrolled, is a sum of all that enters, with a share for each
time step (``time_shares``). Where these are the shares of a current that is summed over time, one
``SynapticCurrent`` and a ``Sum`` stand for all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from snncc.diagnostics.core import Diagnostic
from snncc.ir.edit import in_order
from snncc.ir.graph import Graph, Op, Shape, Weight, without_dead
from snncc.ir.ops import Add, Concat, Constant, Reshape, Scale, Sum
from snncc.ir.synaptic_current import SynapticCurrent
from snncc.passes.base import Invariant, Pass, Result, well_formed
from snncc.passes.near_reasons import called
from snncc.passes.rules_of_raising import UNSUMMED_POTENTIAL
from snncc.passes.time_shares import (
    Layer,
    Part,
    TimeShares,
    Total,
    kept_of_last,
    part_of,
    shares_of,
)

_FIRES = ("neuron", "compare", "count")
_SUMS = ("add", "scale", "mask", "sum")


@dataclass(frozen=True)
class RaiseReadouts(Pass):
    """Turn each sum over time of a potential that never fires into one of a ``SynapticCurrent``.

    What it receives is concatenated along a new first axis, time. Of what is read from such a
    potential otherwise an error says what it is.
    """

    name: ClassVar[str] = "raise-readouts"
    requires: ClassVar[tuple[Invariant, ...]] = (well_formed,)
    ensures: ClassVar[tuple[Invariant, ...]] = (well_formed,)

    def run(self, graph: Graph) -> Result:
        """Return the graph with currents behind the last neurons, and what cannot be read so."""
        if not graph.of_kind("neuron"):
            return Result(graph)
        raising = _Raising(graph)
        for op in reversed(graph.ops):
            raising.visit(op)
        if not raising.raised:
            return Result(graph, tuple(raising.found))
        ops, weights = in_order(raising.ops), {**graph.weights, **raising.weights}
        return Result(without_dead(graph.replace(ops, weights)), tuple(raising.found))


class _Raising:
    """The graph under way: ``ops`` by name, in no order."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.shares = TimeShares(graph)
        self.ops: dict[str, Op] = dict(graph.by_name)
        self.weights: dict[str, Weight] = {}
        self.found: list[Diagnostic] = []
        self.raised = False
        self._done: set[str] = set()
        self._fires = _reaching(graph)

    def visit(self, op: Any) -> None:
        """Look at a value of which nothing fires, and at none that it is made of again."""
        mixes = len(self.shares.steps(op.name)) > 1 and -1 not in self.shares.steps(op.name)
        if op.name in self._done or op.name in self._fires or not mixes:
            return
        if op.kind == "concat":
            self._read_apart(op)
        total = self.shares.total(op.name) if op.kind in _SUMS else None
        if total is not None:
            self._done |= total.between
            self._raise(op, total)

    def _raise(self, op: Op, total: Total) -> None:
        steps = self.shares.roles.steps
        parts: list[Part] = []
        for layer in total.layers:
            shares = shares_of(layer, steps)
            part = part_of(shares)
            if part is None:
                # A sum of some steps alone has no potential in it.
                if len({share for share in shares if share}) > 1:
                    self._refuse(op, total, layer, shares)
                return
            parts.append(part)
        if any(part.keeps for part in parts):
            _Writer(self, op).write(total, parts)
            self.raised = True

    def _refuse(self, op: Op, total: Total, layer: Layer, shares: list[Fraction]) -> None:
        """Tell of a sum over time whose shares are no leaking potential's, summed."""
        made = {
            *total.between,
            *(entered.name for each in total.layers for entered in each.values()),
        }
        users = {user.name: user for name in made for user in self.graph.users[name]}
        foreign = [each for each in users.values() if each.kind == "foreign"]
        keep = kept_of_last(shares)
        if keep is not None and len(foreign) > 1:
            text = _apart(called(foreign[0]))
        elif keep is not None:
            text = (
                "the last value is read of a potential that never fires and keeps"
                f" {float(keep):.6g} of itself in a time step, wanted its sum or mean over time"
            )
        else:
            said = ", ".join(f"{float(each):.6g}" for each in shares[:4])
            text = (
                "time steps enter a sum with shares that are neither equal nor those of a potential"
                f" that leaks: from the last step back {said}{', ...' * (len(shares) > 4)}"
            )
        self._tell(op, text, layer, {*total.between, *(each.name for each in foreign)})

    def _read_apart(self, op: Any) -> None:
        """Tell what reads the potentials of all time steps, if that is what these are."""
        made = [self.shares.steps(name) for name in op.inputs]
        total = self.shares.total(op.inputs[-1])
        if total is None or made != [frozenset(range(i + 1)) for i in range(len(made))]:
            return
        self._done |= total.between | set(op.inputs)
        readers = _beyond_views(self.graph, op)
        words = [called(each) for each in readers if each.kind != "output"]
        about = {*self._done, op.name, *(each.name for each in readers)}
        text = _apart(words[0] if words else "the answer")
        self._tell(readers[0] if words else op, text, total.layers[0], about)

    def _tell(self, op: Op, text: str, layer: Layer, about: set[str]) -> None:
        entered = self.graph[layer[max(layer)].name]
        source = op.source if op.source.module or op.source.file else entered.source
        because = (f"it is made of {called(entered)}",)
        hint = "answer with the sum or the mean over time of the potential"
        found = UNSUMMED_POTENTIAL.at(source, text, because=because, hint=hint, op=op.kind)
        self.found.append(found.about(about))


def _apart(reader: str) -> str:
    return (
        f"{reader} reads the potential of each time step of a layer that never fires, wanted its"
        " sum or mean over time"
    )


def _reaching(graph: Graph) -> set[str]:
    """Return what values that fire are made of."""
    found: set[str] = set()
    for op in reversed(graph.ops):
        if op.name in found or op.kind in _FIRES:
            found.update(op.inputs)
    return found


def _beyond_views(graph: Graph, op: Op) -> list[Op]:
    users = list(graph.users[op.name])
    while len(users) == 1 and users[0].kind in ("reshape", "transpose"):
        users = list(graph.users[users[0].name])
    return users or [op]


class _Writer:
    """Adds to the ops what one sum over time is."""

    def __init__(self, raising: _Raising, total: Op) -> None:
        self.graph, self.ops, self.weights = raising.graph, raising.ops, raising.weights
        self.total = total
        self.shape: Shape = self.graph.type_of(total.name).shape
        self.source = total.source

    def write(self, total: Total, parts: list[Part]) -> None:
        """Put a sum of sums over time in the place of the total."""
        steady = dict(total.stored)
        sums: list[str] = []
        for layer, part in zip(total.layers, parts, strict=True):
            share = sum((entered.share for entered in layer.values()), start=Fraction(0))
            received = self._received(layer)
            if (steady or total.offset) and not sums:
                received = self._with_steady(received, total, share)
            sums.append(self._summed(received, part))
        first, *others = sums
        for other in others[:-1]:
            first = self.add(Add, first, other)
        name = self.total.name
        made = Add(name=name, inputs=(first, others[-1]), source=self.source) if others else None
        same = Reshape(name=name, inputs=(first,), source=self.source, shape=self.shape)
        self.ops[name] = made or same

    def _received(self, layer: Layer) -> str:
        shape = (1, *self.shape)
        names = [layer[step].name for step in sorted(layer)]
        return self.add(Concat, *(self.add(Reshape, n, shape=shape) for n in names), axis=0)

    def _with_steady(self, received: str, total: Total, share: Fraction) -> str:
        """Return what is received, and a part of each number that comes to the sum."""
        for name, own in total.stored.items():
            received = self.add(Add, received, self.add(Scale, name, factor=float(own / share)))
        if total.offset:
            value = np.array(float(total.offset / share))
            self.weights[f"{self.total.name}.offset"] = value
            number = self.add(Constant, value=f"{self.total.name}.offset")
            received = self.add(Add, received, number)
        return received

    def _summed(self, received: str, part: Part) -> str:
        for keep in part.keeps:
            received = self.add(SynapticCurrent, received, keep=float(keep))
        total = self.add(Sum, received, axes=(0,))
        return total if part.gain == 1 else self.add(Scale, total, factor=float(part.gain))

    def add(self, kind: type[Op], *inputs: str, **fields: Any) -> str:
        """Add an op and return its name."""
        base = name = f"{self.total.name}.{kind.kind}"
        count = 0
        while name in self.ops:
            count += 1
            name = f"{base}_{count}"
        self.ops[name] = kind(name=name, inputs=inputs, source=self.source, **fields)
        return name
