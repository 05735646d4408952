"""The writer of ONNX files, as the table of writers calls it."""

from __future__ import annotations

from pathlib import Path

from snncc.backends.onnx.model import bytes_of, write_onnx
from snncc.backends.onnx.properties import of_the_origin
from snncc.backends.onnx.rules import ONNX_CANNOT_SAY
from snncc.backends.writers import Network
from snncc.diagnostics.core import SnnccError
from snncc.ir.graph import Source


def write(network: Network, path: Path, *, unroll: bool = False) -> None:
    """Write the integer step graph of a network. Raises ``SnnccError`` for what ONNX cannot say."""
    if network.integer is None:
        message = f"`{network.name}` is a network of floats, wanted its integers"
        raise SnnccError(ONNX_CANNOT_SAY.at(Source(), message, hint="give `--target`"))
    facts = of_the_origin(network.integer, network.target)
    model = write_onnx(network.integer, name=network.name, unroll=unroll, metadata=facts)
    path.write_bytes(bytes_of(model))
