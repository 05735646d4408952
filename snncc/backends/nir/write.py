"""Writes a float step graph as a NIR file, in the layout of ``nir`` 1.0.8 (``serialization.py``).

Batch norms and scales are folded into weights first. The file says in its ``metadata`` what NIR has
no place for: time steps, dt, how the input comes in and how answers are added up.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from snncc.backends.nir.nodes import NirGraph, nir_nodes
from snncc.backends.writers import Network
from snncc.ir.graph import Graph, IRError
from snncc.passes.base import run_passes
from snncc.passes.canonicalise import Canonicalise
from snncc.passes.fold_batch_norm import FoldBatchNorm
from snncc.passes.fold_scales import FoldScales

VERSION = "1.0.8"


def write(network: Network, path: Path) -> None:
    """Write the floats of a network as NIR. Raises ``SnnccError`` with every reason why not."""
    if network.floating is None:
        raise IRError("NIR holds floats")
    write_nir(network.floating, path)


def write_nir(graph: Graph, path: Path) -> None:
    """Write a float step graph as NIR. Raises ``SnnccError`` with every reason why not."""
    folded = run_passes(graph, (FoldScales(), FoldBatchNorm(), FoldScales(), Canonicalise())).graph
    found = nir_nodes(folded)
    with h5py.File(path, "w") as file:
        file.create_dataset("version", data=VERSION, dtype=h5py.string_dtype())
        _graph(file.create_group("node"), found)


def _graph(group: Any, found: NirGraph) -> None:
    text = h5py.string_dtype()
    group.create_dataset("type", data="NIRGraph", dtype=text)
    group.create_dataset("edges", data=np.array(found.edges, dtype=object), dtype=text)
    nodes = group.create_group("nodes")
    for name, fields in found.nodes.items():
        _fields(nodes.create_group(name), fields)
    _fields(group.create_group("metadata"), found.metadata)


def _fields(group: Any, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if isinstance(value, str):
            group.create_dataset(name, data=value, dtype=h5py.string_dtype())
        elif isinstance(value, np.ndarray) and value.ndim:
            group.create_dataset(name, data=value, compression="gzip")
        else:
            group.create_dataset(name, data=value)
