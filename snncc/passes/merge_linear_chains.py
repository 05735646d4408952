"""Make one op of convolutions, batch norms, factors and borders with no neuron between."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from snncc.diagnostics.core import Diagnostic
from snncc.ir.edit import Editor
from snncc.ir.graph import Absent, Graph, Op, Source, Weight, Weights
from snncc.ir.ops import WEIGHTED, Conv, Linear
from snncc.passes.base import Invariant, Pass, Result, well_formed
from snncc.passes.linear_chain import Apart, Chain, extended, is_linear, start
from snncc.passes.linear_weights import composed
from snncc.passes.rules_of_merging import CHAIN_LEFT, CHAINS_MERGED

MAX_GROWTH = 64.0
"""By how much a merged chain may grow: a depthwise 7x7 and a 1x1 layer grow less than 49 times."""

_PARAMETERS = {
    "conv": ("weight", "bias"),
    "linear": ("weight", "bias"),
    "batch_norm": ("gamma", "beta"),
    "constant": ("value",),
}
"""The weights of each kind that training finds."""


@dataclass(frozen=True)
class Merger:
    """A chain that became one op, or did not: ``reason`` says why, and is empty where it did.

    ``paths`` are the modules of its weighted ops, ``kernel`` is that of the merged op,
    ``parameters`` and ``merged_parameters`` count those of the chain and of that op.
    """

    name: str
    paths: tuple[str, ...]
    kernel: tuple[int, ...]
    parameters: int
    merged_parameters: int
    reason: str = ""

    @property
    def growth(self) -> float:
        """How many times as many parameters the merged op has."""
        return self.merged_parameters / self.parameters if self.parameters else math.inf


@dataclass(frozen=True)
class Merged(Result):
    """What became of each chain, and the parameters of the network before and after."""

    chains: tuple[Merger, ...] = ()
    parameters: int = 0
    merged_parameters: int = 0


@dataclass(frozen=True)
class MergeLinearChains(Pass):
    """Compose ops in a row that are linear together into one convolution or linear layer.

    With ``y = W' (W x + b) + b'`` the one op is ``(W' W) x + (W' b + b')``, in float64. A border
    inside the chain holds a constant; it must be proved to be what the chain makes of zeros, so
    that zeros around the input do instead. Absent weights stay absent. A chain stays as it is
    where the proof fails, or where the op would have more than ``max_growth`` times its
    parameters, or more than ``max_weights``; each that stays is reported. Without ``compose`` the
    new weights are absent: enough for a verdict, in no time.
    """

    name: ClassVar[str] = "merge-linear-chains"
    requires: ClassVar[tuple[Invariant, ...]] = (well_formed,)
    ensures: ClassVar[tuple[Invariant, ...]] = (well_formed,)

    max_growth: float = MAX_GROWTH
    max_weights: int | None = None
    compose: bool = True

    def run(self, graph: Graph) -> Merged:
        """Return the graph with one op for each chain, and what that costs."""
        edit = Editor(graph)
        chains: list[Merger] = []
        for path in _paths(graph):
            runs, reasons = _runs(path, graph)
            for chain in runs:
                merger = self._judged(chain, graph)
                chains.append(merger)
                if not merger.reason:
                    _replace(edit, chain, composed(chain, self._weights(edit, chain)))
            chains += [_left(path, graph, reasons)] if reasons else []
        merged = edit.graph() if any(not each.reason for each in chains) else graph
        before, after = parameters(graph), parameters(merged)
        found = tuple(_notes(graph, chains, before, after))
        return Merged(merged, found, tuple(chains), before, after)

    def _weights(self, edit: Editor, chain: Chain) -> Weights:
        if self.compose:
            return edit.weights
        names = (name for op in chain.ops for name in op.weight_names)
        return {name: Absent(tuple(edit.weights[name].shape)) for name in names}

    def _judged(self, chain: Chain, graph: Graph) -> Merger:
        before = _count(chain.ops, graph)
        weights = math.prod(chain.weight_shape)
        after = weights + (0 if chain.offset is None else chain.fan_out)
        reason = ""
        if after > self.max_growth * before:
            reason = (
                f"the merged op would have {after:,} parameters, {after / max(before, 1):.3g} times"
                f" the {before:,} of the chain; the limit is {self.max_growth:g} times"
            )
        elif self.max_weights is not None and weights > self.max_weights:
            reason = (
                f"the merged op would have {weights:,} weights, the limit is {self.max_weights:,}"
            )
        return Merger(
            chain.weighted[0].name, _modules(chain.weighted), chain.reach.kernel, before, after,
            reason,
        )  # fmt: skip


def parameters(graph: Graph) -> int:
    """Return how many parameters a network has; a weight that is read twice counts once."""
    return _count(graph.ops, graph)


def _count(ops: tuple[Op, ...], graph: Graph) -> int:
    fields = ((op, field) for op in ops for field in _PARAMETERS.get(op.kind, ()))
    names = dict.fromkeys(getattr(op, field) for op, field in fields)
    return sum(math.prod(graph.weights[name].shape) for name in names if name is not None)


def _modules(ops: tuple[Op, ...]) -> tuple[str, ...]:
    return tuple(op.source.module or op.name for op in ops)


def _paths(graph: Graph) -> Iterator[tuple[Op, ...]]:
    """Yield the longest rows of linear ops, each the only reader of the one before."""
    taken: set[str] = set()
    for op in graph.ops:
        path: list[Op] = []
        following: Op | None = op
        while following and following.name not in taken and is_linear(following, graph.weights):
            path.append(following)
            taken.add(following.name)
            users = graph.users[following.name]
            following = users[0] if len(users) == 1 else None
        if _is_worth_it(path):
            yield tuple(path)


def _is_worth_it(ops: list[Op] | tuple[Op, ...]) -> bool:
    """Whether there are two weighted ops, or one behind a border."""
    kinds = [op.kind for op in ops]
    weighted = [i for i, kind in enumerate(kinds) if kind in WEIGHTED]
    return len(weighted) > 1 or bool(weighted and "pad" in kinds[: weighted[0]])


def _runs(path: tuple[Op, ...], graph: Graph) -> tuple[list[Chain], list[str]]:
    """Return the parts of a path that compose, and why it falls apart between weighted ops."""
    found: list[Chain] = []
    reasons: list[str] = []
    waiting = path
    while waiting:
        chain, reason = _longest(waiting, graph)
        count = len(chain.ops) if chain else 0
        if chain and _is_worth_it(chain.ops):
            found.append(chain)
        rest = waiting[max(count, 1) :]
        parted = chain is not None and chain.weighted and any(op.kind in WEIGHTED for op in rest)
        if reason and parted:
            reasons.append(reason)
        waiting = rest
    return found, reasons


def _longest(ops: tuple[Op, ...], graph: Graph) -> tuple[Chain | None, str]:
    """Return the longest chain from the first op on that one op can be, and why it ends there."""
    first: Any = next((op for op in ops if op.kind in WEIGHTED), None)
    if first is None:
        return None, ""
    best: Chain | None = None
    try:
        chain = start(graph, ops[0], len(first.stride) if first.kind == "conv" else 0)
        for op in ops:
            chain = extended(chain, op, graph)
            best = chain if chain.reach.is_window else best
    except Apart as apart:
        return best, str(apart)
    whole = best is not None and len(best.ops) == len(ops)
    return best, "" if whole else "more places are padded on one side than on the other"


def _replace(edit: Editor, chain: Chain, numbers: tuple[Weight, Weight | None]) -> None:
    """Put one op under the name of the first weighted op; all others go."""
    first = chain.weighted[0]
    edit.replace(_merged_op(edit, chain, first, *numbers))
    place = chain.ops.index(first)
    for op in (*reversed(chain.ops[:place]), *chain.ops[place + 1 :]):
        edit.bypass(op.name)


def _merged_op(edit: Editor, chain: Chain, first: Op, weight: Weight, bias: Weight | None) -> Op:
    others = (op.source for op in chain.ops if op is not first)
    common: dict[str, Any] = {
        "name": first.name,
        "inputs": edit[chain.ops[0].name].inputs,
        "source": first.source.with_merged(*others),
        "weight": edit.add_weight(f"{first.name}.merged_weight", weight),
        "bias": None if bias is None else edit.add_weight(f"{first.name}.merged_bias", bias),
    }
    if first.kind == "linear":
        return Linear(**common)
    reach = chain.reach
    return Conv(
        stride=reach.stride, padding=reach.before, dilation=reach.dilation, groups=chain.groups,
        **common,
    )  # fmt: skip


def _left(path: tuple[Op, ...], graph: Graph, reasons: list[str]) -> Merger:
    weighted = tuple(op for op in path if op.kind in WEIGHTED)
    count = _count(path, graph)
    return Merger(weighted[0].name, _modules(weighted), (), count, count, "; ".join(reasons))


def _notes(graph: Graph, chains: list[Merger], before: int, after: int) -> Iterator[Diagnostic]:
    merged = [each for each in chains if not each.reason]
    for each in chains:
        if each.reason:
            text = f"{len(each.paths)} layers in a row, `{each.paths[0]}` first, do not become one"
            first = graph[each.name]
            yield CHAIN_LEFT.at(first.source, text, because=(each.reason,), op=first.kind)
    if merged:
        grown = max(merged, key=lambda each: each.growth)
        many = len(merged) > 1
        text = (
            f"{len(merged)} linear chain{'s' if many else ''} became one layer"
            f"{' each' if many else ''}: {before:,} parameters became {after:,}, "
            f"{after / max(before, 1):.3g} times as many"
        )
        most = f"`{grown.paths[0]}` grew most: {grown.parameters:,} parameters became"
        because = (f"{most} {grown.merged_parameters:,}, {grown.growth:.3g} times as many",)
        yield CHAINS_MERGED.at(Source(), text, because=because)
