"""The processes of the pipelined lane: a connection sends what it read a step ago, then receives.

That is what Lava's stock connections do (``Dense``, ``Conv``, ``Sparse``), and what makes each of
them one step long. Neurons and sums receive first and send in the same step. Importing this
module imports Lava: call ``compat.enable()`` first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from snncc.backends.lava.processes.library import Stage, Work, on_wire, typed_model
from snncc.execute.pipelined import Clockwork
from snncc.ir.graph import Array


@dataclass(frozen=True)
class ClockedWork(Work):
    """What a process does: its clockwork, and for each value that it records a tape.

    A tape is ``[clock steps, *shape]``; frames are shown one a clock step, zeros behind the last.
    """

    clockwork: Clockwork | None = None
    tapes: Mapping[str, Array] = field(default_factory=dict)


class Connection(Stage):
    """Synapses, a pool, a dynamic product or a delay: what it sends, it has read before."""


class Neurons(Stage):
    """Neurons, sums and views: what it sends, it has read in this very step."""


@implements(protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class ClockedModel(PyLoihiProcessModel):  # type: ignore[misc]
    """Sends what registers hold, receives, computes, records, and sends the rest."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._ins, self._outs = proc_params["ins"], proc_params["outs"]
        self._work: ClockedWork = proc_params["work"]

    def run_spk(self) -> None:
        """Do what is due in this clock step."""
        work, clock = self._work, self.time_step - 1
        held = work.clockwork.held() if work.clockwork else {}
        self._send(held)
        values = {wire.value: getattr(self, port).recv() for port, wire in self._ins.items()}
        for value, frames in work.frames.items():
            values[value] = frames[clock] if clock < len(frames) else 0 * frames[0]
        if work.clockwork is not None:
            values = work.clockwork.react(clock, values)
        for value, tape in work.tapes.items():
            tape[clock] = values[value][0]
        self._send({name: value for name, value in values.items() if name not in held})

    def _send(self, values: Mapping[str, Array]) -> None:
        for port, wire in self._outs.items():
            if wire.value in values:
                getattr(self, port).send(on_wire(values[wire.value], wire))


def model_of(process: Stage) -> type[ClockedModel]:
    """Return the model of one process."""
    return typed_model(process, ClockedModel)
