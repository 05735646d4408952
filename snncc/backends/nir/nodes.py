"""A float step graph as the nodes and edges of NIR, or every reason why there are none.

A node of NIR reads the sum of the edges into it, so a residual sum of currents in front of neurons
is no node but two edges. Time is in units of ``DT_S``, the 0.1 ms of snnTorch and SpikingJelly:
``tau`` time steps are ``tau DT_S`` seconds, and IF has ``r = 1 / DT_S``. NIR fires above the
threshold; where snncc fires at it, the threshold written is the next smaller 32-bit float. A
current of which a step leaves ``keep`` has ``tau_syn = DT_S / (1 - keep)``, and as NIR multiplies
what comes in by ``DT_S / tau_syn``, ``w_in`` is the inverse of that. A stored tensor that is added
in front of leaky neurons is where they leak to, ``v_leak``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import numpy as np

from snncc.backends.nir.rules import NIR_CANNOT_SAY
from snncc.backends.refusals import Refusals
from snncc.ir.graph import Array, Graph, Op, Shape
from snncc.ir.ops import (
    Add,
    AvgPool,
    Constant,
    Conv,
    Input,
    Linear,
    Neuron,
    Output,
    Readout,
    Reshape,
    Scale,
    Sum,
)
from snncc.ir.synaptic_current import SynapticCurrent
from snncc.ir.timing import Timing, timings

DT_S = 1e-4

_AS_ONNX = "ONNX says it in the integers of a chip: `snncc convert MODEL out.onnx --target NAME`"
_OF_RESET = (
    "no reader of NIR can be told: train with a reset to a value (snnTorch: "
    '`reset_mechanism="zero", reset_delay=False`; SpikingJelly: `v_reset=0.0`), or write ONNX: '
    "`snncc convert MODEL out.onnx --target NAME`"
)

Fields: TypeAlias = Mapping[str, Any]

_REASONS = {
    "matmul": "an attention product: NIR has no product of two computed values",
    "mask": "a product of two computed values: NIR has none",
    "max_pool": "a max-pool: NIR has sum and average pools",
    "concat": "values side by side: NIR has no concatenation",
    "batch_norm": "a batch norm that does not fold into weights",
    "compare": "a comparison",
    "permute": "axes in another order: NIR has none",
    "slice": "a part of a value: NIR has none",
    "expand": "a value shown in many places: NIR has none",
    "pad": "a border of its own: NIR pads with zeros, in convolutions and pools",
}


@dataclass
class NirGraph:
    """Nodes by name, each with its fields, and edges between names."""

    nodes: dict[str, Fields] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)


def nir_nodes(graph: Graph) -> NirGraph:
    """Return a float step graph as NIR. Raises ``SnnccError`` with every reason why not."""
    writer = _Writer(graph)
    writer.run()
    if writer.refused:
        raise writer.refused.error()
    return writer.made


class _Writer:
    """Goes through a graph in order; ``sources`` are the nodes whose sum a value is."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.refused = Refusals()
        self.made = NirGraph()
        self._sources: dict[str, tuple[str, ...]] = {}
        self._mean = False

    def run(self) -> None:
        """Write every op that the answer is made of."""
        when = timings(self.graph)
        for op in self.graph.ops:
            if when[op.name] is Timing.SAMPLE and op.kind not in ("readout", "scale", "output"):
                self.refuse(op, f"{op.kind} behind the sum over time steps: NIR has no such sum")
            elif op.kind in _ALIKE:
                _ALIKE[op.kind](self, op)
            elif op.kind in _NODES:
                fields = _NODES[op.kind](self, op)
                if fields is not None:
                    self._node(op, fields)
            else:
                self.refuse(op, _REASONS.get(op.kind, f"{op.kind} has no NIR node"))
        entry = cast(Input, self.graph.of_kind("input")[0])
        if entry.scale is not None:
            self.refuse(entry, f"it reads whole counts of {entry.scale:g}: NIR reads real numbers")
        self.made.metadata = {
            "writer": "snncc", "time_steps": self.graph.steps, "dt_s": DT_S,
            "input": "events" if entry.varies else "image",
            "readout": "mean" if self._mean else "sum",
        }  # fmt: skip

    def refuse(self, op: Op, message: str, hint: str = _AS_ONNX) -> None:
        """Note why an op has no form."""
        self.refused.add(NIR_CANNOT_SAY, op, message, hint)

    def shape(self, name: str) -> Shape:
        """Return the shape of a value."""
        return self.graph.type_of(name).shape

    def weight(self, name: str) -> Array:
        """Return a weight, in 32-bit floats where it was in more."""
        return cast(Array, self.graph.weights[name]).astype(np.float32)

    def _node(self, op: Op, fields: Fields) -> None:
        self.made.nodes[op.name] = fields
        self._link(op, op.name)
        self._sources[op.name] = (op.name,)

    def _link(self, op: Op, name: str) -> None:
        starts = [s for each in op.inputs for s in self._sources.get(each, ())]
        if len(set(starts)) != len(starts):
            self.refuse(op, "it reads a value twice: NIR has one edge between two nodes")
        self.made.edges += [(start, name) for start in dict.fromkeys(starts)]

    def alias(self, op: Op) -> None:
        """A value shown at every time step is the value."""
        self._sources[op.name] = self._sources.get(op.inputs[0], ())

    def constant(self, op: Op) -> None:
        """A stored tensor has no node: it is where neurons leak to, or has no form."""
        if not all(_pulled(self.graph, user) for user in self.graph.users[op.name]):
            self.refuse(op, "a stored tensor: NIR has no constants")

    def add(self, op: Op) -> None:
        """A sum is edges into whatever reads it, which has to be neurons, or the answer."""
        pulled = _pulled(self.graph, op)
        if pulled is not None:
            self._sources[op.name] = self._sources.get(pulled.current, ())
            return
        shapes = {self.shape(name) for name in (*op.inputs, op.name)}
        if len(shapes) > 1:
            self.refuse(op, "a sum that broadcasts: edges of NIR have one shape")
        readers = {user.kind for user in self.graph.users[op.name]}
        if readers - {"neuron", "synaptic_current", "add", "readout"}:
            what = "a sum of spikes that weights read" if readers & {"conv", "linear"} else "a sum"
            self.refuse(op, f"{what}: NIR adds where currents meet in neurons")
        self._sources[op.name] = tuple(s for i in op.inputs for s in self._sources.get(i, ()))

    def readout(self, op: Op) -> None:
        """The sum over time steps is what whoever runs the file does with its answers."""
        self._sources[op.name] = self._sources.get(op.inputs[0], ())

    def output(self, op: Op) -> None:
        """The end of the graph: one answer a time step."""
        if timings(self.graph)[op.name] is not Timing.SAMPLE:
            self.refuse(op, "an answer for each time step: snncc reads back their sum")
        scale = cast(Output, op).scale
        for factor in np.unique(self.weight(scale)) if scale else ():
            self._factor(op, float(factor))
        fields = {"type": "Output", "shape": np.array(self.shape(op.name))}
        self._node(op, fields)

    def _behind_time(self, op: Op) -> bool:
        """Whether an op reads, through scales alone, the sum over time steps."""
        while op.inputs and not isinstance(op, Readout):
            op = self.graph[op.inputs[0]]
            if not isinstance(op, Readout | Scale):
                return False
        return isinstance(op, Readout)

    def scale(self, op: Op) -> None:
        """A constant factor is a node; behind the sum over time steps it is their mean."""
        factor = cast(Scale, op).factor
        if not self._behind_time(op):
            shape = self.shape(op.name)
            self._node(op, {"type": "Scale", "scale": np.full(shape, np.float32(factor))})
            return
        self._factor(op, factor)
        self.alias(op)

    def _factor(self, op: Op, factor: float) -> None:
        """Note a factor behind the sum over time steps: only that of their mean has a place."""
        self._mean = math.isclose(factor * self.graph.steps, 1, rel_tol=1e-6)
        if not self._mean and factor != 1:
            self.refuse(op, f"a factor {factor:g} behind the sum over time, other than of a mean")


