"""A step graph as a network of Lava processes, connected.

Importing this module imports Lava: call ``compat.enable()`` first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from lava.magma.core.run_configs import Loihi2SimCfg

from snncc.backends.lava.engine import Engine, Tape, wire_dtype
from snncc.backends.lava.partition import Granularity, Part, partition
from snncc.backends.lava.processes.library import (
    OF_KIND,
    Sink,
    Source,
    Stage,
    Wire,
    Work,
    model_of,
)
from snncc.ir.graph import Array, Graph
from snncc.ir.interpret import read_input
from snncc.ir.ops import Input
from snncc.ir.timing import Timing, timings


@dataclass(frozen=True)
class Network:
    """Connected Lava processes, and the tapes that fill while they run.

    ``spikes`` has the neuron layers, ``answers`` the values that the graph's outputs show.
    """

    processes: tuple[Stage, ...]
    spikes: Tape
    answers: Tape
    steps: int

    def run_config(self) -> Any:
        """Return Lava's run configuration: the model of each process, found without a search."""
        models = {process: model_of(process) for process in self.processes}
        return Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=models)


def lower(graph: Graph, x: Array, *, granularity: Granularity, batch: int, probes: bool) -> Network:
    """Return the network that runs the graph on ``x`` in blocks of ``batch`` samples.

    ``x`` is ``[B, *shape]``, or ``[T, B, *shape]`` where the input varies, with B a multiple of
    ``batch``. With ``probes`` each neuron layer is recorded by the process that makes it.
    """
    inputs = [cast(Input, op) for op in graph.of_kind("input")]
    samples = x.shape[1 if inputs[0].varies else 0]
    spikes, answers = Tape(graph.steps, batch), Tape(graph.steps, batch)
    recorded = graph.of_kind("integer_neuron") if probes else ()
    for op in recorded:
        spikes.add(op.name, True, samples, graph.type_of(op.name).shape, np.uint8)
    sources = [_source(op, x, graph, batch) for op in inputs]
    stages = [_stage(part, graph, spikes) for part in partition(graph, granularity)]
    processes = (*sources, *stages, _sink(graph, answers, samples))
    connect(processes)
    return Network(processes, spikes, answers, samples // batch * graph.steps)


def connect(processes: tuple[Stage, ...]) -> None:
    """Connect each port that reads a value to the port that sends it."""
    makers = {w.value: process for process in processes for w in process.outs.values()}
    for process in processes:
        for wire in process.ins.values():
            makers[wire.value].out_port(wire.value).connect(process.in_port(wire.value))


def wires(graph: Graph, values: tuple[str, ...], batch: int) -> tuple[Wire, ...]:
    """Return the channels of values, the batch in front of their shapes."""
    types = [(value, graph.type_of(value)) for value in values]
    return tuple(Wire(v, (batch, *t.shape), wire_dtype(t.domain)) for v, t in types)


def _source(op: Input, x: Array, graph: Graph, batch: int) -> Stage:
    counts = read_input(op, x)
    if op.varies:
        blocks = counts.reshape(graph.steps, -1, batch, *op.shape).swapaxes(0, 1)
        frames = blocks.reshape(-1, batch, *op.shape)
    else:
        frames = counts.reshape(-1, batch, *op.shape)
    held = 1 if op.varies else graph.steps
    work = Work(graph.steps, frames={op.name: frames}, held=held)
    return Source(op.name, (), wires(graph, (op.name,), batch), work)


def _stage(part: Part, graph: Graph, spikes: Tape) -> Stage:
    recorded = tuple(name for name in part.ops if name in spikes.arrays)
    work = Work(graph.steps, Engine(graph, part.ops), spikes, recorded)
    ins = wires(graph, part.inputs, spikes.batch)
    outs = wires(graph, part.outputs, spikes.batch)
    return OF_KIND.get(part.kind, Stage)(part.name, ins, outs, work)


def _sink(graph: Graph, answers: Tape, samples: int) -> Stage:
    values = tuple(dict.fromkeys(op.inputs[0] for op in graph.of_kind("output")))
    ins = wires(graph, values, answers.batch)
    for wire in ins:
        timed = timings(graph)[wire.value] is Timing.STEP
        answers.add(wire.value, timed, samples, wire.shape[1:], wire.dtype)
    return Sink("sink", ins, (), Work(graph.steps, None, answers, values))
