"""What the ops with a state do in one time step: neurons, and currents that outlast a step.

One function an op, in numpy, as ``semantics`` has them for all others. The executor's kernels,
Lava's processes and the machine are held to these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from snncc.ir.compare import rounded
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.ops import IntegerNeuron, Neuron
from snncc.ir.synaptic_current import DECAY_BITS, IntegerCurrent, SynapticCurrent


def shift_toward_zero(x: Array, bits: int) -> Array:
    """Return ``x / 2**bits`` rounded toward zero: ``sign(x) * (|x| >> bits)``."""
    return np.sign(x) * (np.abs(x) >> bits)


def neuron_step(
    op: Neuron, x: Array, v: Array | None, grain: Array | None = None
) -> tuple[Array, Array, Array]:
    """Return (result, membrane potential at the compare, state after) of one time step.

    ``v`` is the state before, None at the start; ``grain`` is the op's weight. Equations in
    ``ops.Neuron``.
    """
    rest = op.v_reset or 0.0
    before = np.full_like(x, rest) if v is None else v
    if op.tau is None:
        h = before + x
    elif grain is not None:
        h = _leaked(op, before, grain) + x
    elif op.decay_input:
        h = before + (x - (before - rest)) / op.tau
    else:
        h = before - (before - rest) / op.tau + x
    spikes = _fire(op, h)
    after = np.where(spikes > 0, rest, h) if op.v_reset is not None else h - op.taken * spikes
    return spikes if op.norm == 1.0 else spikes / op.norm, h, after


def _leaked(op: Neuron, v: Array, grain: Array) -> Array:
    """Return what the leak leaves of ``v``, a multiple of ``grain``: the next one toward zero.

    Multiples are integers below 2**40, so that their product is exact.
    """
    kept = op.kept
    left: Array = np.trunc(np.rint(v / grain) * kept.numerator / kept.denominator) * grain
    return left


def count_type(levels: int) -> type[np.signedinteger[Any]]:
    """Return the integers that hold counts of 0 to ``levels``."""
    return np.int8 if levels <= np.iinfo(np.int8).max else np.int32


def _fire(op: Neuron, h: Array) -> Array:
    """Return how many spikes each neuron fires at potential ``h``."""
    if op.levels == 1:
        return (h > op.v_threshold if op.strict else h >= op.v_threshold).astype(np.int8)
    counts = rounded(h / op.v_threshold, op.levels, op.rounding)
    return counts.astype(count_type(op.levels))


def integer_neuron_step(
    op: IntegerNeuron, threshold: Array, x: Array, u: Array | None, unit: Array | None = None
) -> tuple[Array, Array, Array]:
    """Return (spikes, potential at the compare, state after) of one time step, all integers.

    ``threshold`` and ``unit`` are the op's weights. Equations in ``ops.IntegerNeuron``.
    """
    threshold = threshold.astype(np.int64)
    current = x.astype(np.int64) << op.shift
    if u is None:
        h = current
    else:
        h = shift_toward_zero(u * ((1 << DECAY_BITS) - op.decay), DECAY_BITS) + current
    levels = [threshold] if op.levels == 1 else list(threshold)
    spikes = sum((h >= level).astype(count_type(op.levels)) for level in levels)
    taken = threshold if unit is None else unit
    after = np.where(spikes > 0, 0, h) if op.reset == "hard" else h - taken * spikes
    return np.asarray(spikes), h, after


def current_step(op: SynapticCurrent, x: Array, i: Array | None) -> Array:
    """Return the current after a time step; ``i`` is that of the step before, None at the start."""
    return x if i is None else op.keep * i + x


def integer_current_step(op: IntegerCurrent, x: Array, i: Array | None) -> Array:
    """Return the current after a time step in exact integers; equation in ``IntegerCurrent``."""
    received = x.astype(np.int64) << op.shift
    if i is None:
        return received
    return shift_toward_zero(i * ((1 << DECAY_BITS) - op.decay), DECAY_BITS) + received


def neuron_weights(op: IntegerNeuron, graph: Graph) -> tuple[Array, Array | None]:
    """Return the threshold and, where it has one, the unit of an integer neuron layer."""
    unit = None if op.unit is None else cast(Array, graph.weights[op.unit])
    return cast(Array, graph.weights[op.threshold]), unit


def grain_of(op: Neuron, graph: Graph) -> Array | None:
    """Return the grain of a neuron layer; None where its potentials are real numbers."""
    return None if op.grain is None else cast(Array, graph.weights[op.grain])


def step(op: Op, graph: Graph, x: Array, state: Array | None) -> tuple[Array, Array]:
    """Return (result, state after) of one time step of an op of ``STATEFUL``.

    ``state`` is what the step before left, None at the start of a sample.
    """
    return _STEPS[op.kind](op, graph, x, state)


def all_steps(op: Op, graph: Graph, x: Array) -> Array:
    """Return the results of an op of ``STATEFUL`` over the time steps ``[T, ...]`` of a sample."""
    state, results = None, []
    for received in x:
        result, state = step(op, graph, received, state)
        results.append(result)
    return np.stack(results)


def _neuron(op: Any, graph: Graph, x: Array, state: Array | None) -> tuple[Array, Array]:
    spikes, _, after = neuron_step(op, x.astype(np.float64), state, grain_of(op, graph))
    return spikes, after


def _integer_neuron(op: Any, graph: Graph, x: Array, state: Array | None) -> tuple[Array, Array]:
    threshold, unit = neuron_weights(op, graph)
    spikes, _, after = integer_neuron_step(op, threshold, x, state, unit)
    return spikes, after


def _current(op: Any, graph: Graph, x: Array, state: Array | None) -> tuple[Array, Array]:
    current = current_step(op, x.astype(np.float64), state)
    return current, current


def _integer_current(op: Any, graph: Graph, x: Array, state: Array | None) -> tuple[Array, Array]:
    current = integer_current_step(op, x, state)
    return current, current


_STEPS: dict[str, Callable[[Any, Graph, Array, Array | None], tuple[Array, Array]]] = {
    "neuron": _neuron,
    "integer_neuron": _integer_neuron,
    "synaptic_current": _current,
    "integer_current": _integer_current,
}
STATEFUL = tuple(_STEPS)
"""Kinds that carry a state from one time step of a sample to the next, and make a value at each."""
