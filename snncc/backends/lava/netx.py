"""Runs a netx file by lava-dl's own ``netx.hdf5.Network``: the reading that a file is written for.

Importing this module imports neither Lava nor lava-dl; running does.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from snncc.backends.lava import compat
from snncc.backends.lava.engine import Tape
from snncc.ir.graph import Array

GRADED_BITS = 16


def run_netx(
    path: Path, x: Array, steps: int, *, layers: int | None = None, timeout: float = 600.0
) -> Array:
    """Return the spikes of the last layer, ``[T, samples, *shape]``.

    ``x`` are the integers that the first layer reads, ``[T, samples, *shape]``, channels first.
    With ``layers`` only so many are built, and the last of those is read. Where the file's input
    has neurons, see ``run_netx_of_images``. Raises ``SnnccError`` where lava-dl is missing or gives
    no answer.
    """
    compat.enable_netx()
    hdf5 = importlib.import_module("lava.lib.dl.netx.hdf5")
    samples = x.shape[1]
    frames = _turned(np.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:]))
    bits = 0 if frames.min() >= 0 and frames.max() <= 1 else GRADED_BITS
    with compat.session():
        network = hdf5.Network(
            net_config=str(path), input_message_bits=bits, reset_interval=steps, reset_offset=1,
            num_layers=None if layers is None else layers + 1,
        )  # fmt: skip
        try:
            spikes = _shown(network, frames, timeout)
        finally:
            network.net_config.f.close()
    found = _turned(spikes)
    return found.reshape(samples, steps, *found.shape[1:]).swapaxes(0, 1)


def run_netx_of_images(
    path: Path, x: Array, steps: int, *, layers: int | None = None, timeout: float = 600.0
) -> Array:
    """Return the spikes of the last layer of a file whose input has neurons.

    Their biases are the image: ``x`` holds ``weight image + bias``, ``[samples, *shape]``, one
    network a sample. ``layers`` counts the input. All else as ``run_netx``.
    """
    compat.enable_netx()
    hdf5 = importlib.import_module("lava.lib.dl.netx.hdf5")
    compat.read_inputs_of_one_number(hdf5.Network)
    found = []
    for image in x:
        with compat.session():
            network = hdf5.Network(net_config=str(path), reset_interval=steps, num_layers=layers)
            try:
                network.in_layer.neuron.bias_mant.init = _turned(image[None])[0]
                total = steps + len(network) - 1
                found.append(_turned(_run(network, {}, total, timeout)[-steps:]))
            finally:
                network.net_config.f.close()
    return np.stack(found, axis=1)


def _turned(frames: Array) -> Array:
    """Return frames ``(C, H, W)`` as Lava has them, ``(W, H, C)``, and back; rows stay."""
    return frames.transpose(0, *range(frames.ndim - 1, 0, -1))


def _shown(network: Any, frames: Array, timeout: float) -> Array:
    """Show one frame a step, and return the spikes that they lead to: a layer takes a step."""
    from snncc.backends.lava.processes import library  # noqa: PLC0415 - imports Lava

    latency = len(network)
    shown = np.concatenate([frames, np.zeros((latency, *frames.shape[1:]), frames.dtype)])
    entry = library.Wire("x", frames.shape[1:], np.int32)
    source = library.Source("source", (), (entry,), library.Work(1, frames={"x": shown}))
    source.out_port("x").connect(network.inp)
    models = {source: library.model_of(source)}
    return _run(network, models, len(shown), timeout)[latency:]


def _run(network: Any, models: Mapping[Any, Any], steps: int, timeout: float) -> Array:
    """Return the spikes of the last layer at each step; ``models`` are those of what feeds it."""
    from snncc.backends.lava.processes import library  # noqa: PLC0415 - imports Lava

    shape = tuple(network.out.shape)
    tape = Tape(steps, 1)
    tape.add("spikes", True, 1, shape, np.uint8)
    exit_ = library.Wire("spikes", shape, np.int32)
    sink = library.Sink("sink", (exit_,), (), library.Work(1, None, tape, ("spikes",)))
    network.out.connect(sink.in_port("spikes"))
    found = {**_models(network), **models, sink: library.model_of(sink)}
    compat.require_descriptors(len(found))
    configs = importlib.import_module("lava.magma.core.run_configs")
    config = configs.Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=found)
    compat.run_guarded(network, steps, config, timeout=timeout)
    return tape.arrays["spikes"][:, 0].reshape(-1, *shape)


def _models(network: Any) -> Mapping[Any, Any]:
    """Return the model of every process of a network, so that none is searched for on the disk."""
    stock = importlib.import_module("snncc.backends.lava.stock").STOCK_MODELS
    whole = importlib.import_module("lava.lib.dl.netx.hdf5").PyNetworkModel
    blocks = importlib.import_module("lava.lib.dl.netx.blocks.models")
    found: dict[Any, Any] = {network: whole}
    for layer in network.layers:
        found[layer] = getattr(blocks, f"Py{type(layer).__name__}Model")
        parts = [layer.neuron] if type(layer).__name__ == "Input" else [layer.synapse, layer.neuron]
        found.update({part: stock[type(part)] for part in parts})
    return found
