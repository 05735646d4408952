"""Does the integer graph keep the limits of the target? Every limit is in the target's file.

What is judged is what runs on the chip, on its clock: the balanced pipeline without the ops of the
host. How a network is cut to cores is judged where it is placed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, cast

import numpy as np

from snncc.diagnostics.core import Diagnostic
from snncc.ir.domain import Grid, is_spike, width_bits
from snncc.ir.graph import Array, Graph, Op
from snncc.ir.latency import Pipeline, is_inner_product
from snncc.ir.ops import VIEWS, WEIGHTED
from snncc.ir.sites import NEURONS, USUAL_SITES, Sites
from snncc.passes.balance_delays import pipelined
from snncc.passes.base import Pass, Result, well_formed
from snncc.passes.check_currents import CurrentLimits
from snncc.passes.check_neurons import NeuronLimits
from snncc.passes.rules_of_neurons import FIXED_NEURON, WIDE_FAN_IN
from snncc.passes.rules_of_targets import (
    GRADED_INPUT,
    MANY_NEURONS,
    UNPROGRAMMABLE,
    WIDE_WEIGHT,
)
from snncc.passes.unroll_levels import counts_of_spikes
from snncc.targets.load import Target


@dataclass(frozen=True)
class CheckTarget(Pass):
    """Hold weights, payloads, fan-in, products and neurons to the target's limits.

    ``sites`` says where encoder and head run; what the host computes is held to nothing.
    """

    name: ClassVar[str] = "check-target"
    requires = (well_formed,)
    ensures = (well_formed,)

    target: Target
    sites: Sites = USUAL_SITES

    def run(self, graph: Graph) -> Result:
        """Return the graph as it is, and every limit that it breaks."""
        pipeline = pipelined(graph, self.sites)
        limits = _Limits(self.target, pipeline)
        neurons = NeuronLimits(self.target, pipeline)
        currents = CurrentLimits(self.target, pipeline)
        found: list[Diagnostic] = []
        for op in pipeline.graph.ops:
            found += limits.payload(op)
            if op.name not in pipeline.host:
                found += limits.of_kind(op)
                found += neurons.of(op)
                found += currents.of(op)
        return Result(graph, (*found, *self._neuron_count(graph, pipeline.host)))

    def _neuron_count(self, graph: Graph, host: Collection[str]) -> Iterator[Diagnostic]:
        neurons = neuron_count(graph, host)
        most = self.target.limits.get("neurons_per_chip")
        if most is not None and neurons > most.value:
            yield MANY_NEURONS.at(
                graph.ops[0].source,
                f"{neurons} neurons take {math.ceil(neurons / most.value)} chips or more of "
                f"{self.target.name}, which has {most.value} a chip",
            )


def neuron_count(graph: Graph, host: Collection[str] = ()) -> int:
    """Return how many spiking neurons the graph has beside those of the host."""
    layers = (op for op in graph.of_kind(*NEURONS) if op.name not in host)
    return sum(math.prod(graph.type_of(op.name).shape) for op in layers)


@dataclass(frozen=True)
class _Limits:
    """The limits of synapses, spikes and products."""

    target: Target
    pipeline: Pipeline

    @cached_property
    def counts(self) -> frozenset[str]:
        """The values that count spikes."""
        return counts_of_spikes(self.pipeline.graph)

    def of_kind(self, op: Op) -> Iterator[Diagnostic]:
        """Yield what an op on the chip breaks, of its own kind's limits."""
        for check in _CHECKS.get(op.kind, ()):
            yield from check(self, op)

    def payload(self, op: Op) -> Iterator[Diagnostic]:
        """Yield what an op reads from elsewhere that spikes cannot carry."""
        most = self.target.features.graded_spike_bits.value
        for name in dict.fromkeys(op.inputs):
            domain = self.pipeline.graph.type_of(name).domain
            if not isinstance(domain, Grid) or self._is_spikes(name) or not self._travels(op, name):
                continue
            needed = width_bits(domain) or 0
            if needed > most:
                reads = f"`{name}` waits as" if op.kind == "delay" else f"`{op.name}` reads"
                yield GRADED_INPUT.at(
                    op.source,
                    f"{reads} {domain}, a payload of {needed} bits; "
                    f"the spikes of {self.target.name} carry {most or 'none'}",
                    hint=self._payload_hint(name),
                    op=op.kind,
                    domain=domain,
                )
                return

    def _is_spikes(self, name: str) -> bool:
        """Whether a value travels as spikes: one, or those of a count, each in its sub-step."""
        domain = self.pipeline.graph.type_of(name).domain
        counted = name in self.counts and cast(Grid, domain).hi <= self.pipeline.substeps
        return is_spike(domain) or counted

    def _travels(self, op: Op, name: str) -> bool:
        """Whether a value reaches an op from another neuron, or over the chip's border."""
        graph, host = self.pipeline.graph, self.pipeline.host
        maker = graph[name]
        while maker.kind in VIEWS:
            maker = graph[maker.inputs[0]]
        if op.kind in VIEWS or self.pipeline.latency_of[name] is None:
            return False
        if (maker.name in host or maker.kind == "input") != (op.name in host):
            return True
        stays = maker.kind == "delay" or is_inner_product(maker, graph)
        reads = self.pipeline.steps[op.name] > 0 or is_inner_product(op, graph)
        return reads and not stays and op.name not in host

    def _payload_hint(self, name: str) -> str:
        makers = [self.pipeline.graph[name]]
        while makers:
            maker = makers.pop()
            if maker.kind == "input":
                return "run the encoder on the host: --encoder host"
            if maker.kind not in (*WEIGHTED, *NEURONS):
                makers += [self.pipeline.graph[each] for each in maker.inputs]
        return "choose a target with graded spikes"

    def weight(self, op: Op) -> Iterator[Diagnostic]:
        """Yield a weight that a synapse does not hold."""
        weight = cast(Array, self.pipeline.graph.weights[op.weight_names[0]])
        bits, arithmetic = _signed_bits(weight), self.target.arithmetic
        one_sign = arithmetic.weight_bits_one_sign
        single = one_sign is not None and not (weight.min(initial=0) < 0 < weight.max(initial=0))
        most = one_sign.value if one_sign and single else arithmetic.weight_bits.value
        if bits > most:
            yield WIDE_WEIGHT.at(
                op.source,
                f"`{op.name}` needs weights of {bits} bits, {self.target.name} has {most}",
                hint=f"compile with --weight-bits {most}",
                op=op.kind,
            )

    def fan_in(self, op: Op) -> Iterator[Diagnostic]:
        """Yield what one neuron takes that a whole core does not have."""
        weight = cast(Array, self.pipeline.graph.weights[op.weight_names[0]])
        sources = math.prod(weight.shape[1:])
        bits = sources * min(_signed_bits(weight), self.target.arithmetic.weight_bits.value)
        axons = self.target.limits.get("axons_in_per_core")
        memory = self.target.limits.get("synaptic_memory_bytes_per_core")
        broken = []
        if axons is not None and sources > axons.value:
            broken.append(f"{sources} sources, a core has {axons.value} input axons")
        if memory is not None and bits > memory.value * 8:
            broken.append(
                f"{math.ceil(bits / 8)} bytes of weights, a core has {memory.value} for synapses"
            )
        for what in broken:
            yield WIDE_FAN_IN.at(
                op.source, f"a neuron behind `{op.name}` takes {what} on {self.target.name}",
                hint="use groups or fewer input channels", op=op.kind,
            )  # fmt: skip

    def product(self, op: Op) -> Iterator[Diagnostic]:
        """Yield a product of two computed values where neurons are not programmable."""
        if not self.target.features.programmable_neurons.value:
            yield UNPROGRAMMABLE.at(
                op.source,
                f"`{op.name}` multiplies two computed values, "
                f"the neurons of {self.target.name} are not programmable",
                hint="choose a target with programmable neurons",
                op=op.kind,
            )

    def elementwise(self, op: Op) -> Iterator[Diagnostic]:
        """Yield what only a programmable neuron computes of its input."""
        spikes = op.kind == "max_pool" and self._is_spikes(op.inputs[0])
        if self.target.features.programmable_neurons.value or spikes:
            return
        yield FIXED_NEURON.at(
            op.source,
            f"`{op.name}` {_DOES[op.kind]}, the neurons of {self.target.name} cannot",
            hint="choose a target with programmable neurons",
            op=op.kind,
        )


def _signed_bits(weight: Array) -> int:
    top = max(int(np.max(weight, initial=0)), -int(np.min(weight, initial=0)) - 1)
    return top.bit_length() + 1


_DOES: Mapping[str, str] = {
    "round_shift": "rounds a current to fewer bits",
    "max_pool": "takes the largest of several currents",
    "compare": "compares without a potential",
}
_CHECKS: Mapping[str, tuple[Callable[[_Limits, Any], Iterator[Diagnostic]], ...]] = {
    "conv": (_Limits.weight, _Limits.fan_in),
    "linear": (_Limits.weight, _Limits.fan_in),
    "matmul": (_Limits.product,),
    "mask": (_Limits.product,),
    **dict.fromkeys(_DOES, (_Limits.elementwise,)),
}
