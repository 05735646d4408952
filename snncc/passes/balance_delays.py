"""Delays on the short side of every join, so that a chip's clock changes nothing.

On a chip each connection takes a clock step (``ir.latency`` says which ops are connections), so a
value of time step t appears at ``t + L`` and the sides of a join (residual sums, Q, K and V in
attention, masks, concats) arrive at different moments. Each op is given the first moment at which
all that it reads can be there,

    L(op) = max over inputs L(input) + (1 if the op is a connection on the chip, else 0)

and what arrives before waits in a delay. Spikes that a sum or other neurons read without weights
travel there by a connection that only carries them: a delay of one step, at least. Ops on side
paths then move to later moments where less memory waits for it: a shortcut convolution keeps its
1-bit input waiting, not its wide result. Delays of one value are taps of one line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from snncc.ir.delay import Delay
from snncc.ir.graph import Graph, IRError, Op, reading
from snncc.ir.latency import Pipeline, bits_of, is_inner_product, steps_taken
from snncc.ir.ops import VIEWS
from snncc.ir.sites import NEURONS, USUAL_SITES, Sites, on_host
from snncc.ir.synaptic_current import CURRENTS
from snncc.passes.base import Pass, Result, well_formed
from snncc.passes.roll_levels import RollLevels
from snncc.targets.load import Target

CARRIED = (*VIEWS, "scale", "round_shift", "compare", "thermometer")
"""Kinds through which what one op makes is read place by place."""


@dataclass(frozen=True)
class BalanceDelays(Pass):
    """Insert the delays that make ``pipelined(x)[t + L] == step_graph(x)[t]`` for every value.

    ``sites`` says where encoder and head run: what the host computes takes no clock step.
    ``longest`` is the most that a value may wait behind a synapse; what waits longer goes through
    relays, each so many steps behind the one before.
    """

    name: ClassVar[str] = "balance-delays"
    requires = (well_formed,)
    ensures = (well_formed,)

    sites: Sites = USUAL_SITES
    longest: int | None = None

    def run(self, graph: Graph) -> Result:
        """Return the balanced graph; every name keeps its value. Raises ``IRError`` off steps."""
        if graph.level != "step":
            raise IRError(f"delays are of step graphs, not of level {graph.level}")
        moments = _Moments(graph, on_host(graph, self.sites))
        moments.save_memory()
        return Result(graph.replace(_Writer(graph, moments, self.longest).ops()))


def pipelined(graph: Graph, sites: Sites = USUAL_SITES, longest: int | None = None) -> Pipeline:
    """Return a step graph, balanced, on a clock. Raises ``IRError`` where a join is not."""
    balanced = BalanceDelays(sites, longest).run(graph).graph
    found = Pipeline(balanced, on_host(balanced, sites))
    _ = found.latency_of
    return found


class _Moments:
    """When each op makes its value, in clock steps behind the input; None of constants."""

    def __init__(self, graph: Graph, host: frozenset[str]) -> None:
        self.graph = graph
        self._host = host
        self.steps = steps_taken(graph, host)
        self.made: dict[str, int | None] = {}
        self._width = {op.name: self._bits(op, host) for op in graph.ops}
        for op in graph.ops:
            read = [
                late + self._travels(name, op)
                for name in op.inputs
                if (late := self.made[name]) is not None
            ]
            first = 0 if op.kind == "input" else max(read, default=None)
            self.made[op.name] = None if first is None else first + self.steps[op.name]

    def _bits(self, op: Op, host: frozenset[str]) -> int:
        made = self.graph.type_of(op.name)
        return 0 if op.name in host else math.prod(made.shape) * bits_of(made.domain)

    def _travels(self, name: str, user: Op) -> int:
        """Return the steps that a value takes to what reads it without weights.

        Spikes travel to sums and to neurons, and to the currents of these. Currents that several
        read are sent, too, and so travel to sums, and to what neurons keep of them before a sum;
        neurons that read them place by place are the ones that made them.
        """
        if user.kind not in ("add", *CURRENTS, *NEURONS) or user.name in self._host:
            return 0
        maker = self.graph[name]
        while maker.kind in CARRIED and not self._is_shared(maker):
            maker = self.graph[maker.inputs[0]]
        outside = maker.name in self._host and maker.kind != "delay"
        if outside or maker.kind in ("input", *NEURONS):
            return 1
        return int(user.kind not in NEURONS and self._is_shared(maker) and not self._rides(user))

    def _rides(self, op: Op) -> bool:
        """Whether what is kept of a current is state of neurons that read it place by place."""
        if op.kind not in CURRENTS:
            return False
        while op.kind in (*CARRIED, *CURRENTS) and len(self.graph.users[op.name]) == 1:
            (op,) = self.graph.users[op.name]
        return op.kind in NEURONS

    def _is_shared(self, op: Op) -> bool:
        """Whether more than one op reads a current, so that it is sent as a number."""
        if op.kind in (*VIEWS, *NEURONS, "scale", "delay", "constant", "input"):
            return False
        readers, left = 0, list(self.graph.users[op.name])
        while left:
            user = left.pop()
            if user.kind in (*VIEWS, "scale"):
                left += self.graph.users[user.name]
            else:
                readers += 1
        return readers > 1

    def waits(self, name: str, user: Op) -> int:
        """Return for how many steps a value waits until ``user`` reads it."""
        made, used = self.made[name], self.made[user.name]
        return 0 if made is None or used is None else used - self.steps[user.name] - made

    def save_memory(self) -> None:
        """Move ops to later moments, the last of them first, where no more bits wait for it.

        An inner product is made with its outer one, whatever waits.
        """
        for op in reversed(self.graph.ops):
            made, users = self.made[op.name], self.graph.users[op.name]
            spare = min(
                (self.waits(op.name, user) - self._travels(op.name, user) for user in users),
                default=0,
            )
            if spare == 0 or made is None or op.kind == "input":
                continue
            before = self._waiting(op)
            self.made[op.name] = made + spare
            if self._waiting(op) > before and not is_inner_product(op, self.graph):
                self.made[op.name] = made

    def _waiting(self, op: Op) -> int:
        """Return the bits that wait in the lines of an op's result and of what it reads."""
        return sum(
            self._width[name]
            * max((self.waits(name, user) for user in self.graph.users[name]), default=0)
            for name in dict.fromkeys((op.name, *op.inputs))
        )


