"""The nodes and edges of a NIR file, subgraphs written out, in the order in which they compute."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from snncc.diagnostics.core import SnnccError
from snncc.frontends.hdf5 import Leaf, Tree, fault, read_tree
from snncc.frontends.rules_of_exchange import UNKNOWN_VERSION
from snncc.frontends.rules_of_files import NOT_FINITE
from snncc.frontends.rules_of_nir import NOT_NIR, RECURRENT_NIR
from snncc.ir.graph import Array, Source

_NEWEST = 1
_SHOWN = 6
"""Nodes of a cycle that a message names."""


@dataclass(frozen=True)
class Node:
    """A node: its path in the file, its type, its other fields, and the nodes that it reads."""

    path: str
    type: str
    fields: Mapping[str, Leaf]
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class NirFile:
    """The nodes of a file; each stands behind those that it reads. ``metadata`` is the graph's."""

    path: Path
    nodes: tuple[Node, ...]
    metadata: Tree = field(default_factory=dict)

    def source(self, node: Node) -> Source:
        """Return where a node is from."""
        return Source(node.path, self.path.as_posix())


def read_nodes(path: Path) -> NirFile:
    """Return the nodes of a NIR file. Raises ``SnnccError``."""
    tree = read_tree(path)
    _check_version(path, text(tree.get("version")))
    top = tree.get("node")
    if not isinstance(top, Mapping) or text(top.get("type")) != "NIRGraph":
        raise fault(NOT_NIR, path, f"`{path}` is no NIR graph: it has no group `node` of that type")
    nodes: dict[str, Node] = {}
    edges = list(_flattened(path, top, "", nodes))
    for node in nodes.values():
        check_finite(path, node)
    linked = _linked(path, nodes, edges)
    metadata = top.get("metadata")
    ordered = tuple(linked[name] for name in _order(path, linked))
    return NirFile(path, ordered, metadata if isinstance(metadata, Mapping) else {})


def _check_version(path: Path, said: str) -> None:
    """Raise ``SnnccError`` for a later version of NIR; the first ones wrote none."""
    major = re.match(r"\d{1,9}", said)
    if said and (major is None or int(major[0]) > _NEWEST):
        message = f"`{path}` is of NIR `{said[:20]}`, wanted 0 or {_NEWEST}"
        raise fault(UNKNOWN_VERSION, path, message)


def _flattened(
    path: Path, graph: Tree, prefix: str, nodes: dict[str, Node]
) -> Iterator[tuple[str, str]]:
    """Add the nodes of a graph and of its subgraphs; return the edges between them.

    The one ``Input`` and ``Output`` of a subgraph stay, as nodes that hand on what they read.
    """
    inner = graph.get("nodes")
    if not isinstance(inner, Mapping):
        raise fault(NOT_NIR, path, f"`{path}`: the graph `{prefix or 'node'}` has no nodes")
    ends: dict[str, tuple[str, str]] = {}
    for name, fields in inner.items():
        place = f"{prefix}.{name}" if prefix else name
        if not isinstance(fields, Mapping) or not isinstance(fields.get("type"), str):
            raise fault(NOT_NIR, path, f"`{path}`: the node `{place}` has no type")
        if fields["type"] == "NIRGraph":
            yield from _flattened(path, fields, place, nodes)
            ends[name] = _ends(path, fields, place)
        elif place in nodes:
            raise fault(NOT_NIR, path, f"`{path}`: two nodes are called `{place}`")
        else:
            nodes[place] = Node(place, cast(str, fields["type"]), fields)
            ends[name] = (place, place)
    for start, stop in _edges(path, graph, prefix):
        if start not in ends or stop not in ends:
            message = f"`{path}`: the edge from `{start}` to `{stop}` ends at no node"
            raise fault(NOT_NIR, path, message)
        yield ends[start][1], ends[stop][0]


