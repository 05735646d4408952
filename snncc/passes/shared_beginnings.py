"""Gives each of several layers that begin alike a first step of its own.

Layers that read one current from rest have one first potential and one first spike. Exporters that
compute nothing twice write both once, and code by hand may too; what follows then is two neurons
with one step in common. Each layer but one gets copies of that step, and what reads its spike reads
the copy of the layer whose later spikes it reads.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from snncc.ir.edit import in_order
from snncc.ir.graph import Graph, Op
from snncc.passes.answers import Firing
from snncc.passes.first_step import neuron_of
from snncc.passes.near_miss import NearMissError
from snncc.passes.neuron_proof import prove
from snncc.passes.recurrence import Arithmetic, Chain, followers, through

Values: TypeAlias = Mapping[str, frozenset[str]]
"""Names of values, by the layer that they are of."""


class _Fork(NamedTuple):
    """A firing and the neurons that it is the first step of; ``copied`` get a copy of it."""

    first: Firing
    layers: Mapping[str, Chain]
    copied: tuple[str, ...]


def begun_apart(graph: Graph) -> tuple[Graph, Arithmetic]:
    """Return the graph and its arithmetic, in which no two layers have a step in common."""
    arithmetic = _told_by_module(graph)
    copies = _Copies(graph, arithmetic)
    apart = set(arithmetic.apart)
    for fork in _forks(arithmetic):
        if copies.separate(fork):
            apart.add(replace(fork.first, module=""))
    if not copies.layers:
        return graph, arithmetic
    made = graph.replace(in_order(copies.ops))
    return made, Arithmetic(made.by_name, made.weights, frozenset(apart), copies.layers)


def _told_by_module(graph: Graph) -> Arithmetic:
    """Return the arithmetic in which comparisons of different modules are different layers'."""
    found = Arithmetic(graph.by_name, graph.weights)
    several = {f for f, following in followers(found).items() if len(following) > 1}
    return Arithmetic(graph.by_name, graph.weights, frozenset(several)) if several else found


def _forks(arithmetic: Arithmetic) -> Iterator[_Fork]:
    """Yield the firings from which several neurons, of as many steps, go on."""
    after = followers(arithmetic)
    later = {firing for following in after.values() for firing in following}
    for first, following in after.items():
        if len(following) < 2 or first in later:
            continue
        every = [through(arithmetic, first, second, after) for second in following]
        proved = [chain for chain in every if _is_neuron(arithmetic, chain)]
        layers = {chain.firings[1].potential: chain for chain in proved}
        if len(layers) > 1 and len({len(chain.firings) for chain in proved}) == 1:
            all_are = len(layers) == len(following)
            yield _Fork(first, layers, tuple(layers)[1:] if all_are else tuple(layers))


def _is_neuron(arithmetic: Arithmetic, chain: Chain) -> bool:
    try:
        prove(arithmetic, chain, neuron_of(arithmetic, chain))
    except NearMissError:
        return False
    return True


class _Share(NamedTuple):
    """A place where a value is read; ``owners`` are the layers that it may be of, and why."""

    name: str
    reader: str
    at: int
    owners: Values

    @property
    def is_joined(self) -> bool:
        """Whether the reader itself reads later spikes of several layers."""
        return sum(self.reader in names for names in self.owners.values()) > 1


