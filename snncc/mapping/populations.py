"""What the cores hold: the populations of a step graph, and what connects them.

A *population* is a block of compartments that all compute the same. Its result is *emitted*: sent
as spikes, or as numbers in graded spikes. What stands between two populations runs in the dendrite
of the one that reads: sums, scales, and the products with stored weights, which are its synapses.
The input comes from the host, which also runs the encoder and the head as ``ir.sites`` says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from snncc.ir.delay import Delay
from snncc.ir.graph import Graph, Op, Shape
from snncc.ir.latency import latencies
from snncc.ir.sites import USUAL_SITES, Sites, on_host
from snncc.ir.synaptic_current import CURRENTS

NEURONS = ("neuron", "integer_neuron")
CARRIED = (
    "reshape", "permute", "repeat", "delay", "scale", "round_shift", "batch_norm", "compare",
    "thermometer", "readout", *CURRENTS,
)  # fmt: skip
"""Kinds that take each place of their one input to one place of the result.

What neurons keep of a current is state of theirs, as a potential is: nothing is sent for it.
"""
MOVED = ("expand", "slice", "concat", "pad")
"""Kinds that place values anew, more than once or not at all."""
READERS = ("conv", "linear", "max_pool", "avg_pool", "sum", "mask", "matmul")
"""Kinds that gather several of their inputs' values: these have to arrive as messages."""
FORWARDED = ("reshape", "permute", "repeat", "delay", "scale", *MOVED)
"""Kinds through which an emitted value is read."""

_MOST_WAYS, _LONGEST_WAY = 4096, 256
"""Ways on which values reach a population, and operations on one; a network has few of each."""


class UnmappedError(ValueError):
    """An op that no population can hold: which, and why."""

    def __init__(self, op: Op, reason: str) -> None:
        super().__init__(f"`{op.name}` ({op.kind}): {reason}")
        self.op, self.reason = op, reason


@dataclass(frozen=True)
class Projection:
    """What one op brings to a population.

    ``reads`` are values as the op reads them. ``path`` are the ops from the op's result (``start``)
    to the population's own value, nearest first. A ``matmul`` with ``inner`` has the product of
    that other matmul as one operand, and counts it where it is used.
    """

    kind: str
    op: str
    reads: tuple[str, ...]
    start: str
    path: tuple[str, ...]
    inner: str | None = None


