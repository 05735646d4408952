"""Put synaptic currents back that were written out: a leak and an input, unrolled over time.

The currents that a neuron reads, one a time step, are held against each other (``linear_steps``).
Where each is a share of the one before and an input, one op stands for all of them.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from snncc.diagnostics.core import Diagnostic
from snncc.ir.edit import in_order
from snncc.ir.graph import Graph, Op, Shape, Weight, without_dead
from snncc.ir.ops import Add, Concat, Constant, Expand, Reshape, Scale
from snncc.ir.synaptic_current import SynapticCurrent
from snncc.passes.base import Invariant, Pass, Result, well_formed
from snncc.passes.linear_steps import LinearSteps, Received
from snncc.passes.neuron_equation import NearMissError
from snncc.passes.polynomial import TooLargeError
from snncc.passes.rules_of_raising import UNRAISED_CURRENT

_DEEPEST = 4
"""Sums in a row behind which a current may stand; a neuron adds a few."""


@dataclass(frozen=True)
class RaiseCurrents(Pass):
    """Turn each leaking current in front of a neuron into one ``SynapticCurrent``.

    What it receives is concatenated along a new first axis, time. A current that is nearly one
    stays arithmetic, with an error that says what is in the way.
    """

    name: ClassVar[str] = "raise-currents"
    requires: ClassVar[tuple[Invariant, ...]] = (well_formed,)
    ensures: ClassVar[tuple[Invariant, ...]] = (well_formed,)

    def run(self, graph: Graph) -> Result:
        """Return the graph with currents, and what nearly was one."""
        raising = _Raising(graph)
        for op in graph.of_kind("neuron"):
            raising.visit(op)
        if not raising.raised:
            return Result(graph, tuple(raising.found))
        ops, weights = in_order(raising.ops), {**graph.weights, **raising.weights}
        return Result(without_dead(graph.replace(ops, weights)), tuple(raising.found))


class _Raising:
    """The graph under way: ``ops`` by name, in no order."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.steps = LinearSteps(graph)
        self.ops: dict[str, Op] = dict(graph.by_name)
        self.weights: dict[str, Weight] = {}
        self.found: list[Diagnostic] = []
        self.raised = False

    def visit(self, neuron: Op) -> None:
        """Let a neuron read a current where its steps are one."""
        stack, above = self._stack(neuron)
        writer = _Writer(self, neuron, stack)
        scales = list(itertools.takewhile(lambda op: op.kind == "scale", above))
        try:
            current = writer.stacked(stack.inputs, scales) if _is_stack(stack) else ""
        except NearMissError as miss:
            self.found.append(self._told(neuron, miss))
            return
        except TooLargeError:
            return
        if current:
            for op in above[len(scales) :]:
                current = writer.again(op, current)
            self.ops[neuron.name] = dataclasses.replace(neuron, inputs=(current,))
            self.raised = True

    def _stack(self, neuron: Op) -> tuple[Any, list[Op]]:
        """Return where steps are joined, and what stands above: factors, and sums with a number."""
        value, above = self.graph[neuron.inputs[0]], list[Op]()
        while value.kind in ("scale", "add"):
            inner = [each for each in value.inputs if not self.steps.is_number(each)]
            if len(inner) != 1:
                break
            above.insert(0, value)
            value = self.graph[inner[0]]
        return value, above

    def _told(self, neuron: Op, miss: NearMissError) -> Diagnostic:
        source = self.graph[miss.at].source
        source = source if source.module else neuron.source
        text = f"what `{neuron.name}` reads is no synaptic current: {miss.message}"
        return UNRAISED_CURRENT.at(source, text, op="synaptic_current")


def _is_stack(op: Any) -> bool:
    return bool(op.kind == "concat" and op.axis == 0 and len(op.inputs) > 1)


class _Writer:
    """Adds to the ops what is in front of one neuron; ``shape`` is that of one time step."""

    def __init__(self, raising: _Raising, neuron: Op, stack: Op) -> None:
        self.graph, self.steps = raising.graph, raising.steps
        self.ops, self.weights = raising.ops, raising.weights
        self.name, self.source = neuron.name, neuron.source
        self.shape: Shape = self.graph.type_of(stack.name).shape[1:]

    def stacked(self, steps: Sequence[str], scales: list[Op], deep: int = 0) -> str:
        """Return what steps are over time, times scales; nothing where no current is in them."""
        leak = self.steps.leak(steps)
        if leak is not None:
            received = self._joined(leak.received, scales)
            return self.add(SynapticCurrent, received, keep=float(leak.keep))
        ops: list[Any] = [self.graph[self.steps.same(each)] for each in steps]
        kinds = {(op.kind, getattr(op, "factor", None)) for op in ops}
        if len(kinds) > 1 or ops[0].kind not in ("add", "scale") or deep == _DEEPEST:
            return ""
        if ops[0].kind == "scale":
            return self.stacked([op.inputs[0] for op in ops], [ops[0], *scales], deep + 1)
        parts = [[op.inputs[i] for op in ops] for i in (0, 1)]
        made = [self.stacked(part, scales, deep + 1) for part in parts]
        if not any(made):
            return ""
        return self.add(
            Add, *(x or self._joined(part, scales) for x, part in zip(made, parts, strict=True))
        )

    def again(self, op: Op, value: str) -> str:
        """Return a factor of another value, or its sum with a number."""
        inputs = [each if self.steps.is_number(each) else value for each in op.inputs]
        return self.add(type(op), *inputs, **op.attributes())

    def add(self, kind: type[Op], *inputs: str, **fields: Any) -> str:
        """Add an op and return its name."""
        base = name = f"{self.name}.{kind.kind}"
        count = 0
        while name in self.ops:
            count += 1
            name = f"{base}_{count}"
        self.ops[name] = kind(name=name, inputs=inputs, source=self.source, **fields)
        return name

    def _joined(self, steps: Sequence[str | Received], scales: list[Op]) -> str:
        """Return values of one step each over time, times scales."""
        x = self.add(Concat, *(self._in_time(each) for each in steps), axis=0)
        for op in scales:
            x = self.again(op, x)
        return x

    def _in_time(self, step: str | Received) -> str:
        """Return a value of one step with an axis for time in front."""
        names = [step] if isinstance(step, str) else list(step.terms)
        value = step if isinstance(step, str) else self._sum(step)
        shape = np.broadcast_shapes(*(self.graph.type_of(each).shape for each in names))
        if math.prod(shape) != math.prod(self.shape):
            value = self.add(Expand, value, shape=self.shape)
        return self.add(Reshape, value, shape=(1, *self.shape))

    def _sum(self, received: Received) -> str:
        """Return what a time step receives."""
        total = ""
        for name, factor in received.terms.items():
            part = name if factor == 1 else self.add(Scale, name, factor=float(factor))
            total = self.add(Add, total, part) if total else part
        if received.offset:
            stored = f"{self.name}.{float(received.offset):.17g}"
            self.weights[stored] = np.array(float(received.offset))
            total = self.add(Add, total, self.add(Constant, value=stored))
        return total