def _input(writer: _Writer, op: Op) -> Fields:
    return {"type": "Input", "shape": np.array(writer.shape(op.name))}


def _conv(writer: _Writer, op: Op) -> Fields | None:
    conv = cast(Conv, op)
    axes = len(conv.stride)
    if axes > 2:
        writer.refuse(op, "a convolution in three dimensions")
        return None
    weight = writer.weight(conv.weight)
    bias = writer.weight(conv.bias) if conv.bias else np.zeros(len(weight), np.float32)
    places = writer.shape(op.inputs[0])[-axes:]
    fields = {"stride": conv.stride, "padding": conv.padding, "dilation": conv.dilation}
    plain = {k: v[0] if axes == 1 else np.array(v) for k, v in fields.items()}
    shape = places[0] if axes == 1 else np.array(places)
    return {
        "type": f"Conv{axes}d", "input_shape": shape, "weight": weight, "bias": bias, **plain,
        "groups": conv.groups,
    }  # fmt: skip


def _linear(writer: _Writer, op: Op) -> Fields | None:
    linear = cast(Linear, op)
    if len(writer.shape(op.inputs[0])) != 1:
        writer.refuse(op, "a linear layer over tokens: NIR multiplies one vector")
        return None
    weight = writer.weight(linear.weight)
    if linear.bias is None:
        return {"type": "Linear", "weight": weight}
    return {"type": "Affine", "weight": weight, "bias": writer.weight(linear.bias)}


