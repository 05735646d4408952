"""Currents of netx's neurons that outlast a time step: what they keep, and the bias behind them.

A stock neuron computes ``u' = rz(u iDecay' / 4096) + 64 X`` with ``iDecay' = 4096 - iDecay``, and
adds ``u`` and the bias to ``v``: the bias does not last. What an input layer makes of its input is
a bias.
"""

from __future__ import annotations

from collections.abc import Mapping

from snncc.frontends.netx.rules import NOT_NETX
from snncc.frontends.nir.file import Node
from snncc.frontends.nir.write_steps import Writer
from snncc.ir import ops
from snncc.ir.graph import Array
from snncc.ir.synaptic_current import SynapticCurrent


def kept(write: Writer, node: Node) -> int:
    """Return how many of 4096 parts of its current a layer keeps. Raises ``SnnccError``."""
    config = node.fields.get("neuron")
    if not isinstance(config, Mapping) or node.type == "input":
        return 0
    cell = Node(node.path, node.type, config)
    decay = write.integers(cell, "iDecay", 1, least=0)[0]
    if decay > 4096:
        raise write.fault(NOT_NETX, cell, f"`iDecay` is {decay}, wanted 0 to 4096")
    return 4096 - decay


def lasting(write: Writer, node: Node, value: str, bias: Array | None) -> str:
    """Return what a neuron integrates: a current that lasts, and a bias that does not."""
    share = kept(write, node)
    if not share:
        return value
    value = write.emit(node, SynapticCurrent, value, keep=share / 4096)
    if bias is None:
        return value
    axes = (1,) * (len(write.shape(value)) - 1)
    cell = Node(f"{node.path}.bias", node.type, {})
    behind = write.emit(cell, ops.Constant, value=bias.reshape(-1, *axes))
    return write.emit(node, ops.Add, value, behind)
