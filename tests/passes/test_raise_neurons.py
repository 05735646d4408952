"""Recurrences over time, op by op: the neuron that each is, or what is said of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from snncc.ir import ops
from snncc.ir.compare import Compare
from snncc.ir.graph import Array, Graph, Op, Source, Weight
from snncc.ir.interpret import interpret
from snncc.ir.text import dump
from snncc.passes.base import Result, run_passes
from snncc.passes.canonicalise import Canonicalise
from snncc.passes.gather_steps import GatherSteps
from snncc.passes.join_pieces import JoinPieces
from snncc.passes.near_miss import NearMissError
from snncc.passes.neuron_equation import equation_of
from snncc.passes.neuron_proof import prove
from snncc.passes.raise_neurons import RaiseNeurons
from snncc.passes.recurrence import Arithmetic, chains
from snncc.passes.to_steps import ToSteps

T, SHAPE = 3, (2, 4)


class Code:
    """A program under way, one op a line."""

    def __init__(self, module: str = "lif") -> None:
        self.ops: list[Op] = []
        self.weights: dict[str, Weight] = {}
        self.module = module
        self.line = 0
        self.x = self.put(ops.Input, shape=(T, *SHAPE))

    def put(self, kind: type[Op], *inputs: str, **fields: Any) -> str:
        name = f"{kind.kind}{len(self.ops)}"
        source = Source(self.module, "net.py", self.line)
        self.ops.append(kind(name=name, inputs=inputs, source=source, **fields))
        return name

    def number(self, value: float) -> str:
        self.weights[f"w{len(self.ops)}"] = np.array(value)
        return self.put(ops.Constant, value=f"w{len(self.ops)}")

    def at(self, t: int) -> str:
        cut = self.put(ops.Slice, self.x, axis=0, start=t, stop=t + 1)
        return self.put(ops.Reshape, cut, shape=SHAPE)

    def add(self, x: str, y: str | float) -> str:
        return self.put(ops.Add, x, y if isinstance(y, str) else self.number(y))

    def scale(self, x: str, factor: float) -> str:
        return self.put(ops.Scale, x, factor=factor)

    def inverse(self, x: str) -> str:
        return self.add(self.scale(x, -1.0), 1.0)

    def fires(self, x: str, threshold: float = 1.0, *, strict: bool = False) -> str:
        return self.put(Compare, x, threshold=threshold, strict=strict)

    def done(self, spikes: list[str], *others: str) -> Graph:
        rows = [self.put(ops.Reshape, s, shape=(1, *SHAPE)) for s in spikes]
        y = self.put(ops.Concat, *rows, axis=0)
        for other in others:
            y = self.add(y, other)
        self.put(ops.Output, y)
        return Graph(tuple(self.ops), self.weights)


Reset = Callable[[Code, str, str], str]


def hard(code: Code, v: str, s: str) -> str:
    return code.put(ops.Mask, v, code.inverse(s))


def layer(code: Code, reset: Reset = hard, currents: list[str] | None = None) -> list[str]:
    """``v = 0.5 v + x; s = v >= 1; v = reset(v, s)``, from 0."""
    spikes, v = [], ""
    for t in range(T):
        x = currents[t] if currents else code.at(t)
        h = code.add(code.scale(v, 0.5), x) if v else x
        spikes.append(code.fires(h))
        v = reset(code, h, spikes[-1])
    return spikes


def raised(graph: Graph) -> Result:
    return run_passes(graph, [JoinPieces(), Canonicalise(), RaiseNeurons(), Canonicalise()])


def said(graph: Graph) -> list[str]:
    """What is said of a graph that has no neuron."""
    result = raised(graph)
    assert not result.graph.of_kind("neuron", "compare")
    assert {d.rule.code for d in result.diagnostics} == {"SNN155"}
    return [d.message.partition("not a spiking neuron: ")[2] for d in result.diagnostics]


def held(graph: Graph, found: Graph) -> None:
    """Compare both on numbers that meet the threshold."""
    for seed in range(4):
        x = np.random.default_rng(seed).integers(-4, 8, (T, *SHAPE)) / 4
        name, other = graph.ops[-1].name, found.ops[-1].name
        assert np.array_equal(interpret(found, x)[other], interpret(graph, x)[name])


GOLDEN = """\
graph tensor T1 {
  %input0 = input(shape=(3, 2, 4)) : <3x2x4; real>  # lif @ net.py:0
  %lif = neuron(%input0, decay_input=False) : <3x2x4; spike>  # lif @ net.py:0
  %output33 = output(%lif) : <3x2x4; spike>  # lif @ net.py:0
}
"""


def test_a_layer() -> None:
    code = Code()
    graph = code.done(layer(code))
    result = raised(graph)
    found = run_passes(result.graph, [GatherSteps(), Canonicalise()]).graph
    assert result.diagnostics == ()
    assert dump(found) == GOLDEN.replace("output33", found.ops[-1].name)
    held(graph, found)
    assert run_passes(found, [ToSteps(batch_axis=1)]).graph.steps == T


def test_no_comparison_no_change() -> None:
    code = Code()
    graph = code.done([code.at(t) for t in range(T)])
    assert RaiseNeurons().run(graph).graph is graph


def test_layers_behind_each_other() -> None:
    """The second reads the spikes of the first, and its sum with them, step by step."""
    code = Code()
    first = layer(code)
    code.module = "lif2"
    second = layer(code, currents=[code.scale(s, 0.75) for s in first])
    code.module = "lif3"
    third = layer(code, currents=[code.add(a, b) for a, b in zip(first, second, strict=True)])
    graph = code.done(third)
    found = raised(graph).graph
    assert [op.name for op in found.of_kind("neuron")] == ["lif", "lif2", "lif3"]
    held(graph, found)
    gathered = run_passes(found, [GatherSteps(), Canonicalise()]).graph
    assert [op.kind for op in gathered.ops] == [
        "input", "neuron", "scale", "neuron", "add", "neuron", "output",
    ]  # fmt: skip
    held(graph, gathered)


@pytest.mark.parametrize(
    ("reset", "fields"),
    [
        (lambda c, v, s: c.add(v, c.scale(s, -1.0)), {"v_reset": None}),
        (lambda c, v, s: c.add(v, c.scale(s, -0.75)), {"v_reset": None, "v_subtract": 0.75}),
        (lambda c, v, s: c.add(hard(c, v, s), c.scale(s, 0.0)), {"v_reset": 0.0}),
        (lambda c, v, s: v, {"v_reset": None, "v_subtract": 0.0}),
    ],
)
def test_resets(reset: Reset, fields: dict[str, Any]) -> None:
    code = Code()
    graph = code.done(layer(code, reset))
    result = raised(graph)
    assert result.diagnostics == ()
    (neuron,) = result.graph.of_kind("neuron")
    assert {name: neuron.attributes()[name] for name in fields} == fields
    held(graph, result.graph)


@pytest.mark.parametrize(
    ("reset", "message"),
    [
        (
            lambda c, v, s: c.put(ops.Mask, v, c.inverse(c.scale(s, 0.5))),
            "a spike leaves 0.5 of the potential, wanted 0 or 1",
        ),
        (lambda c, v, s: c.add(v, s), "a spike adds 1 to the potential, a reset takes off"),
        (
            lambda c, v, s: c.scale(hard(c, v, s), 4.0),
            "each step multiplies the potential by 2, which is no leak",
        ),
        (
            lambda c, v, s: c.put(ops.Mask, v, hard(c, v, s)),
            "the potential is multiplied by itself",
        ),
        (
            lambda c, v, s: c.put(ops.Mask, c.put(ops.Sum, c.x, axes=(0,)), hard(c, v, s)),
            "the potential is multiplied by `lif` (sum), which is not one number",
        ),
    ],
)
def test_resets_that_no_neuron_has(reset: Reset, message: str) -> None:
    code = Code()
    assert said(code.done(layer(code, reset)))[0] == message


def test_a_gate_before_the_current() -> None:
    """Reset to zero with the next input in it, as one of snnTorch's ways is."""
    code, h = Code(), ""
    spikes: list[str] = []
    for t in range(T):
        h = hard(code, code.add(code.scale(h, 0.5), code.at(t)), spikes[-1]) if h else code.at(t)
        spikes.append(code.fires(h))
    (message,) = said(code.done(spikes))
    assert message.startswith("the spike of the step before gates `")


