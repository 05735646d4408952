"""A pipeline as a network of Lava processes in which every connection takes a step.

Importing this module imports Lava: call ``compat.enable()`` first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lava.magma.core.run_configs import Loihi2SimCfg

from snncc.backends.lava.clusters import Cluster, clusters
from snncc.backends.lava.engine import shared_zeros
from snncc.backends.lava.lower import connect, wires
from snncc.backends.lava.processes.clocked import ClockedWork, Connection, Neurons, model_of
from snncc.backends.lava.processes.library import Sink, Source, Stage
from snncc.execute.pipelined import Clockwork, clock_steps, frames
from snncc.ir.graph import Array
from snncc.ir.latency import Pipeline


@dataclass(frozen=True)
class PipelinedNetwork:
    """Connected Lava processes, and the tapes, ``[clock steps, *shape]``, that fill as they run."""

    processes: tuple[Stage, ...]
    tapes: Mapping[str, Array]
    steps: int

    def run_config(self) -> Any:
        """Return Lava's run configuration: the model of each process, found without a search."""
        models = {process: model_of(process) for process in self.processes}
        return Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=models)


def lower_pipelined(pipeline: Pipeline, x: Array, *, probes: bool) -> PipelinedNetwork:
    """Return the network that runs samples ``x`` back to back.

    With ``probes`` each neuron layer is recorded by the process that makes it.
    """
    graph, shown = pipeline.graph, frames(pipeline, x)
    length = len(next(iter(shown.values())))
    steps = clock_steps(pipeline, length // pipeline.interval)
    answers = tuple(dict.fromkeys(op.inputs[0] for op in graph.of_kind("output")))
    probed = [op.name for op in graph.of_kind("integer_neuron")] if probes else []
    tapes = {
        wire.value: shared_zeros((steps, *wire.shape[1:]), wire.dtype)
        for wire in wires(graph, tuple(dict.fromkeys((*probed, *answers))), 1)
    }
    sources = tuple(
        Source(name, (), wires(graph, (name,), 1), ClockedWork(pipeline.interval, frames={name: f}))
        for name, f in shown.items()
    )
    recorded = {name: tapes[name] for name in answers}
    sink = Sink(
        "sink", wires(graph, answers, 1), (), ClockedWork(pipeline.interval, tapes=recorded)
    )
    inner = tuple(_process(each, pipeline, tapes, set(probed)) for each in clusters(pipeline))
    network = PipelinedNetwork((*sources, *inner, sink), tapes, steps)
    connect(network.processes)
    return network


def _process(
    cluster: Cluster, pipeline: Pipeline, tapes: Mapping[str, Array], probed: set[str]
) -> Stage:
    own = {name: tapes[name] for name in cluster.ops if name in probed}
    work = ClockedWork(pipeline.interval, clockwork=Clockwork(pipeline, cluster.ops), tapes=own)
    ins = wires(pipeline.graph, cluster.inputs, 1)
    outs = wires(pipeline.graph, cluster.outputs, 1)
    return (Connection if cluster.delayed else Neurons)(cluster.name, ins, outs, work)
