"""What a pass is, and the runner that holds every pass to its promises.

A pass is a frozen dataclass whose fields are its options. It returns a new graph and what it
found; it prints nothing and edits nothing. An invariant is a function named as the sentence that it
checks; the runner checks each promise made so far after every pass, so that the pass that breaks
one is the pass that is blamed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from snncc.diagnostics.core import Diagnostic, Severity, SnnccError, rule
from snncc.ir.graph import Graph, IRError, Source

Invariant: TypeAlias = Callable[[Graph], Iterator[Diagnostic]]

BROKEN_PROMISE = rule(
    "SNN001",
    "broken-pass-promise",
    Severity.ERROR,
    """
    A compiler pass left a graph that breaks what it or an earlier pass promised.

    This is a bug in snncc, never in your model. Please report it with the model, the command and
    the text of the graph (`snncc inspect MODEL --dump`).
    """,
)


@dataclass(frozen=True)
class Result:
    """The graph that a pass returns and what it found."""

    graph: Graph
    diagnostics: tuple[Diagnostic, ...] = ()


class Pass:
    """Base of all passes; subclasses are frozen dataclasses."""

    name: ClassVar[str]
    requires: ClassVar[tuple[Invariant, ...]] = ()
    ensures: ClassVar[tuple[Invariant, ...]] = ()

    def run(self, graph: Graph) -> Result:
        """Return the rewritten graph and the findings."""
        raise NotImplementedError


class PassError(RuntimeError):
    """A pass broke a promise: our bug."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        """Take the findings of the invariants that failed."""
        super().__init__("; ".join(d.message for d in diagnostics))
        self.diagnostics = diagnostics


def well_formed(graph: Graph) -> Iterator[Diagnostic]:
    """Each op reads what is made before it, names are unique, weights exist, types derive."""
    names = [op.name for op in graph.ops]
    for name in {n for n in names if names.count(n) > 1} if len(set(names)) < len(names) else ():
        yield BROKEN_PROMISE.at(graph[name].source, f"two ops are called `{name}`")
    for op in graph.ops:
        for weight in op.weight_names:
            if weight not in graph.weights:
                yield BROKEN_PROMISE.at(op.source, f"`{op.name}` has no weight `{weight}`")
                return
    try:
        _ = graph.types
    except IRError as error:
        yield BROKEN_PROMISE.at(Source(), str(error))


def no_comparisons(graph: Graph) -> Iterator[Diagnostic]:
    """Nothing is compared and no spikes are counted but in neurons."""
    for op in graph.of_kind("compare", "count"):
        what = "comparison" if op.kind == "compare" else "count"
        yield BROKEN_PROMISE.at(op.source, f"`{op.name}` is a {what} outside of a neuron")


def run_passes(graph: Graph, passes: Iterable[Pass]) -> Result:
    """Run passes in order, checking every promise made so far after each.

    Raises ``PassError`` naming the pass that broke one. Where a pass refuses the graph, the errors
    found before it are raised with its own.
    """
    found: list[Diagnostic] = []
    promised: dict[Invariant, None] = {}
    for each in passes:
        _check(graph, each.requires, f"before `{each.name}`")
        result = _run(each, graph, found)
        graph = result.graph
        found += result.diagnostics
        promised |= dict.fromkeys(each.ensures)
        _check(graph, promised, f"after `{each.name}`")
    return Result(graph, tuple(found))


def _run(each: Pass, graph: Graph, found: list[Diagnostic]) -> Result:
    try:
        return each.run(graph)
    except SnnccError as error:
        before = [d for d in found if d.severity is Severity.ERROR]
        raise SnnccError(*before, *error.diagnostics) from error


def _check(graph: Graph, invariants: Iterable[Invariant], when: str) -> None:
    broken = tuple(
        BROKEN_PROMISE.at(d.source, f"{when}: {d.message}") for i in invariants for d in i(graph)
    )
    if broken:
        raise PassError(broken)