class _Writer:
    """Writes the ops again, each behind the delays that it needs."""

    def __init__(self, graph: Graph, moments: _Moments, longest: int | None) -> None:
        self._graph, self._moments, self._longest = graph, moments, longest
        self._written: list[Op] = []
        self._lines: dict[str, dict[int, str]] = {}

    def ops(self) -> list[Op]:
        for op in self._graph.ops:
            waits = {name: self._moments.waits(name, op) for name in op.inputs}
            self._written.append(reading(op, self._tapped(waits)))
        return self._written

    def _tapped(self, waits: Mapping[str, int]) -> dict[str, str]:
        return {name: self._tap(name, steps) for name, steps in waits.items() if steps}

    def _tap(self, name: str, steps: int) -> str:
        """Return the name of a value ``steps`` later, on the one delay line that it has."""
        line = self._lines.setdefault(name, {0: name})
        if steps not in line:
            start = max(tap for tap in line if tap < steps)
            for stop in self._cuts(name, start, steps):
                line[stop] = self._delay(line[start], name, start, stop)
                start = stop
        return line[steps]

    def _cuts(self, name: str, start: int, steps: int) -> list[int]:
        """Return the taps from ``start`` to ``steps``: those that others read, and relays."""
        taps = self._taps(name)
        far = self._longest or max(taps) + 1
        relays = set(range(far, max(taps), far))
        return sorted(tap for tap in taps | relays if start < tap <= steps)

    def _taps(self, name: str) -> set[int]:
        users = self._graph.users[name]
        return {self._moments.waits(name, user) for user in users} - {0}

    def _delay(self, read: str, name: str, start: int, stop: int) -> str:
        made = f"{name}.later{stop}"
        while made in self._graph.by_name:
            made += "_"
        source, far = self._graph[name].source, self._longest
        relay = far is not None and stop % far == 0 and stop < max(self._taps(name))
        delay = Delay(name=made, inputs=(read,), steps=stop - start, relay=relay, source=source)
        self._written.append(delay)
        return made


def on_cores(graph: Graph, target: Target, sites: Sites = USUAL_SITES) -> Graph:
    """Return an integer step graph as cores hold it: balanced, with no delay too long for a chip.

    Counts of spikes that were unrolled into sub-steps are one value again: cores send them spike
    by spike. This is what is placed; every name that is left keeps its value.
    """
    longest = target.limits.get("delay_steps")
    rolled = RollLevels().run(graph).graph
    return pipelined(rolled, sites, longest.value if longest else None).graph
