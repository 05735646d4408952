"""The processes of the production lane: each receives, computes and sends in the same time step.

All carry the batch in front of a value's shape and narrow integers on their channels. What they
compute is an ``Engine`` over ``ir.semantics``; what differs is which ops it holds and how the ports
are called. Importing this module imports Lava: call ``compat.enable()`` first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from snncc.backends.lava.engine import Engine, Tape
from snncc.ir.graph import Array, Shape


@dataclass(frozen=True)
class Wire:
    """A value on a channel: its name, its shape with the batch in front, its type."""

    value: str
    shape: Shape
    dtype: npt.DTypeLike


@dataclass(frozen=True)
class Work:
    """What a process does: the engine of its ops, the tape for those values that it records.

    A source shows ``frames[value]``, each of them for ``held`` time steps.
    """

    steps: int
    engine: Engine | None = None
    tape: Tape | None = None
    recorded: tuple[str, ...] = ()
    frames: Mapping[str, Array] = field(default_factory=dict)
    held: int = 1


class Stage(AbstractProcess):  # type: ignore[misc]
    """An ordered list of ops in one OS process; the others are stages of one op."""

    in_names: ClassVar[tuple[str, ...]] = ()
    out_names: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, name: str, ins: tuple[Wire, ...], outs: tuple[Wire, ...], work: Work
    ) -> None:
        self.ins = dict(zip(_names("in", self.in_names, len(ins)), ins, strict=True))
        self.outs = dict(zip(_names("out", self.out_names, len(outs)), outs, strict=True))
        super().__init__(name=name, ins=self.ins, outs=self.outs, work=work)
        for port, wire in self.ins.items():
            setattr(self, port, InPort(shape=wire.shape))
        for port, wire in self.outs.items():
            setattr(self, port, OutPort(shape=wire.shape))

    def in_port(self, value: str) -> Any:
        """Return the port on which a value comes in."""
        return getattr(self, next(p for p, wire in self.ins.items() if wire.value == value))

    def out_port(self, value: str) -> Any:
        """Return the port on which a value goes out."""
        return getattr(self, next(p for p, wire in self.outs.items() if wire.value == value))


def _names(stem: str, given: tuple[str, ...], count: int) -> tuple[str, ...]:
    named = given if count <= len(given) else given[:1] if stem == "out" else ()
    return (*named[:count], *(f"{stem}_{i}" for i in range(len(named[:count]), count)))


class SynConv(Stage):
    """Synapses of a convolution: ``a_out = ((w * s_in) << shift) + b``."""

    in_names = ("s_in",)
    out_names = ("a_out",)


class SynLinear(Stage):
    """Synapses of a linear layer, the same for all tokens: ``a_out = ((W s_in) << shift) + b``."""

    in_names = ("s_in",)
    out_names = ("a_out",)


class Lif(Stage):
    """A layer of integer neurons: the equations of ``ops.IntegerNeuron``, reset every T steps."""

    in_names = ("a_in",)
    out_names = ("s_out",)


class SpikePool(Stage):
    """The largest value, or the mean, of each window: of spikes, an OR."""

    in_names = ("s_in",)
    out_names = ("s_out",)


class SpikeAttention(Stage):
    """Products of computed values, with the views and scales between: ``Q (K^T V)``, or a mask."""

    in_names = ("q_in", "k_in", "v_in")
    out_names = ("a_out",)


class Add(Stage):
    """Elementwise sum of two values: ``a_out = a_in + b_in``."""

    in_names = ("a_in", "b_in")
    out_names = ("a_out",)


class Readout(Stage):
    """The sum over the time steps of a sample; sent as zeros until its last step."""

    in_names = ("a_in",)
    out_names = ("a_out",)


class Source(Stage):
    """Shows the network its input."""


class Sink(Stage):
    """Records on the tape what comes in."""


OF_KIND: Mapping[str, type[Stage]] = {
    "conv": SynConv,
    "linear": SynLinear,
    "integer_neuron": Lif,
    "max_pool": SpikePool,
    "avg_pool": SpikePool,
    "attention": SpikeAttention,
    "add": Add,
    "readout": Readout,
}
"""The process for each kind of part; a ``Stage`` for all others."""


@implements(protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class StageModel(PyLoihiProcessModel):  # type: ignore[misc]
    """Runs an engine: receive, compute, record, send."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._ins, self._outs = proc_params["ins"], proc_params["outs"]
        self._work: Work = proc_params["work"]

    def run_spk(self) -> None:
        """Do what is due in this time step."""
        work, step = self._work, self.time_step - 1
        values = {wire.value: getattr(self, port).recv() for port, wire in self._ins.items()}
        for value, frames in work.frames.items():
            values[value] = frames[step // work.held]
        if work.engine is not None:
            values = work.engine.step(step % work.steps, values)
        if work.tape is not None:
            for value in work.recorded:
                work.tape.write(value, step, values[value])
        for port, wire in self._outs.items():
            getattr(self, port).send(on_wire(values.get(wire.value), wire))


def on_wire(value: Array | None, wire: Wire) -> Array:
    """Return the value as its channel carries it; zeros where it is not due yet."""
    if value is None:
        return np.zeros(wire.shape, wire.dtype)
    return np.broadcast_to(value, wire.shape)


M = TypeVar("M", bound=PyLoihiProcessModel)


def typed_model(process: Stage, base: type[M]) -> type[M]:
    """Return a model of one process: Lava reads the types of ports from class attributes."""
    ports = {p: LavaPyType(PyInPort.VEC_DENSE, w.dtype) for p, w in process.ins.items()}
    ports |= {p: LavaPyType(PyOutPort.VEC_DENSE, w.dtype) for p, w in process.outs.items()}
    model = type(f"Py{type(process).__name__}Model", (base,), ports)
    implemented: type[M] = implements(proc=type(process))(model)
    return implemented


def model_of(process: Stage) -> type[StageModel]:
    """Return the model of one process of the production lane."""
    return typed_model(process, StageModel)