def _neuron(writer: _Writer, op: Op) -> Fields | None:
    neuron, shape = cast(Neuron, op), writer.shape(op.name)
    reasons = list(_unlike(neuron))
    for reason in reasons:
        writer.refuse(op, reason, _OF_RESET if reason == _SOFT else _AS_ONNX)
    if reasons:
        return None
    rest = neuron.v_reset or 0.0
    level = np.float32(neuron.v_threshold)
    level = level if neuron.strict else np.nextafter(level, np.float32(-np.inf))
    common = {"v_threshold": np.full(shape, level), "v_reset": np.full(shape, np.float32(rest))}
    if neuron.tau is None:
        return {"type": "IF", "r": np.full(shape, np.float32(1 / DT_S)), **common}
    gain = 1.0 if neuron.decay_input else neuron.tau
    tau = np.full(shape, neuron.tau * DT_S)
    before = writer.graph[op.inputs[0]]
    leak, pulled = np.full(shape, np.float32(rest)), _pulled(writer.graph, before)
    if pulled is not None:
        pull = np.asarray(writer.graph.weights[pulled.pull], np.float64)
        leak = np.broadcast_to(rest + pull * (1.0 if neuron.decay_input else neuron.tau), shape)
        before = writer.graph[pulled.current]
    common |= {"r": np.full(shape, gain), "v_leak": leak}
    if not _is_of_neurons(writer.graph, before):
        return {"type": "LIF", "tau": tau, **common}
    lost = 1 - cast(SynapticCurrent, before).keep
    synapses = {"tau_syn": np.full(shape, DT_S / lost), "w_in": np.full(shape, 1 / lost)}
    return {"type": "CubaLIF", "tau_mem": tau, **synapses, **common}


def _current(writer: _Writer, op: Op) -> Fields | None:
    """A current that lasts is part of the neurons that alone read it, else an integrator."""
    lost = 1 - cast(SynapticCurrent, op).keep
    if lost == 0:
        writer.refuse(op, "a current that never fades: NIR's have a time constant")
        return None
    if _is_of_neurons(writer.graph, op):
        writer.alias(op)
        return None
    shape = writer.shape(op.name)
    return {
        "type": "LI", "tau": np.full(shape, DT_S / lost), "r": np.full(shape, 1 / lost),
        "v_leak": np.zeros(shape, np.float32),
    }  # fmt: skip


