"""One clock step at a time, samples back to back: every value is that of the step graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.execute.pipelined import Clockwork, aligned, clock_steps, frames, run_pipelined, stream
from snncc.frontends.load import load_model
from snncc.frontends.torch_export import trace
from snncc.ir.graph import Array, Graph, IRError
from snncc.ir.interpret import interpret
from snncc.ir.latency import Pipeline
from snncc.ir.sites import Sites
from snncc.ir.text import parse
from snncc.passes import FRONT
from snncc.passes.balance_delays import pipelined
from snncc.passes.base import run_passes
from snncc.passes.canonicalise import Canonicalise
from snncc.passes.fold_batch_norm import FoldBatchNorm
from snncc.passes.fold_scales import FoldScales
from snncc.passes.quantize import Calibration, Quantize
from snncc.passes.scales import scale_groups
from snncc.passes.to_steps import ToSteps
from snncc.targets.load import load_target

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
SITES = (Sites("chip", "chip"), Sites("host", "host"), Sites())
Networks = Callable[[int], Graph]


def random_steps(random_network: Networks, seed: int) -> Graph:
    return run_passes(random_network(seed), [Canonicalise(), ToSteps(), Canonicalise()]).graph


def folded(graph: Graph) -> Graph:
    return run_passes(graph, [FoldScales(), FoldBatchNorm(), FoldScales(), Canonicalise()]).graph


def integers(graph: Graph, samples: Array) -> Graph:
    chip = load_target("loihi2")
    return Quantize(chip.arithmetic, chip.features, Calibration(samples)).quantize(graph).graph


def drawn(graph: Graph, samples: int, seed: int) -> Array:
    entry = graph.of_kind("input")[0]
    time = (graph.steps,) if getattr(entry, "varies", False) else ()
    shape = (*time, samples, *graph.type_of(entry.name).shape)
    return np.random.default_rng(seed).uniform(-1, 2, shape)


def wrong(pipeline: Pipeline, graph: Graph, x: Array) -> list[str]:
    """The values of the step graph that the pipeline makes otherwise; constants never change."""
    found = run_pipelined(pipeline, x, [op.name for op in graph.ops])
    still = {name for name, late in pipeline.latency_of.items() if late is None}
    assert {op.name for op in graph.ops} == found.keys() | still
    reference = interpret(graph, x)
    return [name for name, value in found.items() if not np.array_equal(value, reference[name])]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), sites=st.sampled_from(SITES))
def test_every_value_of_a_float_graph(random_network: Networks, seed: int, sites: Sites) -> None:
    graph = random_steps(random_network, seed)
    # Two samples in one product or one after the other: BLAS may round the last bit otherwise.
    x = np.round(drawn(graph, 3, seed) * 8) / 8
    found = run_pipelined(pipelined(graph, sites), x, [op.name for op in graph.ops])
    reference = interpret(graph, x)
    for name, value in found.items():
        assert np.allclose(value, reference[name], rtol=1e-9, atol=1e-9), name


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), sites=st.sampled_from(SITES))
def test_every_value_of_an_integer_graph(random_network: Networks, seed: int, sites: Sites) -> None:
    graph = folded(random_steps(random_network, seed))
    while scale_groups(graph, 1.0, 6)[1]:
        seed += 1
        graph = folded(random_steps(random_network, seed))
    graph = integers(graph, np.moveaxis(drawn(graph, 4, seed), -4, 0))
    assert wrong(pipelined(graph, sites), graph, drawn(graph, 3, seed + 1)) == []


@pytest.fixture(scope="module")
def digits() -> Graph:
    """The network of the example in integers."""
    model = load_model(str(DIGITS / "spikingformer.pth.tar"))
    steps = folded(run_passes(trace(model.module, model.example_inputs), FRONT).graph)
    return integers(steps, np.load(DIGITS / "calibration.npz")["x"][:64])


@pytest.mark.parametrize("sites", SITES)
def test_the_digits_network(digits: Graph, sites: Sites) -> None:
    x = np.load(DIGITS / "test.npz")["x"][:3]
    assert wrong(pipelined(digits, sites), digits, x) == []


def test_the_digits_network_by_hand(digits: Graph) -> None:
    """5 convolutions and 2 pools, twice attention (3) and MLP (2), sum and head: 19 steps."""
    assert pipelined(digits, Sites("chip", "chip")).depth == 5 + 2 + 2 * (3 + 2) + 2
    usual = pipelined(digits)
    assert (usual.depth, usual.interval, usual.latency) == (17, 4, 21)
    assert [(b.path, b.steps, b.bits) for b in usual.buffers] == [
        ("patch_embed.block4_conv", 2, 15),
        ("block.0", 1, 15),
        ("block.0", 2, 16),
        ("block.1", 1, 16),
    ]


def spiking(random_network: Networks) -> tuple[Graph, Array]:
    graph = random_steps(random_network, 5)
    return graph, drawn(graph, 3, 0)


def test_without_resets_samples_would_meet(
    random_network: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test of tests: a pipeline that resets all layers at one moment is found out."""
    graph, x = spiking(random_network)
    pipeline = pipelined(graph, SITES[0])
    assert wrong(pipeline, graph, x) == []
    right = Clockwork._direct_value

    def at_once(self: Clockwork, op: object, clock: int, values: dict[str, Array]) -> Array:
        late = self._late
        self._late = dict.fromkeys(late, 0)
        value = right(self, op, clock, values)  # type: ignore[arg-type]
        self._late = late
        return value

    monkeypatch.setattr(Clockwork, "_direct_value", at_once)
    assert wrong(pipeline, graph, x)


