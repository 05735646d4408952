"""What each op computes on a block of samples: ``ir.semantics``, by the fast kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TypeAlias, cast

import numpy as np

from snncc.execute.block import Block, Firing
from snncc.execute.kernels import currents, neurons, pools, real_neurons
from snncc.execute.kernels.memory import flat, order_of, shaped
from snncc.execute.values import Product, Sum, Value, width
from snncc.ir.domain import Grid, is_integer
from snncc.ir.graph import Array, Op, Shape
from snncc.ir.interpret import read_input, write_output
from snncc.ir.memory import all_steps
from snncc.ir.ops import Conv, Input, IntegerNeuron, Linear, MaxPool, Neuron, Output
from snncc.ir.semantics import apply, is_integral
from snncc.ir.synaptic_current import IntegerCurrent, SynapticCurrent

_VIEWS = ("reshape", "permute", "expand")


def compute(block: Block, op: Op) -> None:
    """Compute one op of a block from the values before it."""
    block.put(op, _RULES.get(op.kind, _apply)(block, op))


def _input(block: Block, op: Op) -> Value:
    x = read_input(cast(Input, op), block.x)
    if x.dtype.kind == "f":
        x = x.astype(block.network.kind, copy=False)
    return x if block.network.every_step(op.name) else x[None]


def _constant(block: Block, op: Op) -> Value:
    value = apply(op, (), block.graph.weights, 2)
    return np.broadcast_to(value, (1, block.samples, *value.shape[2:]))


def _same(block: Block, op: Op) -> Value:
    return block.values[op.inputs[0]]


def _weighted(block: Block, op: Op) -> Value:
    layer = cast("Conv | Linear", op)
    x = block.settled(op.inputs[0])
    axes = len(layer.stride) + 1 if isinstance(layer, Conv) else 1
    lead = x.shape[: x.ndim - axes]
    raw = block.network.product(layer)(x.reshape(-1, *x.shape[x.ndim - axes :]))
    raw = raw.reshape(*lead, *raw.shape[1:])
    bias = None if layer.bias is None else cast(Array, block.graph.weights[layer.bias])
    if bias is not None and isinstance(layer, Conv):
        bias = bias.reshape(-1, *(1,) * len(layer.stride))
    if block.network.is_integral(layer):
        kind = width(block.graph.type_of(op.name))
        return Sum(raw, kind, shift=layer.shift, bias=bias)
    if bias is not None:
        raw += bias
    return raw


def _add(block: Block, op: Op) -> Value:
    a, b = (block.values[name] for name in op.inputs)
    shapes = {block.graph.type_of(name).shape for name in op.inputs}
    if len(shapes) > 1 or not _whole(block, op):
        return _apply(block, op)
    kind = width(block.graph.type_of(op.name))
    if isinstance(a, Sum) and a.rest is None:
        return a.plus(block.settled(op.inputs[1]), kind)
    if isinstance(b, Sum):
        return b.plus(block.settled(op.inputs[0]), kind)
    return Sum(block.settled(op.inputs[0]), kind, rest=block.settled(op.inputs[1]))


def _integer_neuron(block: Block, op: Op) -> Value:
    neuron, name = cast(IntegerNeuron, op), op.inputs[0]
    value = block.values[name]
    if isinstance(value, Product):
        value = value.bare_sum()
    current = value if isinstance(value, Sum) else Sum(value, width(block.graph.type_of(name)))
    steps = block.graph.steps
    wanted = block.network.last_use[name] != op.name and not current.bare
    samples = (steps if wanted else 0, current.raw.shape[1])
    total = np.empty((*samples, current.raw[0, 0].size if wanted else 0), current.kind)
    done = neurons.fire(current.current(), block.network.rule(neuron, current), steps, total)
    if wanted:
        block.values[name] = shaped(total, current.shape, current.order)
    low, high = int(done.lowest.min(initial=0)), int(done.highest.max(initial=0))
    block.potentials[op.name] = (low, high)
    block.firing[op.name] = Firing(done.fired, done.active)
    return shaped(done.spikes, current.shape, current.order)


def _neuron(block: Block, op: Op) -> Value:
    neuron, x = cast(Neuron, op), block.settled(op.inputs[0])
    if neuron.grain is not None and neuron.tau is not None:
        return _step_by_step(block, neuron, x)
    floats = x if x.dtype.kind == "f" else x.astype(np.float64)
    order = order_of(floats)
    spikes, fired, active = real_neurons.fire(neuron, flat(floats, order), block.graph.steps)
    block.firing[op.name] = Firing(fired, active)
    counts = shaped(spikes, x.shape[2:], order)
    return counts if neuron.norm == 1.0 else counts / neuron.norm


def _step_by_step(block: Block, op: Neuron, x: Array) -> Value:
    """Return the spikes of neurons whose leak rounds, as the interpreter computes them."""
    spikes = all_steps(op, block.graph, np.broadcast_to(x, (block.graph.steps, *x.shape[1:])))
    places = tuple(range(2, spikes.ndim))
    active = np.broadcast_to((x != 0).sum(axis=places), spikes.shape[:2])
    block.firing[op.name] = Firing((spikes != 0).sum(axis=places), active)
    return spikes


def _integer_current(block: Block, op: Op) -> Value:
    current, x = cast(IntegerCurrent, op), block.settled(op.inputs[0])
    order, kind = order_of(x), width(block.graph.type_of(op.name))
    rows = flat(x, order)
    kept = currents.keep_integers(rows, current.decay, current.shift, block.graph.steps, kind)
    return shaped(kept, x.shape[2:], order)


def _synaptic_current(block: Block, op: Op) -> Value:
    current, x = cast(SynapticCurrent, op), block.settled(op.inputs[0])
    order = order_of(x)
    kept = currents.keep_floats(flat(x, order), current.keep, block.graph.steps)
    return shaped(kept, x.shape[2:], order)


def _max_pool(block: Block, op: Op) -> Value:
    pool = cast(MaxPool, op)
    if len(pool.kernel) != 2:
        return _apply(block, op)
    value = block.values[op.inputs[0]]
    products = value if isinstance(value, Sum) and value.rest is None else None
    x = products.raw if products else block.settled(op.inputs[0])
    outs = block.graph.type_of(op.name).shape
    planes = np.ascontiguousarray(x.reshape(-1, *x.shape[-3:]).transpose(0, 2, 3, 1))
    window = pools.Window(*map(_pair, (pool.kernel, pool.stride, pool.padding, pool.dilation)))
    pooled = pools.max_pool(planes, window, _pair(outs[-2:])).transpose(0, 3, 1, 2)
    pooled = pooled.reshape(*x.shape[:2], *outs)
    return replace(products, raw=pooled) if products else pooled


def _pair(numbers: Shape) -> tuple[int, int]:
    return numbers[0], numbers[1]


def _matmul(block: Block, op: Op) -> Value:
    ranks = {len(block.graph.type_of(name).shape) for name in op.inputs}
    if len(ranks) > 1 or not _whole(block, op):
        return _apply(block, op)
    first = block.values[op.inputs[0]]
    kind = width(block.graph.type_of(op.name))
    largest = tuple(_largest(block, name) for name in op.inputs)
    b = block.settled(op.inputs[1])
    if isinstance(first, Product):
        return first.times(b, largest[1], kind)
    return Product(block.settled(op.inputs[0]), b, (largest[0], largest[1]), kind)


def _view(block: Block, op: Op) -> Value:
    value = block.values[op.inputs[0]]
    if isinstance(value, Sum) and value.bare:
        return Sum(apply(op, (value.raw,), block.graph.weights, 2), value.kind)
    return _apply(block, op)


def _readout(block: Block, op: Op) -> Value:
    x = block.shown(op.inputs[0])
    return np.asarray(x.sum(axis=0, dtype=np.int64 if is_integral(x) else None))[None]


def _output(block: Block, op: Op) -> Value:
    value = block.settled(op.inputs[0])
    return write_output(cast(Output, op), value, block.graph)


def _apply(block: Block, op: Op) -> Value:
    """Compute any op as the interpreter does."""
    inputs = [block.settled(name) for name in op.inputs]
    steps = max((len(x) for x in inputs), default=1)
    same = (np.broadcast_to(x, (steps, *x.shape[1:])) for x in inputs)
    return apply(op, tuple(same), block.graph.weights, 2)


def _whole(block: Block, op: Op) -> bool:
    """Whether all operands are proved to be integers, and lie as such."""
    domains = (block.graph.type_of(name).domain for name in op.inputs)
    values = (block.values[name] for name in op.inputs)
    stored = (isinstance(v, Sum | Product) or is_integral(v) for v in values)
    return all(is_integer(d) for d in domains) and all(stored)


def _largest(block: Block, name: str) -> int:
    domain = block.graph.type_of(name).domain
    return int(domain.largest) if isinstance(domain, Grid) else 0


_Rule: TypeAlias = Callable[[Block, Op], Value]
_RULES: Mapping[str, _Rule] = MappingProxyType(
    {
        "input": _input,
        "constant": _constant,
        "repeat": _same,
        "conv": _weighted,
        "linear": _weighted,
        "add": _add,
        "integer_neuron": _integer_neuron,
        "neuron": _neuron,
        "synaptic_current": _synaptic_current,
        "integer_current": _integer_current,
        "max_pool": _max_pool,
        "matmul": _matmul,
        "readout": _readout,
        "output": _output,
        **dict.fromkeys(_VIEWS, _view),
    }
)
