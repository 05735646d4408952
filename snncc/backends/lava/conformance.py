"""The conformance lane: Lava's stock processes against our integers, layer by layer.

Each neuron layer is fed what the reference recorded, so a layer is judged by itself: its
convolutions and linear layers as stock ``Conv`` and ``Dense``, their sum in one stock ``LIFReset``,
every spike compared. Where the current has no stock form, ``LIFReset`` alone gets the recorded one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from snncc.backends.lava import compat
from snncc.backends.lava.currents import Current, Received, current_of, received_by
from snncc.backends.lava.mapping import (
    NO_CURRENT_MEMORY,
    StockBias,
    StockNeuron,
    exceeded,
    kept_bias,
    refusal,
    stock_bias,
    stock_neuron,
)
from snncc.backends.lava.slices import Slice, cut
from snncc.backends.lava.synapses import StockSynapses, recorded, stock_synapses
from snncc.ir.graph import Array, Graph, Shape
from snncc.ir.memory import integer_neuron_step
from snncc.ir.ops import IntegerNeuron

LONE_NEURONS = 4096
"""How many neurons of a layer run where only ``LIFReset`` does: it is cheap, its input is not."""


@dataclass(frozen=True)
class ConformanceCase:
    """What came of one neuron layer.

    ``ops`` are the stock processes that ran, none where the neuron itself has no stock form.
    ``slice`` says which neurons ran. ``skipped_reason`` is why the synapses, or the neurons, could
    not run in stock processes. ``limits`` are documented widths of the chip that the layer outgrows
    although the simulation carries on.
    """

    layer: str
    ops: tuple[str, ...]
    shape: Shape
    slice: str
    samples: int
    spikes_compared: int
    mismatches: int
    skipped_reason: str | None = None
    limits: tuple[str, ...] = ()


def needed_values(graph: Graph) -> tuple[str, ...]:
    """Return the values of a run that ``conformance`` reads."""
    names: list[str] = []
    for op in graph.of_kind("integer_neuron"):
        names += [op.name, op.inputs[0]]
        received = received_by(graph, op)
        if isinstance(received, str):
            continue
        names.append(received.name)
        current = current_of(graph, received)
        if isinstance(current, Current):
            names += [term.op.inputs[0] for term in current.terms]
    return tuple(dict.fromkeys(names))


def conformance(
    graph: Graph,
    values: Mapping[str, Array],
    *,
    layers: Iterable[str] | None = None,
    samples: int = 2,
    budget_seconds: float = 60.0,
    timeout: float = 600.0,
) -> tuple[ConformanceCase, ...]:
    """Return one case for each neuron layer, or for those named, on the first ``samples``.

    ``values`` are the reference's, of at least ``needed_values``. Layers share the budget evenly;
    one that would take longer than its share is cut to a slice. Raises as ``run_lava`` does.
    """
    compat.enable()
    wanted = None if layers is None else set(layers)
    neurons = [op for op in graph.of_kind("integer_neuron") if wanted is None or op.name in wanted]
    lane = _Lane(graph, values, samples, budget_seconds / max(1, len(neurons)), timeout)
    return tuple(lane.case(cast(IntegerNeuron, op)) for op in neurons)


@dataclass(frozen=True)
class _Lane:
    graph: Graph
    values: Mapping[str, Array]
    samples: int
    seconds: float
    timeout: float

    def case(self, op: IntegerNeuron) -> ConformanceCase:
        refused = refusal(op)
        if refused:
            return self._refused(op, refused)
        received = received_by(self.graph, op)
        if isinstance(received, str):
            return self._refused(op, received)
        current = current_of(self.graph, received)
        if isinstance(current, str):
            return self._lone(op, received, current)
        piece = cut(current, self._count(op) * self.graph.steps, self.seconds)
        if isinstance(piece, str):
            return self._lone(op, received, piece)
        return self._synaptic(op, received, current, piece)

    def _count(self, op: IntegerNeuron) -> int:
        return min(self.samples, self.values[op.name].shape[1])

    def _shape(self, op: IntegerNeuron) -> Shape:
        return self.graph.type_of(op.name).shape

    def _threshold(self, op: IntegerNeuron, neurons: Array) -> Array:
        theta = cast(Array, self.graph.weights[op.threshold])
        return np.broadcast_to(theta, self._shape(op)).reshape(-1)[neurons]

    def _stock(
        self, op: IntegerNeuron, received: Received, bias: Array, neurons: Array
    ) -> tuple[StockNeuron, StockBias] | str:
        """Return some neurons of a layer in stock fields; ``bias`` is part of what they receive.

        A bias that lasts as its current does comes as a current that is always there.
        """
        theta = self._threshold(op, neurons)
        stock = stock_neuron(op, theta, self.graph.steps, received.keeps)
        if isinstance(stock, str):
            return stock
        if received.keeps is None:
            return stock, stock_bias(bias, stock.k)
        behind = kept_bias(received.bias[neurons])
        if isinstance(behind, str):
            return behind
        constant = bias << stock.k if bias.any() else None
        return stock, replace(behind, current=constant)

    def _synaptic(
        self, op: IntegerNeuron, received: Received, current: Current, piece: Slice
    ) -> ConformanceCase:
        neurons = piece.neurons.reshape(-1)
        found = self._stock(op, received, current.bias[neurons], neurons)
        if isinstance(found, str):
            return self._refused(op, found)
        (stock, bias), samples = found, self._count(op)
        drive = [
            stock_synapses(self.graph, term, window, stock.k, self.values, samples)
            for term, window in zip(current.terms, piece.windows, strict=True)
        ]
        ops = (*dict.fromkeys(map(str, drive)), _called(stock))
        added = current.bias[neurons] if received.keeps is None else received.bias[neurons]
        limits = (*bias.limits, *self._limits(op, stock, added, neurons, received))
        return self._judged(op, neurons, (stock, bias, drive), ops, piece.text, None, limits)

    def _lone(self, op: IntegerNeuron, received: Received, reason: str) -> ConformanceCase:
        size = math.prod(self._shape(op))
        count = min(size, LONE_NEURONS)
        neurons = np.linspace(0, size - 1, count).round().astype(np.int64)
        found = self._stock(op, received, np.zeros(count, np.int64), neurons)
        if isinstance(found, str):
            return self._refused(op, found)
        stock, bias = found
        x = self._frames(received.name, received.elements[neurons], self._count(op))
        text = "all" if count == size else f"{count} of {size} neurons"
        limits = self._limits(op, stock, received.bias[neurons], neurons, received)
        parts = (stock, bias, x << stock.k)
        return self._judged(op, neurons, parts, (_called(stock),), text, reason, limits)

    def _frames(self, name: str, neurons: Array, samples: int) -> Array:
        frames = recorded(self.graph, self.values, name, samples)
        return frames.reshape(len(frames), -1)[:, neurons].astype(np.int64)

    def _limits(
        self,
        op: IntegerNeuron,
        stock: StockNeuron,
        bias: Array,
        neurons: Array,
        received: Received,
    ) -> tuple[str, ...]:
        """Return what some neurons outgrow, of whose input ``bias`` comes from no synapse."""
        x = self._frames(op.inputs[0], neurons, self._count(op))
        theta, state, highest = self._threshold(op, neurons), None, []
        for t, frame in enumerate(x):
            state = None if t % self.graph.steps == 0 else state
            _, potential, state = integer_neuron_step(op, theta, frame, state)
            highest.append(potential)
        kept = received.keeps is not None
        return exceeded(stock, op, x - bias, np.stack(highest), kept=kept)

    def _judged(
        self,
        op: IntegerNeuron,
        neurons: Array,
        parts: tuple[StockNeuron, StockBias, Sequence[StockSynapses] | Array],
        ops: tuple[str, ...],
        text: str,
        reason: str | None,
        limits: tuple[str, ...],
    ) -> ConformanceCase:
        from snncc.backends.lava.stock import run_stock  # noqa: PLC0415 - imports Lava

        samples = self._count(op)
        found = run_stock(*parts, self.graph.steps, timeout=self.timeout)
        expected = self._frames(op.name, neurons, samples).reshape(found.shape)
        wrong = int(np.count_nonzero(found != expected))
        shape = self._shape(op)
        return ConformanceCase(
            op.name, ops, shape, text, samples, found.size, wrong, reason, limits
        )

    def _refused(self, op: IntegerNeuron, reason: str) -> ConformanceCase:
        return ConformanceCase(op.name, (), self._shape(op), "none", 0, 0, 0, reason)


def _called(stock: StockNeuron) -> str:
    """Return the stock process of neurons, with its du where they keep their currents."""
    return "LIFReset" if stock.du == NO_CURRENT_MEMORY else f"LIFReset du {stock.du}"
