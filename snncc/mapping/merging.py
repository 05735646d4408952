"""Parts that share a core: those with the most traffic between them first, within the limits."""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx
import numpy as np

from snncc.ir.graph import Array
from snncc.mapping.ranks import ranked
from snncc.mapping.tiling import Limits, Tile, amount


def merged(
    tiles: Sequence[Tile], limits: Limits, senders: Array, receivers: Array, traffic: Array
) -> list[list[int]]:
    """Return the parts of each core, by number; parts and cores are in order.

    ``traffic`` is what part ``senders[i]`` sends to ``receivers[i]``. Whoever talks most is put
    together, as long as the core holds both; then what is left over fills up cores in order.
    """
    groups = _Groups(tiles, limits)
    for a, b in _by_weight(senders, receivers, traffic):
        groups.join(a, b)
    open_group: int | None = None
    for number in range(len(tiles)):
        root = groups.root(number)
        if open_group is None or not groups.join(open_group, root):
            open_group = root
        open_group = groups.root(open_group)
    return groups.members()


def _by_weight(senders: Array, receivers: Array, traffic: Array) -> list[tuple[int, int]]:
    """Return the pairs of different parts, heaviest first, by number where they weigh the same."""
    low, high = np.minimum(senders, receivers), np.maximum(senders, receivers)
    apart = low != high
    width = int(high.max(initial=0)) + 1
    keys, where = ranked(low[apart] * width + high[apart])
    weights = np.bincount(where, traffic[apart], len(keys))
    order = np.lexsort((keys, -weights))
    return [(int(k // width), int(k % width)) for k in keys[order]]


class _Groups:
    """Parts in disjoint sets, each with what it needs of everything that has a limit."""

    def __init__(self, tiles: Sequence[Tile], limits: Limits) -> None:
        self.most = tuple(limits.most.values())
        self.sets: nx.utils.UnionFind = nx.utils.UnionFind(range(len(tiles)))
        self.needs = {
            number: tuple(int(amount(tile.needs, name)) for name in limits.most)
            for number, tile in enumerate(tiles)
        }

    def root(self, number: int) -> int:
        return int(self.sets[number])

    def join(self, a: int, b: int) -> bool:
        """Put two sets together if a core holds both; say whether they are together now."""
        a, b = self.root(a), self.root(b)
        if a == b:
            return True
        both = tuple(x + y for x, y in zip(self.needs[a], self.needs[b], strict=True))
        if any(n > most for n, most in zip(both, self.most, strict=True)):
            return False
        self.sets.union(a, b)
        self.needs[self.root(a)] = both
        return True

    def members(self) -> list[list[int]]:
        return sorted(sorted(group) for group in self.sets.to_sets())
