"""Running an artefact on data: the executor's integers, or Lava's held to them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from snncc.artefact import Artefact
from snncc.backends.lava.conformance import ConformanceCase, conformance, needed_values
from snncc.backends.lava.partition import Granularity
from snncc.backends.lava.pipelined import run_lava_pipelined
from snncc.backends.lava.run import LavaRun, Mismatch, run_lava, verify
from snncc.backends.report.table import count_of, paragraph, table
from snncc.backends.report.text import accuracy_line
from snncc.execute.accuracy import accuracy_of, right_share
from snncc.execute.counts import batches
from snncc.execute.dataset import Dataset
from snncc.execute.executor import Executor
from snncc.execute.pipelined import clock_steps, run_pipelined
from snncc.ir.graph import Array, Graph
from snncc.ir.interpret import interpret
from snncc.ir.latency import Pipeline
from snncc.ir.sites import Sites
from snncc.passes.balance_delays import pipelined

SCHEMA = "snncc.simulate/1"
Backend = Literal["executor", "lava"]


@dataclass(frozen=True)
class Simulation:
    """What a run gave. ``verified`` is None where nothing was compared.

    ``spikes_compared`` counts every neuron of every layer at every time step of every sample.
    """

    samples: int
    time_steps: int
    backend: Backend
    seconds: float
    predictions: tuple[int, ...]
    verified: bool | None = None
    spikes_compared: int = 0
    mismatches: int = 0
    first_mismatch: Mismatch | None = None
    accuracy: Mapping[str, float | None] = field(default_factory=dict)
    conformance: tuple[ConformanceCase, ...] = ()
    pipeline: Pipeline | None = None

    @property
    def equal(self) -> bool:
        """Whether nothing that was compared differs, stock processes included."""
        return not (self.mismatches or any(case.mismatches for case in self.conformance))


def simulate(
    artefact: Artefact,
    dataset: Dataset,
    *,
    backend: Backend = "executor",
    check: bool = False,
    granularity: Granularity = "stage",
    clocked: bool = False,
) -> Simulation:
    """Run an artefact on samples; with ``check``, hold every spike to the reference.

    The reference is the executor; its own is the interpreter, unless ``clocked`` runs a pipeline.
    """
    graph, started = artefact.integer, time.monotonic()
    pipeline = pipelined(graph, sites_of(artefact)) if clocked else None
    layout = next(batches(graph, dataset.inputs, len(dataset)))
    reference = _executed(graph, layout, every_layer=check)
    run = LavaRun({}, {}, processes=0, seconds=0.0)
    if pipeline is not None:
        run = _run_clocked(pipeline, layout, backend, probes=check)
    elif backend == "lava":
        run = run_lava(graph, layout, granularity=granularity, probes=check)
    elif check:
        run, reference = _as_run(graph, reference), interpret(graph, layout)
    compared = verify(run, reference) if check else None
    integer = reference[_output_name(graph)]
    ran = run.outputs.get(_output_name(graph), integer)
    return Simulation(
        samples=len(dataset),
        time_steps=graph.steps,
        backend=backend,
        seconds=time.monotonic() - started,
        predictions=tuple(int(i) for i in ran.argmax(axis=-1)),
        verified=None if compared is None else compared.exact,
        spikes_compared=compared.spikes_compared if compared else 0,
        mismatches=compared.mismatches + compared.output_mismatches if compared else 0,
        first_mismatch=compared.first_mismatch if compared else None,
        accuracy=_accuracies(artefact.floating, dataset, integer, ran),
        pipeline=pipeline,
    )


def conform(artefact: Artefact, dataset: Dataset, samples: int = 2) -> tuple[ConformanceCase, ...]:
    """Return how Lava's stock processes do on each layer, on the first samples."""
    graph = artefact.integer
    layout = next(batches(graph, dataset.inputs[:samples], samples))
    values = Executor(graph).run(layout, keep=needed_values(graph)).values
    return conformance(graph, values, samples=min(samples, len(dataset)))


def simulation_document(simulation: Simulation) -> dict[str, Any]:
    """Return the ``snncc.simulate/1`` document."""
    first = simulation.first_mismatch
    place = first and {
        "layer": first.layer, "t": first.t, "sample": first.sample, "index": list(first.index)
    }  # fmt: skip
    return {
        "schema": SCHEMA,
        "samples": simulation.samples,
        "time_steps": simulation.time_steps,
        "backend": simulation.backend,
        "verified": simulation.verified,
        "pipelined": _clock_document(simulation),
        "spikes_compared": simulation.spikes_compared,
        "mismatches": simulation.mismatches,
        "first_mismatch": place,
        "accuracy": dict(simulation.accuracy),
        "conformance": [_case_document(case) for case in simulation.conformance],
        "predictions": list(simulation.predictions),
        "seconds": round(simulation.seconds, 3),
    }


