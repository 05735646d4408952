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
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from snncc.diagnostics.core import Diagnostic
from snncc.ir.edit import in_order
from snncc.ir.graph import Graph, Op, Shape, Weight, without_dead
from snncc.ir.ops import Add, Concat, Constant, Expand, Reshape, Scale
from snncc.ir.synaptic_current import SynapticCurrent
from snncc.passes.answers import Affine
from snncc.passes.base import Invariant, Pass, Result, well_formed
from snncc.passes.linear_steps import LinearSteps, Received, Steps
from snncc.passes.near_miss import NearMissError
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
        if stack.kind != "concat" or stack.axis != 0 or len(stack.inputs) < 2:
            return
        first, *later = stack.inputs
        writer = _Writer(self, neuron, stack)
        scales = list(itertools.takewhile(lambda op: op.kind == "scale", above))
        factor = math.prod((Fraction(op.factor) for op in scales), start=Fraction(1))
        try:
            steps = Steps(self.steps.affine(first), tuple(later))
            current = writer.stacked(steps, factor)
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

    def _stack(self, neuron: Op) -> tuple[Any, list[Any]]:
        """Return where steps are joined, and what stands above: factors, and sums with a number."""
        value, above = self.graph[neuron.inputs[0]], list[Any]()
        while value.kind in ("scale", "add"):
            inner = [each for each in value.inputs if self.steps.number(each) is None]
            if len(inner) != 1:
                break
            above.insert(0, value)
            value = self.graph[inner[0]]
        return value, above

    def _told(self, neuron: Op, miss: NearMissError) -> Diagnostic:
        source = self.graph[miss.at].source
        source = source if source.module else neuron.source
        text = f"what `{neuron.name}` reads is no synaptic current: {miss.said(self._called)}"
        return UNRAISED_CURRENT.at(source, text, op="synaptic_current")

    def _called(self, name: str) -> str:
        """Return a factor in words: a number for each channel is stored, and no layer of anyone."""
        stored = self.graph[name].kind in ("constant", "batch_norm")
        return "a stored tensor" if stored else f"`{name}`"


class _Writer:
    """Adds to the ops what is in front of one neuron; ``shape`` is that of one time step."""

    def __init__(self, raising: _Raising, neuron: Op, stack: Op) -> None:
        self.graph, self.steps = raising.graph, raising.steps
        self.ops, self.weights = raising.ops, raising.weights
        self.name, self.source = neuron.name, neuron.source
        self.shape: Shape = self.graph.type_of(stack.name).shape[1:]

    def stacked(self, steps: Steps, factor: Fraction, deep: int = 0) -> str:
        """Return what steps are over time, times a factor; nothing where no current is in them."""
        missed = None
        # Two steps alone do not tell what is behind a current from what enters it.
        ways = [self._peeled, self._leak, self._of_sums]
        for way in ways if len(steps.later) == 1 else [ways[1], ways[0], ways[2]]:
            try:
                if found := way(steps, factor, deep + 1):
                    return found
            except NearMissError as miss:
                missed = missed or miss
        if missed:
            raise missed
        return ""

    def _leak(self, steps: Steps, factor: Fraction, _: int) -> str:
        """Return the current that the steps are."""
        leak = self.steps.leak(steps)
        if leak is None:
            return ""
        received = self._joined(leak.received, factor)
        return self.add(SynapticCurrent, received, keep=float(leak.keep))

    def _peeled(self, steps: Steps, factor: Fraction, deep: int) -> str:
        """Return what steps are where a factor or a number stands behind the current."""
        start, ops = steps.first, self._ops(steps)
        forms = {self._outside(op) for op in ops}
        if len(forms) != 1 or deep > _DEEPEST:
            return ""
        ((kind, number),) = forms
        inner = tuple(each for op in ops for each in op.inputs if self.steps.number(each) is None)
        if kind == "scale":
            first = Affine(start.name, start.factor / number, start.offset / number)
            return self.stacked(Steps(first, inner), factor * number, deep)
        if kind == "number":
            first = Affine(start.name, start.factor, start.offset - number)
            total = self.stacked(Steps(first, inner), factor, deep)
            return total and self.add(Add, total, self._constant(number * factor))
        return ""

    def _of_sums(self, steps: Steps, factor: Fraction, deep: int) -> str:
        """Return what sums of two values are over time, a current in one of them."""
        start, ops = steps.first, self._ops(steps)
        if deep > _DEEPEST or any(self._outside(op)[0] != "sum" for op in ops):
            return ""
        op = self.graph[start.name]
        if op.kind != "add" or start.factor != 1 or start.offset:
            return ""
        firsts = [self.steps.affine(each) for each in op.inputs]
        later = zip(*(each.inputs for each in ops), strict=True)
        parts = [Steps(a, b) for a, b in zip(firsts, later, strict=True)]
        made = [self.stacked(part, factor, deep) for part in parts]
        both = zip(made, parts, strict=True)
        return self.add(Add, *(x or self._plain(p, factor) for x, p in both)) if any(made) else ""

    def _ops(self, steps: Steps) -> list[Op]:
        return [self.graph[self.steps.same(each)] for each in steps.later]

    def _outside(self, op: Any) -> tuple[str, Fraction]:
        """Return what a step does last; only a factor and sums leave a current behind them one."""
        if op.kind == "scale" and op.factor:
            return "scale", Fraction(op.factor)
        if op.kind != "add":
            return "", Fraction(0)
        numbers = [n for each in op.inputs if (n := self.steps.number(each)) is not None]
        return ("number", numbers[0]) if numbers else ("sum", Fraction(0))

    def again(self, op: Op, value: str) -> str:
        """Return a factor of another value, or its sum with a number."""
        inputs = [value if self.steps.number(each) is None else each for each in op.inputs]
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

    def _plain(self, steps: Steps, factor: Fraction) -> str:
        """Return values that are no current over time, times a factor."""
        first, none = steps.first, Fraction(0)
        later = [Received({name: Fraction(1)}, none) for name in steps.later]
        received = [Received({first.name: first.factor}, first.offset), *later]
        return self._joined(received, factor)

    def _joined(self, steps: Sequence[Received], factor: Fraction) -> str:
        return self.add(Concat, *(self._in_time(each, factor) for each in steps), axis=0)

    def _in_time(self, step: Received, factor: Fraction) -> str:
        """Return a value of one step with an axis for time in front."""
        value = ""
        for name, own in step.terms.items():
            share = float(own * factor)
            part = name if share == 1 else self.add(Scale, name, factor=share)
            value = self.add(Add, value, part) if value else part
        if step.offset:
            value = self.add(Add, value, self._constant(step.offset * factor))
        shape = np.broadcast_shapes(*(self.graph.type_of(each).shape for each in step.terms))
        if math.prod(shape) != math.prod(self.shape):
            value = self.add(Expand, value, shape=self.shape)
        return self.add(Reshape, value, shape=(1, *self.shape))

    def _constant(self, value: Fraction) -> str:
        name = self.add(Constant, value=f"{self.name}.{float(value):.17g}")
        self.weights[f"{self.name}.{float(value):.17g}"] = np.array(float(value))
        return name
