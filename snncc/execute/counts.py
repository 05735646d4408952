"""Operations counted on real data: a spike that meets a synapse that exists is one operation.

Nothing is estimated: at a border a spike meets fewer synapses, and the counts say so. All counts
are integers, summed over the samples, one a time step, so that counts of parts add up exactly.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np

from snncc.execute.block import Seen
from snncc.execute.executor import Executor
from snncc.execute.kernels.tally import nonzeros, tally
from snncc.execute.synapses import channel_axis, dense_ops, fan_out_map
from snncc.ir.domain import is_spike
from snncc.ir.graph import Array, Graph, Op, Shape
from snncc.ir.io import input_varies
from snncc.ir.ops import WEIGHTED
from snncc.ir.timing import Timing

COUNTED = (
    "conv", "linear", "matmul", "mask", "neuron", "integer_neuron",
    "add", "max_pool", "avg_pool",
)  # fmt: skip
NEURONS = ("neuron", "integer_neuron")
BATCH = 16
"""Samples of one batch. Float sums may depend on it, so that no shard cuts one in two."""


@dataclass(frozen=True)
class OpCount:
    """What one op did; arrays are int64 ``[T]``, or ``[1]`` for an op run once a sample.

    ``elements_in`` and ``dense_ops`` (multiplications of the dense op, without bias) are for one
    step of one sample; all other fields are sums over the samples.

    - ``events_in``: inputs that are not zero; ``value_in``: the sum of their counts.
    - ``event_ops``: ``events_in`` times the synapses that exist where they arrive: a multiplication
      each where the input is no spike. Pairs of non-zero factors for a matmul.
    - ``synaptic_ops``: ``value_in`` times the synapses that exist where it arrives; for a matmul
      the additions in which both factors are non-zero. Of float input ``event_ops``.
    - ``fan_out_ops``: for a matmul, each spike of the binary operand times the places it is added
      to, zero partners included; else ``synaptic_ops``.
    - ``spike_right``, ``elements_right``, ``events_right``: the same of the second operand of a
      matmul or mask; False, 0 and zeros for all others.
    - ``bias_ops``: additions of a bias; ``spikes_out``: spikes of a neuron layer;
      ``updates``: neuron updates, all neurons at every step; ``active``: those with a current.
    - ``head_ops``: ``synaptic_ops`` of a matmul a head, ``[T, heads]``; no heads for all others.
    - ``of_samples``: int64 ``[2, N]``, ``synaptic_ops`` and ``spikes_out`` of each sample, in the
      order in which the samples came.

    Of additions and pools, which take every element, nothing but the sizes is counted.
    """

    name: str
    path: str
    kind: str
    spike_input: bool
    spike_right: bool
    elements_in: int
    elements_right: int
    elements_out: int
    dense_ops: int
    events_in: Array
    value_in: Array
    events_right: Array
    event_ops: Array
    synaptic_ops: Array
    fan_out_ops: Array
    bias_ops: Array
    spikes_out: Array
    updates: Array
    active: Array
    head_ops: Array = field(default_factory=lambda: np.zeros((1, 0), np.int64))
    of_samples: Array = field(default_factory=lambda: np.zeros((2, 0), np.int64))

    def __add__(self, other: OpCount) -> OpCount:
        """Return the counts of both sets of samples, those of ``self`` first."""
        sums = {f: getattr(self, f) + getattr(other, f) for f in _SUMMED}
        both = np.concatenate([self.of_samples, other.of_samples], axis=1)
        return dataclasses.replace(self, **sums, of_samples=both)

    @property
    def runs(self) -> int:
        """How often one sample runs this op: the number of time steps, or 1."""
        return len(self.events_in)


_SUMMED = (
    "events_in", "value_in", "events_right", "event_ops", "synaptic_ops", "fan_out_ops",
    "bias_ops", "spikes_out", "updates", "active", "head_ops",
)  # fmt: skip


@dataclass(frozen=True)
class Counts:
    """The counts of all ops over ``samples`` samples of ``steps`` time steps."""

    samples: int
    steps: int
    ops: Mapping[str, OpCount]

    def __add__(self, other: Counts) -> Counts:
        """Return the counts of both sets of samples. Raises ``ValueError`` for other networks."""
        if self.ops.keys() != other.ops.keys() or self.steps != other.steps:
            raise ValueError("counts of different networks do not add up")
        ops = {name: mine + other.ops[name] for name, mine in self.ops.items()}
        return Counts(self.samples + other.samples, self.steps, ops)

    def rate_right(self, name: str) -> float:
        """Return the share of the second operand of a matmul or mask that is not zero."""
        op = self.ops[name]
        return int(op.events_right.sum()) / (self.samples * op.runs * op.elements_right)

    def rate_out(self, name: str) -> float:
        """Return the firing rate of a neuron layer: spikes a neuron and step."""
        op = self.ops[name]
        return int(op.spikes_out.sum()) / (self.samples * op.runs * op.elements_out)


def count(graph: Graph, x: Array, batch: int = BATCH) -> Counts:
    """Return the counts of an integer step graph over samples ``x``, ``[N, *shape]``.

    Where the input varies over time ``x`` is ``[N, T, *shape]``. The result does not depend on
    ``batch``. Raises ``ValueError`` for no samples.
    """
    if len(x) == 0:
        raise ValueError("no samples to count")
    executor = Executor(graph)
    parts = batches(graph, x, batch)
    return functools.reduce(operator.add, (count_batch(executor, part) for part in parts))


def batches(graph: Graph, x: Array, size: int = BATCH) -> Iterator[Array]:
    """Split samples ``[N, ...]`` into batches as the executor takes them."""
    varies = input_varies(graph)
    for start in range(0, len(x), size):
        part = x[start : start + size]
        yield part.swapaxes(0, 1) if varies else part


def count_batch(executor: Executor, x: Array) -> Counts:
    """Return the counts of one batch in the executor's layout."""
    counter = Counter(executor)
    executor.run(x, observe=counter.observe)
    return counter.counts