@dataclass(frozen=True)
class Population:
    """Compartments with the places of the value ``home``, of shape ``shape``.

    ``name`` is the value that it computes; ``emits`` are the values sent from it: that one, and
    the spikes of a neuron layer that reads nothing else. ``path`` leads from home to name. A delay
    longer than synapses have is cut by relays: populations that send on what they read.
    """

    name: str
    home: str
    shape: Shape
    path: tuple[str, ...]
    emits: tuple[str, ...]
    projections: tuple[Projection, ...]

    @property
    def neurons(self) -> int:
        """How many compartments it has."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Net:
    """The populations of a graph in topological order; ``host`` are the values that it sends.

    ``off_chip`` names the ops that the host computes.
    """

    graph: Graph
    populations: tuple[Population, ...]
    host: tuple[str, ...]
    off_chip: frozenset[str] = frozenset()

    @cached_property
    def by_name(self) -> Mapping[str, Population]:
        """The population of each name."""
        return {p.name: p for p in self.populations}

    @cached_property
    def owner(self) -> Mapping[str, Population]:
        """The population that emits each emitted value; host values have none."""
        return {value: p for p in self.populations for value in p.emits}

    @cached_property
    def emitted(self) -> frozenset[str]:
        """Every value that travels."""
        return frozenset((*self.owner, *self.host))

    @cached_property
    def late(self) -> Mapping[str, int]:
        """How many clock steps behind the input each emitted value is made.

        Raises ``IRError`` for a graph that is not balanced: see ``passes.balance_delays``.
        """
        made = latencies(self.graph, self.off_chip)
        return {value: made[value] or 0 for value in sorted(self.emitted)}


def net_of(graph: Graph, *, sites: Sites = USUAL_SITES, inputs_on_cores: bool = False) -> Net:
    """Return the populations of a step graph; ``sites`` says which end runs on the host.

    With ``inputs_on_cores`` an input is a population too, whose neurons fire as they are told.
    Raises ``UnmappedError`` for what no population can hold.
    """
    return _Builder(graph, sites, inputs_on_cores).net()


def _too_many_ways(op: Op) -> UnmappedError:
    text = f"is made on more than {_MOST_WAYS} ways, or over more than {_LONGEST_WAY} operations"
    return UnmappedError(op, text)


def _hold_ways(graph: Graph) -> None:
    """Raise ``UnmappedError`` where a value is read on more ways than any network has."""
    ways: dict[str, tuple[int, int]] = {}
    for op in graph.ops:
        if op.kind in FORWARDED:
            before = [ways.get(name, (1, 0)) for name in op.inputs]
            ways[op.name] = sum(n for n, _ in before), 1 + max(far for _, far in before)
            if ways[op.name][0] > _MOST_WAYS or ways[op.name][1] > _LONGEST_WAY:
                raise _too_many_ways(op)


class _Builder:
    def __init__(self, graph: Graph, sites: Sites, inputs_on_cores: bool) -> None:
        self.graph, self.inputs_on_cores = graph, inputs_on_cores
        _hold_ways(graph)
        self.on_host = on_host(graph, sites) | {op.name for op in graph.of_kind("output")}
        self.emitted = {op.name for op in graph.ops if self._is_emitted(op)}

    def net(self) -> Net:
        host: list[str] = []
        made: dict[str, Population] = {}
        for op in self.graph.ops:
            if op.name not in self.emitted:
                continue
            if op.name in self.on_host or (op.kind == "input" and not self.inputs_on_cores):
                host.append(op.name)
            elif (rides := self._carrier(op, made)) is not None:
                emits = (*rides.emits, op.name)
                made[rides.name] = _with_emits(rides, emits)
            else:
                made[op.name] = self._population(op)
        return Net(self.graph, tuple(made.values()), tuple(host), self.on_host)

    def _is_emitted(self, op: Op) -> bool:
        if isinstance(op, Delay) and op.relay:
            return True
        if op.kind in (*FORWARDED, "constant", "output"):
            return False
        consumers = list(self._consumers(op))
        if op.name in self.on_host or op.kind == "input":
            return any(user.name not in self.on_host for user, _ in consumers)
        if op.kind in NEURONS:
            return True
        return len(consumers) > 1 or any(demands for _, demands in consumers)

    def _consumers(self, op: Op) -> Iterator[tuple[Op, bool]]:
        """Yield the ops that use a value, and whether each needs it sent."""
        for user in self.graph.users[op.name]:
            relayed = isinstance(user, Delay) and user.relay
            if user.kind in MOVED or relayed or user.name in self.on_host:
                yield user, True
            elif user.kind in FORWARDED:
                yield from self._consumers(user)
            else:
                yield user, self._demands(user, op)

    def _demands(self, user: Op, op: Op) -> bool:
        if user.kind == "matmul":
            return not self._is_inner(op)
        if user.kind == "add":
            return self._shape(user.name) != self._shape(self._read_as(user, op))
        return user.kind in READERS

    def _read_as(self, user: Op, op: Op) -> str:
        """Return the name under which ``user`` reads ``op``: itself, or a view of it."""
        return next((n for n in user.inputs if self._base(n).name == op.name), op.name)

    def _base(self, name: str) -> Op:
        op = self.graph[name]
        while op.kind in FORWARDED and op.kind not in MOVED:
            op = self.graph[op.inputs[0]]
        return op

    def _is_inner(self, op: Op) -> bool:
        """Whether a product is counted where another product uses it: see ``Projection``."""
        users = self.graph.users[op.name]
        return op.kind == "matmul" and len(users) == 1 and users[0].kind == "matmul"

    def _shape(self, name: str) -> Shape:
        return self.graph.type_of(name).shape

    def _carrier(self, op: Op, made: Mapping[str, Population]) -> Population | None:
        """Return the population whose value a neuron layer reads place by place, if it is one."""
        if op.kind not in NEURONS:
            return None
        name = op.inputs[0]
        while name not in self.emitted and self.graph[name].kind in CARRIED:
            name = self.graph[name].inputs[0]
        found = made.get(name)
        return None if found is None or self.graph[name].kind in (*NEURONS, "input") else found

    def _population(self, op: Op) -> Population:
        if op.kind == "input":
            return Population(op.name, op.name, self._shape(op.name), (), (op.name,), ())
        if op.kind in READERS:
            projections: tuple[Projection, ...] = (self._projection(op, ()),)
        else:
            walked = (p for name in op.inputs for p in self._walk(name, (op.name,)))
            projections = tuple(islice(walked, _MOST_WAYS + 1))
            if len(projections) > _MOST_WAYS:
                raise _too_many_ways(op)
        home = max(projections, key=self._weight_of, default=None)
        if home is None or not self._is_home(home, op):
            return Population(op.name, op.name, self._shape(op.name), (), (op.name,), projections)
        shape = self._shape(home.start)
        return Population(op.name, home.start, shape, home.path, (op.name,), projections)

    def _walk(self, name: str, path: tuple[str, ...]) -> Iterator[Projection]:
        op = self.graph[name]
        if name in self.emitted or op.kind in MOVED:
            yield Projection("identity", path[0], (name,), name, path)
        elif op.kind in READERS:
            yield self._projection(op, path)
        elif op.kind == "add" or op.kind in CARRIED:
            if len(path) > _LONGEST_WAY:
                raise _too_many_ways(op)
            for read in op.inputs:
                yield from self._walk(read, (name, *path))
        elif op.kind != "constant":
            raise UnmappedError(op, "no core can hold this operation")

    def _projection(self, op: Op, path: tuple[str, ...]) -> Projection:
        if op.kind == "conv" and len(self._shape(op.name)) != self._rank(op):
            raise UnmappedError(op, "reads several sub-steps at once")
        inner = [n for n in op.inputs if self._is_inner(self.graph[n])]
        if op.kind != "matmul" or not inner:
            return Projection(op.kind, op.name, op.inputs, op.name, path)
        reads = (*self.graph[inner[0]].inputs, *(n for n in op.inputs if n != inner[0]))
        return Projection(op.kind, op.name, reads, op.name, path, inner[0])

    def _rank(self, op: Op) -> int:
        return len(self.graph.weights[op.weight_names[0]].shape) - 1

    def _weight_of(self, projection: Projection) -> int:
        """Rank what a population may be tiled by: by its synapses, first come first."""
        if projection.kind not in ("conv", "linear"):
            return 0 if projection.kind == "identity" else 1
        op = self.graph[projection.op]
        return 2 + math.prod(self.graph.weights[op.weight_names[0]].shape)

    def _is_home(self, projection: Projection, op: Op) -> bool:
        """Whether places of the projection's result are places of the population, one to one."""
        if projection.kind == "identity":
            return False
        sizes = {math.prod(self._shape(n)) for n in (projection.start, *projection.path, op.name)}
        return len(sizes) == 1


def _with_emits(population: Population, emits: tuple[str, ...]) -> Population:
    return Population(
        population.name, population.home, population.shape, population.path, emits,
        population.projections,
    )  # fmt: skip