def test_the_start() -> None:
    code, v = Code(), ""
    spikes: list[str] = []
    for t in range(T):
        h = code.add(code.scale(v, 0.5) if v else code.number(0.25), code.at(t))
        spikes.append(code.fires(h))
        v = hard(code, h, spikes[-1])
    assert said(code.done(spikes)) == ["the potential starts at 0.5, a neuron at 0"]


def test_a_potential_that_is_read() -> None:
    code = Code()
    spikes = layer(code)
    potential = next(op for op in reversed(code.ops) if op.kind == "compare").inputs[0]
    message = "the potential of step 2 is read by more than the next step"
    assert said(code.done(spikes, potential)) == [message]


def test_the_layers_own_spikes() -> None:
    code, v = Code(), ""
    spikes: list[str] = []
    code.weights["w"] = np.eye(4)
    for t in range(T):
        x = code.at(t)
        if v:
            x = code.add(x, code.put(ops.Linear, spikes[-1], weight="w"))
        h = code.add(code.scale(v, 0.5), x) if v else x
        spikes.append(code.fires(h))
        v = hard(code, h, spikes[-1])
    assert said(code.done(spikes)) == [
        "its own spikes come back to it through `lif` (linear): it is recurrent"
    ]


def test_two_shapes() -> None:
    code = Code()
    spikes = layer(code)
    wide = code.put(ops.Constant, value="wide")
    code.weights["wide"] = np.zeros((5, *SHAPE))
    last: Any = code.ops[[op.name for op in code.ops].index(spikes[-1])]
    spikes[-1] = code.fires(code.add(last.inputs[0], wide))
    found = code.put(ops.Sum, spikes[-1], axes=(0,))
    messages = said(code.done([*spikes[:-1], found]))
    assert messages == ["potentials have shapes (2, 4) and (5, 2, 4)"]