class Counter:
    """Counts while a network runs: an observer of the executor."""

    def __init__(self, executor: Executor) -> None:
        """Count what ``executor`` will run."""
        self._executor = executor
        self._fixed = _facts(executor)
        self._found: dict[str, OpCount] = {}
        self._samples = 0

    def observe(self, op: Op, seen: Seen) -> None:
        """Count one op on one block of samples."""
        self._samples += seen.samples if op.kind == "output" else 0
        if op.kind in COUNTED:
            counted = _count_op(op, seen, self._fixed[op.name])
            before = self._found.get(op.name)
            self._found[op.name] = counted if before is None else before + counted

    @property
    def counts(self) -> Counts:
        """What was counted so far."""
        return Counts(self._samples, self._executor.graph.steps, self._found)


def counts_for(counts: Counts, graph: Graph) -> Counts | None:
    """Return counts of a folded network as those of the network that it was folded from.

    What arrives at its products is the same; a bias that a batch norm has left in a product is not
    counted. None where products were merged or replaced, so that it has to run itself.
    """
    products = graph.of_kind(*WEIGHTED, "matmul", "mask")
    if any(not _same_product(op, counts, graph) for op in products):
        return None
    ops = {}
    for op in products:
        mine = counts.ops[op.name]
        bias = mine.bias_ops if getattr(op, "bias", None) else np.zeros_like(mine.bias_ops)
        ops[op.name] = dataclasses.replace(mine, bias_ops=bias)
    return Counts(counts.samples, counts.steps, ops)


def _same_product(op: Op, counts: Counts, graph: Graph) -> bool:
    mine = counts.ops.get(op.name)
    if mine is None or mine.kind != op.kind:
        return False
    spikes = [is_spike(graph.type_of(name).domain) for name in op.inputs]
    return mine.dense_ops == dense_ops(op, graph) and mine.spike_input == spikes[0]


