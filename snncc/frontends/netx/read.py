"""From a netx file to a model: a step graph in floats with the file's whole numbers.

A stock neuron computes ``v' = rz(v (4096 - dv) / 4096) + 64 (X + b)`` and fires where
``v > 64 vth``: here in units of 64, with a threshold half a unit of ``v`` above ``vth``, and
potentials that are rounded to 1/64. Nothing is lost, and spikes are those of lava-dl. What
outlasts a step of a current is ``currents``'s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from snncc.diagnostics.core import Diagnostic
from snncc.frontends.hdf5 import Tree, fault, read_tree
from snncc.frontends.model import Model, read_model
from snncc.frontends.netx import currents
from snncc.frontends.netx.own import AS_IT_STANDS, Own, damaged
from snncc.frontends.netx.rules import ASSUMED_NETX, NETX_UNREAD, NOT_NETX
from snncc.frontends.nir.conventions import reading_of
from snncc.frontends.nir.file import Node, check_finite, numbers, text
from snncc.frontends.nir.write_steps import Writer
from snncc.frontends.rules_of_files import BAD_SETTING
from snncc.ir import ops
from snncc.ir.graph import Array, Graph, Op, Shape, Source, without_dead

SETTINGS = ("T", "input")

_PLACES = 6
_PLACE = 2.0**-_PLACES
_UNREAD = {
    "dense_rec": "recurrent weights", "dense_comp": "complex weights", "pool": "a pool",
    "convT": "a transposed convolution", "unpool": "an unpooling", "average": "an average",
    "concat": "a concatenation",
}  # fmt: skip


@dataclass(frozen=True)
class _File:
    """The layers of a file in order, each with its fields, and what else is in it."""

    path: Path
    layers: tuple[Node, ...]
    steps: int | None
    own: Own | None


def read_netx(path: Path, asked: Any) -> Model:
    """Return the network in a netx file; ``asked`` is an ``Asked``. Raises ``SnnccError``."""
    file = _opened(path)
    stated = {} if file.steps is None else {"T": str(file.steps)}
    try:
        reading = reading_of({"T": "16", **stated, **asked.settings})
    except ValueError as error:
        raise fault(BAD_SETTING, path, str(error)) from None
    write = Writer(path.as_posix(), reading, NOT_NETX)
    graph = _Reading(file, write).graph(asked.shape)
    notes: tuple[Diagnostic, ...] = ()
    if file.own is None and not set(SETTINGS) <= asked.settings.keys():
        how = "of its own at every time step" if reading.varies else "the same at every time step"
        message = f"not in the file, assumed: an input {how}, T={reading.steps}"
        notes = (ASSUMED_NETX.at(Source(file=path.as_posix()), message),)
    return read_model(graph, path.stem, "the netx file", notes=notes)


def _opened(path: Path) -> _File:
    tree = read_tree(path)
    layers = tree.get("layer")
    if not isinstance(layers, Mapping) or not layers:
        raise fault(NOT_NETX, path, f"`{path}` is no netx network: it has no group `layer`")
    nodes = []
    for index in range(len(layers)):
        fields = layers.get(str(index))
        kind = fields.get("type") if isinstance(fields, Mapping) else None
        if not isinstance(fields, Mapping) or not isinstance(kind, str):
            raise fault(NOT_NETX, path, f"`{path}` has no layer {index} with a type")
        nodes.append(Node(f"layer.{index}", kind, fields))
        check_finite(path, nodes[-1])
        config = fields.get("neuron")
        if isinstance(config, Mapping):
            check_finite(path, Node(f"layer.{index}.neuron", kind, config))
    kept = tree.get("snncc")
    own = Own.of(path, kept, nodes[1:]) if isinstance(kept, Mapping) else None
    return _File(path, tuple(nodes), _steps(tree), own)


def _steps(tree: Tree) -> int | None:
    simulation = tree.get("simulation")
    if not isinstance(simulation, Mapping):
        return None
    found = numbers(simulation.get("tSample"))
    if found is None or found.size != 1 or not np.isfinite(found).all():
        return None
    return int(found.reshape(-1)[0])


class _Reading:
    """Makes the ops of one file."""

    def __init__(self, file: _File, write: Writer) -> None:
        self._file, self._write = file, write
        self._forms = {} if file.own is None else file.own.forms

    def graph(self, shape: Shape | None) -> Graph:
        """Return the step graph. Raises ``SnnccError``."""
        file, write = self._file, self._write
        value = self._input(file.layers[0], shape)
        rest = file.layers[1:] if file.layers[0].type == "input" else file.layers
        for node in rest:
            if node.type in ("conv", "dense"):
                value = self._layer(node, value)
            elif node.type != "flatten":
                what = _UNREAD.get(node.type, f"of type `{node.type[:20]}`")
                raise write.fault(NETX_UNREAD, node, f"it is {what}")
        if file.own is not None:
            self._head(file.own, value)
        else:
            end = Node("output", "output", {})
            value = self._row(Node("output.row", "output", {}), value)
            total = write.emit(end, ops.Readout, value, steps=write.reading.steps)
            write.emit(end, ops.Output, total)
        return without_dead(Graph(tuple(write.ops), write.weights, "step", write.reading.steps))

    def _layer(self, node: Node, value: str) -> str:
        form = self._forms.get(node.path, AS_IT_STANDS)
        if form.kind == "pool":
            return self._pool(node, value)
        conv = node.type == "conv" and form.kind != "dense"
        return self._fire(node, self._conv(node, value) if conv else self._dense(node, value))

    def _row(self, node: Node, value: str) -> str:
        """Return a value as one row."""
        shape = self._write.shape(value)
        row = (math.prod(shape),)
        return value if shape == row else self._write.emit(node, ops.Reshape, value, shape=row)

    def _pool(self, node: Node, value: str) -> str:
        """Return the max-pool of spikes that a layer of snncc's own files is: their OR."""
        write = self._write
        weight = self._whole(node, "weight")
        return write.emit(
            node, ops.MaxPool, value, kernel=weight.shape[2:4],
            stride=write.integers(node, "stride", 2, least=1),
            padding=write.integers(node, "padding", 2, least=0),
            dilation=write.integers(node, "dilation", 2, least=1),
        )  # fmt: skip

    def _input(self, node: Node, shape: Shape | None) -> str:
        write = self._write
        if node.type != "input" and shape is None:
            raise write.fault(
                NOT_NETX, node, "nothing says how large its input is", "--input-shape"
            )
        own = shape or write.integers(node, "shape", self._rank(node), least=1)
        if math.prod(own) > _MOST_INPUTS:
            raise write.fault(NOT_NETX, node, f"an input of shape {own} is too large")
        entry = Node("input", "input", node.fields)
        kept = None if self._file.own is None else self._file.own.entry
        read = {} if kept is None else {"domain": kept.domain, "scale": kept.scale}
        varies = write.reading.varies if kept is None else bool(kept.varies)
        name = write.emit(entry, ops.Input, shape=own, varies=varies, **read)
        name = name if varies else write.emit(entry, ops.Repeat, name)
        if kept is not None:
            return name
        if node.type != "input" or "neuron" not in node.fields:
            return name
        return self._fire(node, self._transformed(node, name))

    def _transformed(self, node: Node, value: str) -> str:
        """Return ``weight x + bias``, which input layers add to the potential."""
        write = self._write
        factor, offset = (
            self._number(node, name) if name in node.fields else default
            for name, default in (("weight", 64.0), ("bias", 0.0))
        )
        shape = write.shape(value)
        flat = (*shape, 1, 1)[:3] if len(shape) < 3 else shape
        cell = Node(f"{node.path}.transform", node.type, node.fields)
        value = write.emit(cell, ops.Reshape, value, shape=flat) if flat != shape else value
        weight = np.full((flat[0], 1, 1, 1), factor, np.float32)
        value = write.emit(
            cell, ops.Conv, value, weight=weight, bias=np.full(flat[0], offset, np.float32),
            stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=flat[0],
        )  # fmt: skip
        return write.emit(cell, ops.Reshape, value, shape=shape) if flat != shape else value

    def _conv(self, node: Node, value: str) -> str:
        write = self._write
        weight = self._whole(node, "weight")
        if weight.ndim == 5 and weight.shape[4] == 1:
            weight = weight[..., 0]
        if weight.ndim != 4 or 0 in weight.shape:
            raise write.fault(NOT_NETX, node, f"`weight` has shape {weight.shape}")
        if len(write.shape(value)) != 3:
            message = f"a convolution reads a value of shape {write.shape(value)}"
            raise write.fault(NOT_NETX, node, message)
        groups = write.integers(node, "groups", 1, least=1)[0]
        if weight.shape[0] % groups:
            raise write.fault(NOT_NETX, node, f"{weight.shape[0]} channels are no {groups} groups")
        return write.emit(
            Node(f"{node.path}.conv", node.type, node.fields), ops.Conv, value,
            weight=weight / self._finer(node),
            bias=self._own_bias(node, weight.shape[0]), groups=groups,
            stride=write.integers(node, "stride", 2, least=1),
            padding=write.integers(node, "padding", 2, least=0),
            dilation=write.integers(node, "dilation", 2, least=1),
        )  # fmt: skip

    def _dense(self, node: Node, value: str) -> str:
        write = self._write
        value = self._row(Node(f"{node.path}.flatten", node.type, node.fields), value)
        weight = self._whole(node, "weight")
        if node.type == "conv" and weight.ndim > 1:
            weight = weight.reshape(len(weight), -1)
        elif weight.ndim == 1:
            outputs = math.prod(write.integers(node, "shape", self._rank(node), least=1))
            weight = weight.reshape(outputs, -1) if weight.size % outputs == 0 else weight
        if weight.ndim != 2 or 0 in weight.shape:
            raise write.fault(NOT_NETX, node, f"`weight` has shape {weight.shape}")
        if node.type == "dense" and not _kept(weight):
            message = f"lava-dl changes its weights, {weight.min():g} to {weight.max():g}"
            raise write.fault(NETX_UNREAD, node, message)
        inner = Node(f"{node.path}.dense", node.type, node.fields)
        return write.emit(
            inner, ops.Linear, value, weight=weight / self._finer(node),
            bias=self._own_bias(node, weight.shape[0]),
        )  # fmt: skip

    def _finer(self, node: Node) -> float:
        """Return by what the numbers of a layer were multiplied as snncc wrote them."""
        return 2.0 ** self._forms.get(node.path, AS_IT_STANDS).places

    def _rank(self, node: Node) -> int:
        """Return how many axes a layer says that it has."""
        return max(1, self._write.array(node, "shape").size)

    def _whole(self, node: Node, name: str) -> Array:
        """Return a field of whole numbers, as lava-dl does: cut off behind the point."""
        values = np.trunc(self._write.array(node, name).astype(np.float64))
        if np.abs(values).max() > _LARGEST:
            message = f"`{name}` reaches {np.abs(values).max():.4g}, wanted {_LARGEST} at most"
            raise self._write.fault(NOT_NETX, node, message)
        return values.astype(np.float32)

    def _number(self, node: Node, name: str) -> float:
        """Return a field of one whole number. Raises ``SnnccError``."""
        values = self._whole(node, name)
        if values.size != 1:
            message = f"`{name}` of an input has {values.size} values, wanted one"
            raise self._write.fault(NOT_NETX, node, message)
        return float(values.flat[0])

    def _bias(self, node: Node, channels: int) -> Array | None:
        if "bias" not in node.fields:
            return None
        bias = self._whole(node, "bias").reshape(-1)
        if bias.size not in (1, channels):
            message = f"{bias.size} biases for {channels} channels"
            raise self._write.fault(NOT_NETX, node, message)
        bias = bias / self._finer(node)
        return np.broadcast_to(bias, (channels,)).copy() if np.any(bias) else None

    def _own_bias(self, node: Node, channels: int) -> Array | None:
        """Return the bias of a layer's weights: none where a current that lasts is in between."""
        return None if currents.kept(self._write, node) else self._bias(node, channels)

    def _fire(self, node: Node, value: str) -> str:
        """Return the spikes of a layer's neurons; a layer without adds up its currents."""
        write = self._write
        if "delay" in node.fields and np.any(write.array(node, "delay")):
            raise write.fault(NETX_UNREAD, node, "it has delays")
        config = node.fields.get("neuron")
        if config is None:
            if node is not self._file.layers[-1]:
                raise write.fault(NOT_NETX, node, "it has no neurons, and is not the last layer")
            return value
        if not isinstance(config, Mapping):
            raise write.fault(NOT_NETX, node, "its `neuron` is no group")
        inner = Node(node.path, node.type, config)
        decay, theta = self._neuron(inner), self._threshold(inner, value)
        grain = np.array([_PLACE / self._finer(node)])
        level = float(theta[0] * grain[0] / _PLACE)
        if theta.size > 1:
            value = write.scaled_by_channel(inner, value, _PLACE / grain / theta)
            axes = (1,) * (len(write.shape(value)) - 1)
            grain, level = (_PLACE / theta).reshape(-1, *axes), 1.0
        value = self._lasting(node, value, theta)
        return write.emit(
            inner, ops.Neuron, value, tau=None if decay == 0 else 4096 / decay, decay_input=False,
            v_threshold=level, v_reset=0.0, grain=grain,
            places=_PLACES + self._forms.get(node.path, AS_IT_STANDS).places,
        )  # fmt: skip

    def _lasting(self, node: Node, value: str, theta: Array) -> str:
        """Return what neurons integrate; with thresholds of their own in units of each."""
        if not currents.kept(self._write, node):
            return value
        bias = self._bias(node, self._write.shape(value)[0])
        if bias is not None and theta.size > 1:
            bias = bias * self._finer(node) / theta
        return currents.lasting(self._write, node, value, bias)

    def _neuron(self, node: Node) -> int:
        """Return the decay of the potential. Raises ``SnnccError`` for other neurons."""
        write, kind = self._write, text(node.fields.get("type"))
        if kind not in ("LOIHI", "CUBA"):
            raise write.fault(NETX_UNREAD, node, f"its neurons are of type `{kind[:20]}`")
        if "gradedSpike" in node.fields and np.any(write.array(node, "gradedSpike")):
            raise write.fault(NETX_UNREAD, node, "its spikes are graded")
        decay = write.integers(node, "vDecay", 1, least=0)[0]
        if decay > 4096:
            raise write.fault(NOT_NETX, node, f"`vDecay` is {decay}, wanted 0 to 4096")
        return decay

    def _threshold(self, node: Node, value: str) -> Array:
        levels = self._whole(node, "vThMant").reshape(-1).astype(np.float64) + _PLACE / 2
        channels = self._write.shape(value)[0]
        if levels.size not in (1, channels) or levels.min() <= 0:
            lowest = levels.min() - _PLACE / 2
            message = f"{levels.size} thresholds from {lowest:g}, wanted 0 or more"
            raise self._write.fault(NOT_NETX, node, f"{message}, one or {channels}")
        return levels[:1] if np.all(levels == levels[0]) else levels

    def _head(self, own: Own, value: str) -> None:
        """Append what snncc's own files keep of all that is behind the last spikes."""
        head, weights = own.head, own.head.weights
        renamed = {head.ops[0].name: value}
        write = self._write
        shape = cast(ops.Input, head.ops[0]).shape
        if write.shape(value) != shape:
            node = Node("head", "head", {})
            renamed[head.ops[0].name] = write.emit(node, ops.Reshape, value, shape=shape)
        for op in head.ops[1:]:
            inputs = tuple(renamed[name] for name in op.inputs)
            renamed[op.name] = self._copied(op, inputs, cast(Mapping[str, Array], weights))

    def _copied(self, op: Op, inputs: tuple[str, ...], weights: Mapping[str, Array]) -> str:
        """Emit an op of the head."""
        node = Node(op.name, op.kind, {})
        fields = op.attributes()
        for key in op.weight_fields:
            if fields[key] is not None:
                fields[key] = weights[fields[key]].astype(np.float64)
        if op.kind == "readout":
            fields["steps"] = self._write.reading.steps
        scale = fields.get("scale") if op.kind == "output" else None
        if scale is not None and scale.shape not in ((1,), self._write.shape(inputs[0])[-1:]):
            raise damaged(self._file.path, "the scale of its answer")
        return self._write.emit(node, type(op), *inputs, **fields)


_MOST_INPUTS = 1 << 26
_LARGEST = 1 << 24
"""The largest whole number up to which 32-bit floats have them all."""


def _kept(weight: Array) -> bool:
    """Whether lava-dl and Lava keep a dense matrix as it is: 8 bits, even ones beyond 7 bits."""
    low, high = float(weight.min()), float(weight.max())
    if low >= 0 or high < 0:
        return low >= -256 and high <= 255 and (low, high) != (0, 0)
    small = low >= -128 and high <= 127
    return small or (low >= -256 and high <= 254 and not np.any(weight % 2))