def test_one_time_step() -> None:
    """Without a recurrence each comparison is a neuron in its only step."""
    code = Code()
    x = code.at(0)
    s = code.fires(x, 0.5, strict=True)
    code.line = 1
    code.weights["w"] = np.eye(4) - 0.5
    y = code.put(ops.Linear, s, weight="w")
    graph = code.done([code.inverse(code.fires(code.scale(code.add(y, x), -2.0), -1.0))])
    result = raised(graph)
    assert result.diagnostics == ()
    assert [op.attributes()["v_threshold"] for op in result.graph.of_kind("neuron")] == [0.5, 0.5]
    held(graph, result.graph)


def test_a_comparison_beside_neurons() -> None:
    code = Code()
    spikes = layer(code)
    code.line = 7
    lone = code.fires(code.put(ops.Sum, code.x, axes=(0,)), 0.5)
    result = raised(code.done(spikes, lone))
    (found,) = result.diagnostics
    assert found.message == (
        "a comparison is not a spiking neuron: "
        "no time step goes on from the potential that is compared"
    )
    assert found.source.line == 7
    assert [op.attributes()["target"] for op in result.graph.of_kind("foreign")] == ["compare"]


def test_the_proof_runs_the_arithmetic() -> None:
    """What the polynomials would not show, the numbers do."""
    code = Code()
    graph = run_passes(code.done(layer(code)), [Canonicalise()]).graph
    arithmetic = Arithmetic(graph.by_name, graph.weights)
    (chain,) = chains(arithmetic)
    neuron = equation_of(arithmetic, chain)
    prove(arithmetic, chain, neuron)
    for field, value in (("keep", 0.25), ("threshold", 1.25), ("reset", 0.5), ("strict", True)):
        other = type(neuron)(**{**vars(neuron), field: type(getattr(neuron, field))(value)})
        with pytest.raises(NearMissError, match="is not that of the neuron found for it"):
            prove(arithmetic, chain, other)


