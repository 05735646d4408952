"""What each layer did, and how the papers' estimate of it differs from what was counted.

The estimate ``rate (dense + bias)`` is more, or less, than the operations that took place, by

- ``bias``: additions of a bias, which the estimate multiplies by the rate too;
- ``padding``: taps of a kernel on zero padding, where there is no synapse;
- ``placement``: spikes that sit where they meet fewer synapses than the mean place does, at a
  border or between strides (negative: more). Of inputs that are no spikes: those that are zero;
- ``partner``: of a product of two values, factors whose partner is zero.

The parts add up to the difference exactly. All figures are of one sample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from snncc.energy.attention import Block, attention_blocks
from snncc.energy.price import PRICED, Load, estimated
from snncc.execute.counts import Counts, OpCount
from snncc.execute.synapses import existing_taps, windows_over
from snncc.ir.graph import Graph, Op
from snncc.ir.ops import AvgPool, MaxPool
from snncc.passes.check_spikes import verdicts
from snncc.passes.spike_causes import shown

FIRES = ("neuron", "integer_neuron")
WORK = (
    "synaptic_ops", "bias_adds", "residual_adds", "pool_ops", "neuron_updates",
    "neuron_updates_active", "spikes", "weight_words", "potential_words",
)  # fmt: skip
"""What is summed over a network, each for one sample."""


def readings(graph: Graph) -> Mapping[str, dict[str, str]]:
    """Return, for each product, its role (encoder, head or nothing) and what it ``reads``."""
    return {
        v.name: {"role": v.role, "reads": ", ".join(dict.fromkeys(shown(d) for d in v.domains))}
        for v in verdicts(graph)
    }


def layer_details(graph: Graph, counts: Counts) -> Mapping[str, dict[str, Any]]:
    """Return what each product and neuron layer did, by name."""
    estimates = {load.name: load for load in estimated(counts)}
    blocks = {p.name: block for block in attention_blocks(graph) for p in block.products}
    found: dict[str, dict[str, Any]] = {}
    for op in counts.ops.values():
        if op.kind in ("matmul", "mask"):
            block = blocks.get(op.name)
            found[op.name] = _of_values(op, graph, counts.samples, estimates[op.name], block)
        elif op.kind in PRICED:
            found[op.name] = _of_weights(op, graph, counts.samples, estimates[op.name])
        elif op.kind in FIRES:
            found[op.name] = _neurons(op, counts.samples)
    return found


def other_ops(graph: Graph, counts: Counts) -> tuple[dict[str, Any], ...]:
    """Return the additions of residuals and the operations of pools, which no model here prices."""
    found = ((op, _elementwise(graph[op.name], op, graph)) for op in counts.ops.values())
    return tuple(
        {"path": op.path, "op": op.kind, "name": op.name, "ops": op.runs * ops}
        for op, ops in found
        if ops is not None
    )


def work_of(
    details: Mapping[str, Mapping[str, Any]], others: tuple[dict[str, Any], ...]
) -> dict[str, float]:
    """Return what a network did in all: each key of ``WORK``."""
    sums = {key: sum(of.get(key, 0) for of in details.values()) for key in WORK}
    sums["synaptic_ops"] = sum(of.get("counted_ops", 0) for of in details.values())
    sums["residual_adds"] = sum(o["ops"] for o in others if o["op"] == "add")
    sums["pool_ops"] = sum(o["ops"] for o in others if o["op"] != "add")
    return sums


def _counted(op: OpCount, samples: int, estimate: Load) -> dict[str, Any]:
    spikes = op.spike_input or op.spike_right
    counted = int((op.synaptic_ops if spikes else op.event_ops).sum()) / samples
    return {"estimated_ops": estimate.ac + estimate.mac, "counted_ops": counted}


def _of_values(
    op: OpCount, graph: Graph, samples: int, estimate: Load, block: Block | None
) -> dict[str, Any]:
    """Return what a product of two values did; ``block`` is the attention that it is part of."""
    found = _counted(op, samples, estimate)
    said, counted = found["estimated_ops"], found["counted_ops"]
    heads = _heads(op, graph)
    formula = None
    if block is not None and op.kind == "matmul":
        size = block.tokens * block.width_k * block.width_v // heads
        formula = op.runs * size * estimate.rate
    attention = {
        "heads": heads,
        "adds_by_head": [int(n) / samples for n in op.head_ops.sum(axis=0)],
        "and_accumulate": int(op.fan_out_ops.sum()) / samples,
        "adds": counted,
        "ssa_formula": formula,
    }
    return {**found, "difference": {"partner": said - counted}, "attention": attention}


def _of_weights(op: OpCount, graph: Graph, samples: int, estimate: Load) -> dict[str, Any]:
    found = _counted(op, samples, estimate)
    existing = op.runs * existing_taps(graph[op.name], graph)
    found["difference"] = {
        "bias": estimate.rate * (estimate.dense_ops - op.runs * op.dense_ops),
        "padding": estimate.rate * (op.runs * op.dense_ops - existing),
        "placement": estimate.rate * existing - found["counted_ops"],
    }
    found["by_value_ops"] = int(op.synaptic_ops.sum()) / samples
    found["bias_adds"] = int(op.bias_ops.sum()) / samples
    found["weight_words"] = int(op.event_ops.sum()) / samples
    return found


def _neurons(op: OpCount, samples: int) -> dict[str, Any]:
    updates = int(op.updates.sum()) / samples
    return {
        "neuron_updates": updates,
        "neuron_updates_active": int(op.active.sum()) / samples,
        "spikes": int(op.spikes_out.sum()) / samples,
        "potential_words": 2 * updates,
    }


def _heads(op: OpCount, graph: Graph) -> int:
    shape = graph.type_of(op.name).shape
    return math.prod(shape[:-2]) if op.kind == "matmul" else 1


def _elementwise(op: Op, count: OpCount, graph: Graph) -> int | None:
    """Return the operations of one run: an addition an element, all but one a window's values."""
    if op.kind == "add":
        return count.elements_out
    if not isinstance(op, (MaxPool, AvgPool)):
        return None
    shape, n = graph.type_of(op.name).shape, len(op.kernel)
    dilation = op.dilation if isinstance(op, MaxPool) else (1,) * n
    places = graph.type_of(op.inputs[0]).shape[-n:]
    axes = zip(places, shape[-n:], op.kernel, op.stride, op.padding, dilation, strict=True)
    windows = math.prod(shape[:-n]) * math.prod(int(windows_over(*axis).sum()) for axis in axes)
    return windows - count.elements_out