@dataclass(frozen=True)
class _Fixed:
    """What is the same of an op in every block: ``said`` are fields of its count, zeros among them.

    ``fan_out`` are the synapses that each place of a weighted op's input meets, ``[places or 1]``.
    """

    every_step: bool
    has_bias: bool
    said: Mapping[str, Any]
    fan_out: Array


_KNOWN: WeakKeyDictionary[Executor, Mapping[str, _Fixed]] = WeakKeyDictionary()


def _facts(executor: Executor) -> Mapping[str, _Fixed]:
    """Return what is the same in every batch, found once an executor."""
    if executor not in _KNOWN:
        counted = (op for op in executor.graph.ops if op.kind in COUNTED)
        _KNOWN[executor] = {op.name: _fixed(op, executor) for op in counted}
    return _KNOWN[executor]


def _fixed(op: Op, executor: Executor) -> _Fixed:
    graph, product = executor.graph, op.kind in ("matmul", "mask")
    every_step = executor.timing[op.name] is Timing.STEP
    runs = graph.steps if every_step else 1
    spikes = [is_spike(graph.type_of(name).domain) for name in op.inputs]
    sizes = [math.prod(graph.type_of(name).shape) for name in op.inputs]
    said = {
        **dict.fromkeys(_SUMMED, np.zeros(runs, np.int64)),
        "head_ops": np.zeros((runs, 0), np.int64),
        "name": op.name,
        "path": op.source.module,
        "kind": op.kind,
        "spike_input": spikes[0],
        "spike_right": product and spikes[1],
        "elements_in": sizes[0],
        "elements_right": sizes[1] if product else 0,
        "elements_out": math.prod(graph.type_of(op.name).shape),
        "dense_ops": dense_ops(op, graph),
    }
    has_bias = getattr(op, "bias", None) is not None
    fan_out = _places(op, graph) if op.kind in WEIGHTED else np.zeros(0, np.int64)
    return _Fixed(every_step, has_bias, said, fan_out)


def _places(op: Op, graph: Graph) -> Array:
    """Return the fan-out of each place of a sample's input, all but its channels, ``[places]``.

    One number where all places are alike.
    """
    shape = graph.type_of(op.inputs[0]).shape
    others = [n for axis, n in enumerate(shape) if axis != len(shape) + channel_axis(op)]
    fan_out = fan_out_map(op, graph)
    if fan_out.min() == fan_out.max():
        return fan_out.reshape(-1)[:1]
    return np.ascontiguousarray(np.broadcast_to(fan_out, others).reshape(-1))


def _count_op(op: Op, seen: Seen, fixed: _Fixed) -> OpCount:
    """Count one op on one block of samples."""
    met = _met(op, seen, fixed)
    of_samples = np.zeros((2, seen.samples), np.int64)
    for row, name in zip(of_samples, ("synaptic_ops", "spikes_out"), strict=True):
        if name in met:
            met[name].sum(axis=0, out=row)
    sums = {name: found.sum(axis=1) for name, found in met.items() if name != "head_ops"}
    each = np.full_like(fixed.said["updates"], fixed.said["elements_out"] * seen.samples)
    sums.update({"bias_ops": each} if fixed.has_bias else {})
    sums.update({"updates": each} if op.kind in NEURONS else {})
    heads = {"head_ops": met["head_ops"]} if "head_ops" in met else {}
    return OpCount(**{**fixed.said, **sums, **heads}, of_samples=of_samples)


_Met: TypeAlias = dict[str, Array]
"""What took place in one op, int64 ``[T, B]`` a field; ``head_ops`` is ``[T, heads]``."""


def _met(op: Op, seen: Seen, fixed: _Fixed) -> _Met:
    """Count what took place; arrays of an op run once a sample get one time step."""
    if op.kind in NEURONS:
        spikes, active = seen.firing.spikes, seen.firing.active
        return {"spikes_out": spikes, "active": active, "events_in": active, "value_in": active}
    if op.kind not in _COUNTERS:
        return {}
    inputs = seen.inputs if fixed.every_step else tuple(x[None] for x in seen.inputs)
    return _COUNTERS[op.kind](op, inputs, fixed)


