"""What each population does at each step of the chip, from a run of the step graph.

On the chip a spike takes one step to each population that reads it. A population with latency L
computes at chip step ``s`` what the step graph computes at time step ``s - L``. ``stretched`` shows
one sample by itself, with silence before and after; ``streamed`` shows the steady state of samples
one after the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from snncc.execute.executor import Executor
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.io import input_varies
from snncc.ir.memory import integer_neuron_step
from snncc.ir.ops import Conv, IntegerNeuron, Linear
from snncc.ir.semantics import apply
from snncc.ir.synaptic_current import CURRENTS
from snncc.ir.timing import Timing
from snncc.mapping.populations import CARRIED, Net
from snncc.passes.unroll_levels import counts_of_spikes


@dataclass(frozen=True)
class Activity:
    """What was sent and what was updated, ``[steps, *shape]`` each.

    ``sent`` is by emitted value: whatever is not 0 is a message. ``updated`` is by neuron layer: in
    which steps a compartment had something to do; a layer that is left out has at every step.
    A clock step is ``substeps`` steps long; ``held`` are the counts that are whole throughout it,
    which a product's second operand is.
    """

    sent: Mapping[str, Array]
    updated: Mapping[str, Array]
    substeps: int = 1
    held: Mapping[str, Array] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return max((len(array) for array in self.sent.values()), default=0)


def activity_of(net: Net, x: Array, *, exact: bool = False) -> Activity:
    """Return what one sample ``x`` makes the populations do, by time steps of the step graph.

    ``x`` is ``[*shape]``, or ``[T, *shape]`` where the input varies. With ``exact`` it is found for
    each compartment of an integer layer whether it had anything to do: a potential, a current, or
    a bias; this runs every product twice.
    """
    graph = net.graph
    layers = [op for op in graph.ops if isinstance(op, IntegerNeuron)] if exact else []
    keep = {*net.emitted, *(op.inputs[0] for op in layers)}
    executor = Executor(graph)
    run = executor.run(x[:, None] if input_varies(graph) else x[None], keep=keep)
    values = {
        name: _by_steps(value, executor.timing[name], graph.steps)
        for name, value in run.values.items()
    }
    sent = {name: values[name] for name in net.emitted}
    updated: dict[str, Array] = {}
    if exact:
        touched = _touched(net, sent)
        for op in layers:
            current = values[op.inputs[0]]
            busy = _left(op, current, graph) | touched[op.name]
            updated[op.name] = busy | (current != 0) if _lasts(op, graph) else busy
    return Activity(sent, updated)


def in_substeps(net: Net, activity: Activity, levels: int) -> Activity:
    """Return the activity with every clock step cut into ``levels`` sub-steps.

    A count of k spikes is sent in the first k of them, any other number in the first. Compartments
    are looked at in each.
    """
    if levels == 1:
        return activity
    counts = counts_of_spikes(net.graph)
    sent: dict[str, Array] = {}
    for name, array in activity.sent.items():
        at = np.arange(levels).reshape(1, -1, *(1,) * (array.ndim - 1))
        whole = array[:, None]
        spikes = whole > at if name in counts else whole * (at == 0)
        sent[name] = spikes.astype(array.dtype).reshape(-1, *array.shape[1:])
    held = {name: np.repeat(array, levels, axis=0) for name, array in activity.sent.items()}
    return Activity(sent, {}, levels, held)


def stretched(net: Net, activity: Activity, steps: int) -> Activity:
    """Return the activity of one sample on the chip: each value after its latency, else silence.

    Raises ``IRError`` for a graph that is not balanced: see ``passes.balance_delays``.
    """
    return _shifted(net, activity, lambda array, delay: _late(array, delay, steps))


def streamed(net: Net, activity: Activity) -> Activity:
    """Return the steady state: sample after sample, at every step each population at another.

    Raises ``IRError`` for a graph that is not balanced.
    """
    return _shifted(net, activity, lambda array, delay: np.roll(array, delay, axis=0))


def _shifted(net: Net, activity: Activity, shift: Callable[[Array, int], Array]) -> Activity:
    def late(arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {n: shift(a, net.late[n] * activity.substeps) for n, a in arrays.items()}

    return Activity(
        late(activity.sent), late(activity.updated), activity.substeps, late(activity.held)
    )


def _late(array: Array, delay: int, steps: int) -> Array:
    late = np.zeros((steps, *array.shape[1:]), array.dtype)
    count = max(0, min(len(array), steps - delay))
    late[delay : delay + count] = array[:count]
    return late


def _by_steps(value: Array, timing: Timing, steps: int) -> Array:
    """Return a value of one sample as ``[T, *shape]``.

    One made before the first step is sent at each, one made after the last is sent with the last.
    """
    if timing is Timing.STEP:
        return value[:, 0]
    every = np.repeat(value[:1], steps, axis=0)
    if timing is Timing.SAMPLE:
        every[:-1] = 0
    return every


def _lasts(op: Op, graph: Graph) -> bool:
    """Whether a layer keeps a part of its current from step to step."""
    waiting = list(op.inputs)
    while waiting:
        maker = graph[waiting.pop()]
        if maker.kind in CURRENTS:
            return True
        if maker.kind == "add" or maker.kind in CARRIED:
            waiting += maker.inputs
    return False


def _left(op: IntegerNeuron, currents: Array, graph: Graph) -> Array:
    """Return where the step before left a potential, ``[T, *shape]`` of bool.

    A soft reset always leaves one: the simulator that looks takes off a hair less than the
    threshold.
    """
    weights: Mapping[str, Array] = graph.weights  # type: ignore[assignment]
    unit = weights[op.unit] if op.unit else None
    busy, state, left = [], None, np.zeros(currents.shape[1:], bool)
    for current in currents:
        busy.append(left)
        spikes, _, state = integer_neuron_step(op, weights[op.threshold], current, state, unit)
        left = (state != 0) | ((spikes > 0) & (op.reset == "soft"))
    return np.stack(busy)


def _touched(net: Net, sent: Mapping[str, Array]) -> Mapping[str, Array]:
    """Return, by neuron layer, which compartments any message reached, ``[T, *shape]`` of bool."""
    graph = net.graph
    ones = {name: np.ones_like(np.asarray(w)) for name, w in graph.weights.items()}
    values: dict[str, Array] = {}
    found: dict[str, Array] = {}
    for op in graph.ops:
        reads = tuple(values[name] for name in op.inputs if name in values)
        if isinstance(op, IntegerNeuron):
            found[op.name] = reads[0] != 0
        if op.name in sent:
            values[op.name] = (sent[op.name] != 0).astype(np.int64)[:, None]
        elif op.kind in CURRENTS:
            values[op.name] = reads[0]
        elif op.kind not in ("output", "readout") and len(reads) == len(op.inputs) > 0:
            bare = _without_bias(op)
            values[op.name] = apply(bare, reads, ones, 2)
    return {name: array[:, 0] for name, array in found.items()}


def _without_bias(op: Op) -> Op:
    if isinstance(op, (Conv, Linear)) and op.bias is not None:
        return dataclasses.replace(op, bias=None)
    return op