def test_weights_that_are_not_there() -> None:
    """A potential that is multiplied by what nobody knows stays."""
    code, v = Code(), ""
    spikes: list[str] = []
    for t in range(T):
        h = (
            code.add(code.put(ops.Mask, v, code.put(ops.Constant, value="tau")), code.at(t))
            if v
            else code.at(t)
        )
        spikes.append(code.fires(h))
        v = hard(code, h, spikes[-1])
    values: dict[str, Array] = {"tau": np.linspace(0.1, 0.9, 4)}
    code.weights.update(values)
    (message,) = said(code.done(spikes))
    assert message.endswith("which is not one number")


@pytest.mark.parametrize(("factor", "threshold", "kinds"), [
    (0.5, 0.5, ["input", "neuron", "output"]),
    (-1.0, 0.0, ["input", "neuron", "constant", "scale", "add", "output"]),
])  # fmt: skip
def test_a_spike_that_is_compared(factor: float, threshold: float, kinds: list[str]) -> None:
    """Cast to bool, say, by code that counts."""
    code = Code()
    spikes = layer(code)
    graph = code.done([code.fires(code.scale(s, factor), threshold) for s in spikes])
    result = raised(graph)
    assert result.diagnostics == ()
    held(graph, result.graph)
    gathered = run_passes(result.graph, [GatherSteps(), Canonicalise()]).graph
    assert not gathered.of_kind("foreign", "compare")
    assert sorted({op.kind for op in gathered.ops}) == sorted(kinds)


def two_steps(between: Callable[[Code, str], str]) -> Graph:
    """Two comparisons; what the second potential is made of is in between."""
    code = Code()
    h = code.at(0)
    first = code.fires(h)
    second = code.fires(code.add(between(code, hard(code, h, first)), code.at(1)))
    return code.done([first, second])


@pytest.mark.parametrize("operator", ["square", "sums"])
def test_arithmetic_that_explodes_is_given_up(operator: str) -> None:
    """A potential to the power of 2**40, and one of 2**40 terms."""

    def explodes(code: Code, v: str) -> str:
        for _ in range(40):
            factor = v if operator == "square" else code.add(code.at(2), v)
            v = code.put(ops.Mask, v, factor)
        return v

    (message,) = said(two_steps(explodes))
    assert message == "it is made of more terms than that of any neuron"


def test_arithmetic_of_any_length_is_followed() -> None:
    """Longer than Python's own stack is deep."""

    def long(code: Code, v: str) -> str:
        for _ in range(1500):
            v = code.scale(v, 0.9995)
        return v

    result = raised(two_steps(long))
    assert result.diagnostics == ()
    (neuron,) = result.graph.of_kind("neuron")
    assert neuron.attributes()["tau"] == pytest.approx(1 / (1 - 0.9995**1500))


@pytest.mark.parametrize("module", ["lif", ""])
def test_a_neuron_without_reset(module: str) -> None:
    """Told by the line that compares or, where none is noted, by what it is not made of."""
    code = Code(module)
    graph = code.done(layer(code, lambda _, h, __: h))
    if not module:
        bare = [dataclasses.replace(op, source=Source()) for op in graph.ops]
        graph = Graph(tuple(bare), graph.weights)
    result = raised(graph)
    assert result.diagnostics == ()
    (op,) = result.graph.of_kind("neuron")
    fields = op.attributes()
    assert (fields["v_reset"], fields["v_subtract"], fields["tau"]) == (None, 0.0, 2.0)
    held(graph, result.graph)


def test_a_current_with_a_residual_is_another_layer() -> None:
    """The first potential is the current; ``x + fc(s)`` is made of its spike, and another's."""
    code = Code()
    second: list[str] = []
    v, w = "", ""
    for t in range(T):
        x = code.at(t)
        h = code.add(code.scale(v, 0.5), x) if v else x
        s = code.fires(h)
        v, total = hard(code, h, s), code.put(ops.Sum, s, axes=(1,), keepdims=True)
        g = code.add(x, code.put(ops.Expand, total, shape=SHAPE))
        g = code.add(code.scale(w, 0.5), g) if w else g
        second.append(code.fires(g))
        w = hard(code, g, second[-1])
    graph = code.done(second)
    graph = Graph(
        tuple(dataclasses.replace(op, source=Source()) for op in graph.ops), graph.weights
    )
    result = raised(graph)
    assert len(result.graph.of_kind("neuron")) == 2
    held(graph, result.graph)
