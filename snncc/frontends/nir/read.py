"""From a NIR file to a model: a step graph, by the table of node types."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from snncc.diagnostics.core import Diagnostic, SnnccError
from snncc.frontends.families import Setting
from snncc.frontends.hdf5 import fault
from snncc.frontends.model import Model, read_model
from snncc.frontends.nir import layers, neurons
from snncc.frontends.nir.conventions import Reading, reading_of
from snncc.frontends.nir.file import NirFile, Node, numbers, read_nodes, text
from snncc.frontends.nir.write_steps import Writer
from snncc.frontends.rules_of_files import BAD_SETTING
from snncc.frontends.rules_of_nir import ASSUMED_NIR, NOT_NIR, UNKNOWN_NIR
from snncc.ir import ops
from snncc.ir.graph import Graph, Shape, Source, without_dead

_CONVERTERS: Mapping[str, Callable[[Writer, Node, str], str]] = {
    "Conv1d": layers.conv,
    "Conv2d": layers.conv,
    "Linear": layers.linear,
    "Affine": layers.linear,
    "Scale": layers.scale,
    "SumPool2d": layers.pool,
    "AvgPool2d": layers.pool,
    "Flatten": layers.flatten,
    "Delay": layers.delay,
    "IF": neurons.if_neuron,
    "LIF": neurons.lif_neuron,
    "CubaLIF": neurons.cuba_lif_neuron,
    "LI": neurons.leaky_integrator,
    "CubaLI": neurons.cuba_leaky_integrator,
    "Threshold": neurons.threshold,
}
_KNOWN = ", ".join((*_CONVERTERS, "I", "Input", "Output", "NIRGraph"))
_OF_CHANNELS = {"Conv1d": 2, "Conv2d": 3, "SumPool2d": 3, "AvgPool2d": 3, "Linear": 1, "Affine": 1}
"""How many axes a node of a type reads, where NIR says so."""


def read_nir(path: Path, asked: Any) -> Model:
    """Return the network in a NIR file; ``asked`` is an ``Asked``. Raises ``SnnccError``."""
    file = read_nodes(path)
    stated = _stated(file)
    try:
        reading = reading_of({**stated, **asked.settings})
    except ValueError as error:
        raise fault(BAD_SETTING, path, str(error)) from None
    graph = nir_graph(file, reading, asked.shape)
    provenance = (
        *(Setting(name, value, "--set") for name, value in asked.settings.items()),
        Setting("neurons", str(reading.convention), "as read"),
    )
    notes = () if stated else _assumed(path, asked.settings, reading)
    return read_model(graph, path.stem, "the NIR file", provenance=provenance, notes=notes)


def _stated(file: NirFile) -> dict[str, str]:
    """Return the settings that snncc writes beside a graph; no other writer says any."""
    if text(file.metadata.get("writer")) != "snncc":
        return {}
    names = {"T": "time_steps", "dt": "dt_s", "input": "input", "readout": "readout"}
    found = {name: file.metadata.get(key) for name, key in names.items()}
    return {n: str(v) for n, v in found.items() if isinstance(v, str) or getattr(v, "ndim", 1) == 0}


def nir_graph(file: NirFile, reading: Reading, shape: Shape | None = None) -> Graph:
    """Return the step graph of a NIR file; ``shape`` replaces that of its input.

    Raises ``SnnccError``.
    """
    entry, exit_ = _only(file, "Input"), _only(file, "Output")
    write = Writer(file.path.as_posix(), reading)
    made = {entry.path: _input(write, file, entry, shape)}
    integrators = [node.path for node in file.nodes if node.type == "I"]
    for node in file.nodes:
        if node is entry or node.type == "I":
            continue
        if any(name in integrators for name in node.reads) and node is not exit_:
            raise _behind_integrator(write, node)
        if node is exit_:
            made[node.path] = _output(write, file, node, made)
        elif node.type in ("Input", "Output"):
            made[node.path] = write.added(node, tuple(made[name] for name in node.reads))
        elif node.type in _CONVERTERS:
            total = write.added(node, tuple(made[name] for name in node.reads))
            made[node.path] = _CONVERTERS[node.type](write, node, total)
        else:
            raise _unknown(write, node)
    return without_dead(Graph(tuple(write.ops), write.weights, "step", reading.steps))


def _only(file: NirFile, kind: str) -> Node:
    """Return the one input or output of the whole graph; those of subgraphs have both sides."""
    read = {name for node in file.nodes for name in node.reads}
    ends = [n for n in file.nodes if n.type == kind]
    outer = [n for n in ends if not (n.reads if kind == "Input" else n.path in read)]
    if len(outer) != 1:
        named = ", ".join(f"`{n.path}`" for n in outer[:4]) or "none"
        message = f"`{file.path}` has {len(outer)} nodes {kind} ({named}), wanted one"
        raise fault(NOT_NIR, file.path, message)
    return outer[0]


def _input(write: Writer, file: NirFile, node: Node, shape: Shape | None) -> str:
    stated = write.integers(node, "shape", max(1, write.array(node, "shape").size), least=1)
    own = _without_batch(file, node, stated) if shape is None else shape
    if math.prod(own) > _MOST_INPUTS:
        raise write.fault(NOT_NIR, node, f"an input of shape {own} is too large")
    varies = write.reading.varies
    name = write.emit(node, ops.Input, shape=own, varies=varies)
    return name if varies else write.emit(node, ops.Repeat, name)


_MOST_INPUTS = 1 << 26


def _without_batch(file: NirFile, entry: Node, shape: Shape) -> Shape:
    """Return the shape of one sample: some exporters write the batch, of one, in front."""
    readers = [node for node in file.nodes if entry.path in node.reads]
    wanted = {_OF_CHANNELS.get(node.type) for node in readers}
    extra = shape[:1] == (1,) and wanted == {len(shape) - 1}
    return shape[1:] if extra else shape


def _output(write: Writer, file: NirFile, node: Node, made: Mapping[str, str]) -> str:
    """Add up all time steps of what the output reads."""
    by_path = {each.path: each for each in file.nodes}
    parts = []
    for name in node.reads:
        source = by_path[name]
        factor = 1.0
        if source.type == "I":
            value = write.added(source, tuple(made[each] for each in source.reads))
            factor = write.reading.convention.gain_without_leak(neurons.same(write, source, "r"))
        else:
            value = made[name]
        parts.append(write.scaled(node, value, factor))
    total = write.emit(
        node, ops.Readout, write.added(node, tuple(parts)), steps=write.reading.steps
    )
    mean = write.scaled(node, total, 1 / write.reading.steps if write.reading.mean else 1.0)
    _check_answer(write, node, mean)
    return write.emit(node, ops.Output, mean)


def _check_answer(write: Writer, node: Node, value: str) -> None:
    stated = numbers(node.fields.get("shape"))
    found = write.shape(value)
    sizes = [] if stated is None else stated.reshape(-1)[:16].tolist()
    if sizes and math.prod(sizes) != math.prod(found):
        message = f"the file says its answer has shape {tuple(sizes)}, it has {found}"
        raise write.fault(NOT_NIR, node, message)


def _behind_integrator(write: Writer, node: Node) -> SnnccError:
    return write.beyond(node, "it reads an integrator, of which only the last value can be read")


def _unknown(write: Writer, node: Node) -> SnnccError:
    shown = node.type[:40]
    return write.fault(UNKNOWN_NIR, node, f"there is no node `{shown}`", f"known: {_KNOWN}")


def _assumed(path: Path, settings: Mapping[str, str], reading: Reading) -> tuple[Diagnostic, ...]:
    """Return what was assumed of a file, unless framework and time steps were given."""
    if {"framework", "T"} <= settings.keys():
        return ()
    message = f"not in the file, assumed: T={reading.steps}, {reading.convention}"
    hint = "--set framework=snntorch|spikingjelly|norse|sinabs --set T=..."
    return (ASSUMED_NIR.at(Source(file=path.as_posix()), message, hint=hint),)
