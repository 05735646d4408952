"""What a network takes of its chip beyond spikes and fixed neurons, feature by feature.

A feature is needed where the network breaks a limit once the chip is thought without it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from snncc.backends.report.table import count_of
from snncc.diagnostics.core import Diagnostic
from snncc.ir.domain import width_bits
from snncc.ir.graph import Graph
from snncc.ir.sites import Sites
from snncc.passes.check_target import CheckTarget
from snncc.passes.rules_of_neurons import FIXED_NEURON, WIDE_BIAS
from snncc.passes.rules_of_targets import GRADED_INPUT, UNPROGRAMMABLE
from snncc.targets.facts import Fact
from snncc.targets.load import Features, Target


@dataclass(frozen=True)
class Demand:
    """A feature that a network needs: what for, in words, and at which modules.

    ``assumed``: that the chip has it is an assumption of the target's file.
    """

    feature: str
    what: str
    paths: tuple[str, ...]
    assumed: bool


def demands(graph: Graph, target: Target, sites: Sites) -> tuple[Demand, ...]:
    """Return what an integer step graph needs of a target's features."""
    bare = dataclasses.replace(target, features=_bare(target.features))
    found = CheckTarget(bare, sites).run(graph).diagnostics
    return tuple(_demands(found, target.features))


def demands_document(found: tuple[Demand, ...]) -> list[dict[str, Any]]:
    """Return the ``demands`` of a report."""
    return [{**dataclasses.asdict(each), "paths": list(each.paths)} for each in found]


def demands_line(found: tuple[Demand, ...], target: str) -> str:
    """Return in one sentence what a chip must have; empty where any chip will do."""
    each = [f"{d.what}{' (assumed of the target)' if d.assumed else ''}" for d in found]
    return f"takes of {target}: {'; '.join(each)}" if each else ""


def _bare(features: Features) -> Features:
    """Return the features of a chip that has none of them."""
    nothing = "taken away to see what needs it"
    return dataclasses.replace(
        features,
        programmable_neurons=Fact(False, source=nothing),
        graded_spike_bits=Fact(0, source=nothing, unit="bit"),
        bias_in_state=None,
    )


def _demands(found: tuple[Diagnostic, ...], features: Features) -> Iterator[Demand]:
    by_rule = {
        code: [d for d in found if d.rule.code == code] for code in {d.rule.code for d in found}
    }
    programmable = features.programmable_neurons.assumed
    if products := by_rule.get(UNPROGRAMMABLE.code):
        products_of = f"{count_of(len(products), 'product')} of computed values, as in attention"
        what = f"programmable neurons for {products_of}"
        yield Demand("programmable_neurons", what, _paths(products), programmable)
    if neurons := by_rule.get(FIXED_NEURON.code):
        what = f"programmable neurons for {count_of(len(neurons), 'layer')}"
        yield Demand("programmable_neurons", what, _paths(neurons), programmable)
    if graded := by_rule.get(GRADED_INPUT.code):
        bits = max(width_bits(d.domain) or 0 for d in graded if d.domain is not None)
        what = f"payloads of up to {bits} bits for {count_of(len(graded), 'value')}"
        yield Demand("graded_spike_bits", what, _paths(graded), features.graded_spike_bits.assumed)
    if biases := by_rule.get(WIDE_BIAS.code):
        kept = features.bias_in_state
        what = f"biases in neuron state for {count_of(len(biases), 'layer')}"
        yield Demand("bias_in_state", what, _paths(biases), kept is not None and kept.assumed)


def _paths(found: list[Diagnostic]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(d.source.module for d in found))
