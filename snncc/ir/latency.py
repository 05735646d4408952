"""How many clock steps behind the input each value of a step graph is made on a chip.

In a step graph a spike crosses the whole network within one time step. On a chip every connection
takes a step of its own, and the network is a pipeline: the value that time step t of the graph
makes appears at clock step ``t + L``. L is the value's latency. All that meet in an op must have
the same one, and delays see to it (``passes.balance_delays``).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import cast

from snncc.ir.delay import Delay
from snncc.ir.domain import Domain, width_bits
from snncc.ir.graph import Graph, IRError, Op
from snncc.ir.ops import VIEWS, WEIGHTED, Sum
from snncc.ir.substeps import Thermometer

CONNECTIONS = (*WEIGHTED, "matmul", "mask", "sum", "max_pool", "avg_pool")
"""Kinds that take a step: each place of their result gathers values that other neurons made, and
what a neuron makes in one step reaches another in the next.

The rest takes none. Synapses add what reaches a neuron (``add``); the neuron itself compares,
scales, rounds and counts (``neuron``, ``integer_neuron``, ``scale``, ``round_shift``, ``compare``,
``thermometer``, ``readout``, ``sum`` over sub-steps); views, ``pad`` and ``concat`` say which wire
leads where. A product that only another product reads is counted in the neurons of that one.
"""

REAL_BITS = 32
"""The width of a real value that waits, where a float graph is balanced: a 32-bit float."""


def steps_taken(graph: Graph, host: Collection[str] = ()) -> Mapping[str, int]:
    """Return how many clock steps behind its inputs each op makes its result; 0 on the host."""
    return {op.name: _steps(op, graph, host) for op in graph.ops}


def _steps(op: Op, graph: Graph, host: Collection[str]) -> int:
    if op.kind == "delay":
        return cast(Delay, op).steps
    if op.name in host or op.kind not in CONNECTIONS or is_inner_product(op, graph):
        return 0
    return 0 if op.kind == "sum" and _is_of_substeps(cast(Sum, op), graph) else 1


def is_inner_product(op: Op, graph: Graph) -> bool:
    """Whether a product is counted where the one product that reads it is: ``K^T V`` for ``Q``.

    Its counters stand in the neurons of the outer product, which all three operands reach at once.
    """
    users = graph.users[op.name]
    return op.kind == "matmul" and len(users) == 1 and users[0].kind == "matmul"


def _is_of_substeps(op: Sum, graph: Graph) -> bool:
    """Whether a sum adds what binary sub-steps of a count bring: a neuron adds it as it comes."""
    maker = graph[op.inputs[0]]
    if op.axes != (0,) or maker.kind not in (*WEIGHTED, "matmul"):
        return False
    spikes = graph[maker.inputs[0]]
    while spikes.kind == "delay":
        spikes = graph[spikes.inputs[0]]
    return spikes.kind == "thermometer"


def latencies(graph: Graph, host: Collection[str] = ()) -> Mapping[str, int | None]:
    """Return the latency of each value; None of those that never change, which meet any other.

    What the ``host`` computes takes no step. Raises ``IRError`` where an op reads values of
    different latencies.
    """
    found: dict[str, int | None] = {}
    steps = steps_taken(graph, host)
    for op in graph.ops:
        read = {name: late for name in op.inputs if (late := found[name]) is not None}
        if len(set(read.values())) > 1:
            each = ", ".join(f"`{name}` at {late}" for name, late in read.items())
            raise IRError(f"`{op.name}` joins values of different latencies: {each}")
        arrives = 0 if op.kind == "input" else next(iter(read.values()), None)
        found[op.name] = None if arrives is None else arrives + steps[op.name]
    return found


def bits_of(domain: Domain) -> int:
    """Return the bits that one waiting number of a domain takes."""
    return width_bits(domain) or REAL_BITS


@dataclass(frozen=True)
class Buffer:
    """The delay line of one value: ``places`` numbers of ``bits`` each, ``steps`` long.

    ``taps`` are the delays at which it is read. A reader that is no connection is reached by one
    that only carries the value, and that takes the last of the steps: it waits for one less.
    """

    value: str
    path: str
    places: int
    bits: int
    steps: int
    taps: tuple[int, ...]

    @property
    def memory_bits(self) -> int:
        """What waits in it at any moment."""
        return self.places * self.bits * self.steps


@dataclass(frozen=True, eq=False)
class Pipeline:
    """A balanced step graph on a clock; ``host`` names the ops that the host computes.

    A new sample is shown every ``interval`` clock steps, with no gap between two samples: each
    neuron layer is reset when the first time step of the next sample reaches it, at clock steps
    that leave the remainder ``latency modulo T``.
    """

    graph: Graph
    host: frozenset[str] = frozenset()

    @cached_property
    def latency_of(self) -> Mapping[str, int | None]:
        """The latency of each value; None of constants."""
        return latencies(self.graph, self.host)

    @cached_property
    def steps(self) -> Mapping[str, int]:
        """How many clock steps behind its inputs each op makes its result."""
        return steps_taken(self.graph, self.host)

    @cached_property
    def substeps(self) -> int:
        """Into how many sub-steps a clock step falls: as many as the largest count has spikes."""
        unrolled = (op for op in self.graph.of_kind("thermometer") if op.name not in self.host)
        return max((cast(Thermometer, op).levels for op in unrolled), default=1)

    @property
    def depth(self) -> int:
        """The largest latency of an output: what a time step takes to cross the network."""
        answers = (self.latency_of[op.name] or 0 for op in self.graph.of_kind("output"))
        return max(answers, default=0)

    @property
    def interval(self) -> int:
        """Clock steps from one sample to the next: its time steps."""
        return self.graph.steps

    @property
    def latency(self) -> int:
        """Clock steps from the first frame of a sample to its answer."""
        return self.depth + self.graph.steps

    @cached_property
    def buffers(self) -> tuple[Buffer, ...]:
        """The delay lines on the chip, in the order of the network."""
        lines: dict[str, dict[int, int]] = {}
        for op in self.graph.of_kind("delay"):
            if op.name not in self.host:
                source, tap = self._line(op)
                lines.setdefault(source, {})[tap] = tap - (0 if self._is_read_late(op) else 1)
        found = (self._buffer(value, taps) for value, taps in lines.items())
        return tuple(line for line in found if line.steps)

    def _is_read_late(self, op: Op) -> bool:
        """Whether a connection reads a value, which then has to wait before it can travel."""
        waiting, seen = [op.name], {op.name}
        while waiting:
            for user in self.graph.users[waiting.pop()]:
                if user.kind in CONNECTIONS and user.name not in self.host:
                    return True
                if user.kind in (*VIEWS, "concat", "pad") and user.name not in seen:
                    seen.add(user.name)
                    waiting.append(user.name)
        return False

    def _line(self, op: Op) -> tuple[str, int]:
        """Return what a delay delays, through those before it, and by how much in all."""
        steps = 0
        while op.kind == "delay":
            steps += cast(Delay, op).steps
            op = self.graph[op.inputs[0]]
        return op.name, steps

    def _buffer(self, value: str, taps: Mapping[int, int]) -> Buffer:
        made = self.graph.type_of(value)
        path, places = self._path(value), math.prod(made.shape)
        return Buffer(
            value, path, places, bits_of(made.domain), max(taps.values()), tuple(sorted(taps))
        )

    def _path(self, value: str) -> str:
        """Return the module that makes a value, views left out."""
        op = self.graph[value]
        while op.kind in VIEWS and op.inputs:
            op = self.graph[op.inputs[0]]
        return op.source.module or op.name