def _ends(path: Path, graph: Tree, place: str) -> tuple[str, str]:
    found = []
    for kind in ("Input", "Output"):
        inner = cast(Tree, graph["nodes"]).items()
        named = [n for n, f in inner if isinstance(f, Mapping) and text(f.get("type")) == kind]
        if len(named) != 1:
            message = f"`{path}`: the subgraph `{place}` has {len(named)} nodes {kind}, wanted one"
            raise fault(NOT_NIR, path, message)
        found.append(f"{place}.{named[0]}")
    return found[0], found[1]


def _edges(path: Path, graph: Tree, prefix: str) -> list[tuple[str, str]]:
    edges = graph.get("edges")
    if not isinstance(edges, np.ndarray):
        raise fault(NOT_NIR, path, f"`{path}`: the graph `{prefix or 'node'}` has no edges")
    if edges.size == 0:
        return []
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind != "O":
        message = f"`{path}`: edges of shape {edges.shape}, wanted pairs of names"
        raise fault(NOT_NIR, path, message)
    pairs = [(str(start), str(stop)) for start, stop in edges]
    seen: set[tuple[str, str]] = set()
    for start, stop in pairs:
        if (start, stop) in seen:
            raise fault(NOT_NIR, path, f"`{path}`: the edge `{start}` to `{stop}` stands twice")
        seen.add((start, stop))
    return pairs


def check_finite(path: Path, node: Node) -> None:
    """Raise ``SnnccError`` where numbers of a node, not of groups in it, are infinite or none."""
    for name, value in node.fields.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            continue
        wrong = int(np.count_nonzero(~np.isfinite(value)))
        if wrong:
            message = f"`{node.path}.{name}`: {wrong} of {value.size} values are not finite"
            raise SnnccError(NOT_FINITE.at(Source(node.path, path.as_posix()), message))


def _linked(path: Path, nodes: dict[str, Node], edges: list[tuple[str, str]]) -> dict[str, Node]:
    reads: dict[str, list[str]] = {name: [] for name in nodes}
    for start, stop in edges:
        reads[stop].append(start)
    for name, node in nodes.items():
        if not reads[name] and node.type != "Input":
            message = f"`{path}`: nothing leads to the node `{name}` ({node.type})"
            raise fault(NOT_NIR, path, message)
    return {n: Node(n, node.type, node.fields, tuple(reads[n])) for n, node in nodes.items()}


def _order(path: Path, nodes: Mapping[str, Node]) -> list[str]:
    """Return the names so that each stands behind what it reads. Raises where there is a cycle."""
    waiting = {name: len(node.reads) for name, node in nodes.items()}
    readers: dict[str, list[str]] = {name: [] for name in nodes}
    for name, node in nodes.items():
        for start in node.reads:
            readers[start].append(name)
    ready = deque(name for name, count in waiting.items() if count == 0)
    done: dict[str, None] = {}
    while ready:
        name = ready.popleft()
        done[name] = None
        for reader in readers[name]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                ready.append(reader)
    if len(done) < len(nodes):
        raise _recurrent(path, nodes, done)
    return list(done)


def _recurrent(path: Path, nodes: Mapping[str, Node], done: Container[str]) -> SnnccError:
    """Return the error that names a cycle: whatever is left reads something that is left."""
    name = next(name for name in nodes if name not in done)
    walked: dict[str, None] = {}
    while name not in walked:
        walked[name] = None
        name = next(start for start in nodes[name].reads if start not in done)
    places = list(walked)
    cycle = [f"`{each}`" for each in places[places.index(name) :]]
    shown = [*cycle[:_SHOWN], "..."] if len(cycle) > _SHOWN else [*cycle, cycle[0]]
    message = f"`{name}` reads itself: {' <- '.join(shown)}"
    source = Source(name, path.as_posix())
    hint = "snncc compiles networks without recurrent connections"
    return SnnccError(RECURRENT_NIR.at(source, message, hint=hint))


def text(value: Leaf | None) -> str:
    """Return a field that holds a text; nothing for anything else."""
    return value if isinstance(value, str) else ""


def numbers(value: Leaf | None) -> Array | None:
    """Return a field that holds numbers, as floats if it held such; None for anything else."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iufb":
        return None
    narrow = value.dtype.kind == "f" and value.dtype.itemsize < 4
    return value.astype(np.float32) if narrow else value