class _Copies:
    """The graph under way. ``layers`` says whose copy each copied comparison is."""

    def __init__(self, graph: Graph, arithmetic: Arithmetic) -> None:
        self.arithmetic = arithmetic
        self.ops: dict[str, Op] = dict(graph.by_name)
        self.layers: dict[str, str] = {}
        self._readers: dict[str, list[tuple[str, int]]] = {}
        for op in graph.ops:
            for position, name in enumerate(op.inputs):
                self._readers.setdefault(name, []).append((op.name, position))
        self._known: dict[tuple[str, str], str] = {}

    def separate(self, fork: _Fork) -> bool:
        """Give the copied layers of a fork a first step each; False where it is no layers' own.

        A spike that is joined with later ones of several layers is of one that goes on into two.
        """
        spikes = self.arithmetic.made_of_spike[fork.first]
        inside = {layer: self._led_through(fork, layer) for layer in fork.layers}
        closed = {*spikes, *fork.layers}.union(*inside.values())
        shares = list(self._shares(fork, spikes, closed))
        if any(share.is_joined for share in shares):
            return False
        for layer in fork.copied:
            chain, own = fork.layers[layer], (*spikes, *inside[layer])
            for name in own:
                self._copy(name, layer, chain)
            for name in (*(self._known[name, layer] for name in own), layer):
                self._reads_copies(name, layer)
            for share in shares:
                self._share_out(share, layer, chain)
        return True

    def _shares(
        self, fork: _Fork, spikes: Iterable[str], closed: Container[str]
    ) -> Iterator[_Share]:
        """Yield each place where a first spike is read, or what several layers make alike of it.

        Each value is looked at once: there are many ways through the sums of a residual network.
        """
        waiting = [(name, self._alike(name, fork)) for name in spikes]
        seen = set[tuple[str, frozenset[tuple[str, frozenset[str]]]]]()
        while waiting:
            name, alike = waiting.pop()
            known = name, frozenset(alike.items())
            if known in seen:
                continue
            seen.add(known)
            for reader, at in self._readers.get(name, ()):
                if reader not in closed:
                    share = _Share(name, reader, at, self._owners(alike, reader, at))
                    yield share
                    if len(share.owners) > 1 and not share.is_joined:
                        waiting.append((reader, share.owners))

    def _led_through(self, fork: _Fork, layer: str) -> tuple[str, ...]:
        """Return what lies between the first step and the second potential of a layer."""
        first, reach = fork.first, self.arithmetic.reach
        every = self.arithmetic.made_of(layer)
        return tuple(n for n in every if n != first.potential and first in {f for f, _ in reach(n)})

    def _alike(self, name: str, fork: _Fork) -> Values:
        """Return the values of each layer that are of its later spikes what one is of the first."""
        answers = self.arithmetic.answers
        form = answers[name][1:]
        return {
            layer: frozenset(
                each
                for firing in chain.firings[1:]
                for each in self.arithmetic.made_of_spike[firing]
                if answers[each][1:] == form
            )
            for layer, chain in fork.layers.items()
        }

    def _owners(self, alike: Values, reader: str, at: int) -> Values:
        """Return the layers whose later spikes a reader reads too, or ops like it at that place."""
        found = {
            layer: frozenset(
                each
                for value in values
                for each, place in self._readers.get(value, ())
                if each == reader or (place == at and self._are_like(each, reader))
            )
            for layer, values in alike.items()
        }
        return {layer: names for layer, names in found.items() if names}

    def _share_out(self, share: _Share, layer: str, chain: Chain) -> None:
        """Let a reader read the copy of its layer; one of several layers is copied itself."""
        reader = share.reader
        if layer not in share.owners:
            return
        if len(share.owners) > 1:
            self._copy(reader, layer, chain)
            reader = self._known[reader, layer]
        self._read(reader, share.at, self._known[share.name, layer])

    def _are_like(self, one: str, other: str) -> bool:
        a, b = self.ops[one], self.ops[other]
        return a.kind == b.kind and a.attributes() == b.attributes()

    def _copy(self, name: str, layer: str, chain: Chain) -> None:
        if (name, layer) in self._known:
            return
        copy, count = f"{name}.first", 1
        while copy in self.ops:
            count += 1
            copy = f"{name}.first_{count}"
        source = self.arithmetic.places[chain.firings[1]]
        self.ops[copy] = replace(self.ops[name], name=copy, source=source)
        self._known[name, layer] = copy
        if name in self.arithmetic.comparisons:
            self.layers[copy] = layer

    def _reads_copies(self, name: str, layer: str) -> None:
        for position, read in enumerate(self.ops[name].inputs):
            if (read, layer) in self._known:
                self._read(name, position, self._known[read, layer])

    def _read(self, name: str, position: int, value: str) -> None:
        inputs = list(self.ops[name].inputs)
        inputs[position] = value
        self.ops[name] = replace(self.ops[name], inputs=tuple(inputs))
