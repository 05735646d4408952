"""A model: what every command works on, wherever it comes from.

A ``Model`` has a name, the shape of one sample, and an ``origin``, which can do two things:

- ``graph()`` gives the network as a graph: on the tensor level, as it was traced or as it stands in
  a file with the time loop unrolled, or on the step level, where the file's format says what
  happens in one time step;
- ``record(x)`` gives the origin's own answer to samples and, where it can tell, its own spikes, in
  float64. A compile holds the graph, raised and folded, against them.

A network in memory is a ``Traced``; a file of an exchange format is a ``ReadGraph``, whose own
answer is that of the graph as it was read, run by the interpreter before any pass has seen it. A
reader (see ``snncc.frontends.readers``) has to return no more than
``read_model(graph, name, "the NIR file")``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np
from torch import Tensor, nn

from snncc.diagnostics.core import Diagnostic
from snncc.frontends.batch_axis import batch_in_front
from snncc.frontends.families import Setting
from snncc.frontends.record import Recorded, record
from snncc.frontends.torch_export import trace
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.interpret import interpret
from snncc.ir.io import in_integers, input_varies, sample_shape
from snncc.ir.ops import Input, Neuron


class Origin(Protocol):
    """Where a network is from, and what it says there."""

    @property
    def called(self) -> str:
        """What it is called in a sentence: ``PyTorch``, ``the ONNX file``."""

    def graph(self) -> Graph:
        """Return the network as a graph. Raises ``SnnccError`` where there is none."""

    def record(self, x: Array) -> Recorded:
        """Return the network's own answer to ``x``, ``[N, *sample shape]``, and its own spikes."""


@dataclass(frozen=True)
class Traced:
    """A network in memory, and an example of its input, with which it is traced.

    ``batch_axis`` is where the module's own input has the batch; samples are given in front.
    """

    module: nn.Module
    example_inputs: tuple[Tensor, ...]
    called: str = "PyTorch"
    batch_axis: int = 0

    def graph(self) -> Graph:
        """Return the tensor graph of the module's own code."""
        graph = trace(self.module, self.example_inputs, batch_axis=self.batch_axis)
        return batch_in_front(graph) if self.batch_axis else graph

    def record(self, x: Array) -> Recorded:
        """Run the module's own code."""
        return record(self.module, np.moveaxis(x, 0, self.batch_axis))


@dataclass(frozen=True)
class ReadGraph:
    """A network that was read from a file: the graph as it stands there, on either level."""

    as_read: Graph
    called: str
    own: Graph | None = None
    """The graph that answers, where the one that is given is of another number of samples."""

    refused: str = ""
    """Why a file of one sample cannot be read for several."""

    def graph(self) -> Graph:
        """Return the graph as it was read."""
        return self.as_read

    def record(self, x: Array) -> Recorded:
        """Run the graph by the interpreter, in float64."""
        return (
            _run_steps(self.as_read, x)
            if self.as_read.level == "step"
            else _run(self.own or self.as_read, x)
        )


@dataclass(frozen=True)
class Model:
    """A network that can be given as a graph.

    ``input_shape`` is that of one sample; ``steps`` is the number of time steps, where known;
    ``labels`` are the names of the classes, where known. ``notes`` are what a reader has to say
    that is not in the graph: every command shows them. ``target`` is the chip in whose integers the
    network is, for a file of a network that was compiled before.
    """

    origin: Origin
    input_shape: tuple[int, ...]
    name: str
    steps: int | None = None
    provenance: tuple[Setting, ...] = ()
    labels: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()
    target: str = ""

    @property
    def in_integers(self) -> bool:
        """Whether the network was read in the integers of a chip: it was compiled before."""
        return isinstance(self.origin, ReadGraph) and in_integers(self.origin.as_read)

    @property
    def module(self) -> nn.Module:
        """The network in memory. Raises ``TypeError`` for one that was read as a graph."""
        return self._traced.module

    @property
    def example_inputs(self) -> tuple[Tensor, ...]:
        """The batch with which it is traced. Raises ``TypeError`` for one read as a graph."""
        return self._traced.example_inputs

    @property
    def _traced(self) -> Traced:
        if not isinstance(self.origin, Traced):
            raise TypeError(f"`{self.name}` is {self.origin.called}, no module")
        return self.origin


def read_model(graph: Graph, name: str, called: str, **fields: Any) -> Model:
    """Return the model of a graph that a file holds.

    ``called`` is what the file is called in a sentence; ``fields`` are other fields of ``Model``.
    """
    if graph.level == "step":
        shape, fields["steps"] = sample_shape(graph), graph.steps
    else:
        shape = cast(Input, graph.of_kind("input")[0]).shape[1:]
    return Model(ReadGraph(graph, called), shape, name, **fields)


