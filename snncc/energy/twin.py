"""The ANN twin: the same network without spikes, in one pass, with every multiplication.

Each conv and linear is charged its dense multiplications once, not once a time step. Attention is
charged as vanilla self-attention, ``N² D_k + N² D_v`` multiplications for N tokens, which is the
``2 N² D`` that Spike-driven Transformer (NeurIPS 2023, table 1) compares with. Products that have
no vanilla form, the gates of an AND residual and of token attention, are charged once an element.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from snncc.energy.attention import attention_blocks
from snncc.energy.price import Load
from snncc.energy.products import products
from snncc.ir.graph import Graph


def twin_loads(graph: Graph) -> tuple[Load, ...]:
    """Return the multiplications of the twin, those of attention where its products stand."""
    attention = vanilla_attention(graph)
    found = ((p, attention.get(p.name, p.dense_ops)) for p in products(graph))
    return tuple(Load(p.name, p.path, p.op, 1.0, n, mac=float(n), ac=0.0) for p, n in found if n)


def vanilla_attention(graph: Graph) -> Mapping[str, int]:
    """Return the multiplications of vanilla attention by the product that stands for them.

    The first product of a block stands for ``Q Kᵀ`` and the last for the weighted sum of V; others
    between them stand for none. A block with one product stands for both.
    """
    charged: dict[str, int] = {}
    for block in attention_blocks(graph):
        charged.update({p.name: 0 for p in block.products})
        charged[block.products[0].name] += block.tokens**2 * block.width_k
        charged[block.products[-1].name] += block.tokens**2 * block.width_v
    return charged


def quantized_bits(steps: int) -> int:
    """Return the bits of activations that tell as many values apart as T time steps of spikes.

    ``ceil(log2(T + 1))``: Yan et al., arXiv 2409.08290.
    """
    return math.ceil(math.log2(steps + 1))
