"""Operations counted on real data: a spike that meets a synapse that exists is one operation.

Nothing is estimated: at a border a spike meets fewer synapses, and the counts say so. All counts
are integers, summed over the samples, one a time step, so that counts of parts add up exactly.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from snncc.execute.executor import Executor
from snncc.ir.domain import is_spike
from snncc.ir.graph import Array, Graph, Op, Shape
from snncc.ir.ops import WEIGHTED, Conv
from snncc.ir.timing import Timing

COUNTED = (
    "conv", "linear", "matmul", "mask", "neuron", "integer_neuron",
    "add", "max_pool", "avg_pool",
)  # fmt: skip


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

    def __add__(self, other: OpCount) -> OpCount:
        """Return the counts of both sets of samples."""
        sums = {f: getattr(self, f) + getattr(other, f) for f in _SUMMED}
        return dataclasses.replace(self, **sums)

    @property
    def runs(self) -> int:
        """How often one sample runs this op: the number of time steps, or 1."""
        return len(self.events_in)


_SUMMED = (
    "events_in", "value_in", "events_right", "event_ops", "synaptic_ops", "fan_out_ops",
    "bias_ops", "spikes_out", "updates", "active",
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

    def rate_in(self, name: str) -> float:
        """Return the mean input count of an op: the firing rate where the input is spikes."""
        op = self.ops[name]
        return int(op.value_in.sum()) / (self.samples * op.runs * op.elements_in)

    def rate_right(self, name: str) -> float:
        """Return the share of the second operand of a matmul or mask that is not zero."""
        op = self.ops[name]
        return int(op.events_right.sum()) / (self.samples * op.runs * op.elements_right)

    def rate_out(self, name: str) -> float:
        """Return the firing rate of a neuron layer: spikes a neuron and step."""
        op = self.ops[name]
        return int(op.spikes_out.sum()) / (self.samples * op.runs * op.elements_out)


def count(graph: Graph, x: Array, batch: int = 16) -> Counts:
    """Return the counts of an integer step graph over samples ``x``, ``[N, *shape]``.

    Where the input varies over time ``x`` is ``[N, T, *shape]``. The result does not depend on
    ``batch``. Raises ``ValueError`` for no samples.
    """
    if len(x) == 0:
        raise ValueError("no samples to count")
    total: Counts | None = None
    for part in batches(graph, x, batch):
        counted = count_batch(graph, part)
        total = counted if total is None else total + counted
    return cast(Counts, total)


def batches(graph: Graph, x: Array, size: int) -> Iterator[Array]:
    """Split samples ``[N, ...]`` into batches as the executor takes them."""
    varies = any(getattr(op, "varies", False) for op in graph.of_kind("input"))
    for start in range(0, len(x), size):
        part = x[start : start + size]
        yield part.swapaxes(0, 1) if varies else part


def count_batch(graph: Graph, x: Array) -> Counts:
    """Return the counts of one batch in the executor's layout."""
    found: dict[str, OpCount] = {}
    executor = Executor(graph)
    samples = 0

    def observe(op: Op, inputs: tuple[Array, ...], result: Array) -> None:
        nonlocal samples
        if op.kind == "output":
            samples = result.shape[0]
        if op.kind in COUNTED:
            every_step = executor.timing[op.name] is Timing.STEP
            arrays = inputs if every_step else tuple(i[None] for i in inputs)
            found[op.name] = _count_op(op, arrays, result if every_step else result[None], graph)

    executor.run(x, observe=observe)
    return Counts(samples, graph.steps, found)


def _count_op(op: Op, inputs: tuple[Array, ...], result: Array, graph: Graph) -> OpCount:
    """Count one op; arrays are ``[T, B, ...]``."""
    x = inputs[0]
    zero = np.zeros(len(x), np.int64)
    synaptic, fan_out, dense = _products(op, inputs, graph)
    outputs = math.prod(result.shape[2:])
    samples = x.shape[1]
    has_bias = getattr(op, "bias", None) is not None
    fires = op.kind in ("neuron", "integer_neuron")
    spikes = [is_spike(graph.type_of(name).domain) for name in op.inputs]
    product = op.kind in ("matmul", "mask")
    return OpCount(
        name=op.name,
        path=op.source.module,
        kind=op.kind,
        spike_input=spikes[0],
        spike_right=product and spikes[1],
        elements_in=math.prod(x.shape[2:]),
        elements_right=math.prod(inputs[1].shape[2:]) if product else 0,
        elements_out=outputs,
        dense_ops=dense,
        events_in=_per_step(x != 0),
        value_in=_per_step(np.abs(x)),
        events_right=_per_step(inputs[1] != 0) if product else zero,
        event_ops=_arrivals(op, x != 0, graph) if op.kind in WEIGHTED else synaptic,
        synaptic_ops=synaptic,
        fan_out_ops=fan_out,
        bias_ops=zero + outputs * samples if has_bias else zero,
        spikes_out=_per_step(result) if fires else zero,
        updates=zero + outputs * samples if fires else zero,
        active=_per_step(x != 0) if fires else zero,
    )


