"""Why a value is no spike: the chain of ops that widened it, from the nearest back to the first."""

from __future__ import annotations

from collections.abc import Iterator

from snncc.ir import domain as dom
from snncc.ir.domain import Domain, Grid, Real
from snncc.ir.graph import Graph, Op
from snncc.ir.ops import VIEWS, Sum
from snncc.ir.synaptic_current import CURRENTS

_LONGEST = 24
"""Lines of a chain; the residual stream of a deep network has one for every addition."""

_LARGEST_DENOMINATOR = 10_000
"""Steps with a larger one are shown as decimals."""

_MAKERS = ("conv", "linear", "foreign", "constant")
"""Kinds at which real numbers enter."""

_VERBS = {
    "add": "adds",
    "matmul": "multiplies",
    "mask": "multiplies",
    "concat": "joins",
    "pad": "puts a border around",
    "sum": "sums",
    "readout": "sums over time",
    "avg_pool": "averages",
    "scale": "scales",
    "batch_norm": "normalises",
    **dict.fromkeys(CURRENTS, "keeps a current made of"),
}


def shown(domain: Domain) -> str:
    """Return a domain as people read it."""
    if isinstance(domain, Grid) and domain.step.denominator > _LARGEST_DENOMINATOR:
        return f"{float(domain.step):.4g} x int[{domain.lo}..{domain.hi}]"
    return str(domain)


def place(op: Op) -> str:
    """Return the module path of an op, and the line where there is one."""
    line = f" ({op.source.place})" if op.source.place else ""
    return f"`{op.source.module or op.name}`{line}"


def causes(graph: Graph, name: str) -> tuple[str, ...]:
    """Return a line for each op on the way back from a value to the last spikes or floats."""
    lines: list[str] = []
    for op in _way_back(graph, name):
        if len(lines) == _LONGEST:
            return (*lines, "and so on")
        lines.append(_line(graph, op))
    return tuple(lines)


def is_pooled(graph: Graph, name: str) -> bool:
    """Whether a value counts the spikes of windows: average or sum pools alone widened it."""
    ops = list(_way_back(graph, name))
    pools = [op for op in ops if op.kind == "avg_pool" or _is_global(graph, op)]
    return bool(pools) and all(op in pools or op.kind == "scale" for op in ops)


def _is_global(graph: Graph, op: Op) -> bool:
    """Whether an op sums each channel over all its places."""
    if not isinstance(op, Sum):
        return False
    rank = len(graph.type_of(op.inputs[0]).shape)
    return rank > 1 and sorted(op.axes) == list(range(1, rank))


def _way_back(graph: Graph, name: str) -> Iterator[Op]:
    """Yield the ops that widened a value, following the widest operand, the last of equals."""
    while not dom.is_spike(domain := graph.type_of(name).domain):
        op = graph[name]
        if op.kind not in VIEWS and op.kind != "max_pool":
            yield op
        if not op.inputs or (op.kind in _MAKERS and isinstance(domain, Real)):
            return
        name = max(reversed(op.inputs), key=lambda n: _width(graph.type_of(n).domain))


def _width(domain: Domain) -> float:
    return float("inf") if isinstance(domain, Real) else float(domain.magnitude)


def _line(graph: Graph, op: Op) -> str:
    result = shown(graph.type_of(op.name).domain)
    if op.kind in _VERBS:
        read = " and ".join(shown(graph.type_of(name).domain) for name in op.inputs)
        return f"{place(op)} {_VERBS[op.kind]} {read}: {result}"
    if op.kind == "input":
        return f"`{op.name}` is the input of the network: {result}"
    what = getattr(op, "target", "a stored tensor" if op.kind == "constant" else f"a {op.kind}")
    return f"{place(op)} is {what}: {result}"
