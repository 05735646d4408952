"""Spiking self-attention without softmax: the products and the head layout they share.

Source: Zhou et al., "Spikformer", ICLR 2023, eq. 6-8: SSA = LIF(Q K^T V * s). The official
programs differ in order: N tokens and d channels a head make `Q (K^T V)` the cheaper one for
N > d. All factors are spikes, so the orders give equal integers, at different cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def product_kv_first(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Return Q (K^T V) * s, `[T, B, heads, N, d]` like each factor."""
    return (q @ (k.transpose(-2, -1) @ v)) * scale


def product_qk_first(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Return (Q K^T) V * s, `[T, B, heads, N, d]` like each factor."""
    return ((q @ k.transpose(-2, -1)) @ v) * scale


def product_scaled_map(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Return (Q K^T * s) V, `[T, B, heads, N, d]` like each factor."""
    return ((q @ k.transpose(-2, -1)) * scale) @ v


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Turn `[T, B, C, N]` into `[T, B, heads, N, d]`; channels of a head are neighbours."""
    T, B, C, N = x.shape
    return x.reshape(T, B, heads, C // heads, N).transpose(-2, -1)


def merge_heads(x: Tensor) -> Tensor:
    """Turn `[T, B, heads, N, d]` back into `[T, B, C, N]`."""
    return x.transpose(-2, -1).flatten(2, 3)


def split_heads_last(x: Tensor, heads: int) -> Tensor:
    """Turn `[T, B, N, C]` into `[T, B, heads, N, d]`; channels of a head are neighbours."""
    T, B, N, C = x.shape
    return x.reshape(T, B, N, heads, C // heads).transpose(2, 3)


def merge_heads_last(x: Tensor) -> Tensor:
    """Turn `[T, B, heads, N, d]` back into `[T, B, N, C]`."""
    return x.transpose(2, 3).flatten(3)
