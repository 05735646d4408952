"""An integer step graph as the list of layers that netx can say, or every reason why it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from snncc.backends.lava.mapping import (
    MAX_VTH,
    POTENTIAL_BITS,
    STOCK_SHIFT,
    StockNeuron,
    stock_neuron,
)
from snncc.backends.netx.rules import NETX_BEYOND_FIELDS, NETX_CANNOT_SAY
from snncc.backends.refusals import Refusals
from snncc.diagnostics.core import Rule
from snncc.ir.domain import Grid, is_spike
from snncc.ir.graph import Array, Graph, IRError, Op, Shape, Type
from snncc.ir.ops import Add, Constant, Conv, IntegerNeuron, Linear, MaxPool, Permute, Reshape
from snncc.ir.synaptic_current import IntegerCurrent
from snncc.ir.timing import Timing, timings
from snncc.passes.neuron_integers import lowest_potential

_INT8 = (-128, 127)
_INT16 = 2**15 - 1
_NO_MEMORY = 4096
_OF_POOLS = "`snncc compile` merges a pool into the weights behind it, or says why not (SNN211)"
_FIT = "compile with --fit-widths, as `snncc convert MODEL OUT.net` does"

_REASONS = {
    "add": "a sum of two values: netx layers stand in one line",
    "matmul": "an attention product: netx multiplies by stored weights alone",
    "mask": "a product of two computed values: netx multiplies by stored weights alone",
    "concat": "values side by side: netx layers stand in one line",
    "avg_pool": "an average pool, which lava-dl does not read",
    "sum": "a sum over places, which no netx layer does",
    "thermometer": "counts of spikes in sub-steps",
    "round_shift": "a rounding shift, which no netx layer does",
    "neuron": "neurons in floats: netx holds integers",
    "batch_norm": "a batch norm: netx holds integers",
}


@dataclass(frozen=True)
class Layer:
    """A layer of netx: a convolution ``(O, I, kH, kW)`` or a matrix ``(O, I)``, and its neurons.

    ``bias`` has one number a channel, in units of 64. ``vth`` is one number, or one a channel;
    ``current_decay`` what a current loses in a step.
    ``places``: weights, biases and thresholds are those of the graph times that power of two.
    ``form`` is what the layer is in the graph.
    """

    name: str
    kind: Literal["conv", "dense"]
    shape: Shape
    weight: Array
    bias: Array | None
    vth: Array
    decay: int
    current_decay: int = _NO_MEMORY
    stride: Shape = (1, 1)
    padding: Shape = (0, 0)
    dilation: Shape = (1, 1)
    groups: int = 1
    places: int = 0
    form: Literal["conv", "dense", "pool"] = "conv"


@dataclass(frozen=True)
class Straight:
    """A network in one line: the shape that it is shown, its layers, and the rest behind them.

    ``last`` is the value that the last layer makes.
    """

    input: str
    shape: Shape
    layers: tuple[Layer, ...]
    last: str


def straight(graph: Graph) -> Straight:
    """Return an integer step graph as netx layers. Raises ``SnnccError`` with every reason."""
    walk = _Walk(graph)
    path = walk.path()
    if walk.refused:
        raise walk.refused.error()
    stages = [walk.stage(*each) for each in path]
    flat = all(s.dense for s in stages)
    layers = [layer for s in stages for layer in walk.layers(s, flat=flat)]
    if walk.refused:
        raise walk.refused.error()
    shape = graph.type_of(walk.input).shape
    return Straight(walk.input, shape if flat else spatial(shape), tuple(layers), walk.last)


def spatial(shape: Shape) -> Shape:
    """Return a shape as channels and two axes, as netx convolutions have it."""
    return (*shape, 1, 1)[:3]


@dataclass(frozen=True)
class _Stage:
    """A weighted op, the pools in front of it, and the neurons behind.

    ``bias`` is in front of what the neurons keep of their currents, ``behind`` what is added to it.
    """

    op: Conv | Linear
    pools: tuple[MaxPool, ...]
    neuron: IntegerNeuron
    stock: StockNeuron
    bias: Array | None
    behind: Add | None
    dense: bool


class _Walk:
    """Goes through a graph from the input to the last neurons; ``refused`` is what it met."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.refused = Refusals()
        self.input, self.last = "", ""

    def path(self) -> list[tuple[list[Op], IntegerNeuron]]:
        """Return, for each layer of neurons, the ops between the layer before and it."""
        graph = self.graph
        if graph.level != "step" or len(graph.of_kind("input")) != 1:
            raise IRError("not a step graph of one input")
        self._outside()
        op: Op | None = graph.of_kind("input")[0]
        self.input = cast(Op, op).name
        between: list[Op] = []
        stages: list[tuple[list[Op], IntegerNeuron]] = []
        when = timings(graph)
        while op is not None:
            users = [u for u in graph.users[op.name] if when[u.name] is not Timing.SAMPLE]
            op = users[0] if len(users) == 1 else None
            if isinstance(op, IntegerNeuron):
                stages.append((between, op))
                between, self.last = [], op.name
            elif op is not None and op.kind != "repeat":
                between.append(op)
        lined = {neuron.name for _, neuron in stages}
        for off in graph.of_kind("integer_neuron"):
            if off.name not in lined:
                self._refuse(off, "it stands beside the line of layers: netx has no branches")
        if not stages and not self.refused:
            self._refuse(graph.ops[-1], "the network has no spiking neurons in integers")
        return stages

    def _outside(self) -> None:
        """Refuse everything in a time step that stands in no line of layers."""
        when = timings(self.graph)
        for op in self.graph.ops:
            if when[op.name] is Timing.SAMPLE or op.kind in _LINE or self._heads(op):
                continue
            readers = self.graph.users[op.name] if isinstance(op, Constant) else [op]
            if not all(map(self._is_behind, readers)):
                self._refuse(op, _REASONS.get(op.kind, f"{op.kind} has no netx layer"))

    def _is_behind(self, op: Op) -> bool:
        """Whether an op adds a stored tensor to a current that lasts: it is a bias."""
        kept = [name for name in op.inputs if isinstance(self.graph[name], IntegerCurrent)]
        stored = [name for name in op.inputs if isinstance(self.graph[name], Constant)]
        if not isinstance(op, Add) or (len(kept), len(stored)) != (1, 1):
            return False
        return self._type(op.name).shape == self._type(kept[0]).shape

    def _heads(self, op: Op) -> bool:
        """Whether an op only feeds what comes after the last time step."""
        when, waiting = timings(self.graph), [op.name]
        while waiting:
            users = self.graph.users[waiting.pop()]
            if any(u.kind == "integer_neuron" for u in users):
                return False
            waiting += [u.name for u in users if when[u.name] is not Timing.SAMPLE]
        return True

    def stage(self, between: list[Op], neuron: IntegerNeuron) -> _Stage:
        """Return a layer of neurons with what feeds it. Raises ``SnnccError`` where it cannot."""
        weighted = [op for op in between if isinstance(op, Conv | Linear)]
        pools = tuple(op for op in between if isinstance(op, MaxPool))
        if len(weighted) != 1:
            self._refuse_several(neuron, weighted)
            raise self.refused.error()
        op = weighted[0]
        for view in between:
            self._check_view(view)
        self._check_pools(between, pools, op)
        threshold = cast(Array, self.graph.weights[neuron.threshold])
        keeps = self._keeps(between, op)
        stock = stock_neuron(neuron, threshold, self.graph.steps, keeps)
        if isinstance(stock, str):
            self._refuse(neuron, stock)
            raise self.refused.error()
        weight = cast(Array, self.graph.weights[op.weight]).astype(np.int64) << (op.shift + stock.k)
        bias = cast(Array, self.graph.weights[op.bias]) if op.bias else None
        dense = isinstance(op, Linear) and _fits_dense(weight) and not pools
        self._check_fields(op, neuron, stock, bias, keeps)
        moved = None if bias is None else bias.astype(np.int64) << stock.k
        behind = [each for each in between if isinstance(each, Add)]
        return _Stage(op, pools, neuron, stock, moved, behind[-1] if behind else None, dense)

    def _refuse_several(self, neuron: IntegerNeuron, weighted: list[Conv | Linear]) -> None:
        """Say why neurons behind several ops with weights, or behind none, are no layer."""
        pools = [op for op in weighted[:-1] if self._sums(op)]
        for pool in pools:
            message = "it sums the spikes of a window for the next weights: no netx layer does"
            self._refuse(pool, message, hint=_OF_POOLS)
        if not pools:
            what = ", ".join(f"`{op.name}`" for op in weighted) or "none"
            message = f"{len(weighted)} layers with weights feed it ({what}), wanted one"
            self._refuse(neuron, message)

    def _sums(self, op: Conv | Linear) -> bool:
        """Whether an op is what an average pool is in integers: ones, channel by channel."""
        weight = cast(Array, self.graph.weights[op.weight])
        alone = isinstance(op, Conv) and op.groups == len(weight) and op.bias is None
        return alone and bool(np.all(weight == 1))

    def _keeps(self, between: list[Op], weighted: Conv | Linear) -> IntegerCurrent | None:
        """Return how the neurons of a stage keep their current, None where they do not."""
        kept = [op for op in between if isinstance(op, IntegerCurrent)]
        for op in kept:
            if between.index(op) < between.index(weighted):
                self._refuse(op, "a current that lasts and is read by weights")
            elif weighted.bias and np.any(cast(Array, self.graph.weights[weighted.bias])):
                self._refuse(op, "it keeps a bias from step to step: netx adds biases behind it")
        for op in kept[1:]:
            self._refuse(op, "it keeps what was kept before: netx neurons keep one current")
        return kept[-1] if kept else None

    def _check_view(self, op: Op) -> None:
        """Refuse views other than those that put all places in one row, in order, or a row up."""
        if isinstance(op, Permute) or op.kind in ("slice", "expand", "pad"):
            self._refuse(op, f"{op.kind}: netx moves no values about")
        upright = isinstance(op, Reshape) and op.shape == spatial(self._type(op.inputs[0]).shape)
        if isinstance(op, Reshape) and len(op.shape) != 1 and not upright:
            self._refuse(op, "reshape to more than one axis: netx only flattens")
        if isinstance(op, Linear) and len(self.graph.type_of(op.inputs[0]).shape) != 1:
            self._refuse(op, "a linear layer over tokens: netx has one matrix a layer")
        if isinstance(op, Conv) and len(op.stride) > 2:
            self._refuse(op, "a convolution in three dimensions")

    def _check_pools(self, between: list[Op], pools: tuple[MaxPool, ...], op: Op) -> None:
        for pool in pools:
            if between.index(pool) > between.index(op):
                self._refuse(pool, "a max-pool of currents: only that of spikes has a netx form")
            elif not is_spike(self._type(pool.inputs[0]).domain):
                self._refuse(pool, "a max-pool of counts: only that of spikes has a netx form")
            elif len(pool.kernel) != 2 or pool.ceil_mode:
                self._refuse(pool, "a max-pool with ceil_mode, or not in two dimensions")

    def _check_fields(
        self,
        op: Op,
        neuron: IntegerNeuron,
        stock: StockNeuron,
        bias: Array | None,
        keeps: IntegerCurrent | None,
    ) -> None:
        largest = 0 if bias is None else int(np.abs(bias.astype(np.int64)).max(initial=0))
        if largest << stock.k > _INT16:
            message = f"its bias reaches {largest} << {stock.k}, wanted 16 bits"
            self._refuse(op, message, NETX_BEYOND_FIELDS)
        self._check_widths(neuron, stock, keeps)

    def _check_widths(
        self, neuron: IntegerNeuron, stock: StockNeuron, keeps: IntegerCurrent | None
    ) -> None:
        """Refuse currents that could wrap, and potentials that could saturate below.

        Above they may: thresholds lie below the end of the register, which is held as well, so what
        saturates there fires and is reset all the same.
        """
        if stock.vth.max() > MAX_VTH:
            message = f"its threshold reaches {stock.vth.max()}, wanted {MAX_VTH} at most"
            self._refuse(neuron, message, NETX_BEYOND_FIELDS)
        kept = [] if keeps is None else [keeps.name]
        shift = 0 if kept else STOCK_SHIFT + stock.k
        most = 1 << POTENTIAL_BITS
        domains = [self._type(name).domain for name in (*neuron.inputs, *kept)]
        reaches = [int(each.largest) << shift for each in domains if isinstance(each, Grid)]
        reach = max(reaches) if len(reaches) == len(domains) else None
        if reach is None or reach >= most:
            message = f"its current may reach {reach}, and wraps at {most}"
            self._refuse(neuron, message, NETX_BEYOND_FIELDS, _FIT)
            return
        lo = min(int(cast(Grid, each).minimum) for each in domains) << shift
        lowest = lowest_potential(min(lo, 0), (neuron.decay, _NO_MEMORY), self.graph.steps)
        if lowest <= -most:
            message = f"its potential may fall to {lowest}, wanted above {-most}"
            self._refuse(neuron, message, NETX_BEYOND_FIELDS, _FIT)

    def _type(self, name: str) -> Type:
        return self.graph.type_of(name)

    def layers(self, stage: _Stage, *, flat: bool) -> Iterator[Layer]:
        """Return the netx layers of a stage: one for each pool, and one of its own."""
        for pool in stage.pools:
            yield self._pool(pool)
        op, stock = stage.op, stage.stock
        weight = cast(Array, self.graph.weights[op.weight]).astype(np.int64) << (op.shift + stock.k)
        shape = self._type(op.name).shape
        vth = _by_channel(stock.vth, self._type(stage.neuron.name).shape, shape[0])
        bias = stage.bias if stage.behind is None else self._bias(stage.behind, shape[0])
        if vth is None:
            self._refuse(stage.neuron, "its thresholds differ within a channel")
            return
        form = "dense" if isinstance(op, Linear) else "conv"
        common = {
            "bias": bias, "vth": vth, "decay": stock.dv, "current_decay": stock.du + 1,
            "places": stock.k, "form": form,
        }  # fmt: skip
        if isinstance(op, Linear) and flat:
            yield Layer(stage.neuron.name, "dense", shape, weight, **common)  # type: ignore[arg-type]
            return
        geometry = self._geometry(op, weight)
        yield Layer(stage.neuron.name, "conv", spatial(shape), **geometry, **common)  # type: ignore[arg-type]

    def _bias(self, behind: Add, channels: int) -> Array | None:
        """Return what is added behind a current, one number a channel in units of 64."""
        (stored,) = (self.graph[n] for n in behind.inputs if isinstance(self.graph[n], Constant))
        added = cast(Array, self.graph.weights[cast(Constant, stored).value]).astype(np.int64)
        rows = np.broadcast_to(added, self._type(behind.name).shape).reshape(channels, -1)
        row = rows[:, 0]
        largest = int(np.abs(row).max()) >> STOCK_SHIFT
        if np.any(rows != rows[:, :1]):
            self._refuse(behind, "its biases differ within a channel")
        elif np.any(row % (1 << STOCK_SHIFT)):
            self._refuse(behind, f"its biases are no multiples of {1 << STOCK_SHIFT}")
        elif largest > _INT16:
            self._refuse(behind, f"its bias reaches {largest}, wanted 16 bits", NETX_BEYOND_FIELDS)
        return row >> STOCK_SHIFT

    def _geometry(self, op: Conv | Linear, weight: Array) -> dict[str, object]:
        if isinstance(op, Conv):
            pairs = {"stride": (op.stride, 1), "padding": (op.padding, 0)}
            pairs["dilation"] = (op.dilation, 1)
            found: dict[str, object] = {k: (*v, fill)[:2] for k, (v, fill) in pairs.items()}
            kernel = weight.reshape(*weight.shape, *(1,) * (4 - weight.ndim))
            return {**found, "weight": kernel, "groups": op.groups}
        source = self._unflattened(op.inputs[0])
        return {"weight": weight.reshape(len(weight), *spatial(source))}

    def _unflattened(self, name: str) -> Shape:
        """Return the shape of the layer that makes a row of values.

        The row may be made in front of its neurons or behind them.
        """
        op = self.graph[name]
        while op.kind in ("reshape", "repeat", "integer_neuron", "integer_current", "add"):
            op = next(o for n in op.inputs if not isinstance(o := self.graph[n], Constant))
        return self._type(op.name).shape

    def _pool(self, pool: MaxPool) -> Layer:
        """Return the OR of spikes: ones into neurons that keep nothing and fire above zero."""
        shape = self._type(pool.name).shape
        ones = np.ones((shape[0], 1, *pool.kernel), np.int64)
        return Layer(
            pool.name, "conv", shape, ones, None, np.zeros(1, np.int64), _NO_MEMORY,
            stride=pool.stride, padding=pool.padding, dilation=pool.dilation, groups=shape[0],
            form="pool",
        )  # fmt: skip

    def _refuse(self, op: Op, message: str, rule: Rule = NETX_CANNOT_SAY, hint: str = "") -> None:
        self.refused.add(rule, op, message, hint)


_LINE = ("input", "repeat", "conv", "linear", "integer_neuron", "max_pool", "reshape", "permute",
         "slice", "expand", "pad", "integer_current")  # fmt: skip
"""Kinds that may stand in a line of layers; some are refused where they stand."""


def _fits_dense(weight: Array) -> bool:
    """Whether lava-dl's dense layer keeps the weights: it doubles them, and drops the last bit.

    Matrices of one sign or of zeros alone are scaled in other ways, and are written as convolutions
    instead, which are taken as they are.
    """
    return bool(_INT8[0] <= weight.min() < 0 < weight.max() <= _INT8[1])


def _by_channel(vth: Array, shape: Shape, channels: int) -> Array | None:
    """Return one threshold, or one for each of the layer's channels; None where they differ within.

    Neurons behind a flattened convolution lie in one row, channel after channel.
    """
    rows = np.broadcast_to(vth, shape).reshape(channels, -1)
    if np.any(rows != rows[:, :1]):
        return None
    row = rows[:, 0]
    return row[:1] if np.all(row == row[0]) else row
