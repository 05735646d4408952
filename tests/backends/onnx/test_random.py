"""Random networks, quantized: onnxruntime gives the executor's answers, for every input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.backends.onnx.model import bytes_of, write_onnx
from snncc.ir.graph import Array, Graph
from snncc.passes.base import run_passes
from snncc.passes.canonicalise import Canonicalise
from snncc.passes.fold_batch_norm import FoldBatchNorm
from snncc.passes.fold_scales import FoldScales
from snncc.passes.quantize import Calibration, Quantize
from snncc.passes.scales import scale_groups
from snncc.passes.to_steps import ToSteps
from snncc.passes.unroll_levels import UnrollLevels
from snncc.targets.load import load_target

Networks = Callable[[int], Graph]
SEEDS = st.integers(0, 2**32 - 1)
MIDDLE = (
    Canonicalise(), ToSteps(), Canonicalise(), FoldScales(), FoldBatchNorm(), FoldScales(),
    Canonicalise(),
)  # fmt: skip


def quantized(random_network: Networks, seed: int, bits: int, *, substeps: bool) -> Graph:
    """The next random network that adds no spikes to currents, in integers."""
    folded = run_passes(random_network(seed), MIDDLE).graph
    while scale_groups(folded, 1.0, 6)[1]:
        seed += 1
        folded = run_passes(random_network(seed), MIDDLE).graph
    chip = load_target("loihi2")
    shape = folded.type_of(folded.of_kind("input")[0].name).shape
    sample = np.random.default_rng(seed).uniform(-1, 1, (4, *shape))
    quantize = Quantize(chip.arithmetic, chip.features, Calibration(sample), bits)
    integer = quantize.quantize(folded).graph
    return run_passes(integer, (UnrollLevels(),)).graph if substeps else integer


def samples(graph: Graph, seed: int, peak: float, count: int) -> Array:
    entry = graph.of_kind("input")[0]
    time = (graph.steps,) if getattr(entry, "varies", False) else ()
    shape = (*time, count, *graph.type_of(entry.name).shape)
    return np.random.default_rng(seed).uniform(-peak, peak, shape)


def equal(
    random_network: Networks, held: Callable[[Graph, Array], None], drawn: tuple[int, int, bool],
    peak: float, count: int,
) -> None:  # fmt: skip
    seed, bits, substeps = drawn
    graph = quantized(random_network, seed, bits, substeps=substeps)
    held(graph, samples(graph, seed, peak, count))


DRAWN = st.tuples(SEEDS, st.sampled_from((8, 4)), st.booleans())
PEAKS = st.sampled_from((0.1, 1.0, 1e3))
COUNTS = st.sampled_from((1, 3))


@settings(max_examples=20, deadline=None)
@given(drawn=DRAWN, peak=PEAKS, count=COUNTS)
def test_answers_and_spikes_are_the_executors(
    random_network: Networks, held: Callable[[Graph, Array], None], drawn: tuple[int, int, bool],
    peak: float, count: int,
) -> None:  # fmt: skip
    equal(random_network, held, drawn, peak, count)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(drawn=DRAWN, peak=PEAKS, count=COUNTS)
def test_many_random_networks(
    random_network: Networks, held: Callable[[Graph, Array], None], drawn: tuple[int, int, bool],
    peak: float, count: int,
) -> None:  # fmt: skip
    equal(random_network, held, drawn, peak, count)


@settings(max_examples=5, deadline=None)
@given(seed=SEEDS, unroll=st.booleans())
def test_same_graph_same_bytes(random_network: Networks, seed: int, unroll: bool) -> None:
    made = [
        bytes_of(write_onnx(quantized(random_network, seed, 8, substeps=False), unroll=unroll))
        for _ in range(2)
    ]
    assert made[0] == made[1]
