"""Rows of linear ops with no neuron between: where they stand, and which parts of them compose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from snncc.ir import domain as dom
from snncc.ir.graph import Graph, Op
from snncc.ir.ops import WEIGHTED
from snncc.passes.linear_chain import POOLS, Apart, Chain, extended, is_linear, start
from snncc.passes.products import heads_of, levels_of


@dataclass(frozen=True)
class Rows:
    """The rows of linear ops of a step graph."""

    graph: Graph

    @cached_property
    def _heads(self) -> set[str]:
        return heads_of(self.graph)

    @cached_property
    def _levels(self) -> Mapping[str, int]:
        return levels_of(self.graph)

    def all(self) -> Iterator[tuple[Op, ...]]:
        """Yield the longest rows, each op the only reader of the one before."""
        taken: set[str] = set()
        for op in self.graph.ops:
            path: list[Op] = []
            following: Op | None = op
            while following and following.name not in taken and self._goes_on(path, following):
                path.append(following)
                taken.add(following.name)
                users = self.graph.users[following.name]
                following = users[0] if len(users) == 1 else None
            if _is_worth_it(path):
                yield tuple(path)

    def _goes_on(self, path: list[Op], op: Op) -> bool:
        """Whether an op continues a row: a sum over all places and a flattening before weights."""
        if op.kind not in ("sum", "reshape"):
            return is_linear(op, self.graph.weights)
        kinds = {each.kind for each in path}
        if kinds.intersection(WEIGHTED):
            return False
        return bool(kinds.intersection(POOLS)) if op.kind == "reshape" else self._sums_places(op)

    def _sums_places(self, op: Any) -> bool:
        """Whether an op sums the last axes of spikes, all but the first."""
        rank = len(self.graph.type_of(op.inputs[0]).shape)
        return rank > 1 and sorted(op.axes) == list(range(1, rank)) and self._is_fired(op)

    def _is_fired(self, op: Op) -> bool:
        """Whether an op reads spikes, or the counts that neurons fire."""
        read = op.inputs[0]
        return dom.is_spike(self.graph.type_of(read).domain) or read in self._levels

    def runs(self, path: tuple[Op, ...]) -> tuple[list[Chain], list[str]]:
        """Return the parts of a row that compose, and why it falls apart between weighted ops."""
        found: list[Chain] = []
        reasons: list[str] = []
        waiting = path
        while waiting:
            chain, reason = self._longest(waiting)
            count = len(chain.ops) if chain else 0
            if chain and _is_worth_it(chain.ops):
                found.append(chain)
            rest = waiting[max(count, 1) :]
            if reason and _is_parted(waiting, count):
                reasons.append(reason)
            waiting = rest
        return found, reasons

    def _longest(self, ops: tuple[Op, ...]) -> tuple[Chain | None, str]:
        """Return the longest chain from the first op on that one op can be, and why it ends there.

        It begins with pools only where that gives weights what neurons fire.
        """
        first = next((op for op in ops if op.kind in WEIGHTED), None)
        if first is None:
            return None, ""
        pools = [op for op in ops[: ops.index(first)] if op.kind in POOLS]
        if pools and (first.name in self._heads or not self._is_fired(ops[0])):
            return None, ""
        best: Chain | None = None
        try:
            chain = start(self.graph, ops[0], _axes(pools[0] if pools else first))
            for op in self._before_the_readout(ops):
                chain = extended(chain, op, self.graph)
                best = chain if chain.is_one else best
        except Apart as apart:
            return best, str(apart)
        whole = best is not None and best.ops[-1] is chain.ops[-1]
        return best, "" if whole else "more places are padded on one side than on the other"

    def _before_the_readout(self, ops: tuple[Op, ...]) -> Iterator[Op]:
        """Yield ops up to a pool behind a head, which only gathers the answer."""
        weighted: Op | None = None
        for op in ops:
            if op.kind in POOLS and weighted is not None and weighted.name in self._heads:
                return
            weighted = op if op.kind in WEIGHTED else weighted
            yield op


def between_pools(chain: Chain) -> list[tuple[Op, ...]]:
    """Return the ops of a chain that stand together without its pools."""
    parts: list[list[Op]] = [[]]
    for op in chain.ops:
        if op.kind in (*POOLS, "reshape"):
            parts.append([])
        else:
            parts[-1].append(op)
    return [tuple(part) for part in parts if _is_worth_it(part)]


def _axes(first: Any) -> int:
    """Return how many axes the windows of a chain have, by its first pool or weighted op."""
    if first.kind == "sum":
        return len(first.axes)
    return len(first.stride) if first.kind in ("conv", "avg_pool") else 0


def _is_parted(ops: tuple[Op, ...], count: int) -> bool:
    """Whether a chain of so many ops leaves weights behind that read no spikes for it.

    It has weights itself, or begins with a pool that none could take in.
    """
    kinds = [op.kind for op in ops]
    if not any(kind in WEIGHTED for kind in kinds[max(count, 1) :]):
        return False
    return any(kind in WEIGHTED for kind in kinds[:count]) or kinds[0] in POOLS


def _is_worth_it(ops: Sequence[Op]) -> bool:
    """Whether there are two weighted ops, or one behind a border, or one with a pool."""
    kinds = [op.kind for op in ops]
    weighted = [i for i, kind in enumerate(kinds) if kind in WEIGHTED]
    bordered = bool(weighted and "pad" in kinds[: weighted[0]])
    return len(weighted) > 1 or bordered or bool(weighted and set(kinds).intersection(POOLS))
