"""The papers' estimates, firing rate times dense operations, under three named conventions.

- ``spikingformer``: a layer costs ``r (FLOPs + biases)`` additions, ``r`` the rate of its input;
  attention ``T h N (D/h)² (min(r_k, r_v) + r_q)``; where the input is no spikes, all are MACs.
- ``sdt``: no biases; the projections that make Q, K and V are priced by the mean of the rates of
  Q, K and V, as the Spike-driven Transformer's tables read, and attention is ``T N D (r_q + r_k)``.
- ``syops``: as syops-counter sees a network: products of two values are not seen at all, a
  linear's bias counts once a call, and each batch norm is two MACs an element.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from snncc.energy.price import Load, estimate
from snncc.energy.products import Product, norm_elements, products
from snncc.execute.counts import Counts
from snncc.ir.graph import Graph

Rates: TypeAlias = Mapping[tuple[str, int], float]
"""The firing rate of an operand, by the name of its product and its place in it."""

SPIKINGFORMER, SDT, SYOPS = "spikingformer", "sdt", "syops"


def rates_of(counts: Counts, graph: Graph) -> Rates:
    """Return the rates that were counted, of all operands that are spikes."""
    rates: dict[tuple[str, int], float] = {}
    for product in products(graph):
        op = counts.ops[product.name]
        for place, operand in enumerate(product.operands):
            if operand.spike and place == 0:
                share = int(op.events_in.sum()) / (counts.samples * op.runs * op.elements_in)
                rates[product.name, 0] = share
            elif operand.spike:
                rates[product.name, place] = counts.rate_right(product.name)
    return rates


def estimates(
    graph: Graph, rates: Rates, convention: str = SPIKINGFORMER, counter_heads: int | None = None
) -> tuple[Load, ...]:
    """Return the estimate of each product of a network.

    ``counter_heads`` prices attention as if it had that many heads, as the published counter does
    by a constant in its source; it only has a meaning for ``spikingformer``.
    """
    found = products(graph)
    if convention == SPIKINGFORMER:
        return tuple(_spikingformer(p, rates, counter_heads) for p in found)
    return _CONVENTIONS[convention](graph, found, rates)


def _load(product: Product, rate: float | None, dense: int) -> Load:
    return estimate(product.name, product.path, product.op, dense, rate)


def _smallest(product: Product, rates: Rates) -> float | None:
    places = (i for i, operand in enumerate(product.operands) if operand.spike)
    return min((rates[product.name, i] for i in places), default=None)


def _spikingformer(product: Product, rates: Rates, counter_heads: int | None) -> Load:
    dense = product.runs * (product.dense_ops + product.bias_ops)
    if counter_heads is not None and product.op == "matmul":
        dense = dense * product.heads // counter_heads
    return _load(product, _smallest(product, rates), dense)


def _sdt(_: Graph, found: tuple[Product, ...], rates: Rates) -> tuple[Load, ...]:
    projections = _projections(found, rates)
    return tuple(_sdt_load(p, rates, projections) for p in found)


def _sdt_load(product: Product, rates: Rates, projections: Mapping[str, float]) -> Load:
    dense = product.runs * product.dense_ops
    if not product.is_attention or not product.driven:
        own = _smallest(product, rates)
        mean = projections.get(product.name, own) if product.driven else None
        return _load(product, mean, dense)
    place = next(i for i, operand in enumerate(product.operands) if operand.spike)
    elements = product.runs * product.operands[place].elements
    return _load(product, rates[product.name, place], elements)


def _projections(found: tuple[Product, ...], rates: Rates) -> Mapping[str, float]:
    """Return, for each conv or linear that makes Q, K or V, the mean rate of all three."""
    groups: dict[str, dict[str, float]] = defaultdict(dict)
    for product in (p for p in found if p.is_attention):
        for place, operand in enumerate(product.operands):
            if operand.spike and operand.weighted:
                groups[product.path][operand.weighted] = rates[product.name, place]
    return {name: sum(group.values()) / len(group) for group in groups.values() for name in group}


def _syops(graph: Graph, found: tuple[Product, ...], rates: Rates) -> tuple[Load, ...]:
    seen = [_syops_load(p, rates) for p in found if not p.is_attention]
    norms = [
        Load(op.name, op.source.module, op.kind, 1.0, 2 * n, mac=2.0 * n, ac=0.0)
        for op, n in norm_elements(graph)
    ]
    return (*seen, *norms)


def _syops_load(product: Product, rates: Rates) -> Load:
    once = 1 if product.op == "linear" else product.runs
    dense = product.runs * product.dense_ops + once * product.bias_ops
    return _load(product, _smallest(product, rates), dense)


_Way: TypeAlias = Callable[[Graph, tuple[Product, ...], Rates], tuple[Load, ...]]
_CONVENTIONS: Mapping[str, _Way] = MappingProxyType({SDT: _sdt, SYOPS: _syops})
CONVENTIONS = (SPIKINGFORMER, *_CONVENTIONS)
"""The conventions by name, the usual one first."""
