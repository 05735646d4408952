"""The writer of ONNX files, as the table of writers calls it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors import numpy as tensor_file

from snncc.backends.onnx.model import bytes_of, write_onnx
from snncc.backends.onnx.rules import ONNX_CANNOT_SAY
from snncc.backends.writers import Network
from snncc.diagnostics.core import SnnccError
from snncc.ir.graph import Graph, Source
from snncc.ir.text import dump
from snncc.passes.check_spikes import verdicts


def write(network: Network, path: Path, *, unroll: bool = False) -> None:
    """Write the integer step graph of a network. Raises ``SnnccError`` for what ONNX cannot say."""
    if network.integer is None:
        message = f"`{network.name}` is a network of floats, wanted its integers"
        raise SnnccError(ONNX_CANNOT_SAY.at(Source(), message, hint="give `--target`"))
    facts = dict(_facts(network, network.integer))
    model = write_onnx(network.integer, name=network.name, unroll=unroll, metadata=facts)
    path.write_bytes(bytes_of(model))


def _facts(network: Network, integer: Graph) -> Iterator[tuple[str, str]]:
    """Yield what the file says of its origin; the hashes are those of an artefact's manifest."""
    yield "snncc.target", network.target
    yield "snncc.graph.txt.sha256", hashlib.sha256(dump(integer).encode()).hexdigest()
    tensors = {
        name: np.ascontiguousarray(weight).reshape(weight.shape)
        for name, weight in sorted(integer.weights.items())
        if isinstance(weight, np.ndarray)
    }
    weights = hashlib.sha256(tensor_file.save(tensors)).hexdigest()
    yield "snncc.weights.safetensors.sha256", weights
    if network.floating is not None and network.floating.level == "step":
        yield "snncc.verdict", _verdict(network.floating)


def _verdict(floating: Graph) -> str:
    """Say how many products are spike-driven, and which are not."""
    found = verdicts(floating)
    others = [f"{v.path} ({v.role or v.verdict})" for v in found if not v.is_spike_driven]
    told = f"{len(found) - len(others)} of {len(found)} products are spike-driven"
    return f"{told}; not: {', '.join(others)}" if others else told
