"""Which ops of a step graph run on the host: the encoder, the head, both or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from snncc.ir.graph import Graph, Op
from snncc.ir.ops import VIEWS, WEIGHTED
from snncc.ir.synaptic_current import CURRENTS

Site: TypeAlias = Literal["host", "chip"]

NEURONS = ("neuron", "integer_neuron")
"""Kinds that keep a potential and fire."""

_BEHIND_THE_HEAD = (
    *VIEWS,
    *CURRENTS,
    "delay",
    "sum",
    "scale",
    "readout",
    "add",
    "concat",
    "avg_pool",
    "output",
)
_BEFORE_THE_HEAD = (*VIEWS, "delay", "sum", "scale", "readout", "avg_pool", "round_shift")


@dataclass(frozen=True)
class Sites:
    """Where the two ends of a network run.

    The **encoder** is what stands between the input and the first neurons, these neurons included:
    on the host, the chip is sent their spikes. The **head** is the last weighted layer with what
    gathers places and time steps on either side of it: on the host, the chip sends what it reads.
    """

    encoder: Site = "chip"
    head: Site = "host"

    def __post_init__(self) -> None:
        """Refuse a place that there is not."""
        for end, site in (("encoder", self.encoder), ("head", self.head)):
            if site not in get_args(Site):
                raise ValueError(f"the {end} runs on {site!r}, wanted 'host' or 'chip'")


USUAL_SITES = Sites()


def on_host(graph: Graph, sites: Sites) -> frozenset[str]:
    """Return the names of the ops that the host computes; inputs are among none."""
    encoder = _encoder(graph) if sites.encoder == "host" else set()
    head = _head(graph) if sites.head == "host" else set()
    return frozenset(encoder | head)


def _encoder(graph: Graph) -> set[str]:
    """Return what the input reaches without passing neurons, and the first neurons."""
    shown = {op.name for op in graph.of_kind("input")}
    still = {op.name for op in graph.of_kind("constant")}
    found: set[str] = set()
    for op in graph.ops:
        if not op.inputs or not shown.union(still).issuperset(op.inputs):
            continue
        if still.issuperset(op.inputs):
            still.add(op.name)
            continue
        found.add(op.name)
        if op.kind not in NEURONS:
            shown.add(op.name)
    return found


def _head(graph: Graph) -> set[str]:
    """Return the last weighted ops and what only gathers, behind them and before."""
    behind: set[str] = set()
    heads: set[str] = set()
    for op in reversed(graph.ops):
        users = graph.users[op.name]
        is_head = op.kind in WEIGHTED and users and _only(users, behind)
        gathers = op.kind in _BEFORE_THE_HEAD and users and _only(users, behind | heads)
        if op.kind in _BEHIND_THE_HEAD and _only(users, behind):
            behind.add(op.name)
        elif is_head or gathers:
            heads.add(op.name)
    return behind | heads


def _only(users: tuple[Op, ...], names: set[str]) -> bool:
    return all(user.name in names for user in users)