def _per_step(x: Array) -> Array:
    """Sum over all but time; floats are rounded sums of absolute values and stay exact enough."""
    total = x.sum(axis=tuple(range(1, x.ndim)), dtype=np.int64 if x.dtype.kind in "iub" else None)
    return np.asarray(total)


def _products(op: Op, inputs: tuple[Array, ...], graph: Graph) -> tuple[Array, Array, int]:
    """Return (synaptic operations, fan-out operations, dense operations of one step)."""
    x = inputs[0]
    if op.kind in WEIGHTED:
        synaptic = _arrivals(op, np.abs(x) if x.dtype.kind in "iub" else x != 0, graph)
        return synaptic, synaptic, dense_ops(op, graph)
    if op.kind == "matmul":
        return _matmul_ops(op, inputs, graph)
    if op.kind == "mask":
        both = _per_step((x != 0) & (inputs[1] != 0))
        return both, both, math.prod(x.shape[2:])
    zero = np.zeros(len(x), np.int64)
    return zero, zero, 0


def _arrivals(op: Op, x: Array, graph: Graph) -> Array:
    """Return, for each time step, the sum of the values times the synapses that each meets."""
    per_place = x.sum(axis=1, dtype=np.int64)
    total = (per_place * fan_out_map(op, graph)).reshape(len(x), -1).sum(axis=1)
    return np.asarray(total)


def fan_out_map(op: Op, graph: Graph) -> Array:
    """Return how many synapses a spike at each place meets; broadcasts to the input's shape."""
    weight = graph.weights[op.weight_names[0]]
    if not isinstance(op, Conv):
        return np.full(1, weight.shape[0], np.int64)
    spatial = len(weight.shape) - 2
    places = graph.type_of(op.inputs[0]).shape[-spatial:]
    outs = graph.type_of(op.name).shape[-spatial:]
    per_axis = [
        _windows_over(n, m, k, s, p, d)
        for n, m, k, s, p, d in zip(
            places, outs, weight.shape[2:], op.stride, op.padding, op.dilation, strict=True
        )
    ]
    product = per_axis[0]
    for other in per_axis[1:]:
        product = product[..., None] * other
    return cast(Array, product * (weight.shape[0] // op.groups))


def _windows_over(n: int, outs: int, k: int, stride: int, padding: int, dilation: int) -> Array:
    """Return, for each of ``n`` places, in how many of the windows it lies."""
    hits = np.zeros(n, np.int64)
    starts = np.arange(outs) * stride - padding
    for tap in range(k):
        places = starts + tap * dilation
        np.add.at(hits, places[(places >= 0) & (places < n)], 1)
    return hits


def dense_ops(op: Op, graph: Graph) -> int:
    """Return the multiplications of a dense conv or linear, one step and sample, no bias."""
    weight = graph.weights[op.weight_names[0]]
    outputs: Shape = graph.type_of(op.name).shape
    return math.prod(outputs) * math.prod(weight.shape[1:])


def _matmul_ops(op: Op, inputs: tuple[Array, ...], graph: Graph) -> tuple[Array, Array, int]:
    rank = max(i.ndim for i in inputs)
    aligned = (i.reshape(*i.shape[:2], *(1,) * (rank - i.ndim), *i.shape[2:]) for i in inputs)
    a, b = (np.abs(i) > 0 for i in aligned)
    columns = a.sum(axis=-2, dtype=np.int64)
    rows = b.sum(axis=-1, dtype=np.int64)
    both = (columns * rows).reshape(len(a), -1).sum(axis=1)
    left_is_spike = is_spike(graph.type_of(op.inputs[0]).domain)
    spikes, reach = (columns, b.shape[-1]) if left_is_spike else (rows, a.shape[-2])
    if left_is_spike and is_spike(graph.type_of(op.inputs[1]).domain):
        totals = [c.reshape(len(a), -1).sum(axis=1) for c in (columns, rows)]
        fan_out = np.minimum(totals[0] * b.shape[-1], totals[1] * a.shape[-2])
    else:
        fan_out = spikes.reshape(len(a), -1).sum(axis=1) * reach
    dense = math.prod(a.shape[2:]) * b.shape[-1]
    return both, fan_out, dense
