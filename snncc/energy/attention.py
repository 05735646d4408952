"""Blocks of self-attention: which products they are of, how many tokens, how wide Q, K and V."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from snncc.energy.products import Product, products, source_of
from snncc.ir.graph import Graph


@dataclass(frozen=True)
class Block:
    """The products of one attention module, for N ``tokens`` and all heads together.

    ``width_k`` is the width of Q and of K, ``width_v`` that of V.
    """

    path: str
    products: tuple[Product, ...]
    tokens: int
    width_k: int
    width_v: int

    @property
    def values_first(self) -> bool:
        """Whether it computes ``Q (Kᵀ V)``, and so ``N D_k D_v / h`` for each of two products.

        Where a head is as wide as there are tokens, ``(Q Kᵀ) V`` takes as many: what tells them
        apart is that Q, which stands on the left, is made by weights.
        """
        wanted = self.tokens * self.width_k * self.width_v
        if any(p.op != "matmul" or p.dense_ops * p.heads != wanted for p in self.products):
            return False
        square = self.tokens * self.products[0].heads
        alike = square == self.width_k == self.width_v
        return not alike or bool(self.products[-1].operands[0].weighted)


def attention_blocks(graph: Graph) -> tuple[Block, ...]:
    """Return the attention of a network, in its order.

    Products of two values in one module are attention where at least two projections read the same
    value. Q and K are equally wide, so that of three widths the one that stands alone is V's; where
    only two projections are found, V is taken to be as wide as they are.
    """
    found: dict[str, list[Product]] = defaultdict(list)
    for product in products(graph):
        if product.is_attention:
            found[product.path].append(product)
    blocks = (_block(path, tuple(group), graph) for path, group in found.items())
    return tuple(block for block in blocks if block is not None)


def not_values_first(graph: Graph) -> str:
    """Return the path of the first product that is no part of ``Q (Kᵀ V)``; empty for none."""
    known = {p.name for b in attention_blocks(graph) if b.values_first for p in b.products}
    products_of_values = (p for p in products(graph) if p.is_attention)
    return next((p.path or p.name for p in products_of_values if p.name not in known), "")


def _block(path: str, group: tuple[Product, ...], graph: Graph) -> Block | None:
    names = {o.weighted: o.elements for p in group for o in p.operands if o.weighted}
    if len(names) < 2 or len({source_of(name, graph) for name in names}) != 1:
        return None
    widths = [graph.weights[graph[name].weight_names[0]].shape[0] for name in names]
    tokens = {elements // width for elements, width in zip(names.values(), widths, strict=True)}
    if len(tokens) != 1:
        return None
    alone = [w for w in widths if widths.count(w) == 1]
    width_v = alone[0] if len(alone) == 1 else widths[0]
    width_k = next((w for w in widths if w != width_v), width_v)
    return Block(path, group, tokens.pop(), width_k, width_v)
