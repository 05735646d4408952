"""Writes netx files that lava-dl 0.6.0 reads, and Lava 0.10.0 runs, spike by spike.

::

    layer/<i>/...    what lava-dl reads: the input's shape, then convolutions or dense matrices
    simulation/...   time steps of a sample
    snncc/...        what netx has no place for: how the input is read, and all behind the spikes

What lava-dl does on the way, and how it is met: a dense matrix is doubled and loses its last bit
(written only where int8 of both signs comes through, else as a convolution of the full size);
kernels are turned over (written as PyTorch has them); biases stand in units of 64; a stock neuron
fires above its threshold (see ``lava.mapping``). Run it with ``reset_interval=T`` and
``reset_offset=1``: the input layer has no neurons, so the first data take one step to the first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from snncc.backends.netx.layers import Layer, Straight, straight
from snncc.backends.writers import Network
from snncc.frontends.netx.own import FORMAT
from snncc.ir.graph import Array, Graph, IRError
from snncc.ir.ops import Input
from snncc.ir.text import dump

_TYPE_BYTES = 10


def write(network: Network, path: Path) -> None:
    """Write a compiled network as netx. Raises ``SnnccError`` with every reason why not."""
    if network.integer is None:
        raise IRError("netx holds integers")
    write_netx(network.integer, path)


def write_netx(graph: Graph, path: Path) -> None:
    """Write an integer step graph as netx. Raises ``SnnccError`` with every reason why not."""
    found = straight(graph)
    with h5py.File(path, "w", track_order=True) as file:
        layers = file.create_group("layer")
        _input_layer(layers.create_group("0"), found.shape)
        for index, layer in enumerate(found.layers, start=1):
            _layer(layers.create_group(str(index)), layer)
        file["simulation/Ts"] = 1
        file["simulation/tSample"] = graph.steps
        _own(file.create_group("snncc"), graph, found)


def _input_layer(group: Any, shape: tuple[int, ...]) -> None:
    group["type"] = _text("input")
    group["shape"] = np.array(shape)


def _layer(group: Any, layer: Layer) -> None:
    group["type"] = _text(layer.kind)
    group["shape"] = np.array(layer.shape)
    group["weight"] = layer.weight.astype(np.float32)
    if layer.bias is not None:
        group["bias"] = layer.bias.astype(np.float32)
    if layer.kind == "conv":
        group["inChannels"] = layer.weight.shape[1] * layer.groups
        group["outChannels"] = layer.weight.shape[0]
        group["kernelSize"] = np.array(layer.weight.shape[2:])
        for name in ("stride", "padding", "dilation"):
            group[name] = np.array(getattr(layer, name))
        group["groups"] = layer.groups
    else:
        group["inFeatures"], group["outFeatures"] = layer.weight.shape[1], layer.weight.shape[0]
    _neuron(group.create_group("neuron"), layer)


def _neuron(group: Any, layer: Layer) -> None:
    group["type"] = _text("LOIHI")
    group["iDecay"] = layer.current_decay
    group["vDecay"] = layer.decay
    one = layer.vth.size == 1
    group["vThMant"] = int(layer.vth[0]) if one else layer.vth.astype(np.int32)
    group["refDelay"] = 1
    group["gradedSpike"] = False


def _own(group: Any, graph: Graph, found: Straight) -> None:
    """Keep what netx cannot say, so that nothing is lost: how input is read, and the head."""
    group["format"] = FORMAT
    entry = graph[found.input]
    rest = _behind(graph, found.last)
    group["head"] = dump(rest)
    shown = graph.replace([entry])
    group["input"] = dump(shown)
    group["layers"] = " ".join(f"{layer.form} {layer.places}" for layer in found.layers)
    for name, value in rest.weights.items():
        group.create_dataset(f"weights/{name}", data=value)


def _behind(graph: Graph, last: str) -> Graph:
    """Return what reads the last spikes, as a step graph of its own that reads them."""
    reached = {last}
    for op in graph.ops:
        if not reached.isdisjoint(op.inputs):
            reached.add(op.name)
    still = _constants(graph, reached)
    spikes = graph.type_of(last)
    entry = Input(
        name=last, shape=spikes.shape, domain=spikes.domain, varies=True, source=graph[last].source
    )
    kept = [op for op in graph.ops if op.name in reached | still and op.name != last]
    return graph.replace([entry, *kept])


def _constants(graph: Graph, reached: set[str]) -> set[str]:
    """Return what computed values read besides: stored tensors and their views."""
    found: set[str] = set()
    for op in reversed(graph.ops):
        if op.name in found | reached:
            found.update(name for name in op.inputs if name not in reached)
    return found if all(graph[n].kind == "constant" or graph[n].inputs for n in found) else set()


def _text(value: str) -> Array:
    return np.array([value.encode()], dtype=f"S{_TYPE_BYTES}")
