"""Make one op of convolutions, pools that sum, batch norms, factors and borders in a row."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from snncc.diagnostics.core import Diagnostic
from snncc.ir.edit import Editor
from snncc.ir.graph import Absent, Graph, Op, Shape, Source, Weight, Weights
from snncc.ir.ops import WEIGHTED, Conv, Linear, Reshape, Slice
from snncc.passes.base import Invariant, Pass, Result, well_formed
from snncc.passes.linear_chain import POOLS, Chain
from snncc.passes.linear_rows import Rows, between_pools
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

    ``paths`` are the modules of its weighted ops and pools, ``kernel`` is that of the merged op,
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

    A pool that sums is such an op: behind weights, and in front of them where it reads what neurons
    fire. In front of a head and behind it pools stay: the host, which runs it, reads counts.

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
        edit, rows = Editor(graph), Rows(graph)
        chains: list[Merger] = []
        for path in rows.all():
            runs, reasons = rows.runs(path)
            for chain, merger in self._settled(runs, rows):
                chains.append(merger)
                if not merger.reason:
                    _replace(edit, chain, composed(chain, self._weights(edit, chain)))
            chains += [_left(path, graph, reasons)] if reasons else []
        merged = edit.graph() if any(not each.reason for each in chains) else graph
        before, after = parameters(graph), parameters(merged)
        found = tuple(_notes(graph, chains, before, after))
        return Merged(merged, found, tuple(chains), before, after)

    def _settled(self, runs: list[Chain], rows: Rows) -> Iterator[tuple[Chain, Merger]]:
        """Yield each chain with what becomes of it; one too large with pools falls apart at them.

        What merges without its pools, merges.
        """
        for chain in runs:
            merger = self._judged(chain, rows.graph)
            yield chain, merger
            if merger.reason and chain.is_pooled:
                pieces = [each for part in between_pools(chain) for each in rows.runs(part)[0]]
                yield from ((each, self._judged(each, rows.graph)) for each in pieces)

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
            chain.weighted[0].name, _modules(chain.ops), chain.reach.kernel, before, after, reason,
        )  # fmt: skip


def parameters(graph: Graph) -> int:
    """Return how many parameters a network has; a weight that is read twice counts once."""
    return _count(graph.ops, graph)


def _count(ops: tuple[Op, ...], graph: Graph) -> int:
    fields = ((op, field) for op in ops for field in _PARAMETERS.get(op.kind, ()))
    names = dict.fromkeys(getattr(op, field) for op, field in fields)
    return sum(math.prod(graph.weights[name].shape) for name in names if name is not None)


def _modules(ops: tuple[Op, ...]) -> tuple[str, ...]:
    """Return the modules of the weighted ops and the pools among them."""
    return tuple(op.source.module or op.name for op in ops if op.kind in (*WEIGHTED, *POOLS))


def _replace(edit: Editor, chain: Chain, numbers: tuple[Weight, Weight | None]) -> None:
    """Put one op under the name of the first weighted op; all others go."""
    first = chain.weighted[0]
    read = chain.ops[0].inputs
    edit.replace(_merged_op(edit, chain, first, *numbers))
    place = chain.ops.index(first)
    for op in (*reversed(chain.ops[:place]), *chain.ops[place + 1 :]):
        edit.bypass(op.name)
    for view in _views(chain, edit.shape(read[0])):
        made = dataclasses.replace(view, inputs=edit[first.name].inputs, source=first.source)
        edit.insert(made, first.name)


def _views(chain: Chain, shape: Shape) -> Iterator[Op]:
    """Yield how the input is looked at: in one row, or without the places that nothing reads."""
    name = chain.weighted[0].name
    if chain.flat:
        yield Reshape(name=f"{name}.flat", inputs=(), shape=(math.prod(shape),))
        return
    first = len(shape) - len(chain.size)
    for i, (size, whole) in enumerate(zip(chain.reach.size, chain.size, strict=True)):
        if size < whole:
            yield Slice(name=f"{name}.cropped", inputs=(), axis=first + i, start=0, stop=size)


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
    first = next(op for op in path if op.kind in WEIGHTED)
    count = _count(path, graph)
    return Merger(first.name, _modules(path), (), count, count, "; ".join(reasons))


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
