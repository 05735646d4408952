"""Is every product spike-driven? Proved from the domains, with the cause of each that is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from snncc.diagnostics.core import Diagnostic, Rule
from snncc.ir import domain as dom
from snncc.ir.domain import Domain, Grid, Real
from snncc.ir.graph import Graph, Op, Source
from snncc.ir.ops import VIEWS, WEIGHTED
from snncc.passes.base import Invariant, Pass, Result, well_formed
from snncc.passes.products import heads_of, levels_of
from snncc.passes.rules_of_counts import MULTI_LEVEL
from snncc.passes.scale_paths import unfolded_scales
from snncc.passes.spike_causes import causes, is_pooled, place, shown
from snncc.passes.spike_policy import USUAL, Allowance, Policy
from snncc.passes.spike_rules import (
    FOREIGN_OP,
    NON_SPIKE_INPUT,
    NON_SPIKE_MASK,
    NON_SPIKE_PRODUCT,
    REAL_INPUT,
    UNUSED_ALLOWANCE,
)

PRODUCTS = (*WEIGHTED, "matmul", "mask")
"""Kinds that multiply, and so are judged."""

_AROUND_INPUT = (*VIEWS, "pad", "max_pool", "avg_pool", "scale", "batch_norm", "add", "mask")
"""Kinds that may stand between the input and the encoder."""

Class = Literal["spike", "scaled spike", "multi-level", "real"]


@dataclass(frozen=True)
class Verdict:
    """What one product reads. ``domains`` are those of its inputs, ``path`` is its module's.

    ``role`` is ``encoder`` or ``head`` where it is one; ``because`` leads back to what widened the
    inputs, and is empty where the product is spike-driven. ``counts`` is D where an input is the
    count 0..D of an integer-firing neuron: D binary sub-steps make the product spike-driven.
    """

    name: str
    kind: str
    path: str
    domains: tuple[Domain, ...]
    verdict: Class
    role: Literal["encoder", "head", ""]
    because: tuple[str, ...]
    source: Source
    counts: int | None = None

    @property
    def is_spike_driven(self) -> bool:
        """Whether the product is a selection and an addition."""
        return self.verdict in ("spike", "scaled spike")

    @property
    def levels(self) -> int | None:
        """The widest count that is read, None where it is real."""
        grids = [d for d in self.domains if isinstance(d, Grid)]
        return max(d.magnitude for d in grids) if len(grids) == len(self.domains) else None


@dataclass(frozen=True)
class CheckSpikes(Pass):
    """Report every product that is not spike-driven; the graph stays as it is.

    What ``policy`` lets pass is shown and says why; an allowance that matches nothing is reported.
    """

    name: ClassVar[str] = "check-spikes"
    requires: ClassVar[tuple[Invariant, ...]] = (well_formed,)
    ensures: ClassVar[tuple[Invariant, ...]] = (well_formed,)

    policy: Policy = USUAL

    def run(self, graph: Graph) -> Result:
        """Return the same graph, and the findings in its order."""
        found = [*self._products(graph), *_foreign(graph), *unfolded_scales(graph)]
        used: set[Allowance] = set()
        judged = [self._allowed(each, used) for each in found]
        unused = (
            UNUSED_ALLOWANCE.at(Source(), f"the allowance `{each}` matches no finding")
            for each in self.policy.allow
            if each not in used
        )
        return Result(graph, (*judged, *unused))

    def _products(self, graph: Graph) -> Iterator[Diagnostic]:
        for verdict in verdicts(graph):
            if not verdict.is_spike_driven:
                allowed_by = self._counts(verdict) or self._role(verdict)
                hint = "" if allowed_by else self._hint(graph, verdict)
                finding = _finding(verdict)
                yield dataclasses.replace(finding, allowed_by=allowed_by, hint=hint)

    def _role(self, verdict: Verdict) -> str | None:
        """Return what lets an encoder or a head pass, None where nothing does."""
        passes = {
            "encoder": self.policy.encoder_may_read(verdict.domains[0]),
            "head": self.policy.head_may_read_floats,
        }
        return f"policy: {verdict.role}" if passes.get(verdict.role, False) else None

    def _counts(self, verdict: Verdict) -> str | None:
        """Return what lets the counts of integer-firing neurons pass."""
        if verdict.counts and verdict.counts <= self.policy.multi_level:
            return f"policy: multi-level, D={verdict.counts} binary sub-steps"
        return None

    def _hint(self, graph: Graph, verdict: Verdict) -> str:
        if verdict.role == "encoder":
            return f"the policy wants an encoder that reads a {self.policy.encoder}"
        if verdict.role == "head":
            return "put a spiking neuron before the head"
        if verdict.counts:
            return f"allow such counts on purpose: multi_level = {verdict.counts} in the policy"
        if verdict.kind in WEIGHTED and is_pooled(graph, graph[verdict.name].inputs[0]):
            return _OF_POOLS
        return "put a spiking neuron before it"

    def _allowed(self, finding: Diagnostic, used: set[Allowance]) -> Diagnostic:
        for each in self.policy.allow:
            if each.covers(finding):
                used.add(each)
                if not finding.allowed_by:
                    finding = dataclasses.replace(finding, allowed_by=each.origin, hint="")
        return finding


def verdicts(graph: Graph) -> tuple[Verdict, ...]:
    """Return the verdict on each product of a step graph, in its order."""
    encoders, heads, levels = _encoders(graph), heads_of(graph), levels_of(graph)
    return tuple(
        _verdict(graph, op, encoders, heads, min(counts, default=None))
        for op in graph.of_kind(*PRODUCTS)
        for counts in [[levels[name] for name in op.inputs if levels.get(name, 1) > 1]]
    )


def _verdict(
    graph: Graph, op: Op, encoders: set[str], heads: set[str], counts: int | None
) -> Verdict:
    domains = tuple(graph.type_of(name).domain for name in op.inputs)
    verdict = _class(domains)
    because: tuple[str, ...] = ()
    if verdict in ("multi-level", "real"):
        because = tuple(dict.fromkeys(line for name in op.inputs for line in causes(graph, name)))
    role: Literal["encoder", "head", ""] = ""
    if op.kind in WEIGHTED:
        role = "encoder" if op.name in encoders else "head" if op.name in heads else ""
    path = op.source.module
    return Verdict(op.name, op.kind, path, domains, verdict, role, because, op.source, counts)


def _class(domains: tuple[Domain, ...]) -> Class:
    """Return the class of a product: that of its best operand."""
    spikes = [d for d in domains if dom.is_spike(d)]
    if spikes:
        return "spike" if any(dom.includes(dom.SPIKE, d) for d in spikes) else "scaled spike"
    return "real" if any(isinstance(d, Real) for d in domains) else "multi-level"


def _encoders(graph: Graph) -> set[str]:
    """Return the weighted ops that read the input itself, views and pools between or none."""
    outside: set[str] = set()
    encoders: set[str] = set()
    for op in graph.ops:
        if op.kind in ("input", "constant"):
            outside.add(op.name)
        elif all(name in outside for name in op.inputs):
            if op.kind in WEIGHTED:
                encoders.add(op.name)
            elif op.kind in _AROUND_INPUT:
                outside.add(op.name)
    return encoders


_OF_POOLS = (
    "as deployed (`--deployed`) a pool of spikes is merged into the weights behind it; where "
    "SNN211 says why not, take a max-pool, or put spiking neurons behind the pool"
)
_RULES: dict[str, Rule] = {"matmul": NON_SPIKE_PRODUCT, "mask": NON_SPIKE_MASK}


def _finding(verdict: Verdict) -> Diagnostic:
    weighted = REAL_INPUT if verdict.verdict == "real" else NON_SPIKE_INPUT
    rule = MULTI_LEVEL if verdict.counts else _RULES.get(verdict.kind, weighted)
    called = f"`{verdict.path or verdict.name}`"
    read = " and ".join(shown(domain) for domain in verdict.domains)
    wanted = "not spikes" if verdict.kind in WEIGHTED else "no spikes on either side"
    verb = "reads" if verdict.kind in WEIGHTED else "multiplies"
    counts = f"expansion to {verdict.counts} binary sub-steps" if verdict.counts else ""
    return rule.at(
        verdict.source,
        f"{called} {verb} {read}, {wanted}{counts and f': spike-driven only after {counts}'}",
        because=verdict.because,
        op=verdict.kind,
        domain=verdict.domains[0],
    ).about((verdict.name,))


def _foreign(graph: Graph) -> Iterator[Diagnostic]:
    for op in graph.of_kind("foreign"):
        target = getattr(op, "target", op.kind)
        text = f"{place(op)} is {target}, which has no spiking form"
        domain = graph.type_of(op.inputs[0]).domain if op.inputs else None
        hint = _AT_THE_END if _keeps_the_largest(graph, op) else ""
        found = FOREIGN_OP.at(op.source, text, hint=hint, op=op.kind, domain=domain)
        yield found.about((op.name,))


_AT_THE_END = "leave it out here, and compute it where the answer is read: the largest stays so"


def _keeps_the_largest(graph: Graph, op: Op) -> bool:
    """Whether a softmax is all that stands between logits and the answer.

    In a sum over time it may stand as a logarithm: that takes one number from all logits of a step.
    """
    target = getattr(op, "target", "").removeprefix("aten.").strip("_")
    if target not in ("softmax", "log_softmax") or len(graph.type_of(op.name).shape) != 1:
        return False
    last = ("output", "readout") if target == "log_softmax" else ("output",)
    users = graph.users[op.name]
    while len(users) == 1 and users[0].kind in last and users[0].kind != "output":
        users = graph.users[users[0].name]
    return [user.kind for user in users] == ["output"]
