"""No run of a network ever leaves what was proved of it, whatever the input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.execute.executor import Executor, Run
from snncc.ir import domain as dom
from snncc.ir.domain import Domain, Grid
from snncc.ir.graph import Array, Graph
from snncc.passes.base import run_passes
from snncc.passes.canonicalise import Canonicalise
from snncc.passes.check_spikes import verdicts
from snncc.passes.fold_batch_norm import FoldBatchNorm
from snncc.passes.fold_scales import FoldScales
from snncc.passes.quantize import Calibration, LayerScales, Quantize
from snncc.passes.scales import scale_groups
from snncc.passes.to_steps import ToSteps
from snncc.targets.load import load_target

Networks = Callable[[int], Graph]
SEEDS = st.integers(0, 2**32 - 1)
LOUD = (0.1, 1.0, 1e3, 1e6)
"""Peaks of the input: silent networks, lively ones, and some in which everything fires."""


def steps_of(network: Graph) -> Graph:
    return run_passes(network, [Canonicalise(), ToSteps(), Canonicalise()]).graph


def run(graph: Graph, seed: int, peak: float) -> Run:
    """Run on noise that reaches `peak`, and keep every value."""
    entry = graph.of_kind("input")[0]
    time = (graph.steps,) if getattr(entry, "varies", False) else ()
    shape = (*time, 2, *graph.type_of(entry.name).shape)
    x = np.random.default_rng(seed).uniform(-peak, peak, shape)
    return Executor(graph).run(x, keep=[op.name for op in graph.ops])


def outside(values: Array, domain: Domain) -> Array:
    """The values that the domain does not hold; floats may miss a grid by their rounding."""
    if not isinstance(domain, Grid):
        return np.empty(0)
    counts = values.astype(np.float64) / float(domain.step)
    slack = 0.0 if values.dtype.kind in "iub" else 1e-9 * max(domain.magnitude, 1)
    off = np.abs(counts - np.rint(counts)) > slack
    beyond = (counts < domain.lo - slack) | (counts > domain.hi + slack)
    return np.unique(values[off | beyond])


def held(graph: Graph, values: dict[str, Array]) -> None:
    wrong = {
        op.name: (str(graph.type_of(op.name)), found[:5].tolist())
        for op in graph.ops
        if op.name in values
        and (found := outside(values[op.name], graph.type_of(op.name).domain)).size
    }
    assert wrong == {}


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, peak=st.sampled_from(LOUD))
def test_every_value_is_in_its_domain(random_network: Networks, seed: int, peak: float) -> None:
    graph = steps_of(random_network(seed))
    held(graph, dict(run(graph, seed, peak).values))


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, peak=st.sampled_from(LOUD))
def test_spike_driven_products_have_a_factor_of_two_values(
    random_network: Networks, seed: int, peak: float
) -> None:
    graph = steps_of(random_network(seed))
    values = run(graph, seed, peak).values
    for verdict in verdicts(graph):
        if verdict.is_spike_driven:
            seen = [np.unique(values[name]) for name in graph[verdict.name].inputs]
            assert any(len(numbers[numbers != 0]) <= 1 for numbers in seen), verdict.name


def quantized(random_network: Networks, seed: int) -> tuple[Graph, tuple[LayerScales, ...]]:
    """The next random network that adds no spikes to currents, in integers."""
    fold = [FoldScales(), FoldBatchNorm(), FoldScales(), Canonicalise()]
    folded = run_passes(steps_of(random_network(seed)), fold).graph
    while scale_groups(folded, 1.0, 6)[1]:
        seed += 1
        folded = run_passes(steps_of(random_network(seed)), fold).graph
    chip = load_target("loihi2")
    entry = folded.type_of(folded.of_kind("input")[0].name)
    sample = np.random.default_rng(seed).uniform(-1, 1, (4, *entry.shape))
    quantize = Quantize(chip.arithmetic, chip.features, Calibration(sample))
    found = quantize.quantize(folded)
    return found.graph, found.layers


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, peak=st.sampled_from(LOUD))
def test_integers_and_potentials_stay_within_their_bounds(
    random_network: Networks, seed: int, peak: float
) -> None:
    """Weights bound every sum; the plan of a neuron layer bounds its potential."""
    graph, layers = quantized(random_network, seed)
    done = run(graph, seed, peak)
    held(graph, {name: v for name, v in done.values.items() if graph[name].kind != "output"})
    bounds = {layer.name: layer.plan.bound for layer in layers}
    reached = {name: max(-low, high) for name, (low, high) in done.potentials.items()}
    assert {name: high for name, high in reached.items() if high > bounds[name]} == {}


def test_a_value_outside_is_seen() -> None:
    assert outside(np.array([0.0, 0.5, 1.0]), dom.SPIKE).tolist() == [0.5]
    assert outside(np.array([0, 1, 2]), dom.SPIKE).tolist() == [2]
    assert outside(np.array([0.0, 0.25, 0.5]), dom.grid(0.25, 0, 2)).size == 0
    assert outside(np.array([np.pi]), dom.REAL).size == 0