def _run_steps(graph: Graph, x: Array) -> Recorded:
    moved = np.moveaxis(x, 1, 0) if input_varies(graph) else x
    values = interpret(graph, moved)
    spikes: dict[str, tuple[Array, ...]] = {}
    for op in graph.of_kind("neuron"):
        path = op.source.module
        spikes[path] = (*spikes.get(path, ()), _counts(op, values[op.name]))
    return Recorded(spikes, values[graph.of_kind("output")[0].name], counts=True)


def _counts(op: Op, fired: Array) -> Array:
    """Return how many spikes a layer fired, of what it gave."""
    return np.rint(fired * op.norm) if isinstance(op, Neuron) and op.norm != 1 else fired


def _run(graph: Graph, x: Array) -> Recorded:
    """Run a tensor graph, which has as many samples at once as its input has places for."""
    runs = [(interpret(graph, part), len(part), kept) for part, kept in _parts(graph, x)]
    answer = graph.of_kind("output")[0].name
    output = np.concatenate([v[answer].reshape(n, -1)[:kept] for v, n, kept in runs])
    spikes: dict[str, tuple[Array, ...]] = {}
    for path, ops in _firing(graph).items():
        steps = [[_counts(op, v[op.name]) for op in ops] for v, _, _ in runs]
        loop = ops[0].kind != "neuron" and not _is_alone(ops)
        whole = [
            _in_steps(np.stack(each) if loop else each[0], n, kept)
            for each, (_, n, kept) in zip(steps, runs, strict=True)
        ]
        spikes[path] = (np.concatenate(whole, axis=1),)
    return Recorded(spikes, output, counts=True)


def _parts(graph: Graph, x: Array) -> Iterator[tuple[Array, int]]:
    """Cut samples into batches of the graph's size, the last filled up; and how many are kept."""
    size = cast(Input, graph.of_kind("input")[0]).shape[0]
    for start in range(0, len(x), size):
        part = x[start : start + size]
        filled = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
        yield filled, len(part)


def _firing(graph: Graph) -> dict[str, list[Op]]:
    """Return the op that fires in each module, one a time step where the loop is unrolled.

    A comparison of a value turned over (``-x > -1``, ``1 - x > 0``) says where there is no spike:
    modules that have them are left out, as are those without memory, which do not say which axis is
    time, unless there is but one step of one sample.
    """
    found: dict[str, list[Op]] = {}
    for kind in ("count", "neuron", "compare"):
        before = set(found)
        for op in graph.of_kind(kind):
            if op.source.module not in before and not _compares_spikes(graph, op):
                found.setdefault(op.source.module, []).append(op)
    short = all(
        _is_alone(ops) and graph.type_of(ops[0].name).shape[0] == 1 for ops in found.values()
    )
    once = short and cast(Input, graph.of_kind("input")[0]).shape[0] == 1
    return {path: ops for path, ops in found.items() if path and _is_plain(graph, ops, once=once)}


def _compares_spikes(graph: Graph, op: Op) -> bool:
    return op.kind == "compare" and graph[op.inputs[0]].kind in ("compare", "count")


def _is_alone(ops: list[Op]) -> bool:
    """Whether a layer is one op without memory."""
    first = ops[0]
    keeps_nothing = isinstance(first, Neuron) and first.tau == 1
    return len(ops) == 1 and (first.kind == "count" or keeps_nothing)


def _is_plain(graph: Graph, ops: list[Op], *, once: bool) -> bool:
    if _is_alone(ops):
        return once
    if ops[0].kind == "neuron":
        return len(ops) == 1
    turned = any(_is_turned(graph, op) for op in ops)
    return not turned and len({graph.type_of(op.name).shape for op in ops}) == 1


def _is_turned(graph: Graph, op: Op) -> bool:
    """Whether factors and sums with numbers turn the value over that is compared."""
    turned, below = False, graph[op.inputs[0]]
    while below.kind in ("scale", "add"):
        inner = [name for name in below.inputs if graph[name].kind != "constant"]
        if len(inner) != 1:
            break
        turned ^= getattr(below, "factor", 1.0) < 0
        below = graph[inner[0]]
    return turned


def _in_steps(spikes: Array, samples: int, kept: int) -> Array:
    """Return spikes with time in front as ``[T, samples, neurons]``."""
    steps = spikes.shape[0]
    if spikes.size % (steps * samples):
        return spikes.reshape(steps, 1, -1)
    return spikes.reshape(steps, samples, -1)[:, :kept]