def _weighted_ops(op: Op, inputs: tuple[Array, ...], fixed: _Fixed) -> _Met:
    x = inputs[0]
    integral = x.dtype.kind in "iub"
    as_it_lies = len(fixed.fan_out) == 1 and x.flags.c_contiguous
    places = x if as_it_lies else np.moveaxis(x, channel_axis(op), -1)
    rows = places.reshape(x.shape[0] * x.shape[1], len(fixed.fan_out), -1)
    found = tally(rows if integral else (rows != 0).view(np.int8), fixed.fan_out)
    value, events, synaptic, event_ops = found.reshape(4, *x.shape[:2])
    if not integral:
        value, synaptic = _value(x), event_ops
    return {
        "events_in": events,
        "value_in": value,
        "event_ops": event_ops,
        "synaptic_ops": synaptic,
        "fan_out_ops": synaptic,
    }


def _mask_ops(op: Op, inputs: tuple[Array, ...], fixed: _Fixed) -> _Met:
    both = _per_sample((inputs[0] != 0) & (inputs[1] != 0))
    return {
        "events_in": _per_sample(inputs[0] != 0),
        "events_right": _per_sample(inputs[1] != 0),
        "value_in": _value(inputs[0]),
        **dict.fromkeys(("event_ops", "synaptic_ops", "fan_out_ops"), both),
    }


def _matmul_ops(op: Op, inputs: tuple[Array, ...], fixed: _Fixed) -> _Met:
    a, b = inputs
    lead = np.broadcast_shapes(a.shape[2:-2], b.shape[2:-2])
    columns, rows = nonzeros(_heads(a, lead), along=-2), nonzeros(_heads(b, lead), along=-1)
    of_heads = (columns * rows).sum(axis=-1).reshape(*a.shape[:2], -1)
    of_a, of_b = (lines.sum(axis=(1, 2)).reshape(a.shape[:2]) for lines in (columns, rows))
    both = of_heads.sum(axis=-1)
    times_a, times_b = (math.prod(lead) // math.prod(x.shape[2:-2]) for x in inputs)
    spikes = fixed.said["spike_input"], fixed.said["spike_right"]
    reach = of_a * b.shape[-1], of_b * a.shape[-2]
    return {
        "events_in": of_a // times_a,
        "events_right": of_b // times_b,
        "value_in": of_a // times_a if spikes[0] else _value(a),
        "event_ops": both,
        "synaptic_ops": both,
        "fan_out_ops": np.minimum(*reach) if all(spikes) else reach[0 if spikes[0] else 1],
        "head_ops": of_heads.sum(axis=1),
    }


def _heads(x: Array, lead: Shape) -> Array:
    """Return a factor ``[T, B, ...]`` as ``[T * B, heads, rows, columns]``, heads as ``lead``."""
    ones = (1,) * (len(lead) + 4 - x.ndim)
    rows = x.reshape(*x.shape[:2], *ones, *x.shape[2:])
    every = np.broadcast_to(rows, (*x.shape[:2], *lead, *x.shape[-2:]))
    return every.reshape(-1, math.prod(lead), *x.shape[-2:])


def _value(x: Array) -> Array:
    """Sum the magnitudes of a sample, ``[T, B]``."""
    if x.dtype.kind == "f":
        return _per_sample(np.abs(x))
    rows = x.reshape(x.shape[0] * x.shape[1], -1, x.shape[-1])
    return tally(rows, np.ones(rows.shape[1], np.int64))[0].reshape(x.shape[:2])


def _per_sample(x: Array) -> Array:
    """Sum over all but time and samples; floats are rounded sums and stay exact enough."""
    axes = tuple(range(2, x.ndim))
    return np.asarray(x.sum(axis=axes, dtype=np.int64 if x.dtype.kind in "iub" else None))


_Counter: TypeAlias = Callable[[Op, tuple[Array, ...], _Fixed], _Met]
_COUNTERS: Mapping[str, _Counter] = MappingProxyType(
    {**dict.fromkeys(WEIGHTED, _weighted_ops), "matmul": _matmul_ops, "mask": _mask_ops}
)
