"""What a file says of itself beside the arithmetic: properties, all but the target derived."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import numpy as np
from safetensors import numpy as tensor_file

from snncc import __version__
from snncc.ir.graph import Graph
from snncc.ir.text import dump
from snncc.passes.check_spikes import verdicts

VERSION = "snncc.version"
GRAPH = "snncc.graph.txt"
"""The step graph as text, from which the file is read back."""
WEIGHTS = "snncc.weights"
"""Name, type and shape of each weight of the step graph, as JSON: a file keeps other forms."""
TIME = "snncc.time"
TARGET = "snncc.target"
SCAN, UNROLLED = "scan", "unrolled"


def of_the_graph(graph: Graph, *, unroll: bool) -> dict[str, str]:
    """Return what every file says: its version, and the graph that it was written from."""
    kept = [
        [name, str(weight.dtype), list(weight.shape)]
        for name, weight in sorted(graph.weights.items())
    ]
    return {
        VERSION: __version__,
        TIME: UNROLLED if unroll else SCAN,
        "snncc.time_steps": str(graph.steps),
        GRAPH: dump(graph),
        WEIGHTS: json.dumps(kept, separators=(",", ":")),
    }


def of_the_origin(integer: Graph, target: str) -> dict[str, str]:
    """Return what a compiled network's file says besides: target, verdict, an artefact's hashes."""
    return dict(_of_the_origin(integer, target))


def _of_the_origin(integer: Graph, target: str) -> Iterator[tuple[str, str]]:
    yield TARGET, target
    yield f"{GRAPH}.sha256", hashlib.sha256(dump(integer).encode()).hexdigest()
    tensors = {
        name: np.ascontiguousarray(weight).reshape(weight.shape)
        for name, weight in sorted(integer.weights.items())
        if isinstance(weight, np.ndarray)
    }
    weights = hashlib.sha256(tensor_file.save(tensors)).hexdigest()
    yield "snncc.weights.safetensors.sha256", weights
    yield "snncc.verdict", _verdict(integer)


def _verdict(integer: Graph) -> str:
    """Say how many products are spike-driven, and which are not."""
    found = verdicts(integer)
    others = [f"{v.path} ({v.role or v.verdict})" for v in found if not v.is_spike_driven]
    told = f"{len(found) - len(others)} of {len(found)} products are spike-driven"
    return f"{told}; not: {', '.join(others)}" if others else told
