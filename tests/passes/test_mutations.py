"""A violation planted at a random place of a compliant network: the check finds that, and no more.

What it should find is computed apart from the domains: every value gets the plain set of the
numbers that it can hold, by enumeration. A product is spike-driven where one factor is in {0, s}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import product
from math import prod
from random import Random
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.frontends.torch_export import trace
from snncc.ir import ops
from snncc.ir.graph import Absent, Graph, Op, Source, Weight, reading
from snncc.models.zoo import ARCHITECTURES
from snncc.passes import FRONT
from snncc.passes.base import run_passes, well_formed
from snncc.passes.check_spikes import CheckSpikes
from snncc.passes.merge_linear_chains import MergeLinearChains

STREAM: dict[str, Any] = {"dim": 32, "heads": 4, "img_size": 16, "depth": 2}
NETWORKS: dict[str, dict[str, Any]] = {
    "spikingformer-cifar-4-384": STREAM,
    "sdt-cifar-2-512": STREAM,
    "meta-spikeformer-8-384": {
        "dims": (8, 16, 32, 40),
        "depths": (1, 1),
        "heads": 4,
        "img_size": 32,
        "T": 2,
    },
    "sew-resnet-dvs-iand": {"widths": (8, 8, 8), "img_size": 32, "T": 2},
}
PRODUCTS = ("conv", "linear", "matmul", "mask")
PLANTED = Source("planted", "planted.py", 1)


@cache
def network(name: str) -> Graph:
    """A compliant step graph; linear chains are merged, as on the chip."""
    architecture = ARCHITECTURES[name].configure(**NETWORKS[name])
    with torch.device("meta"):
        model, example = architecture.build().eval(), torch.empty(1, *architecture.input_shape)
    steps = run_passes(trace(model, example), FRONT).graph
    return MergeLinearChains(compose=False).run(steps).graph


Numbers: TypeAlias = frozenset[Fraction] | None
"""The numbers that a value can hold; None where they are many, or nobody knows."""

SPIKES = frozenset({Fraction(0), Fraction(1)})
MANY = 300


def few(numbers: frozenset[Fraction]) -> Numbers:
    return numbers if len(numbers) <= MANY else None


def sums(a: Numbers, b: Numbers) -> Numbers:
    if a is None or b is None:
        return None
    return few(frozenset(x + y for x, y in product(a, b)))


def repeated_sums(a: Numbers, terms: int) -> Numbers:
    """Sums of so many numbers of a set: those of 1, of 2, of 4 ... by the bits of `terms`."""
    total: Numbers = frozenset({Fraction(0)})
    power, left = a, terms
    while left and total is not None:
        total = sums(total, power) if left % 2 else total
        power, left = sums(power, power) if left > 1 else power, left // 2
    return total


def products(a: Numbers, b: Numbers) -> Numbers:
    zero = frozenset({Fraction(0)})
    if zero in (a, b):
        return zero
    return None if a is None or b is None else few(frozenset(x * y for x, y in product(a, b)))


def times(a: Numbers, factor: Fraction) -> Numbers:
    return None if a is None else frozenset(factor * x for x in a)


def numbers_of(graph: Graph) -> dict[str, Numbers]:
    found: dict[str, Numbers] = {}
    for op in graph.ops:
        found[op.name] = _numbers(op, [found[name] for name in op.inputs], graph)
    return found


def _numbers(op: Any, inputs: list[Numbers], graph: Graph) -> Numbers:
    if op.kind == "neuron":
        return SPIKES
    if op.kind in ("input", "conv", "linear", "batch_norm", "foreign"):
        return None
    if op.kind == "constant":
        value = graph.weights[op.value]
        known = not isinstance(value, Absent) and value.dtype.kind in "iub"
        return frozenset(map(Fraction, np.unique(np.asarray(value)).tolist())) if known else None
    return _of_inputs(op, inputs, graph)


def _of_inputs(op: Any, inputs: list[Numbers], graph: Graph) -> Numbers:
    first, shape = inputs[0], graph.type_of(op.inputs[0]).shape
    padded = first and first | {Fraction(0)}
    if op.kind in ("add", "mask"):
        return sums(*inputs) if op.kind == "add" else products(*inputs)
    if op.kind == "matmul":
        return repeated_sums(products(*inputs), shape[-1])
    if op.kind == "scale":
        return times(first, Fraction(op.factor))
    if op.kind == "avg_pool":
        return times(repeated_sums(padded, prod(op.kernel)), Fraction(1, prod(op.kernel)))
    if op.kind in ("sum", "readout"):
        terms = op.steps if op.kind == "readout" else prod(shape[a] for a in op.axes)
        return repeated_sums(first, terms)
    if op.kind == "concat":
        return None if None in inputs else frozenset().union(*(i for i in inputs if i))
    assert op.kind in ("pad", "max_pool", "output", *ops.VIEWS), op.kind
    return padded if op.kind == "pad" else first


def is_spike(numbers: Numbers) -> bool:
    return numbers is not None and len(numbers - {0}) <= 1


def not_spike_driven(graph: Graph) -> Counter[str]:
    """Module paths of the products that multiply; without encoder and head."""
    numbers = numbers_of(graph)
    wrong = [
        op
        for op in graph.of_kind(*PRODUCTS)
        if not any(is_spike(numbers[name]) for name in op.inputs)
    ]
    encoder = next(op.name for op in graph.ops if op.kind == "conv")
    head = next(op.name for op in reversed(graph.ops) if op.kind == "linear")
    return Counter(op.source.module for op in wrong if op.name not in (encoder, head))


class Surgeon:
    """Plants ops into a graph, at places that a seed chooses."""

    def __init__(self, graph: Graph, seed: int) -> None:
        self.graph = graph
        self.dice = Random(seed)  # noqa: S311
        self.ops = list(graph.ops)
        self.weights: dict[str, Weight] = dict(graph.weights)

    def done(self) -> Graph:
        graph = self.graph.replace(self.ops, self.weights)
        assert not list(well_formed(graph))
        return graph

    def neuron(self) -> Op:
        return self.dice.choice([op for op in self.ops if op.kind == "neuron"])

    def plant(self, behind: str, *planted: Op) -> None:
        """Put ops behind a value; whoever read it reads the last of them."""
        place = next(i for i, op in enumerate(self.ops) if op.name == behind) + 1
        after = [reading(op, {behind: planted[-1].name}) for op in self.ops[place:]]
        self.ops[place:] = [*(replace(op, source=PLANTED) for op in planted), *after]


def spikes_added(surgeon: Surgeon) -> None:
    """A residual sum of spikes, as in SEW blocks."""
    second = surgeon.neuron()
    shape = surgeon.graph.type_of(second.name).shape
    before = surgeon.ops[: surgeon.ops.index(second) + 1]
    alike = [
        op for op in before if op.kind == "neuron" and surgeon.graph.type_of(op.name).shape == shape
    ]
    first = surgeon.dice.choice(alike)
    surgeon.plant(second.name, ops.Add(name="planted.sum", inputs=(second.name, first.name)))


def neuron_bypassed(surgeon: Surgeon) -> None:
    """Currents go on without a neuron."""
    gone = surgeon.neuron()
    kept = [op for op in surgeon.ops if op is not gone]
    surgeon.ops = [reading(op, {gone.name: gone.inputs[0]}) for op in kept]


def average_before_conv(surgeon: Surgeon) -> None:
    """A mean of spikes is no spike."""
    maps = [
        op
        for op in surgeon.ops
        if op.kind == "neuron"
        and len(surgeon.graph.type_of(op.name).shape) == 3
        and any(user.kind in ("conv", "max_pool") for user in surgeon.graph.users[op.name])
    ]
    spikes = surgeon.dice.choice(maps)
    pool = ops.AvgPool(
        name="planted.mean", inputs=(spikes.name,), kernel=(3, 3), stride=(1, 1), padding=(1, 1)
    )
    surgeon.plant(spikes.name, pool)


def scaled_and_added(surgeon: Surgeon) -> None:
    """Spikes times 0.3 go to two places; the sum with spikes takes up no factor."""
    spikes = surgeon.neuron()
    scaled = ops.Scale(name="planted.scaled", inputs=(spikes.name,), factor=0.3)
    total = ops.Add(name="planted.sum", inputs=("planted.scaled", spikes.name))
    surgeon.plant(spikes.name, scaled, total)
    readers = [op for op in surgeon.ops if op.inputs == ("planted.sum",)]
    if len(readers) > 1:
        one = surgeon.dice.choice(readers)
        surgeon.ops[surgeon.ops.index(one)] = reading(one, {"planted.sum": "planted.scaled"})


def norm_after_neuron(surgeon: Surgeon) -> None:
    """A batch norm makes floats of spikes."""
    spikes = surgeon.neuron()
    channels = surgeon.graph.type_of(spikes.name).shape[0]
    surgeon.weights["m"] = surgeon.weights["v"] = Absent((channels,))
    norm = ops.BatchNorm(
        name="planted.norm", inputs=(spikes.name,), axis=0,
        gamma=None, beta=None, mean="m", var="v", eps=1e-5,
    )  # fmt: skip
    surgeon.plant(spikes.name, norm)


def softmax(surgeon: Surgeon) -> None:
    """An operation without a spiking form, behind neurons or in the attention."""
    makers = [op for op in surgeon.ops if op.kind in ("neuron", "matmul", "mask")]
    maker = surgeon.dice.choice(makers)
    shape = surgeon.graph.type_of(maker.name).shape
    foreign = ops.Foreign(name="planted.soft", inputs=(maker.name,), target="softmax", shape=shape)
    surgeon.plant(maker.name, foreign)


Mutation: TypeAlias = Callable[[Surgeon], None]
PLANTED_CODES: dict[Mutation, tuple[str, ...]] = {
    spikes_added: (),
    neuron_bypassed: (),
    average_before_conv: (),
    scaled_and_added: ("SNN206",),
    norm_after_neuron: (),
    softmax: ("SNN205",),
}


def mutated(name: str, mutation: Mutation, seed: int) -> Graph:
    surgeon = Surgeon(network(name), seed)
    mutation(surgeon)
    return surgeon.done()


def findings(graph: Graph) -> tuple[Counter[str], Counter[str]]:
    """Paths of products that are found and not allowed; codes of what is found in planted ops."""
    found = [d for d in CheckSpikes().run(graph).diagnostics if not d.allowed_by]
    planted = Counter(d.rule.code for d in found if d.source == PLANTED)
    return Counter(d.source.module for d in found if d.source != PLANTED), planted


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_compliant(name: str) -> None:
    assert findings(network(name)) == (Counter(), Counter())
    assert not_spike_driven(network(name)) == Counter()


@pytest.mark.parametrize("mutation", PLANTED_CODES, ids=lambda m: m.__name__)
@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_planted_violation_is_found_and_no_other(
    name: str, mutation: Mutation, seed: int
) -> None:
    graph = mutated(name, mutation, seed)
    products_found, planted = findings(graph)
    assert products_found == not_spike_driven(graph)
    assert planted == Counter(PLANTED_CODES[mutation])
    assert products_found.keys() <= downstream(graph, network(name))


def downstream(graph: Graph, before: Graph) -> set[str]:
    """Module paths of the products that depend on an op that is new, or that reads anew."""
    changed: set[str] = set()
    for op in graph.ops:
        same = op.name in before.by_name and before[op.name].inputs == op.inputs
        if not same or changed.intersection(op.inputs):
            changed.add(op.name)
    return {graph[name].source.module for name in changed}


@pytest.mark.parametrize("mutation", PLANTED_CODES, ids=lambda m: m.__name__)
def test_most_places_are_violations(mutation: Mutation) -> None:
    """Or else nothing would be tested: only products with a spike on the other side survive."""
    found = [findings(mutated(name, mutation, seed))[0] for name in NETWORKS for seed in range(10)]
    assert sum(bool(each) for each in found) > len(found) / 2
