"""Running an artefact on data: the executor's integers, or Lava's held to them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from snncc.artefact import DAMAGED_ARTEFACT, MANIFEST, Artefact
from snncc.backends.lava.conformance import ConformanceCase, conformance, needed_values
from snncc.backends.lava.partition import Granularity
from snncc.backends.lava.pipelined import run_lava_pipelined
from snncc.backends.lava.run import LavaRun, Mismatch, run_lava, verify
from snncc.backends.report.table import count_of, paragraph, table
from snncc.backends.report.text import accuracy_line
from snncc.diagnostics.core import SnnccError
from snncc.execute.accuracy import chosen, outputs_of
from snncc.execute.counts import BATCH, batches
from snncc.execute.dataset import Dataset
from snncc.execute.executor import Executor
from snncc.execute.pipelined import clock_steps, run_pipelined
from snncc.execute.shards.job import Job, Result, RunShards, Work, digest_of, run_whole
from snncc.ir.graph import Array, Graph, Source
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
    run: RunShards = run_whole,
) -> Simulation:
    """Run an artefact on samples; with ``check``, hold every spike to the reference.

    The reference is the executor; its own is the interpreter, unless ``clocked`` runs a pipeline.
    The executor's samples are run in shards by ``run``; Lava and a pipeline take all at once.
    """
    graph, started = artefact.integer, time.monotonic()
    if backend == "executor" and not clocked:
        floating = None if dataset.labels is None else artefact.floating
        job = SimulateJob(graph, floating, check)
        return _merged(job, dataset, run(job, dataset), started)
    ran = _run_whole(
        artefact, dataset, backend, check=check, granularity=granularity, clocked=clocked
    )
    return dataclasses.replace(ran, seconds=time.monotonic() - started)


def _run_whole(
    artefact: Artefact,
    dataset: Dataset,
    backend: Backend,
    *,
    check: bool,
    granularity: Granularity,
    clocked: bool,
) -> Simulation:
    """Run all samples as one, in Lava or as a pipeline; how long it took is not said."""
    graph = artefact.integer
    pipeline = pipelined(graph, sites_of(artefact)) if clocked else None
    layout = next(batches(graph, dataset.inputs, len(dataset)))
    reference = _executed(Executor(graph), layout, every_layer=check)
    if pipeline is not None:
        ran = _run_clocked(pipeline, layout, backend, probes=check)
    else:
        ran = run_lava(graph, layout, granularity=granularity, probes=check)
    compared = verify(ran, reference) if check else None
    output = _output_name(graph)
    integer, answers = (chosen(values[output]) for values in (reference, ran.outputs))
    real = None
    if dataset.labels is not None and artefact.floating is not None:
        real = chosen(outputs_of(artefact.floating, dataset.inputs))
    return Simulation(
        samples=len(dataset),
        time_steps=graph.steps,
        backend=backend,
        seconds=0.0,
        predictions=tuple(int(i) for i in answers),
        verified=None if compared is None else compared.exact,
        spikes_compared=compared.spikes_compared if compared else 0,
        mismatches=compared.mismatches + compared.output_mismatches if compared else 0,
        first_mismatch=compared.first_mismatch if compared else None,
        accuracy=_accuracies(dataset.labels, real, integer, answers),
        pipeline=pipeline,
    )


@dataclass(frozen=True)
class SimulateJob(Job):
    """Runs samples in the executor; with ``check``, holds every spike to the interpreter.

    ``floating`` is the float network whose accuracy is wanted beside it.
    """

    graph: Graph
    floating: Graph | None
    check: bool

    @property
    def identity(self) -> str:
        """A digest of both graphs and of what is compared."""
        return digest_of("simulate", self.graph, self.floating, self.check)

    def start(self) -> Work:
        """Prepare the executors, and return what runs a shard in them."""
        executor = Executor(self.graph)
        floating = None if self.floating is None else Executor(self.floating)

        def work(data: Dataset) -> Result:
            shard = _Shard(self.graph)
            for part in batches(self.graph, data.inputs, BATCH):
                values = _executed(executor, part, every_layer=self.check)
                shard.add(values, interpret(self.graph, part) if self.check else None)
                if floating is not None:
                    shard.real.append(chosen(floating.run(part).output))
            return shard.result()

        return work


@dataclass
class _Shard:
    """What the batches of a shard gave: answers ``[B]``, and how they compare."""

    graph: Graph
    answers: list[Array] = field(default_factory=list)
    reference: list[Array] = field(default_factory=list)
    real: list[Array] = field(default_factory=list)
    compared: int = 0
    mismatches: int = 0
    firsts: list[tuple[int, ...]] = field(default_factory=list)

    def add(self, values: Mapping[str, Array], reference: Mapping[str, Array] | None) -> None:
        """Take a batch; compare it where there is a reference."""
        output, before = _output_name(self.graph), sum(map(len, self.answers))
        self.answers.append(chosen(values[output]))
        self.reference.append(chosen((reference or values)[output]))
        if reference is None:
            return
        compared = verify(_as_run(self.graph, values), reference)
        self.compared += compared.spikes_compared
        self.mismatches += compared.mismatches + compared.output_mismatches
        if first := compared.first_mismatch:
            layer = _layers(self.graph).index(first.layer)
            self.firsts.append((layer, first.t, first.sample + before, *first.index))

    def result(self) -> Result:
        """Return all of it as arrays; the first mismatch is layer, time step, sample, index."""
        return {
            "answers": np.concatenate(self.answers),
            "reference": np.concatenate(self.reference),
            "real": np.concatenate([np.zeros(0, np.int64), *self.real]),
            "compared": np.array([self.compared, self.mismatches], np.int64),
            "first": np.array(min(self.firsts, default=()), np.int64),
        }


def _merged(
    job: SimulateJob, dataset: Dataset, results: Sequence[Result], started: float
) -> Simulation:
    """Return what the shards gave as one run, in the order of their samples."""
    answers, integer, real = (
        np.concatenate([result[name] for result in results])
        for name in ("answers", "reference", "real")
    )
    compared, mismatches = (int(n) for n in np.sum([r["compared"] for r in results], axis=0))
    floats = None if job.floating is None else real
    return Simulation(
        samples=len(dataset),
        time_steps=job.graph.steps,
        backend="executor",
        seconds=time.monotonic() - started,
        predictions=tuple(int(i) for i in answers),
        verified=mismatches == 0 if job.check else None,
        spikes_compared=compared,
        mismatches=mismatches,
        first_mismatch=_first(job.graph, results),
        accuracy=_accuracies(dataset.labels, floats, integer, answers),
    )


def _first(graph: Graph, results: Sequence[Result]) -> Mismatch | None:
    """Return the first mismatch of all shards, in the order of the network."""
    firsts, before = [], 0
    for result in results:
        if len(result["first"]):
            layer, t, sample, *index = (int(i) for i in result["first"])
            firsts.append((layer, t, sample + before, tuple(index)))
        before += len(result["answers"])
    if not firsts:
        return None
    layer, t, sample, place = min(firsts)
    return Mismatch(_layers(graph)[layer], t, sample, place)


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
            f"verified: {verdict}, {simulation.spikes_compared:,} neuron values compared, "
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
    """Return where an artefact's encoder and head run: as compiled, else as usual.

    Raises ``SnnccError`` where the manifest says what cannot be.
    """
    options, usual = artefact.manifest.get("options", {}), Sites()
    try:
        return Sites(options.get("encoder", usual.encoder), options.get("head", usual.head))
    except (AttributeError, TypeError, ValueError) as fault:
        message = f"the manifest's options are damaged: {fault}"
        raise SnnccError(DAMAGED_ARTEFACT.at(Source(file=MANIFEST), message)) from fault


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
               ("values", True), ("mismatches", True))  # fmt: skip
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


def _executed(executor: Executor, x: Array, *, every_layer: bool) -> Mapping[str, Array]:
    """Return the executor's outputs, and its spikes where every layer is wanted."""
    kinds = ("integer_neuron", "output") if every_layer else ("output",)
    names = [op.name for op in executor.graph.of_kind(*kinds)]
    return executor.run(x, keep=names).values


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
    labels: Array | None, real: Array | None, integer: Array, ran: Array
) -> dict[str, float | None]:
    """Return how often the float network, the integers, and what has run were right."""
    answers = {"float": real, "integer": integer, "backend": ran}
    return {
        name: None if labels is None or given is None else float((given == labels).mean())
        for name, given in answers.items()
    }


def _layers(graph: Graph) -> list[str]:
    return [op.name for op in graph.of_kind("integer_neuron")]
