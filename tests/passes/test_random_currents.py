"""Random graphs of currents, kept, added and scaled: their integers answer as their floats do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.diagnostics.core import Severity
from snncc.execute.executor import Executor
from snncc.ir import domain as dom
from snncc.ir import ops
from snncc.ir.domain import Grid
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.interpret import interpret
from snncc.ir.synaptic_current import SynapticCurrent
from snncc.passes.quantize import Calibration, Quantize, Quantized
from snncc.targets.load import load_target

STEPS, PLACES = 5, 4
LARGE = 400
"""About the size of all numbers: what meets in a stream may not be too far apart."""
T = TypeVar("T")
KINDS = ("linear", "linear", "keep", "keep", "add", "scale", "neuron", "constant")


@dataclass
class Made:
    """A graph under way: ``spikes`` and ``currents`` are what the next op may read."""

    seed: int
    ops: list[Op] = field(default_factory=list)
    weights: dict[str, Any] = field(default_factory=dict)
    spikes: list[str] = field(default_factory=list)
    currents: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with spikes and a layer that reads them."""
        self.numbers = np.random.default_rng(self.seed)
        entry = {"shape": (PLACES,), "varies": True, "domain": dom.SPIKE, "scale": 1.0}
        self.spikes.append(self.add(ops.Input, **entry))
        self.linear()

    def add(self, kind: type[Op], *inputs: str, **fields: Any) -> str:
        name = f"v{len(self.ops)}"
        self.ops.append(kind(name=name, inputs=inputs, **fields))
        return name

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[int(self.numbers.integers(len(choices)))]

    def weight(self, value: Array) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = value
        return name

    def linear(self) -> None:
        """Weights at random, or on a grid, or on one that is wider than their bits."""
        whole = self.numbers.integers(-127, 128, (PLACES, PLACES))
        at_random = LARGE * self.numbers.normal(size=whole.shape)
        chosen = self.one_of((at_random, whole % 8 * 237.1 - 711.3, 8 * (whole + 0.0)))
        bias = (
            self.weight(LARGE * self.numbers.normal(size=PLACES))
            if self.numbers.random() < 0.4
            else None
        )
        read = self.one_of(self.spikes + self.currents[:1])
        self.currents.append(self.add(ops.Linear, read, weight=self.weight(chosen), bias=bias))

    def one_more(self) -> None:
        kind, read = self.one_of(KINDS), self.one_of(self.currents)
        if kind == "linear":
            self.linear()
        elif kind == "neuron":
            tau, reset = self.one_of((2.0, None, 3.0)), self.one_of((0.0, None))
            made = {"tau": tau, "decay_input": False, "v_threshold": 1.3 * LARGE, "v_reset": reset}
            self.spikes.append(self.add(ops.Neuron, read, **made))
        elif kind == "keep":
            keep = self.one_of((0.3, 0.75, 0.9))
            self.currents.append(self.add(SynapticCurrent, read, keep=keep))
        elif kind == "scale":
            factor = self.one_of((-1.0, 0.5, 3.0))
            self.currents.append(self.add(ops.Scale, read, factor=factor))
        else:
            shape = self.one_of(((), (PLACES,)))
            stored = self.weight(LARGE * self.numbers.normal(size=shape))
            both = {"add": self.currents}.get(kind) or [self.add(ops.Constant, value=stored)]
            self.currents.append(self.add(ops.Add, read, self.one_of(both)))

    def graph(self) -> Graph:
        total = self.add(ops.Readout, self.currents[-1], steps=STEPS)
        self.add(ops.Output, total)
        return Graph(tuple(self.ops), self.weights, "step", STEPS)


def quantized(graph: Graph) -> Quantized | None:
    """Return the integers of a graph, None where it is said that there are none."""
    chip = load_target("loihi2")
    calibration = Calibration(np.ones((2, PLACES)))
    found = Quantize(chip.arithmetic, chip.features, calibration).quantize(graph)
    said = [d.rule.code for d in found.found if d.severity is Severity.ERROR]
    assert set(said) <= {"SNN301"}
    return None if said else found


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 8))
def test_integers_are_within_what_is_proved_and_near_the_floats(seed: int, size: int) -> None:
    made = Made(seed)
    for _ in range(size):
        made.one_more()
    graph = made.graph()
    found = quantized(graph)
    if found is None:
        return
    x = (np.random.default_rng(seed).random((STEPS, 60, PLACES)) < 0.5).astype(float)
    before, after = interpret(graph, x), interpret(found.graph, x)
    answer = graph.ops[-1].name
    assert np.array_equal(Executor(found.graph).run(x).output, after[answer])
    for op in found.graph.ops[:-1]:
        proved = found.graph.type_of(op.name).domain
        assert isinstance(proved, Grid)
        assert proved.minimum <= after[op.name].min() <= after[op.name].max() <= proved.maximum
    for layer in found.layers:
        reads = after[found.graph[layer.name].inputs[0]].astype(np.int64)
        assert np.abs(reads).max() << layer.plan.shift <= layer.plan.bound
    off = np.abs(before[answer] - after[answer]).mean()
    assert off <= 0.25 * np.abs(before[answer]).mean(), "a scale that is wrong is off by more"