def _is_of_neurons(graph: Graph, op: Op) -> bool:
    """Whether a value is a current that one layer of leaky neurons reads and nothing else."""
    readers = [
        graph.users[each.name][0] if _pulled(graph, each) else each for each in graph.users[op.name]
    ]
    leaky = [each for each in readers if isinstance(each, Neuron) and each.tau is not None]
    return op.kind == "synaptic_current" and len(readers) == len(leaky) == 1


@dataclass(frozen=True)
class _Pulled:
    """A current, and the weight that is added to it because neurons leak to somewhere."""

    current: str
    pull: str


def _pulled(graph: Graph, op: Op) -> _Pulled | None:
    """Return what an op is the sum of where it pulls the potential of leaky neurons."""
    readers = graph.users[op.name] if isinstance(op, Add) and len(op.inputs) == 2 else ()
    if len(readers) != 1 or not isinstance(readers[0], Neuron) or readers[0].tau is None:
        return None
    parts = sorted((graph[name] for name in op.inputs), key=lambda each: each.kind == "constant")
    current, stored = parts
    alike = graph.type_of(current.name).shape == graph.type_of(op.name).shape
    if not isinstance(stored, Constant) or current.kind == "constant" or not alike:
        return None
    return _Pulled(current.name, stored.value)


_SOFT = "a spike takes the threshold off its potential: NIR resets to a value"


def _unlike(neuron: Neuron) -> Iterator[str]:
    """Return what a neuron does that NIR's do not."""
    if neuron.levels > 1:
        yield f"fires up to {neuron.levels} spikes in a time step: NIR's neurons fire one"
    if neuron.norm != 1:
        yield f"its spikes are worth {1 / neuron.norm:g}: NIR's are worth one"
    if neuron.grain is not None and neuron.tau not in (None, 1):
        yield "its potential is rounded as it leaks, as a chip's: NIR's are real numbers"
    if neuron.v_reset is None:
        yield _SOFT


def _avg_pool(writer: _Writer, op: Op) -> Fields | None:
    pool = cast(AvgPool, op)
    plain = pool.count_include_pad or not any(pool.padding)
    if pool.ceil_mode or not plain or len(pool.kernel) != 2:
        writer.refuse(op, "an average pool with ceil_mode, of uneven windows, or not in two axes")
        return None
    sizes = {"kernel_size": pool.kernel, "stride": pool.stride, "padding": pool.padding}
    return {"type": "AvgPool2d", **{k: np.array(v) for k, v in sizes.items()}}


def _sum(writer: _Writer, op: Op) -> Fields | None:
    """The sum of each channel over its image is a pool as large as that."""
    before, axes = writer.shape(op.inputs[0]), cast(Sum, op).axes
    if len(before) != 3 or sorted(axes) != [1, 2] or not cast(Sum, op).keepdims:
        writer.refuse(op, "a sum over places other than those of an image: NIR has none")
        return None
    sizes = {"kernel_size": before[1:], "stride": (1, 1), "padding": (0, 0)}
    return {"type": "SumPool2d", **{k: np.array(v) for k, v in sizes.items()}}


def _reshape(writer: _Writer, op: Op) -> Fields | None:
    before, after = writer.shape(op.inputs[0]), cast(Reshape, op).shape
    if len(after) != 1:
        writer.refuse(op, "reshape to more than one axis: NIR flattens")
        return None
    return {
        "type": "Flatten", "input_type": np.array(before), "start_dim": 0,
        "end_dim": len(before) - 1,
    }  # fmt: skip


_ALIKE: Mapping[str, Callable[[_Writer, Op], None]] = {
    "repeat": _Writer.alias,
    "constant": _Writer.constant,
    "add": _Writer.add,
    "readout": _Writer.readout,
    "output": _Writer.output,
    "scale": _Writer.scale,
}
_NODES: Mapping[str, Callable[[_Writer, Op], Fields | None]] = {
    "input": _input,
    "conv": _conv,
    "linear": _linear,
    "neuron": _neuron,
    "synaptic_current": _current,
    "avg_pool": _avg_pool,
    "sum": _sum,
    "reshape": _reshape,
}
