"""Writes one neuron op in the place of the arithmetic that it was found to be."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from snncc.ir.domain import Grid
from snncc.ir.graph import Graph, Op, Shape, Source, Weight
from snncc.ir.ops import Add, Concat, Constant, Expand, Neuron, Reshape, Scale, Slice
from snncc.passes.answers import Answer
from snncc.passes.equation import Currents, Equation
from snncc.passes.recurrence import Chain
from snncc.passes.rounding import is_same


class NeuronWriter:
    """Adds to ``ops`` and ``weights``; what its spikes were keeps its name and becomes a view."""

    def __init__(
        self,
        graph: Graph,
        ops: dict[str, Op],
        weights: dict[str, Weight],
        chain: Chain,
        neuron: Equation,
    ) -> None:
        self.ops, self.weights, self.neuron = ops, weights, neuron
        self.steps = {firing: step for step, firing in enumerate(chain.firings)}
        potential = chain.firings[-1].potential
        self.graph = graph
        self.shape: Shape = graph.type_of(potential).shape
        self.source: Source = graph[potential].source
        self.name = self._fresh(self.source.module or "neuron")

    def write(self, answers: Mapping[str, Answer]) -> None:
        """Write the neuron, and each answer as what the neuron gives in its step."""
        spikes = self._add(Neuron, self._current(), name=self.name, **self._fields())
        cut: dict[int, str] = {}
        for name, answer in answers.items():
            step = self.steps[answer.firing]
            if step not in cut:
                cut[step] = self._add(Slice, spikes, axis=0, start=step, stop=step + 1)
            if answer.is_spike:
                self._add(Reshape, cut[step], name=name, shape=self.shape)
            else:
                spike = self._add(Reshape, cut[step], shape=self.shape)
                turned = self._add(Scale, spike, factor=float(answer.factor))
                self._add(Add, turned, self._constant(answer.offset), name=name)

    def _fields(self) -> dict[str, Any]:
        neuron = self.neuron
        return {
            "tau": None if neuron.keep == 1 else float(1 / (1 - neuron.keep)),
            "decay_input": self._decays_input(),
            "v_threshold": float(neuron.threshold),
            "v_reset": None if neuron.reset is None else float(neuron.reset),
            "strict": neuron.strict,
            "v_subtract": self._subtracted(),
            "levels": neuron.levels,
            "rounding": neuron.rounding,
        }

    def _subtracted(self) -> float | None:
        """Return what a soft reset takes off, None where it is the threshold."""
        neuron = self.neuron
        usual = neuron.reset is not None or is_same(neuron.taken, neuron.threshold)
        return None if usual else float(neuron.taken)

    def _decays_input(self) -> bool:
        return self.neuron.keep != 1 and is_same(self.neuron.gain, 1 - self.neuron.keep)

    def _current(self) -> str:
        """Return the currents of all steps, time first, as the neuron reads them."""
        steps = [self._step(currents) for currents in self.neuron.currents]
        x = self._add(Concat, *steps, axis=0)
        inside = 1 - self.neuron.keep if self._decays_input() else Fraction(1)
        if not is_same(self.neuron.gain, inside):
            x = self._add(Scale, x, factor=float(self.neuron.gain / inside))
        if self.neuron.bias:
            x = self._add(Add, x, self._constant(self.neuron.bias / inside))
        return x

    def _step(self, currents: Currents) -> str:
        """Return the current of one step, with an axis for time in front."""
        total = ""
        for name, factor in currents:
            part = name if factor == 1 else self._add(Scale, name, factor=float(factor))
            total = self._add(Add, total, part) if total else part
        shapes = [self.graph.type_of(name).shape for name, _ in currents]
        if np.broadcast_shapes(*shapes) != self.shape:
            total = self._add(Expand, total, shape=self.shape)
        return self._add(Reshape, total, shape=(1, *self.shape))

    def _constant(self, value: Fraction) -> str:
        """Return a number; an integer is stored as one, so that its domain is known."""
        kind = np.int16 if value.denominator == 1 and abs(value) < 2**15 else np.float64
        name = self._fresh(f"{self.name}.constant")
        self.weights[f"{name}.value"] = np.array(float(value), kind)
        return self._add(Constant, name=name, value=f"{name}.value")

    def _add(self, kind: type[Op], *inputs: str, name: str = "", **fields: Any) -> str:
        name = name or self._fresh(f"{self.name}.{kind.kind}")
        self.ops[name] = kind(name=name, inputs=inputs, source=self.source, **fields)
        return name

    def _fresh(self, base: str) -> str:
        name, count = base, 0
        while name in self.ops:
            count += 1
            name = f"{base}_{count}"
        return name


def write_count(ops: dict[str, Op], op: Any) -> None:
    """Write a comparison or a count of spikes as a neuron that keeps nothing."""
    name, count = op.source.module or f"{op.name}.neuron", 0
    while name in ops:
        count += 1
        name = f"{op.source.module or op.name}_{count}"
    threshold, strict = (1.0, False) if op.levels > 1 else (0.5, op.rounding == "half_even")
    ops[name] = Neuron(
        name=name, inputs=op.inputs, source=op.source, tau=1.0, decay_input=False,
        v_threshold=threshold, v_reset=None, strict=strict, levels=op.levels,
        rounding=op.rounding,
    )  # fmt: skip
    ops[op.name] = Scale(name=op.name, inputs=(name,), source=op.source, factor=1.0)


def write_comparison_of_two(
    ops: dict[str, Op], weights: dict[str, Weight], op: Any, domain: Grid
) -> None:
    """Write what comparing a value of two numbers answers: ``offset + factor x``."""

    def answer(value: Fraction) -> int:
        return int(value > op.threshold or (value == op.threshold and not op.strict))

    low = answer(domain.minimum)
    factor = (answer(domain.maximum) - low) / domain.step
    offset = low - factor * domain.minimum
    scale = Scale(name=op.name, inputs=op.inputs, source=op.source, factor=float(factor))
    if not offset:
        ops[op.name] = scale
        return
    turned, number = f"{op.name}.turned", f"{op.name}.offset"
    weights[f"{number}.value"] = np.array(int(offset), np.int16)
    ops[turned] = dataclasses.replace(scale, name=turned)
    ops[number] = Constant(name=number, source=op.source, value=f"{number}.value")
    ops[op.name] = Add(name=op.name, inputs=(turned, number), source=op.source)
