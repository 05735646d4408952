"""Latencies, delay lines and sites, on networks small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from snncc.ir import domain as dom
from snncc.ir.domain import REAL, SPIKE, Domain
from snncc.ir.graph import Graph, IRError, Weight
from snncc.ir.latency import Buffer, Pipeline, latencies
from snncc.ir.sites import Sites, on_host
from snncc.ir.text import dump, parse

WEIGHTS: dict[str, Weight] = {
    "w": np.eye(4, dtype=np.int8),
    "h": np.ones((2, 4), np.int8),
    "t": np.array([3]),
    "c": np.array([1, 2, 3, 4]),
}
NETWORK = """graph step T3 {
  %x = input(shape=(4,), domain='int[0..15]', scale=1.0) : <4; int[0..15]>
  %r = repeat(%x) : <4; int[0..15]>
  %a = linear(%r, weight='w') : <4; int[0..15]>  # stem @ net.py:1
  %s = integer_neuron(%a, threshold='t', decay=2048, shift=2) : <4; spike>
  %b = linear(%s, weight='w') : <4; spike>
  %n = integer_neuron(%b, threshold='t', decay=2048, shift=2) : <4; spike>
  %a1 = delay(%a, steps=1) : <4; int[0..15]>
  %a2 = delay(%a1, steps=1) : <4; int[0..15]>
  %d = linear(%n, weight='w') : <4; spike>
  %e = add(%d, %a2) : <4; int[0..16]>
  %k = constant(value='c') : <4; int[1..4]>
  %f = add(%e, %k) : <4; int[1..20]>
  %g = add(%f, %f) : <4; int[2..40]>
  %o = readout(%g, steps=3) : <4; int[6..120]>
  %h = linear(%o, weight='h') : <2; int[24..480]>
  %y = output(%h) : <2; int[24..480]>
}
"""


def network(text: str = NETWORK) -> Graph:
    return parse(text, WEIGHTS)


def test_a_delay_has_a_text_form() -> None:
    assert dump(network()) == NETWORK


def test_each_connection_takes_a_step() -> None:
    found = latencies(network())
    assert found == {
        "x": 0, "r": 0, "a": 1, "s": 1, "b": 2, "n": 2, "a1": 2, "a2": 3, "d": 3, "e": 3,
        "k": None, "f": 3, "g": 3, "o": 3, "h": 4, "y": 4,
    }  # fmt: skip


def test_the_host_takes_no_step() -> None:
    host = on_host(network(), Sites("chip", "host"))
    assert host == {"o", "h", "y"}
    assert latencies(network(), host)["y"] == 3


def test_a_pipeline_counts_its_steps_and_its_memory() -> None:
    whole = Pipeline(network())
    assert (whole.depth, whole.interval, whole.latency) == (4, 3, 7)
    assert whole.buffers == (Buffer("a", "stem", places=4, bits=4, steps=1, taps=(1, 2)),)
    assert whole.buffers[0].memory_bits == 16
    for tap, waits in (("a1", 1), ("a2", 2)):
        reader = f"%z = linear(%{tap}, weight='w') : <4; int[0..15]>\n  %d = linear(%n,"
        read = Pipeline(network(NETWORK.replace("%d = linear(%n,", reader)))
        assert [line.steps for line in read.buffers] == [waits]
    assert Pipeline(network(), frozenset({"a1", "a2"})).buffers == ()


def test_a_join_of_different_latencies_is_refused() -> None:
    graph = network(NETWORK.replace("add(%d, %a2)", "add(%d, %a1)"))
    with pytest.raises(IRError, match="`e` joins values of different latencies: `d` at 3, `a1` at"):
        latencies(graph)


def test_the_encoder_reaches_to_the_first_neurons() -> None:
    assert on_host(network(), Sites("host", "chip")) == {"r", "a", "s", "a1", "a2"}
    assert on_host(network(), Sites("chip", "chip")) == frozenset()


def test_a_head_that_reads_spikes_takes_what_gathers_with_it() -> None:
    graph = parse(
        """graph step T3 {
  %x = input(shape=(4,), domain=spike, scale=1.0, varies=True) : <4; spike>
  %n = integer_neuron(%x, threshold='t', decay=2048, shift=2) : <4; spike>
  %b = linear(%n, weight='w') : <4; spike>
  %v = reshape(%b, shape=(2, 2)) : <2x2; spike>
  %s = sum(%v, axes=(1,)) : <2; int[0..2]>
  %o = readout(%s, steps=3) : <2; int[0..6]>
  %y = output(%o) : <2; int[0..6]>
}
""".replace("domain=spike", "domain='spike'"),
        WEIGHTS,
    )
    assert on_host(graph, Sites("chip", "host")) == {"b", "v", "s", "o", "y"}
    assert latencies(graph, on_host(graph, Sites("chip", "host")))["y"] == 0
    assert latencies(graph)["y"] == 2


def test_sub_steps_of_a_count_take_no_step_of_their_own() -> None:
    """`s` is W reading counts spike by spike: one connection, in a step of three sub-steps."""
    text = """graph step T3 {
  %x = input(shape=(4,), domain='int[0..3]', scale=1.0, varies=True) : <4; int[0..3]>
  %t = thermometer(%x, levels=3) : <3x4; spike>
  %d = delay(%t, steps=2) : <3x4; spike>
  %p = linear(%d, weight='w') : <3x4; spike>
  %s = sum(%p, axes=(0,)) : <4; int[0..3]>
  %q = sum(%s, axes=(0,)) : <scalar; int[0..12]>
  %y = output(%q) : <scalar; int[0..12]>
}
"""
    pipeline = Pipeline(parse(text, WEIGHTS))
    assert pipeline.substeps == 3
    assert pipeline.steps == {"x": 0, "t": 0, "d": 2, "p": 1, "s": 0, "q": 1, "y": 0}
    assert pipeline.depth == 4
    assert Pipeline(network()).substeps == 1


@pytest.mark.parametrize(
    ("domain", "bits"),
    [
        (SPIKE, 1),
        (dom.grid(0.25, 0, 1), 1),
        (dom.integers(0, 16), 5),
        (dom.integers(-128, 127), 8),
        (dom.integers(-129, 127), 9),
        (dom.integers(-1, 0), 1),
        (dom.integers(-1, 1), 2),
        (dom.integers(0, 0), 1),
        (dom.integers(5, 7), 3),
        (REAL, None),
    ],
)
def test_counts_take_as_many_bits_as_they_need(domain: Domain, bits: int | None) -> None:
    assert dom.width_bits(domain) == bits
