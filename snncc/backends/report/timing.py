"""How long an answer takes where every connection takes a step, and what waits meanwhile."""

from __future__ import annotations

from typing import Any

from snncc.backends.report.table import count_of, paragraph, si, table
from snncc.diagnostics.render import printable
from snncc.ir.latency import Buffer, Pipeline
from snncc.ir.sites import NEURONS, Sites


def timing_document(pipeline: Pipeline, sites: Sites) -> dict[str, Any]:
    """Return the ``timing`` of a report; all times are clock steps, each of ``substeps``."""
    return {
        "encoder": sites.encoder,
        "head": sites.head,
        "depth": pipeline.depth,
        "latency": pipeline.latency,
        "interval": pipeline.interval,
        "substeps": pipeline.substeps,
        "delay_memory_bits": sum(line.memory_bits for line in pipeline.buffers),
        "host": [op.name for op in pipeline.graph.ops if op.name in pipeline.host],
        "delays": [_line_document(line) for line in pipeline.buffers],
        "layers": _layers(pipeline),
    }


def timing_line(pipeline: Pipeline, sites: Sites) -> str:
    """Return latency, interval and memory in one sentence."""
    memory = sum(line.memory_bits for line in pipeline.buffers)
    each = f", each step {pipeline.substeps} sub-steps long" if pipeline.substeps > 1 else ""
    lines = f"{count_of(len(pipeline.buffers), 'delay line')} of {_bits(memory)}"
    lines = lines if memory else "nothing waits"
    return (
        f"pipelined: an answer {pipeline.latency} clock steps after its first frame, a new sample "
        f"every {pipeline.interval}{each}; {lines}; "
        f"encoder on the {sites.encoder}, head on the {sites.head}"
    )


def timing_text(pipeline: Pipeline, sites: Sites) -> str:
    """Return latency and interval, and a table of what waits, in at most 100 columns."""
    columns = (("what waits", False), ("numbers", True), ("bits", True),
               ("read after steps", False), ("memory", True))  # fmt: skip
    rows = [
        (printable(line.value), f"{line.places:,}", str(line.bits), _taps(line),
         _bits(line.memory_bits))
        for line in pipeline.buffers
    ]  # fmt: skip
    total = sum(line.memory_bits for line in pipeline.buffers)
    if rows:
        rows.append(("all", "", "", "", _bits(total)))
    return paragraph(timing_line(pipeline, sites), "  ") + (table(columns, rows) if rows else "")


def _bits(number: int) -> str:
    return f"{si(number)}bit" if number >= 1000 else f"{number} bit"


def _taps(line: Buffer) -> str:
    return ", ".join(str(tap) for tap in line.taps)


def _line_document(line: Buffer) -> dict[str, Any]:
    return {
        "value": line.value,
        "path": line.path,
        "places": line.places,
        "bits": line.bits,
        "steps": line.steps,
        "taps": list(line.taps),
        "memory_bits": line.memory_bits,
    }


def _layers(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Return when each neuron layer fires first, and the remainder of the steps that reset it."""
    found = []
    for op in pipeline.graph.of_kind(*NEURONS):
        late = pipeline.latency_of[op.name] or 0
        found.append(
            {
                "name": op.name,
                "path": op.source.module,
                "latency": late,
                "reset_offset": late % pipeline.interval,
            }
        )
    return found