def test_without_its_delays_no_graph_is_a_pipeline(random_network: Networks) -> None:
    graph = random_steps(random_network, 5)
    with pytest.raises(IRError, match="joins values of different latencies"):
        run_pipelined(Pipeline(graph), drawn(graph, 1, 0), ["y"])


def test_static_values_stand_for_a_whole_sample() -> None:
    """What is computed once a sample in the step graph is computed at every clock step here."""
    text = """graph step T3 {
  %x = input(shape=(4,), domain='int[0..15]', scale=1.0) : <4; int[0..15]>
  %a = linear(%x, weight='w') : <4; int[0..60]>
  %r = repeat(%a) : <4; int[0..60]>
  %s = integer_neuron(%r, threshold='t', decay=2048, shift=2) : <4; spike>
  %b = linear(%s, weight='w') : <4; int[0..4]>
  %z = add(%b, %r) : <4; int[0..64]>
  %o = readout(%z, steps=3) : <4; int[0..192]>
  %y = output(%o) : <4; int[0..192]>
}
"""
    graph = parse(text, {"w": np.ones((4, 4), np.int8), "t": np.array([100])})
    x = np.arange(8).reshape(2, 4)
    pipeline = pipelined(graph, SITES[0])
    tape = stream(pipeline, x, ["a", "y"])
    assert tape["a"][:, 0].tolist() == [0, 6, 6, 6, 22, 22, 22, 0]
    assert wrong(pipeline, graph, x) == []
    assert aligned(pipeline, tape)["a"][:, 0].tolist() == [6, 22]


def test_a_stream_ends_when_all_is_made(random_network: Networks) -> None:
    graph, x = spiking(random_network)
    pipeline = pipelined(graph, SITES[0])
    assert clock_steps(pipeline, 3) == 3 * graph.steps + pipeline.depth
    tape = stream(pipeline, x, ["y"])
    assert len(tape["y"]) == clock_steps(pipeline, 3)
    assert aligned(pipeline, tape)["y"].shape[0] == 3


def test_frames_follow_each_other(random_network: Networks) -> None:
    graph, x = spiking(random_network)
    ((_, shown),) = frames(pipelined(graph), x).items()
    assert len(shown) == 3 * graph.steps


def test_a_value_that_there_is_not(random_network: Networks) -> None:
    graph, x = spiking(random_network)
    with pytest.raises(IRError, match="the pipeline has no value `nothing`"):
        stream(pipelined(graph), x, ["nothing"])


def test_a_pipeline_is_data(random_network: Networks) -> None:
    pipeline = pipelined(random_steps(random_network, 5))
    assert dataclasses.replace(pipeline).latency_of == pipeline.latency_of
