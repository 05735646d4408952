"""What the report says of time: counted from the pipeline, in 100 columns."""

from __future__ import annotations

import numpy as np
import pytest

from snncc.backends.report.timing import timing_document, timing_line, timing_text
from snncc.ir.graph import Graph, Weight
from snncc.ir.latency import Pipeline
from snncc.ir.sites import Sites
from snncc.ir.text import parse
from snncc.passes.balance_delays import pipelined

CHIP = Sites("chip", "chip")
WEIGHTS: dict[str, Weight] = {"w": np.full((4, 4), 100, np.int8), "t": np.array([3])}


@pytest.fixture
def graph() -> Graph:
    text = """graph step T3 {
  %x = input(shape=(4,), domain='spike', scale=1.0, varies=True) : <4; spike>
  %c = linear(%x, weight='w') : <4; int[0..400]>  # stem @ net.py:1
  %s = integer_neuron(%c, threshold='t', decay=2048, shift=2) : <4; spike>  # lif @ net.py:2
  %d = linear(%s, weight='w') : <4; int[0..400]>
  %n = integer_neuron(%d, threshold='t', decay=2048, shift=2) : <4; spike>
  %e = linear(%n, weight='w') : <4; int[0..400]>
  %r = add(%c, %e) : <4; int[0..800]>
  %y = output(%r) : <4; int[0..800]>
}
"""
    return parse(text, WEIGHTS)


def test_the_document_counts_steps_and_bits(graph: Graph) -> None:
    assert timing_document(pipelined(graph, CHIP), CHIP) == {
        "encoder": "chip",
        "head": "chip",
        "depth": 3,
        "latency": 6,
        "interval": 3,
        "substeps": 1,
        "delay_memory_bits": 36,
        "host": [],
        "delays": [
            {
                "value": "c",
                "path": "stem",
                "places": 4,
                "bits": 9,
                "steps": 1,
                "taps": [2],
                "memory_bits": 36,
            }
        ],
        "layers": [
            {"name": "s", "path": "lif", "latency": 1, "reset_offset": 1},
            {"name": "n", "path": "", "latency": 2, "reset_offset": 2},
        ],
    }


def test_the_text_says_the_same(graph: Graph) -> None:
    pipeline = pipelined(graph, CHIP)
    assert timing_line(pipeline, CHIP) == (
        "pipelined: an answer 6 clock steps after its first frame, a new sample every 3; "
        "1 delay line of 36 bit; encoder on the chip, head on the chip"
    )
    *head, labels, rule, row, total = timing_text(pipeline, CHIP).splitlines()
    assert " ".join(line.strip() for line in head) == timing_line(pipeline, CHIP)
    assert [labels, rule, row, total] == [
        "what waits  numbers  bits  read after steps  memory",
        "---------------------------------------------------",
        "c                 4     9  2                 36 bit",
        "all                                          36 bit",
    ]


def test_sub_steps_are_named(graph: Graph) -> None:
    pipeline = pipelined(graph, CHIP)
    object.__setattr__(pipeline, "substeps", 4)
    assert "a new sample every 3, each step 4 sub-steps long; 1" in timing_line(pipeline, CHIP)


def test_where_nothing_waits_there_is_no_table(graph: Graph) -> None:
    ops = [op for op in graph.ops if op.name in ("x", "c", "s")]
    short = Pipeline(graph.replace(ops))
    assert " ".join(timing_text(short, CHIP).split()) == timing_line(short, CHIP)
    assert "every 3; nothing waits; encoder" in timing_line(short, CHIP)
    assert timing_document(short, CHIP)["delays"] == []


def test_a_place_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="the encoder runs on 'gpu', wanted 'host' or 'chip'"):
        Sites("gpu")  # type: ignore[arg-type]
