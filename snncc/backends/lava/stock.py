"""Runs Lava's stock processes: ``Conv`` and ``Dense`` into one ``LIFReset``.

Importing this module imports Lava: call ``compat.enable()`` first. Only the source and the sink are
our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.conv.models import PyConvModelFixed
from lava.proc.conv.process import Conv
from lava.proc.dense.models import PyDenseModelBitAcc
from lava.proc.dense.process import Dense
from lava.proc.lif.models import PyLifResetModelBitAcc
from lava.proc.lif.process import LIFReset
from lava.utils.weightutils import SignMode

from snncc.backends.lava import compat
from snncc.backends.lava.engine import Tape
from snncc.backends.lava.mapping import StockBias, StockNeuron
from snncc.backends.lava.processes.library import Sink, Source, Wire, Work, model_of
from snncc.backends.lava.synapses import GRADED_BITS, StockSynapses
from snncc.ir.graph import Array

STOCK_MODELS = {
    Conv: compat.widen_convolution(PyConvModelFixed),
    Dense: PyDenseModelBitAcc,
    LIFReset: PyLifResetModelBitAcc,
}


def run_stock(
    neuron: StockNeuron,
    bias: StockBias,
    drive: Sequence[StockSynapses] | Array,
    steps: int,
    *,
    timeout: float,
) -> Array:
    """Return the spikes of the stock neurons, ``[samples, T, neurons]``.

    ``drive`` are the synapses that feed them, or their currents themselves, one frame a step,
    already shifted. A stock connection takes one step: so much later the neurons are reset.
    """
    latency = 0 if isinstance(drive, np.ndarray) else 1
    total = len(drive if isinstance(drive, np.ndarray) else drive[0].frames) + latency
    with compat.session():
        lif = _neurons(neuron, bias, steps, latency)
        if isinstance(drive, np.ndarray):
            feeds = [_connect_current(drive, lif)]
        else:
            feeds = [_connect_synapses(synapses, lif) for synapses in drive]
        if bias.current is not None:
            constant = np.broadcast_to(bias.current, (total, bias.current.size))
            feeds.append(_connect_current(constant, lif))
        size = neuron.vth.size
        sink, tape = _sink(size, total)
        lif.s_out.connect(sink.in_port("spikes"))
        processes = [lif, sink, *(p for feed in feeds for p in feed)]
        compat.require_descriptors(len(processes))
        compat.run_guarded(lif, total, _run_config(processes), timeout=timeout)
    return tape.arrays["spikes"][latency:, 0].reshape(-1, steps, size)


def _run_config(processes: Sequence[Any]) -> Any:
    models = {
        p: model_of(p) if isinstance(p, Source | Sink) else STOCK_MODELS[type(p)] for p in processes
    }
    return Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=models)


def _neurons(neuron: StockNeuron, bias: StockBias, steps: int, latency: int) -> Any:
    return LIFReset(
        shape=(neuron.vth.size,),
        du=neuron.du,
        dv=neuron.dv,
        vth=neuron.vth.reshape(-1).astype(np.int32),
        bias_mant=bias.mant.reshape(-1),
        bias_exp=bias.exp,
        reset_interval=steps,
        reset_offset=(latency + 1) % steps,
    )


def _connect_synapses(synapses: StockSynapses, lif: Any) -> list[Any]:
    bits = 0 if synapses.binary else GRADED_BITS
    if synapses.process == "Dense":
        process = Dense(
            weights=synapses.weight,
            weight_exp=synapses.exp,
            sign_mode=SignMode.MIXED,
            num_message_bits=bits,
        )
    else:
        process = Conv(
            weight=synapses.weight,
            input_shape=synapses.frames.shape[1:],
            stride=synapses.stride,
            padding=synapses.padding,
            dilation=synapses.dilation,
            groups=synapses.groups,
            num_message_bits=bits,
        )
    source = _source(synapses.frames, extra=1)
    source.out_port("x").connect(process.s_in)
    _flat(process.a_out).connect(lif.a_in)
    return [source, process]


def _flat(port: Any) -> Any:
    return port if len(port.shape) == 1 else port.reshape((int(np.prod(port.shape)),))


def _connect_current(frames: Array, lif: Any) -> list[Any]:
    source = _source(frames.reshape(len(frames), -1), extra=0)
    source.out_port("x").connect(lif.a_in)
    return [source]


def _source(frames: Array, extra: int) -> Source:
    """Make a source of these frames, and of zeros while the last of them is on its way."""
    silence = np.zeros((extra, *frames.shape[1:]), frames.dtype)
    shown = np.concatenate([frames, silence])
    wire = Wire("x", frames.shape[1:], np.int32)
    return Source("source", (), (wire,), Work(1, frames={"x": shown}))


def _sink(size: int, total: int) -> tuple[Sink, Tape]:
    tape = Tape(total, 1)
    tape.add("spikes", True, 1, (size,), np.uint8)
    wire = Wire("spikes", (size,), np.int32)
    return Sink("sink", (wire,), (), Work(1, None, tape, ("spikes",))), tape