def simulation_text(simulation: Simulation, artefact: Artefact) -> str:
    """Return what ran, whether it was equal, and how often it was right, a line each."""
    samples = count_of(simulation.samples, "sample")
    network = f"{artefact.manifest.get('model')} for {artefact.manifest.get('target')}"
    lines = [f"{network}: {samples}, T={simulation.time_steps}, in {simulation.backend}"]
    if clock := _clock_document(simulation):
        lines.append(
            f"pipelined: {count_of(clock['clock_steps'], 'clock step')}, a sample every "
            f"{clock['interval']}, its answer {clock['latency']} steps after its first frame"
        )
    if simulation.verified is not None:
        verdict = "equal" if simulation.verified else "NOT EQUAL"
        lines.append(
            f"verified: {verdict}, {simulation.spikes_compared:,} spikes compared, "
            f"{count_of(simulation.mismatches, 'mismatch')}"
        )
    if first := simulation.first_mismatch:
        place = f"neuron {first.index}, time step {first.t}, sample {first.sample}"
        lines.append(f"first mismatch: layer {first.layer}, {place}")
    if accuracy := accuracy_line(simulation.accuracy):
        lines.append(accuracy)
    if simulation.conformance:
        lines += ["", _conformance(simulation.conformance)]
    return "\n".join(lines) + "\n"


def sites_of(artefact: Artefact) -> Sites:
    """Return where an artefact's encoder and head run: as compiled, else as usual."""
    options = artefact.manifest.get("options", {})
    usual = Sites()
    return Sites(options.get("encoder", usual.encoder), options.get("head", usual.head))


def _clock_document(simulation: Simulation) -> dict[str, int] | None:
    pipeline = simulation.pipeline
    if pipeline is None:
        return None
    return {
        "clock_steps": clock_steps(pipeline, simulation.samples),
        "depth": pipeline.depth,
        "latency": pipeline.latency,
        "interval": pipeline.interval,
    }


def _conformance(cases: tuple[ConformanceCase, ...]) -> str:
    columns = (("layer", False), ("stock processes", False), ("neurons", False),
               ("spikes", True), ("mismatches", True))  # fmt: skip
    rows = [
        (case.layer, ", ".join(case.ops) or "none", case.slice,
         f"{case.spikes_compared:,}", f"{case.mismatches:,}")
        for case in cases
    ]  # fmt: skip
    said = ((c.layer, reason) for c in cases for reason in (c.skipped_reason, *c.limits) if reason)
    reasons = [f"{layer}: {reason}" for layer, reason in said]
    return "".join([table(columns, rows), *(paragraph(reason, "  ") for reason in reasons)])


def _case_document(case: ConformanceCase) -> dict[str, Any]:
    return {**dataclasses.asdict(case), "ops": list(case.ops), "shape": list(case.shape),
            "limits": list(case.limits)}  # fmt: skip


def _output_name(graph: Graph) -> str:
    return graph.of_kind("output")[0].name


def _executed(graph: Graph, x: Array, *, every_layer: bool) -> dict[str, Array]:
    """Return the executor's outputs, and its spikes where every layer is wanted."""
    kinds = ("integer_neuron", "output") if every_layer else ("output",)
    return dict(Executor(graph).run(x, keep=[op.name for op in graph.of_kind(*kinds)]).values)


def _run_clocked(pipeline: Pipeline, x: Array, backend: Backend, *, probes: bool) -> LavaRun:
    """Run samples back to back, one clock step at a time, in Lava or here."""
    if backend == "lava":
        return run_lava_pipelined(pipeline, x, probes=probes)
    kinds = ("integer_neuron", "output") if probes else ("output",)
    names = [op.name for op in pipeline.graph.of_kind(*kinds)]
    values = run_pipelined(pipeline, x, names)
    outputs = {op.name: values.pop(op.name) for op in pipeline.graph.of_kind("output")}
    return LavaRun(outputs, values, processes=0, seconds=0.0)


def _as_run(graph: Graph, values: Mapping[str, Array]) -> LavaRun:
    """Return the executor's values in the form in which Lava's are compared."""
    spikes = {op.name: values[op.name] for op in graph.of_kind("integer_neuron")}
    outputs = {op.name: values[op.name] for op in graph.of_kind("output")}
    return LavaRun(outputs, spikes, processes=0, seconds=0.0)


def _accuracies(
    floating: Graph | None, dataset: Dataset, integer: Array, ran: Array
) -> dict[str, float | None]:
    """Return the accuracy of the float network, of the integers, and of what has run."""
    labels = dataset.labels
    if labels is None:
        return {"float": None, "integer": None, "backend": None}
    real = None if floating is None else accuracy_of(floating, dataset.inputs, labels)
    return {
        "float": real,
        "integer": right_share(integer, labels),
        "backend": right_share(ran, labels),
    }
