"""Factors that float32 rounds another way in each time step are one; others are two."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from snncc.execute.agreement import NEAR
from snncc.ir import ops
from snncc.ir.graph import Graph
from snncc.ir.interpret import interpret
from snncc.passes import FRONT
from snncc.passes.base import run_passes
from snncc.passes.canonicalise import Canonicalise
from snncc.passes.gather_steps import GatherSteps
from snncc.passes.join_pieces import JoinPieces
from snncc.passes.near_miss import NearMissError
from snncc.passes.neuron_equation import equation_of
from snncc.passes.neuron_proof import prove
from snncc.passes.raise_neurons import RaiseNeurons
from snncc.passes.recurrence import Arithmetic, chains
from snncc.passes.rounding import TOLERANCE, at_most_one, is_same, one_of
from tests.passes.test_raise_neurons import SHAPE, Code, T, said

KEEP, GAIN, REST = 0.7768562, 0.2231438, -0.3
OFF = (0, 1, -1)
"""Units in the last place by which each step's factors are off."""


def rounded(value: float, units: int) -> float:
    """Return a number of float32 so many units in its last place from another."""
    found = np.float32(value)
    for _ in range(abs(units)):
        found = np.nextafter(found, np.float32(np.inf if units > 0 else -np.inf))
    return float(found)


def layer(code: Code, units: tuple[int, ...], reset: str) -> list[str]:
    """A neuron whose factors are off by so many units in each step."""
    spikes, v = [], ""
    for t, off in zip(range(T), units, strict=True):
        h = charged(code, v, code.at(t), off, reset)
        spikes.append(code.fires(h, 0.7))
        if reset == "soft":
            v = code.add(h, code.scale(spikes[-1], rounded(-0.7, off)))
            continue
        v = code.put(ops.Mask, h, code.inverse(spikes[-1]))
        if reset == "hard":
            v = code.add(v, code.scale(spikes[-1], rounded(REST, off)))
    return spikes


def charged(code: Code, v: str, x: str, off: int, reset: str) -> str:
    """Return the potential before the spike, by a leak toward a rest or by two factors."""
    if not v:
        share = code.scale(x, GAIN if reset == "soft" else rounded(GAIN, off))
        return code.add(share, rounded(REST, off)) if reset == "hard" else share
    if reset == "soft":
        return code.add(code.scale(v, rounded(KEEP, -off)), code.scale(x, GAIN))
    apart = code.add(v, rounded(-REST, off)) if reset == "hard" else v
    return code.add(v, code.scale(code.add(x, code.scale(apart, -1.0)), rounded(GAIN, off)))


def one_neuron(graph: Graph) -> Graph:
    found = run_passes(
        graph, [JoinPieces(), Canonicalise(), RaiseNeurons(), GatherSteps(), Canonicalise()]
    )
    assert found.diagnostics == ()
    assert len(found.graph.of_kind("neuron")) == 1
    return found.graph


def assert_near(graph: Graph, found: Graph) -> None:
    """Spikes differ where a potential is as near to its threshold as it may be, and are few."""
    differing = 0
    for seed in range(8):
        x = np.random.default_rng(seed).uniform(-1, 6, (T, *SHAPE))
        mine, own = (interpret(g, x)[g.ops[-1].name] for g in (found, graph))
        differing += int((mine != own).sum())
    assert differing == 0


@pytest.mark.parametrize("reset", ["hard", "soft", "to zero"])
@pytest.mark.parametrize("units", [(0, 0, 0), OFF, (1, 0, -1), (-1, 1, 0)])
def test_one_neuron(reset: str, units: tuple[int, ...]) -> None:
    code = Code()
    graph = code.done(layer(code, units, reset))
    found = one_neuron(graph)
    (op,) = found.of_kind("neuron")
    fields = op.attributes()
    assert fields["tau"] == pytest.approx(1 / (1 - KEEP), rel=1e-6)
    assert fields["decay_input"] == (reset != "soft")
    assert fields["v_threshold"] == 0.7
    assert fields["v_reset"] == {
        "hard": pytest.approx(REST, rel=1e-6), "soft": None, "to zero": 0.0,
    }[reset]  # fmt: skip
    assert fields["v_subtract"] is None
    factors = {op.attributes()["factor"] for op in found.of_kind("scale")}
    assert len(factors) <= (reset == "soft")
    assert_near(graph, found)


@pytest.mark.parametrize("reset", ["hard", "soft", "to zero"])
def test_further_apart_they_are_several(reset: str) -> None:
    code = Code()
    (message,) = said(code.done(layer(code, (0, 0, 40), reset)))
    assert "differs from step to step" in message


def test_the_proof_is_no_wider() -> None:
    """A neuron whose numbers are off by a few times the tolerance is refused."""
    code = Code()
    graph = run_passes(code.done(layer(code, OFF, "soft")), [Canonicalise()]).graph
    arithmetic = Arithmetic(graph.by_name, graph.weights)
    (chain,) = chains(arithmetic)
    neuron = equation_of(arithmetic, chain)
    prove(arithmetic, chain, neuron)
    for field in ("keep", "gain", "taken"):
        other = getattr(neuron, field) * (1 + 64 * TOLERANCE)
        with pytest.raises(NearMissError, match="is not that of the neuron found for it"):
            prove(arithmetic, chain, type(neuron)(**{**vars(neuron), field: other}))
    with pytest.raises(NearMissError, match="is not that of the neuron found for it"):
        prove(arithmetic, chain, type(neuron)(**{**vars(neuron), "strict": True}))


@pytest.mark.parametrize("units", [OFF, (1, -1, 1)])
def test_one_current(units: tuple[int, ...]) -> None:
    """``I = keep I + (1 - keep) X`` with another rounding in each step."""
    code, i, v = Code(), "", ""
    spikes: list[str] = []
    for t, off in zip(range(T), units, strict=True):
        x = code.scale(code.at(t), GAIN)
        i = code.add(code.scale(i, rounded(KEEP, off)), x) if i else x
        h = code.add(code.scale(v, 0.5), i) if v else i
        spikes.append(code.fires(h))
        v = code.put(ops.Mask, h, code.inverse(spikes[-1]))
    graph = code.done(spikes)
    found = run_passes(
        graph, FRONT[: FRONT.index(next(p for p in FRONT if p.name == "raise-currents")) + 1]
    )
    assert found.diagnostics == ()
    (op,) = found.graph.of_kind("synaptic_current")
    assert op.attributes()["keep"] == pytest.approx(KEEP, rel=1e-6)
    factors = {op.attributes()["factor"] for op in found.graph.of_kind("scale")}
    assert len(factors) <= 1
    assert_near(graph, found.graph)


def test_what_is_one_number() -> None:
    one = Fraction(1)
    assert is_same(one, 1 + TOLERANCE / 2)
    assert not is_same(one, 1 + 2 * TOLERANCE)
    assert is_same(Fraction(0), TOLERANCE / 2, one)
    assert not is_same(Fraction(0), TOLERANCE / 2)
    assert one_of(1 - TOLERANCE / 2) == 1
    assert one_of(Fraction(1, 2)) == Fraction(1, 2)
    assert at_most_one(1 + TOLERANCE / 2) == 1
    assert at_most_one(1 - TOLERANCE / 2) == 1 - TOLERANCE / 2


def test_a_step_moves_by_less_than_a_tie() -> None:
    """Potential, current and constant, each off by the tolerance, stay within a tie's reach."""
    assert 3 * TOLERANCE < NEAR
